"""Corpus files changed in single cells: every other byte stays, and the file is the old one or the new one, never half.

People keep corpus files under version control and look at them in spreadsheets. A file that was parsed and written
anew would differ in every line; here a changed label is a changed word.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline import corpus_format
from pipeline.corpus_rows import SUFFIXES, Problem, Row, parse_rows, read_rows
from pipeline.output import opened
from pipeline.records import PipelineError

#: For the line that each row starts on: the columns to set, and their values.
Edits = Mapping[int, Mapping[str, Any]]

_SPACE = re.compile(r"[ \t\n\r]*")
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_PLAIN = re.compile(r"[^,\r\n]*")
_LINE_END = re.compile(r"\r\n|\r|\n")
_BOM = "\ufeff"


def rewrite(path: Path, edits: Edits) -> None:
    """Set columns of some rows of a corpus file, and leave every other byte of it as it is.

    A column that a row does not have is added at its end; in CSV, to the header and as an empty cell to all other rows.

    Raises
    ------
    PipelineError
        The file can't be read or written, or a line of ``edits`` is not the start of a row.
    """
    path = path.resolve()  # a symbolic link stays one
    read = read_rows(path)
    if isinstance(read, Problem):
        raise PipelineError(read.message, where=str(path))
    text, before = read
    changed = edited(text, before, path.suffix, edits, str(path))
    mark = _BOM if path.read_bytes().startswith(_BOM.encode()) else ""
    mode = path.stat().st_mode
    with opened(path, force=True) as stream:
        stream.write(mark + changed)
    path.chmod(mode)


def edited(text: str, before: list[Row], suffix: str, edits: Edits, where: str) -> str:
    """The text of a corpus file with some cells changed; ``before`` has its rows.

    What comes out is read again: where anything but the wanted cells came out otherwise, nothing is changed.
    """
    missing = sorted(set(edits) - {line for line, row in before if not isinstance(row, str)})
    if missing:
        raise PipelineError("no row starts in this line", where=f"{where}:{missing[0]}")
    changed = (_edited_csv if suffix.lower() == ".csv" else _edited_json)(text, edits)
    added = {name for values in edits.values() for name in values} if suffix.lower() == ".csv" else set()
    wanted = [_wanted(row, edits.get(line, {}), added) for line, row in before]
    if [_wanted(row, {}, set()) for _, row in parse_rows(changed, suffix)] != wanted:
        raise PipelineError("can't be changed safely: its rows would come out otherwise than they went in", where=where)
    return changed


def _wanted(row: dict[str, Any] | str, values: Mapping[str, Any], added: set[str]) -> dict[str, Any] | None:
    """A row after its change; None for one that can't be read, whose message may count columns."""
    return None if isinstance(row, str) else {**dict.fromkeys(added), **row, **values}


def _edited_json(text: str, edits: Edits) -> str:
    lines = text.split("\n")
    for number, values in edits.items():
        lines[number - 1] = _json_line(lines[number - 1], values)
    return "\n".join(lines)


def _json_line(line: str, values: Mapping[str, Any]) -> str:
    """One JSON object with some values replaced, or added behind its last one."""
    spans = _value_spans(line)
    end = max(stop for _, stop in spans.values())
    new = [(*spans[name], json.dumps(value, ensure_ascii=False)) for name, value in values.items() if name in spans]
    added = {name: value for name, value in values.items() if name not in spans}
    if added:
        new.append((end, end, "".join(f', "{name}": {json.dumps(v, ensure_ascii=False)}' for name, v in added.items())))
    return _replaced(line, new)


def _value_spans(line: str) -> dict[str, tuple[int, int]]:
    """Where the value of each key of the object in a line stands; the line is good JSON."""
    decoder = json.JSONDecoder()

    def skip(at: int) -> int:
        found = _SPACE.match(line, at)
        return found.end() if found else at

    spans: dict[str, tuple[int, int]] = {}
    at = skip(line.index("{") + 1)
    while line[at] != "}":
        name, at = decoder.raw_decode(line, at)
        start = skip(skip(at) + 1)
        _, at = decoder.raw_decode(line, start)
        spans[name] = (start, at)
        at = skip(at)
        at = skip(at + 1) if line[at] == "," else at
    return spans


def _edited_csv(text: str, edits: Edits) -> str:
    rows = _cell_spans(text)
    filled = [(line, spans) for line, spans in rows if any(text[slice(*span)] not in ("", '""') for span in spans)]
    header = [_unquoted(text[slice(*span)]) for span in filled[0][1]]
    names = [name for name in dict.fromkeys(name for values in edits.values() for name in values) if name not in header]
    new: list[tuple[int, int, str]] = []
    for number, (line, spans) in enumerate(filled):
        values = edits.get(line, {}) if number else {name: name for name in names}
        for name, value in values.items():
            if number and name in header:
                start, end = spans[header.index(name)]
                new.append((start, end, _cell(value, quoted=text[start : start + 1] == '"')))
        last = spans[-1][1]
        new.append((last, last, "".join(f",{_cell(values.get(name), quoted=False)}" for name in names)))
    return _replaced(text, new)


def _cell_spans(text: str) -> list[tuple[int, list[tuple[int, int]]]]:
    """The rows of a CSV text: the line each starts on, and where its cells stand, quotation marks and all."""
    rows = []
    at, line = 0, 1
    while at < len(text):
        start, spans = at, []
        while True:
            found = _QUOTED.match(text, at) or _PLAIN.match(text, at)
            end = found.end() if found else at
            spans.append((at, end))
            at = end + 1
            if text[end : end + 1] != ",":
                break
        stop = _LINE_END.match(text, end)
        rows.append((line, spans))
        at = stop.end() if stop else len(text)
        line += len(_LINE_END.findall(text, start, at))
    return rows


def _unquoted(cell: str) -> str:
    return cell[1:-1].replace('""', '"') if cell.startswith('"') else cell


def _cell(value: Any, *, quoted: bool) -> str:
    text = "" if value is None else str(value)
    return '"' + text.replace('"', '""') + '"' if quoted or re.search('[",\r\n]', text) else text


def _replaced(text: str, new: list[tuple[int, int, str]]) -> str:
    parts, at = [], 0
    for start, end, value in sorted(new):
        parts += [text[at:start], value]
        at = end
    return "".join([*parts, text[at:]])


def fix_format(path: Path) -> Path | None:
    """Rewrite a corpus file of an older format as the current one says, in one step.

    Returns
    -------
    Where the file as it was is kept, beside it; None where nothing was to be done, or the file can't be read.
    Putting it back under its old name undoes everything.
    """
    read = read_rows(path) if path.suffix.lower() in SUFFIXES else None
    if read is None or isinstance(read, Problem):
        return None
    rows = [(line, row) for line, row in read[1] if not isinstance(row, str)]
    csv = path.suffix.lower() == ".csv"
    state = {corpus_format.COLUMN: str(corpus_format.CURRENT) if csv else corpus_format.CURRENT}
    found = zip(rows, corpus_format.changes([row for _, row in rows]), strict=True)
    edits = {line: {**changed, **state} for (line, _), changed in found if changed}
    if not edits:
        return None
    kept = _keep(path)
    rewrite(path, edits)
    return kept


def _keep(path: Path) -> Path:
    """A copy of a file under a name that is free and that no corpus reads."""
    number = 0
    while True:
        beside = path.with_name(f"{path.name}.format-1" + (f".{number}" if number else ""))
        try:
            os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            number += 1
            continue
        except OSError as error:
            raise PipelineError(f"can't be written: {error.strerror}", where=str(beside)) from error
        shutil.copy2(path, beside)
        return beside
