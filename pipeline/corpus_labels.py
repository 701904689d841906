"""The label set, read from ``labels.toml``: no label name but ``background`` stands in the code."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.records import BACKGROUND, PipelineError

LABELS_FILE = "labels.toml"
_FIELDS = ("name", "letter", "definition", "colour")
_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_LETTER = re.compile(r"[a-z]")
_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")
_REMEDY = "mend labels.toml; each [[label]] has name, letter, definition and colour"


@dataclass(frozen=True, slots=True)
class LabelSet:
    """The labels in the order of the file, ``background`` last.

    The mappings go from a label's name to its definition, its colour (``#RRGGBB``) and its letter.
    """

    names: tuple[str, ...]
    definitions: Mapping[str, str]
    colours: Mapping[str, str]
    letters: Mapping[str, str]


def load_labels(folder: Path) -> LabelSet:
    """Read ``folder/labels.toml``.

    Raises
    ------
    PipelineError
        The file is missing, is not TOML, or a label in it is incomplete, misspelt or given twice.
    """
    path = folder / LABELS_FILE
    try:
        content = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        raise PipelineError(
            "there is no such file; a corpus folder holds labels.toml beside its .jsonl and .csv files",
            where=str(path),
            remedy="name a folder that has one, or copy labels.toml from the project's corpus folder",
        ) from None
    except OSError as error:
        raise PipelineError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise PipelineError(
            f"not UTF-8: byte 0x{error.object[error.start]:02x} at byte offset {error.start}",
            where=str(path),
            remedy="save the file as UTF-8",
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise PipelineError(f"not valid TOML: {error}", where=str(path), remedy=_REMEDY) from error
    return _label_set(content, str(path))


def _label_set(content: Mapping[str, Any], where: str) -> LabelSet:
    """Check every table of the file, then the set as a whole."""
    unknown = sorted(set(content) - {"label"})
    tables = content.get("label")
    if unknown:
        raise PipelineError(
            f"unknown key '{unknown[0]}'; the file holds [[label]] tables only", where=where, remedy=_REMEDY
        )
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise PipelineError("no [[label]] table in it", where=where, remedy=_REMEDY)
    labels = [_label(table, f"label {number}", where) for number, table in enumerate(tables, start=1)]
    for key in ("name", "letter"):
        values = [label[key] for label in labels]
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise PipelineError(f"the {key} '{twice}' is given twice; each label has its own", where=where)
    names = tuple(label["name"] for label in labels)
    if BACKGROUND not in names:
        raise PipelineError(
            f"no label '{BACKGROUND}'; it is required, for units that none of the others fits",
            where=where,
            remedy=f"add a last [[label]] table with the name '{BACKGROUND}'",
        )
    if len(names) < 2:
        raise PipelineError(f"only the label '{BACKGROUND}'; at least one more is needed", where=where)
    if names[-1] != BACKGROUND:
        raise PipelineError(f"'{BACKGROUND}' is not the last label, but must be", where=where)
    return LabelSet(names, *(_by_name(labels, field) for field in ("definition", "colour", "letter")))


def _label(table: Mapping[str, Any], which: str, where: str) -> dict[str, str]:
    """One checked [[label]] table; ``which`` says which one it is, in messages."""
    if isinstance(table.get("name"), str) and table["name"]:
        which = f"{which} ('{table['name']}')"
    unknown = sorted(set(table) - set(_FIELDS))
    if unknown:
        raise PipelineError(f"{which}: unknown key '{unknown[0]}'", where=where, remedy=_REMEDY)
    for field in _FIELDS:
        value = table.get(field)
        if not isinstance(value, str) or not value.strip():
            found = "is missing" if field not in table else f"must be text between quotes, found {value!r}"
            raise PipelineError(f"{which}: {field} {found}", where=where, remedy=_REMEDY)
    for field, pattern, allowed in (
        ("name", _NAME, "lower-case letters, digits, '-' and '_', a letter first"),
        ("letter", _LETTER, "one lower-case letter"),
        ("colour", _COLOUR, "'#' and six hexadecimal digits, such as #0072B2"),
    ):
        if not pattern.fullmatch(table[field]):
            raise PipelineError(f"{which}: bad {field} '{table[field]}'; allowed: {allowed}", where=where)
    return {field: table[field] for field in _FIELDS}


def _by_name(labels: list[dict[str, str]], field: str) -> Mapping[str, str]:
    return {label["name"]: label[field] for label in labels}
