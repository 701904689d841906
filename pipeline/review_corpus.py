"""Decisions to the corpus: a file of new rows, and corrected labels in the rows that were there.

Both follow from the log alone, and are written again after each decision, beside and then renamed: whatever is killed
in between, the next turn makes them whole. New rows of all annotators stand in one file, because `communique check`
asks that an article has one file, and two people may label the same article.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline import corpus_format
from pipeline.corpus_rows import COLUMNS
from pipeline.decisions import Decision, KnownRow, ReviewUnit, Verdict
from pipeline.output import opened
from pipeline.records import Example, PipelineError

#: The rows of a review, and its log: not named as a corpus file, so that it is not read as one.
ROWS_FILE, LOG_FILE = "review.jsonl", "review-decisions.log"
SOURCE = "review"


def check_ours(corpus: Path) -> None:
    """Refuse to replace a file of that name which does not come from a review.

    Raises
    ------
    PipelineError
        There is such a file, and no log.
    """
    if (corpus / ROWS_FILE).exists() and not (corpus / LOG_FILE).exists():
        raise PipelineError(
            f"does not come from a review: there is no {LOG_FILE} beside it",
            where=str(corpus / ROWS_FILE),
            remedy="give it another name",
        )


def example_of(unit: ReviewUnit, label: str, annotator: str | None = None, note: str | None = None) -> Example:
    """The corpus row of a new unit."""
    return Example(
        article=unit.article,
        title=unit.title,
        genre=unit.genre,
        section=unit.section,
        kind=unit.kind,
        text=unit.text,
        label=label,
        source=SOURCE,
        annotator=annotator,
        note=note,
    )


def new_rows(found: Iterable[Verdict]) -> list[Example]:
    """The rows of units that the corpus does not have: those with a label on which everybody agrees, as they were read.

    An article keeps the title and the genre that it had at the first decision: in the corpus it has one of each.
    """
    heads: dict[str, ReviewUnit] = {}
    chosen = []
    for verdict in found:
        if verdict.unit.known:
            continue
        head = heads.setdefault(verdict.unit.article, verdict.unit)
        if verdict.label is not None:
            chosen.append((verdict, head))
    order = {article: number for number, article in enumerate(sorted(heads))}
    chosen.sort(key=lambda pair: (order[pair[0].unit.article], pair[0].unit.index))
    rows = []
    for verdict, head in chosen:
        assert verdict.label is not None
        row = example_of(verdict.unit, verdict.label, *_signed(verdict))
        rows.append(Example(**{**_columns(row), "title": head.title, "genre": head.genre}))
    return rows


def write_rows(corpus: Path, found: Iterable[Verdict]) -> int:
    """Write the file of new rows if it is not so already; how many rows it has."""
    rows = new_rows(found)
    text = "".join(json.dumps(_columns(row), ensure_ascii=False) + "\n" for row in rows)
    path = corpus / ROWS_FILE
    if not rows and not path.exists():
        return 0
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        with opened(path, force=True) as stream:
            stream.write(text)
    return len(rows)


def correct_rows(corpus: Path, entries: Iterable[Decision], found: Mapping[str, Verdict]) -> list[str]:
    """Bring corpus rows to what was decided on them: only these lines change, and an undone decision is undone there.

    Returns what could not be done: rows that are no longer where and what they were.
    """
    by_file: dict[str, list[tuple[KnownRow, Verdict]]] = defaultdict(list)
    ours: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        if entry.label is not None:
            ours[entry.unit.id].add(entry.label)
    for verdict in found.values():
        for row in verdict.unit.known:
            by_file[row.file].append((row, verdict))
    problems: list[str] = []
    for name, wanted in by_file.items():
        problems += _correct_file(corpus / name, wanted, ours)
    return problems


def _correct_file(path: Path, wanted: list[tuple[KnownRow, Verdict]], ours: Mapping[str, set[str]]) -> list[str]:
    try:
        # only a line feed ends a line: U+2028 may stand in a text
        lines = path.read_bytes().decode("utf-8").split("\n")
    except (OSError, ValueError) as error:
        return [f"{path}: can't be read, so {len(wanted)} corrections are left out: {error}"]
    problems = []
    changed = False
    for known, verdict in wanted:
        number = _line_of(lines, known, verdict.unit)
        if number is None:
            problems.append(f"{path}:{known.line}: this row has gone, so its correction is left out")
            continue
        row = json.loads(lines[number])
        label, annotator, note = _due(known, verdict)
        if row["label"] == label or (row["label"] != known.label and row["label"] not in ours[verdict.unit.id]):
            continue  # done already, or somebody has changed it by hand since
        for column, value in (("label", label), ("annotator", annotator), ("note", note)):
            if value is not None or column in row:
                row[column] = value
        lines[number] = json.dumps(row, ensure_ascii=False)
        changed = True
    if changed:
        with opened(path, force=True) as stream:
            stream.write("\n".join(lines))
    return problems


def _due(known: KnownRow, verdict: Verdict) -> tuple[str, str | None, str | None]:
    """Label, annotator and note that a row should have: what all agree on, else what it had."""
    if verdict.label is None or verdict.label == known.label:
        return known.label, known.annotator, known.note
    annotator, note = _signed(verdict)
    return verdict.label, annotator, note or known.note


def _line_of(lines: list[str], known: KnownRow, unit: ReviewUnit) -> int | None:
    """The index of a row's line: where it was, else wherever its text stands now."""
    places = [known.line - 1, *range(len(lines))] if known.line <= len(lines) else range(len(lines))
    for number in places:
        if not lines[number].strip():
            continue
        try:
            row = json.loads(lines[number])
        except ValueError:
            continue
        if isinstance(row, dict) and text_key(str(row.get("text", ""))) == text_key(unit.text):
            return number
    return None


def text_key(text: str) -> str:
    """What makes two texts the same, as in `communique check`."""
    return " ".join(text.casefold().split())


def _signed(verdict: Verdict) -> tuple[str, str | None]:
    """Who gave the label, and their notes."""
    names = sorted(verdict.labels)
    notes = [note for name in names if (note := verdict.by[name].note)]
    return ", ".join(names), "; ".join(notes) or None


def _columns(example: Example) -> dict[str, Any]:
    return {column: getattr(example, column) for column in COLUMNS if column != corpus_format.COLUMN}
