"""What every page of communique shares: jinja2 templates, colours of labels, and a strict Content-Security-Policy.

A page is one file without a network: style and script stand in it and are let through by their hashes alone, so that
nothing an article says can run. Text reaches a page through jinja2's escaping, data through :func:`json_block`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from pipeline.records import BACKGROUND

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

#: Colours by the name of their CSS variable. Text (ink, soft, accent) stands at least 4.5:1 on page and panel.
LIGHT = {
    "page": "#ffffff",
    "panel": "#f4f6f8",
    "ink": "#1b1f24",
    "soft": "#545d68",
    "line": "#8a939e",
    "accent": "#0a51a1",
    "on-accent": "#ffffff",
    "hit": "#ffe28a",
}
DARK = {
    "page": "#14171c",
    "panel": "#1e2229",
    "ink": "#e9ebee",
    "soft": "#abb3bd",
    "line": "#6b7580",
    "accent": "#8fbaff",
    "on-accent": "#10151c",
    "hit": "#6a5200",
}
#: How much of a label's colour its tint has, on a light page and on a dark one; less for background.
_TINT = {"light": 0.22, "dark": 0.34}
_FAINT = {"light": 0.09, "dark": 0.14}
_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")
_GREY = "#767676"
#: What HTML has no way to hold: control characters, and halves of surrogate pairs.
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Look:
    """How a label looks on a page: its letter, its colour and the ink on it, its tints on a light and a dark page."""

    name: str
    letter: str
    colour: str
    ink: str
    light: str
    dark: str


def looks(labels: Sequence[str], colours: Mapping[str, str], letters: Mapping[str, str] | None = None) -> list[Look]:
    """The looks of labels, in their order.

    A label without a usable colour is grey. Without ``letters`` a label goes by its first letter that is still free,
    in capitals, or by its number where none is.
    """
    found: list[Look] = []
    taken: set[str] = set()
    for number, name in enumerate(labels, start=1):
        colour = colours.get(name, _GREY)
        colour = colour if _COLOUR.fullmatch(colour) else _GREY
        wanted = (letters or {}).get(name, name).upper()
        letter = next((one for one in wanted if one.isalpha() and one not in taken), str(number))
        taken.add(letter)
        share = _FAINT if name == BACKGROUND else _TINT
        tints = mixed(colour, LIGHT["page"], share["light"]), mixed(colour, DARK["page"], share["dark"])
        found.append(Look(name, letter, colour, ink_on(colour), *tints))
    return found


def luminance(colour: str) -> float:
    """Relative luminance of ``#RRGGBB``, 0 to 1, as WCAG 2.2 defines it."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21, as WCAG 2.2 defines it."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def ink_on(colour: str) -> str:
    """Black or white, whichever stands out more; one of them always reaches 4.5:1."""
    return max("#000000", "#ffffff", key=lambda ink: contrast(ink, colour))


def mixed(colour: str, ground: str, share: float) -> str:
    """So much of a colour on a ground, as ``#rrggbb``."""
    pairs = [(int(colour[at : at + 2], 16), int(ground[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(above * share + below * (1 - share)):02x}" for above, below in pairs)


def clean(text: str) -> Markup:
    """A text escaped for HTML, so that a browser reads the same characters: U+FFFD for what HTML can't hold."""
    from markupsafe import Markup, escape

    fit = _UNFIT.sub("\ufffd", text)
    # a browser takes a bare carriage return for a line feed
    return Markup(str(escape(fit)).replace("\r", "&#13;"))


def json_block(data: Any) -> Markup:
    """Data for ``<script type="application/json">``: no text in it can end the element or open a comment."""
    from markupsafe import Markup

    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(_UNFIT.sub("\ufffd", text))


def colour_css(shown: Sequence[Look]) -> str:
    """Variables and classes for the colours of the page and of each label (``l0``, ``l1``, ... in their order)."""

    def variables(names: Mapping[str, str], side: str) -> str:
        tints = {f"tint{number}": getattr(look, side) for number, look in enumerate(shown)}
        return "".join(f"--{name}:{value};" for name, value in {**names, **tints}.items())

    light, dark = variables(LIGHT, "light"), variables(DARK, "dark")
    lines = [
        f":root{{color-scheme:light;{light}}}",
        "@media screen and (prefers-color-scheme:dark){:root:not([data-theme=light]){color-scheme:dark;" + dark + "}}",
        "@media screen{:root[data-theme=dark]{color-scheme:dark;" + dark + "}}",
    ]
    for number, look in enumerate(shown):
        lines.append(f".l{number}{{--own:{look.colour};--on-own:{look.ink};--tint:var(--tint{number})}}")
        lines.append(f".f{number}{{fill:{look.colour}}}")
    return "\n".join(lines) + "\n"


@cache
def environment() -> Environment:
    """The templates that the package ships; everything put into one is escaped, and a missing name is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("pipeline", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["clean"] = clean
    return made


def asset(name: str) -> str:
    """The text of a style or script among the templates."""
    return files("pipeline").joinpath("templates", name).read_text(encoding="utf-8")


def policy(style: str, script: str, **more: str) -> str:
    """A Content-Security-Policy that lets through one inline style and one inline script, by their SHA-256.

    ``more`` adds directives, with ``_`` for ``-``: ``connect_src="'self'"``.
    """

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    directives = {
        "default-src": "'none'",
        "script-src": f"'sha256-{digest(script)}'",
        "style-src": f"'sha256-{digest(style)}'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    return "; ".join(f"{name} {value}" for name, value in directives.items())


def render(
    template: str,
    *,
    styles: Sequence[str],
    scripts: Sequence[str],
    shown: Sequence[Look],
    policy_more: Mapping[str, str] | None = None,
    **context: Any,
) -> str:
    """A page: a template with its styles and scripts (names of files among the templates) in it, and its policy.

    The template gets ``style``, ``script``, ``policy``, ``looks`` and the ``context``.
    """
    from markupsafe import Markup

    style = colour_css(shown) + "".join(map(asset, styles))
    script = "".join(map(asset, scripts))
    return (
        environment()
        .get_template(template)
        .render(
            style=Markup(style),
            script=Markup(script),
            policy=policy(style, script, **(policy_more or {})),
            looks=shown,
            **context,
        )
    )
