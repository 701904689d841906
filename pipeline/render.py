"""Results to rows of text, fast: what `classify` writes, whatever process writes it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from json.encoder import encode_basestring as quoted

import numpy as np
from numpy.typing import NDArray

from pipeline.records import Result
from pipeline.report import ROW_COLUMNS

#: Formats of rows of text, which can be written piece by piece and added to.
FORMATS = ("jsonl", "csv")
#: Units that are rendered at once; bounds the memory that a long document takes.
_PIECE = 4096

Flags = NDArray[np.bool_]


def header(form: str, labels: Sequence[str]) -> str:
    """What stands above the rows: nothing, or the column names of CSV."""
    if form != "csv":
        return ""
    return _csv([[*ROW_COLUMNS, *(f"p_{label}" for label in labels)]])


def rows(form: str, result: Result, keep: Flags | None = None) -> Iterator[str]:
    """The rows of a document in pieces of text, those of the units that ``keep`` chooses, all without it.

    The text is the same as that of the writers of :mod:`pipeline.report`, to the byte, and takes an eighth of the
    time: no record is made for a unit.
    """
    chosen = np.arange(len(result.spans)) if keep is None else np.flatnonzero(keep)
    render = _json_lines if form == "jsonl" else _csv_rows
    for start in range(0, len(chosen), _PIECE):
        yield render(result, chosen[start : start + _PIECE])


def _json_lines(result: Result, chosen: NDArray[np.int64]) -> str:
    text, spans = result.document.text, result.spans
    head = f'{{"document": {quoted(result.document.id)}, "index": '
    names = [quoted(label) for label in result.labels]
    shares = ", ".join(name.replace("%", "%%") + ": %r" for name in names)
    sections: dict[str | None, str] = {None: "null"}
    lines = []
    columns = (column[chosen].tolist() for column in _columns(result))
    for index, best, confidence, uncertain, values in zip(chosen.tolist(), *columns, strict=True):
        start, end, kind, section = spans[index]
        if (name := sections.get(section)) is None:
            name = sections[section] = quoted(section)
        lines.append(
            f'{head}{index}, "kind": "{kind}", "section": {name}, "start": {start}, "end": {end}, '
            f'"text": {quoted(text[start:end])}, "label": {names[best]}, "confidence": {confidence!r}, '
            f'"uncertain": {"true" if uncertain else "false"}, "probabilities": {{{shares % tuple(values)}}}}}\n'
        )
    return "".join(lines)


def _csv_rows(result: Result, chosen: NDArray[np.int64]) -> str:
    name, text, spans, labels = result.document.id, result.document.text, result.spans, result.labels
    columns = (column[chosen].tolist() for column in _columns(result))
    table: list[list[object]] = []
    for index, best, confidence, uncertain, values in zip(chosen.tolist(), *columns, strict=True):
        start, end, kind, section = spans[index]
        unit = [name, index, kind, section or "", start, end, text[start:end]]
        table.append([*unit, labels[best], confidence, uncertain, *values])
    return _csv(table)


def _columns(result: Result) -> tuple[NDArray[np.generic], ...]:
    return result.best, result.confidence, result.uncertain, result.probabilities


def _csv(table: Sequence[Sequence[object]]) -> str:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerows(table)
    return stream.getvalue()
