"""A review to other annotation tools and back: the queue goes out, the labels come in as decisions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from pipeline.annotation_formats import FORMATS, Annotation, from_row, to_row
from pipeline.decisions import Decision
from pipeline.output import opened
from pipeline.records import Failure, PipelineError
from pipeline.review import Review
from pipeline.review_corpus import text_key
from pipeline.review_units import one_line


def checked_format(form: str) -> str:
    """The name of a format.

    Raises
    ------
    PipelineError
        There is no such format.
    """
    if form not in FORMATS:
        raise PipelineError(f"unknown format '{form}'; allowed: {', '.join(FORMATS)}", where="--format")
    return form


def rows_to_send(review: Review) -> Iterator[Annotation]:
    """What to send: first every decision that holds, one for each person, then the open units of the queue."""
    held = review.held()
    for verdict in held.values():
        if verdict.unit.id not in review.material.units:
            continue
        for annotator, decision in verdict.by.items():
            yield _annotation(review, verdict.unit.id, decision, annotator)
    for key in review.queue:
        if key not in held or not held[key].by:
            yield _annotation(review, key, None, None)


def _annotation(review: Review, key: str, decision: Decision | None, annotator: str | None) -> Annotation:
    unit, prediction = review.unit(key), review.material.prediction(key)
    return Annotation(
        text=unit.text,
        label=decision.label if decision else None,
        skipped=decision is not None and decision.label is None,
        annotator=annotator,
        note=decision.note if decision else None,
        time=decision.time if decision else None,
        suggested=prediction.label,
        confidence=prediction.confidence,
        model=review.model.info.id,
        meta={"communique_id": key, "article": unit.article, "section": unit.section, "kind": unit.kind},
    )


def export_review(review: Review, path: Path, form: str, *, force: bool = False) -> int:
    """Write the review as JSON Lines of another tool; returns how many rows."""
    checked_format(form)
    labels = review.material.labels.names
    rows = 0
    with opened(path, force=force) as stream:
        for annotation in rows_to_send(review):
            stream.write(json.dumps(to_row(annotation, form, labels), ensure_ascii=False) + "\n")
            rows += 1
    return rows


def import_labels(review: Review, path: Path, form: str, annotator: str) -> tuple[int, int, list[Failure]]:
    """Take the labels of another tool's JSON Lines as decisions, all at once.

    Parameters
    ----------
    review : Review
    path : Path
    form : str
        One of ``FORMATS``.
    annotator : str
        Who labelled, where a row does not say.

    Returns
    -------
    How many decisions are new, how many rows have none or were known already, and the rows that could not be taken.
    """
    checked_format(form)
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineError(f"can't be read: {error}", where=str(path)) from error
    by_text = {text_key(unit.text): key for key, unit in reversed(review.material.units.items())}
    held = review.held()
    new: list[Decision] = []
    passed = 0
    failures: list[Failure] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            decision = _decision(review, line, form, annotator, by_text)
        except (ValueError, PipelineError) as error:
            failures.append(Failure(str(path), str(error), number))
            continue
        if decision is None or _known_already(decision, held[decision.unit.id].by if decision.unit.id in held else {}):
            passed += 1
        else:
            new.append(decision)
    if new:
        review.record(new)
    return len(new), passed, failures


def _decision(review: Review, line: str, form: str, annotator: str, by_text: dict[str, str]) -> Decision | None:
    """The decision of a row; None where it has none."""
    row = json.loads(line)
    if not isinstance(row, dict):
        raise ValueError(f"a row is an object in braces, found a {type(row).__name__}")
    found = from_row(row, form)
    if found.label is None and not found.skipped:
        return None
    key = found.id if found.id in review.material.units else by_text.get(text_key(one_line(found.text)))
    if key is None:
        raise ValueError(f"no unit of {review.folder} has this text: {found.text[:60]!r}")
    name = (found.annotator or annotator).replace(",", " ")
    return review.decision(key, found.label, name, found.note, reason=f"from {form}")


def _known_already(decision: Decision, by: dict[str, Decision]) -> bool:
    old = by.get(decision.annotator)
    return old is not None and old.label == decision.label
