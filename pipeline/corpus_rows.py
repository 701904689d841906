"""Corpus files to rows: UTF-8 JSON Lines or CSV, each row with the line it starts on."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from pipeline import corpus_format
from pipeline.corpus_labels import LabelSet
from pipeline.records import KINDS, Example, Kind

if TYPE_CHECKING:
    from pydantic import BaseModel

REQUIRED = ("article", "title", "genre", "section", "kind", "text", "label")
OPTIONAL = ("source", "annotator", "note", corpus_format.COLUMN)
COLUMNS = REQUIRED + OPTIONAL
SUFFIXES = (".jsonl", ".csv")

Severity = Literal["error", "warning"]
#: the line a row starts on, and its columns or, where it could not be read, what is wrong with it
Row = tuple[int, dict[str, Any] | str]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend in a corpus file. ``line`` counts from 1; 0 stands for the whole file.

    ``outdated`` marks a file of an older format, which `communique check --fix` mends.
    """

    file: str
    line: int
    message: str
    severity: Severity = "error"
    outdated: bool = False
    #: the text stands on both sides of train and heldout: `train` keeps it out of the fit, and can go on
    leak: bool = False

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {'warning: ' if self.severity == 'warning' else ''}{self.message}"


def read_examples(path: Path, labels: LabelSet) -> tuple[list[Example], list[Problem]]:
    """The well-formed rows of one corpus file, and a Problem for everything else in it.

    A row with an unknown label is reported and still returned, so that its text can be checked too.
    """
    file = str(path)
    if path.suffix.lower() not in SUFFIXES:
        message = f"not read: found '{path.suffix}', a corpus file ends in .jsonl or .csv; save it as one of them"
        return [], [Problem(file, 0, message, "warning")]
    read = read_rows(path)
    if isinstance(read, Problem):
        return [], [read]
    rows, problems = _translated(file, read[1])
    examples: list[Example] = []
    for line, row in rows:
        example, messages = (None, [row]) if isinstance(row, str) else _example(row, file, line, labels)
        problems += [Problem(file, line, message) for message in messages]
        if example is not None:
            examples.append(example)
    if not examples and not problems:
        problems.append(Problem(file, 0, "no rows in it; delete the file or fill it", "warning"))
    return examples, problems


def read_rows(path: Path) -> tuple[str, list[Row]] | Problem:
    """The text of a corpus file, without a byte order mark, and its rows as they stand in it, in any format."""
    try:
        data = path.read_bytes()
    except OSError as error:
        return Problem(str(path), 0, f"cannot be read: {error.strerror or error}")
    text = _decode(data, str(path))
    return text if isinstance(text, Problem) else (text, parse_rows(text, path.suffix))


def parse_rows(text: str, suffix: str) -> list[Row]:
    """The rows of a text in the format that the file's suffix stands for."""
    return list(_csv_rows(text) if suffix.lower() == ".csv" else _json_rows(text))


def _translated(file: str, rows: list[Row]) -> tuple[list[Row], list[Problem]]:
    """The rows in the current corpus format, and one warning for all those that were not."""
    read = [row for _, row in rows if not isinstance(row, str)]
    listed = corpus_format.changes(read)
    if not any(listed) and not any(corpus_format.COLUMN in row for row in read):
        return rows, []
    changes = iter(listed)
    found: list[Row] = []
    old: list[int] = []
    for line, row in rows:
        if isinstance(row, str):
            found.append((line, row))
            continue
        changed = next(changes)
        if changed:
            old.append(line)
        try:
            corpus_format.stated(row)
        except ValueError as error:
            found.append((line, str(error)))
        else:
            kept = {name: value for name, value in row.items() if name != corpus_format.COLUMN}
            found.append((line, {**kept, **changed}))
    if not old:
        return found, []
    many = "1 row" if len(old) == 1 else f"{len(old)} rows"
    message = f"{many} of corpus format 1, the current one is {corpus_format.CURRENT}; read as if they were of it"
    remedy = f"run `communique check --fix {file}` to rewrite the file"
    return found, [Problem(file, old[0], f"{message} ({remedy})", "warning", outdated=True)]


def nearest(value: str, allowed: Iterable[str]) -> str:
    """``"; did you mean 'goal'"`` where one of the allowed words is close, else nothing."""
    close = get_close_matches(value.casefold().strip(), list(allowed), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'" if close else ""


def _decode(data: bytes, file: str) -> str | Problem:
    """The text of a file in UTF-8, with or without a byte order mark."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data:
        offset = 0 if data[:1] in (b"\xff", b"\xfe") else data.index(b"\0")
        line = data.count(b"\n", 0, offset) + 1
        found = f"byte 0x{data[offset]:02x} at byte offset {offset}"
        message = f"wrong encoding: {found}, as in UTF-16 or a binary file; save the file as UTF-8"
        return Problem(file, line, message)
    try:
        # not utf-8-sig, which counts the offsets of errors from behind the byte order mark
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        offset = error.start
    bad = [line for line in data.split(b"\n") if not _is_utf8(line)]
    found = f"byte 0x{data[offset]:02x} at byte offset {offset} is not UTF-8"
    more = f" ({len(bad)} lines have such bytes)" if len(bad) > 1 else ""
    message = f"wrong encoding: {found}{more}; save the file as UTF-8"
    return Problem(file, data.count(b"\n", 0, offset) + 1, message)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _json_rows(text: str) -> Iterator[Row]:
    """Rows of JSON Lines. Only a line feed ends a line: U+2028 may stand inside a string."""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=_unique)
        except json.JSONDecodeError as error:
            yield number, f"bad JSON at column {error.colno}: {error.msg}"
        except (ValueError, RecursionError) as error:
            yield number, f"bad JSON: {error}"
        else:
            found = f"bad JSON: a row is an object in braces, found a {type(row).__name__}"
            yield number, row if isinstance(row, dict) else found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"column '{next(name for name in names if names.count(name) > 1)}' is given twice")
    return row


def _csv_rows(text: str) -> Iterator[Row]:
    """Rows of CSV with a header. A row is numbered by the line it starts on: a note may hold line feeds.

    Empty optional cells become None. After a quoting error the rest cannot be trusted, and is not read.
    """
    # strict, because the lenient reader swallows the rows after an unclosed quotation mark without a word
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    line = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, f"bad CSV in the row that starts here: {error}; the rest of the file was not read"
            return
        start, line = line, reader.line_num + 1
        if not any(cells):  # spreadsheets leave rows of empty cells behind
            continue
        if header is None:
            header = cells
            wrong = _header_messages(header)
            yield from ((start, message) for message in wrong)
            if wrong:
                return
        elif len(cells) != len(header):
            yield start, f"{len(cells)} cells, but the header has {len(header)} columns"
        else:
            yield (
                start,
                {
                    name: None if not cell and name in ("section", *OPTIONAL) else cell
                    for name, cell in zip(header, cells, strict=True)
                },
            )


def _header_messages(header: list[str]) -> list[str]:
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        mark = "semicolons" if ";" in header[0] else "tabs"
        return [f"columns are separated by {mark}; save the file as CSV with commas"]
    twice = sorted({name for name in header if header.count(name) > 1})
    return [
        *(f"column '{name}' is given twice" for name in twice),
        *(_unknown_column(name) for name in header if name not in COLUMNS),
        *(_missing_column(name) for name in REQUIRED if name not in header),
    ]


def _unknown_column(name: str) -> str:
    return f"unknown column '{name}'{nearest(name, COLUMNS)}; allowed: {', '.join(COLUMNS)}"


def _missing_column(name: str) -> str:
    empty = " (null where there is none)" if name == "section" else ""
    return f"column '{name}' is missing{empty}; required: {', '.join(REQUIRED)}"


@cache
def _row_model() -> type[BaseModel]:
    """The shape of a row. Pydantic is imported here, because `communique --help` has no use for it."""
    from pydantic import BaseModel, ConfigDict

    class Row(BaseModel):
        model_config = ConfigDict(extra="forbid", strict=True)
        article: str
        title: str
        genre: str
        section: str | None
        kind: str
        text: str
        label: str
        source: str | None = None
        annotator: str | None = None
        note: str | None = None

    return Row


def _example(row: dict[str, Any], file: str, line: int, labels: LabelSet) -> tuple[Example | None, list[str]]:
    """A row as an Example, and what is wrong with it; None where a column or the kind is wrong."""
    from pydantic import ValidationError

    try:
        _row_model().model_validate(row)
    except ValidationError as error:
        return None, [
            _column_message(detail["type"], str(detail["loc"][0]), detail["input"]) for detail in error.errors()
        ]
    messages = []
    label, kind = row["label"], row["kind"]
    if label not in labels.names:
        by_letter = {letter: name for name, letter in labels.letters.items()}
        near = f"; did you mean '{by_letter[label]}'" if label in by_letter else nearest(label, labels.names)
        messages.append(f"unknown label '{label}'{near}; allowed: {', '.join(labels.names)}")
    if kind not in KINDS:
        messages.append(f"unknown kind '{kind}'{nearest(kind, KINDS)}; allowed: {', '.join(KINDS)}")
        return None, messages
    return Example(**{**row, "kind": cast(Kind, kind)}, file=file, line=line), messages


def _column_message(problem: str, name: str, value: object) -> str:
    if problem == "missing":
        return _missing_column(name)
    if problem == "extra_forbidden":
        return _unknown_column(name)
    found = json.dumps(value, ensure_ascii=False)
    found = found if len(found) <= 40 else found[:39] + "…"
    return f"column '{name}' must be text in quotation marks, found {found}"
