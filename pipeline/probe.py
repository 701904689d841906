"""A model's answer to a few fixed sentences, kept in its manifest: the same model must give it again when it is opened.

Library versions are compared before a model is opened, but our own code may change without a new version. What a
model says of these sentences notices every change of cutting, tokens, features and scores that it could suffer from,
and none of comments and names.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from pipeline.batches import Batch, batch_of_examples
from pipeline.manifest import REBUILD
from pipeline.model import UnitClassifier
from pipeline.records import Example, Kind, ModelInfo, PipelineError

#: Section, kind and text of each; our own sentences, with something of every block of features.
_UNITS: tuple[tuple[str | None, Kind, str], ...] = (
    (None, "heading", "Ferry talks: what the two ports want"),
    (None, "sentence", "The two ministers met for an hour in the harbour office on Tuesday, and left at 5.30 p.m."),
    (None, "sentence", "Talks remain stalled over who should pay the $40 million bill for dredging."),
    (
        None,
        "sentence",
        '"We will not sign before the fees are cut," said the deputy minister, who wants a deal by May.',
    ),
    (None, "sentence", "Unless a schedule is agreed, the yard could lose its largest customer to its neighbours."),
    (None, "sentence", "The half-empty terminal offers both countries room to expand trade in grain."),
    ("Challenges", "heading", "Challenges"),
    ("Challenges", "bullet", "A shortage of pilots"),
    ("Challenges", "bullet", "No common rules for customs, despite three rounds of talks since 2021"),
)
_DECIMALS = 6
#: Sums in another order, on another processor, differ in the last of sixteen digits.
_TOLERANCE = 1e-4


@cache
def _batch() -> Batch:
    return batch_of_examples(
        [Example("probe", "Ferry talks", "wire", section, kind, text, "") for section, kind, text in _UNITS]
    )


def probe_of(classifier: UnitClassifier) -> list[list[float]]:
    """The sparse model's margins for the fixed sentences: one list a sentence, one number a label."""
    scores: list[list[float]] = np.round(classifier._scores(classifier.pipeline_, _batch()), _DECIMALS).tolist()
    return scores


def check_probe(classifier: UnitClassifier, info: ModelInfo, where: str) -> None:
    """Nothing where the model gives the answer of its manifest, or the manifest has none.

    Raises
    ------
    PipelineError
        The answer is another.
    """
    if info.probe is None:
        return
    try:
        change = float(np.abs(np.array(probe_of(classifier)) - np.array(info.probe)).max())
        found = f"its scores of fixed sentences differ by {change:.4f}" if change > _TOLERANCE else ""
    except Exception as error:  # what other code does with its old features is anything
        found = f"it fails on fixed sentences with {type(error).__name__}: {error}"
    if found:
        message = f"was made by other code than is installed: {found} from those when it was trained"
        raise PipelineError(message, where=where, remedy=REBUILD)
