"""Files with one article a row: JSON Lines and CSV, read row by row."""

from __future__ import annotations

import csv
import json
from array import array
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from pipeline.decoding import SURROGATE_WARNING, UnreadableError, check_text, mend, shown
from pipeline.lines import MAX_ROW, Lines
from pipeline.records import Document, Failure, PipelineError

_NAMES_SHOWN = 20
_BITS = 2**64 - 1


class SeenIds:
    """The ids of the rows of one file, each with its line, in 18 to 36 bytes a row.

    Kept is a hash of 64 bits in an open-addressing table: among a million ids, the chance that two different
    ones share a hash, so that the second is refused, is one in 40 million.
    """

    _EMPTY = 0

    def __init__(self, slots: int = 1024) -> None:
        self._count = 0
        self._resize(slots)

    def first_line(self, identity: str, line: int) -> int:
        """The line that this id was first seen in, ``line`` where it is new."""
        if 3 * self._count > 2 * len(self._keys):
            self._grow()
        key = (hash(identity) & _BITS) or 1  # 0 stands for an empty slot
        at = self._slot(key)
        if self._keys[at] == self._EMPTY:
            self._keys[at], self._lines[at] = key, line
            self._count += 1
        return self._lines[at]

    def _slot(self, key: int) -> int:
        """Where a key stands, or would stand."""
        keys, last = self._keys, len(self._keys) - 1
        at = key & last
        while keys[at] not in (self._EMPTY, key):
            at = (at + 1) & last
        return at

    def _resize(self, slots: int) -> None:
        self._keys = array("Q", [self._EMPTY]) * slots
        self._lines = array("I", [0]) * slots

    def _grow(self) -> None:
        keys, lines = self._keys, self._lines
        self._resize(2 * len(keys))
        for key, line in zip(keys, lines, strict=True):
            if key != self._EMPTY:
                at = self._slot(key)
                self._keys[at], self._lines[at] = key, line


class Rows:
    """Rows of one source to Documents: names, ids, and the checks that all formats share."""

    def __init__(self, source: str, text_field: str) -> None:
        self.source = source
        self.text_field = text_field
        self.count = 0
        self._seen = SeenIds()

    def failure(self, reason: object, line: int | None) -> Failure:
        self.count += 1
        return Failure(self.source, str(reason), line)

    def document(self, row: Mapping[str, Any], line: int, warnings: list[str]) -> Document | Failure:
        """One row as a Document, or the Failure that says what is wrong with it."""
        try:
            document = self._build(row, line, warnings)
        except PipelineError as error:
            return self.failure(error, line)
        self.count += 1
        return document

    def _build(self, row: Mapping[str, Any], line: int, warnings: list[str]) -> Document:
        if self.text_field not in row:
            raise PipelineError(absent("field", self.text_field, list(row)))
        text = row[self.text_field]
        name = shown(self.text_field)
        if not isinstance(text, str):
            raise PipelineError(f"field '{name}' is {_kind(text)}, not a string")
        try:
            check_text(text)
        except PipelineError as error:
            raise PipelineError(f"field '{name}': {error}") from error
        identity = self._identity(row.get("id"), line)
        title, date = (self._stated(row, key, warnings) for key in ("title", "date"))
        mended = mend(text)
        if mended != text:
            warnings.append(SURROGATE_WARNING)
        return Document(identity, mended, title, date, self.source, tuple(warnings))

    def _identity(self, value: Any, line: int) -> str:
        if value is None or value == "":
            return f"{self.source}:{line}"
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise PipelineError(f"field 'id' is {_kind(value)}; a string or a number is needed")
        identity = mend(str(value))
        first = self._seen.first_line(identity, line)
        if first != line:
            raise PipelineError(f"id '{shown(identity)}' is already that of line {first}: ids must differ")
        return identity

    def _stated(self, row: Mapping[str, Any], key: str, warnings: list[str]) -> str | None:
        value = row.get(key)
        if value is None or isinstance(value, bool | list | dict):
            if value is not None:
                warnings.append(f"field '{key}' is {_kind(value)}, not a string: left out")
            return None
        return mend(str(value)) or None


def read_json_lines(stream: BinaryIO, head: bytes, source: str, text_field: str) -> Iterator[Document | Failure]:
    """Documents of a JSON Lines stream whose first line, ``head``, has been read already.

    A bad line is one Failure with its number; the others are still read. Blank lines are passed over.

    Raises
    ------
    PipelineError
        Where the stream as a whole is no text.
    OSError
        Where reading fails.
    """
    lines, rows = Lines(stream, head), Rows(source, text_field)
    while True:
        try:
            if (line := next(lines, None)) is None:
                break
            if not line.strip():
                continue
            row = parse_object(line)
        except PipelineError as error:
            lines.take_warnings()
            yield rows.failure(error, lines.number)
            if isinstance(error, UnreadableError):
                return
        else:
            yield rows.document(row, lines.number, lines.take_warnings())
    if not rows.count:
        yield rows.failure("no rows: one JSON object a line is needed", None)


def parse_object(line: str) -> dict[str, Any]:
    """The JSON object on a line; PipelineError says what else was found, and at which column."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        message = error.msg.removesuffix(" at")
        raise PipelineError(f"broken JSON at column {error.colno}: {message}") from error
    except ValueError as error:  # Python's own limit on the digits of a whole number
        raise PipelineError("JSON with a number of too many digits to read") from error
    except RecursionError as error:
        raise PipelineError("JSON that is nested too deeply to read") from error
    if not isinstance(row, dict):
        raise PipelineError(f"the line is {_kind(row)}; a JSON object is needed")
    return row


def read_csv(stream: BinaryIO, head: bytes, source: str, text_field: str) -> Iterator[Document | Failure]:
    """Documents of a CSV stream whose first line, ``head``, has been read already.

    The separator (comma, semicolon or tab) is the one under which the header has the text column. A
    bad row is one Failure with the number of the line it begins at. Raises as ``read_json_lines``.
    """
    lines, rows = Lines(stream, head), Rows(source, text_field)
    header, separator = _header(next(lines, ""), text_field)
    lines.take_warnings()
    reader = csv.reader(lines, delimiter=separator, strict=True)
    while True:
        before = lines.number
        try:
            if (cells := _next_row(reader)) is None:
                break
        except csv.Error as error:
            yield rows.failure(_explained(error), before + 1)
            if "limit" in str(error):
                return
        except PipelineError as error:
            yield rows.failure(error, lines.number)
            if isinstance(error, UnreadableError):
                return
        else:
            if any(cells):
                yield _cells(rows, header, cells, before + 1, lines.take_warnings())
    if not rows.count:
        yield rows.failure("no rows under the header", None)


def _header(line: str, text_field: str) -> tuple[list[str], str]:
    """The column names and the separator; PipelineError where the text column is missing or doubled."""
    if "\r" in line.rstrip("\r\n"):
        raise PipelineError("lines end in a carriage return alone: save the file with \\n or \\r\\n line endings")
    best: tuple[list[str], str] = ([], ",")
    for separator in ",;\t":
        try:
            names = [name.strip() for name in next(csv.reader([line], delimiter=separator, strict=True), [])]
        except csv.Error:
            continue
        if (text_field in names, len(names)) > (text_field in best[0], len(best[0])):
            best = names, separator
    names = best[0]
    if text_field not in names:
        raise PipelineError(absent("column", text_field, names))
    doubled = sorted({name for name in names if name and names.count(name) > 1})
    if doubled:
        raise PipelineError(f"columns named twice in the header: {_listed(doubled)}")
    return best


def _next_row(reader: Iterator[list[str]]) -> list[str] | None:
    # The limit is one for the whole process, so it is put back before anyone else can notice.
    limit = csv.field_size_limit(MAX_ROW)
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(limit)


def _cells(rows: Rows, header: list[str], cells: list[str], line: int, warnings: list[str]) -> Document | Failure:
    if any(cells[len(header) :]):
        found = f"{len(cells)} cells where the header has {len(header)} columns"
        return rows.failure(f"malformed CSV: {found}; put text that holds the separator in quotation marks", line)
    if len(cells) <= header.index(rows.text_field):
        return rows.failure(f"malformed CSV: {len(cells)} of {len(header)} cells, none for the text column", line)
    return rows.document(dict(zip(header, cells, strict=False)), line, warnings)


def _explained(error: csv.Error) -> str:
    if "unexpected end" in str(error):
        return "malformed CSV: a quotation mark in this row is never closed; nothing after it is read"
    if "limit" in str(error):
        return f"malformed CSV: a cell of over {MAX_ROW:,} characters; nothing after it is read"
    return f"malformed CSV: {error}"


def absent(what: str, name: str, found: list[str]) -> str:
    """The message for a missing field or column."""
    listed = _listed(found) if found else "none"
    return f"no {what} '{shown(name)}'; found: {listed}. Name the one that holds the text with --text-field"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(shown(name[:60]) or "(no name)" for name in names[:_NAMES_SHOWN]) + more


def _kind(value: object) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "a string",
        bytes: "bytes",
        bool: "true or false",
        type(None): "null",
    }
    return names.get(type(value), "a number")
