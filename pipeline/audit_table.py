"""The findings of an audit as a table to read and as one to edit, and the edited one applied to the corpus."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from pipeline.audit import KINDS, Finding
from pipeline.corpus_edit import rewrite
from pipeline.corpus_labels import LabelSet
from pipeline.corpus_rows import Problem, nearest, read_rows
from pipeline.records import PipelineError

#: The column that a person fills in; the others say what it is about.
NEW = "new_label"
COLUMNS = (
    *("file", "line", "label", NEW, "suggested", "confidence", "suspicion", "findings", "text", "article", "twin"),
    *("twin_label", "unit"),
)
#: What applying needs; the others may be changed or deleted, and more added.
NEEDED = ("file", "line", "label", NEW, "unit")
_SAYS = {
    "conflict": "conflicts: the same or nearly the same text under two labels",
    "label": "labels that models which did not see the article hold for improbable",
    "outlier": "outliers: many words that no other article has",
    "duplicate": "duplicates: the same or nearly the same text in two articles",
}


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying a table did: how many labels it changed in which files, and which rows it refused, and why."""

    changed: dict[str, int]
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Change:
    """A filled-in row of the table; ``where`` is its place there."""

    where: str
    file: Path
    line: int
    old: str
    new: str
    unit: str


def unit_key(article: str, text: str) -> str:
    """A name for a unit that no spreadsheet mistakes for a number or a date."""
    return "u" + hashlib.sha256(f"{article}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()[:12]


def write_csv(findings: Sequence[Finding], stream: TextIO) -> None:
    """The findings as CSV, the most suspicious first, with an empty column ``new_label``.

    It is not filled in beforehand: a table applied unread would make the corpus agree with the model.
    """
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for finding in findings:
        example, twin = finding.example, finding.twin
        writer.writerow(
            [
                *(example.file, example.line, example.label, "", finding.suggested),
                *(f"{finding.confidence:.3f}", f"{finding.suspicion:.3f}", " ".join(finding.kinds)),
                *(
                    example.text,
                    example.article,
                    f"{twin.file}:{twin.line}" if twin else "",
                    twin.label if twin else "",
                ),
                unit_key(example.article, example.text),
            ]
        )


def audit_text(findings: Sequence[Finding], limit: int) -> str:
    """The findings as a person reads them: kind by kind, the first ``limit`` of each."""
    lines = []
    for kind in KINDS:
        some = [finding for finding in findings if kind in finding.kinds]
        lines.append(f"{len(some)} {_SAYS[kind]}")
        for finding in some[:limit]:
            lines += _lines(finding, kind)
        if len(some) > limit:
            lines.append(f"  and {len(some) - limit} more")
        lines.append("")
    return "\n".join(lines[:-1])


def _lines(finding: Finding, kind: str) -> list[str]:
    example, twin = finding.example, finding.twin
    where = f"  {example.file}:{example.line}: {example.label}"
    if kind in ("conflict", "duplicate") and twin is not None:
        where += f"; {twin.label} in {twin.file}:{twin.line}"
    elif kind == "label":
        where += f" {1 - finding.suspicion:.2f}, looks like {finding.suggested} {finding.confidence:.2f}"
    return [where, f"      {example.text}"]


def apply(table: Path, labels: LabelSet) -> Applied:
    """Put the labels of a table's column ``new_label`` into the corpus files; every other byte stays as it is.

    A row whose unit changed since the audit is refused, and the others are applied. Each file is replaced in one step.

    Raises
    ------
    PipelineError
        The table can't be read, a column of ``NEEDED`` is missing, or a new label is unknown; nothing was changed.
    """
    by_file: dict[Path, list[_Change]] = defaultdict(list)
    for change in _changes(table, labels):
        by_file[change.file].append(change)
    changed: Counter[str] = Counter()
    refused: list[str] = []
    for file, wanted in by_file.items():
        read = read_rows(file)
        if isinstance(read, Problem):
            refused += [f"{change.where}: {read}" for change in wanted]
            continue
        rows = {line: row for line, row in read[1] if not isinstance(row, str)}
        edits: dict[int, dict[str, str]] = {}
        for change in wanted:
            reason = _refusal(change, rows.get(change.line), edits)
            if reason:
                refused.append(f"{change.where}: {file}:{change.line}: {reason}")
            else:
                edits[change.line] = {"label": change.new}
        if edits:
            rewrite(file, edits)
            changed[str(file)] = len(edits)
    return Applied(dict(changed), tuple(refused))


def _refusal(change: _Change, row: dict[str, object] | None, edits: dict[int, dict[str, str]]) -> str:
    """Why a change can't be made; empty where it can."""
    if row is None:
        return "no row starts in this line any more; run `communique audit` again"
    if unit_key(str(row.get("article")), str(row.get("text"))) != change.unit:
        return "another text stands there now; run `communique audit` again"
    if row.get("label") != change.old:
        return f"its label is '{row.get('label')}' now, and was '{change.old}'; run `communique audit` again"
    if edits.get(change.line, {"label": change.new}) != {"label": change.new}:
        return f"an earlier row of the table makes it '{edits[change.line]['label']}'; decide for one"
    return ""


def _changes(table: Path, labels: LabelSet) -> list[_Change]:
    rows = _table_rows(table)
    found = []
    for number, row in rows:
        where, new = f"{table}:{number}", row[NEW].strip()
        if not new or new == row["label"]:
            continue
        if new not in labels.names:
            near = f"unknown label '{new}'{nearest(new, labels.names)}; allowed: {', '.join(labels.names)}"
            raise PipelineError(near, where=where, remedy="mend it and apply again; nothing was changed")
        if not row["line"].strip().isdecimal():
            raise PipelineError(f"column 'line' must be a number, found '{row['line']}'", where=where)
        found.append(_Change(where, Path(row["file"]), int(row["line"]), row["label"], new, row["unit"].strip()))
    return found


def _table_rows(table: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        text = table.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise PipelineError(f"cannot be read: {error.strerror or error}", where=str(table)) from error
    except UnicodeDecodeError as error:
        raise PipelineError("not UTF-8", where=str(table), remedy="save it as CSV in UTF-8") from error
    first = text.split("\n", 1)[0]
    # spreadsheets in countries with a decimal comma save CSV with semicolons
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";" if first.count(";") > first.count(",") else ",")
    head = next(reader, [])
    missing = [name for name in NEEDED if name not in head]
    if missing:
        remedy = "apply a table that `communique audit --format csv` wrote"
        raise PipelineError(f"column '{missing[0]}' is missing", where=str(table), remedy=remedy)
    rows = []
    line = reader.line_num + 1
    for cells in reader:
        start, line = line, reader.line_num + 1
        if any(cells):
            rows.append((start, {**dict.fromkeys(NEEDED, ""), **dict(zip(head, cells, strict=False))}))
    return rows
