"""communique: what each sentence of diplomatic news states.

>>> from pipeline import load
>>> model = load()
>>> model.classify("The minister wants a visa agreement signed before the spring.")[0].label
'goal'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.classify import Model, load

__all__ = ["Model", "load"]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: spaCy and scikit-learn take a second to load."""
    if name in __all__:
        from pipeline import classify

        return getattr(classify, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
