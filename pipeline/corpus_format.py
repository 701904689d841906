"""Versions of the corpus format: which one a row is written in, and what it would say in the current one.

A row may state its format in the column ``format``; a row without it is of the current format, unless its file can
only be of an older one. Reading translates older rows and says so; ``communique check --fix`` rewrites them.

Format 1 had the columns ``article, title, genre, section, kind, text, label, annotator, note``. Its genres were named
freely ("wire report", "op-ed"), and its sentences were all written with their label in mind, so it had no ``source``.

Format 2 has the genres that corpus/README.md lists, and ``source``, which is ``composed`` for such sentences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

COLUMN = "format"
CURRENT = 2

#: The genres of format 1 that have another name in format 2.
GENRES_1 = {
    "economic-diplomacy report": "trade",
    "interview summary": "interview",
    "joint communiqué": "official",
    "listicle-style explainer": "explainer",
    "official statement": "official",
    "op-ed": "editorial",
    "parliamentary debate report": "wire",
    "press briefing": "official",
    "press briefing with quotes": "official",
    "think-tank analysis": "analysis",
    "wire report": "wire",
}
#: What the rows of format 1 are: learnt from, but no guide to how sure a model may be of real news.
_SOURCE_1 = "composed"


class CorpusFormatWarning(UserWarning):
    """A corpus file of an older format was read: it works, and `communique check --fix` brings it up to date."""


def stated(row: Mapping[str, Any]) -> int | None:
    """The format that a row states, None where it states none.

    Raises
    ------
    ValueError
        What stands there is no format that this version reads; the message says what is.
    """
    value = row.get(COLUMN)
    if value is None:
        return None
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise ValueError(f"column '{COLUMN}' must be a whole number from 1 to {CURRENT}, or left out")
    if int(text) > CURRENT:
        raise ValueError(
            f"corpus format {text} is newer than this communique, which reads 1 to {CURRENT}; "
            "install a newer communique to read the file"
        )
    return int(text)


def changes(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What each row of one file has to say to be of the current format: columns, and their values there.

    An empty mapping stands for a row that is of the current format already, or that states one which cannot be read.
    """
    silent = 1 if _of_format_1(rows) else CURRENT
    found = []
    for row in rows:
        try:
            version = stated(row) or silent
        except ValueError:
            version = CURRENT
        found.append(_from_1(row) if version == 1 else {})
    return found


def _of_format_1(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether rows that state no format can only be of format 1: a genre that it had, and nowhere a ``source``."""
    if any("source" in row for row in rows):
        return False
    return any(row.get(COLUMN) is None and _genre(row) in GENRES_1 for row in rows)


def _from_1(row: Mapping[str, Any]) -> dict[str, Any]:
    source = row.get("source")
    changed = {"source": _SOURCE_1 if source is None else source}
    genre = _genre(row)
    return {"genre": GENRES_1[genre], **changed} if genre in GENRES_1 else changed


def _genre(row: Mapping[str, Any]) -> str:
    genre = row.get("genre")
    return genre if isinstance(genre, str) else ""
