"""Rows of JSON Lines as other annotation tools write and read them: Prodigy, doccano, Argilla.

Fields, out and back. What is not named here is left out on the way out, and passed over on the way in.

========  ===============================================================================================
Prodigy   ``text``; ``options`` (``id``, ``text``) and ``accept`` as in ``textcat.manual``; ``answer``
          (accept, ignore, reject); ``_annotator_id``; ``_timestamp``; ``note``; ``meta``. On the way in
          also ``label`` with ``answer``, as in ``textcat.teach``; ``_session_id`` where there is no annotator.
doccano   ``text`` (or ``data``); ``label``, a list of names; ``Comments``; ``annotator`` and what else is
          in ``meta``, as fields of their own, which doccano keeps.
Argilla   ``id``; ``fields.text``; ``responses.label`` (``value``, ``user_id``) and ``suggestions.label``
          (``value``, ``score``, ``agent``), as ``Dataset.records.to_json`` of version 2 writes them;
          ``metadata``. On the way in also ``annotation`` and ``annotation_agent`` of version 1.
========  ===============================================================================================

``meta`` holds ``communique_id``, by which a unit is found again, and ``article``, ``section`` and ``kind``; without
an id the text is looked for. A row without a label is a task that is still open.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

FORMATS = ("prodigy", "doccano", "argilla")
_QUESTION = "label"
_META = ("communique_id", "article", "section", "kind")


@dataclass(frozen=True, slots=True)
class Annotation:
    """A unit for another tool, or from one. ``label`` is None where nobody gave one; ``skipped`` where on purpose."""

    text: str
    label: str | None = None
    skipped: bool = False
    annotator: str | None = None
    note: str | None = None
    time: str | None = None
    suggested: str | None = None
    confidence: float | None = None
    model: str | None = None
    meta: Mapping[str, str | None] | None = None

    @property
    def id(self) -> str | None:
        """The id of the unit in communique."""
        return (self.meta or {}).get("communique_id")


def to_row(annotation: Annotation, form: str, labels: Sequence[str]) -> dict[str, Any]:
    """An annotation as a row of one of ``FORMATS``."""
    return _WRITERS[form](annotation, labels)


def from_row(row: Mapping[str, Any], form: str) -> Annotation:
    """A row of one of ``FORMATS``, read.

    Raises
    ------
    ValueError
        It is no such row, or has more than one label.
    """
    try:
        found = _READERS[form](row)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"not a row as {form} writes it: {type(error).__name__} {error}") from None
    if not isinstance(found.text, str) or not found.text.strip():
        raise ValueError(f"not a row as {form} writes it: there is no text in it")
    return found


def _to_prodigy(one: Annotation, labels: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "text": one.text,
        "meta": _meta(one),
        "options": [{"id": label, "text": label} for label in labels],
        "accept": [one.label] if one.label else [],
        "_view_id": "choice",
    }
    if one.label or one.skipped:
        row["answer"] = "accept" if one.label else "ignore"
        row["_annotator_id"] = one.annotator
    if one.time:
        row["_timestamp"] = int(datetime.fromisoformat(one.time).timestamp())
    if one.note:
        row["note"] = one.note
    return row


def _from_prodigy(row: Mapping[str, Any]) -> Annotation:
    accepted = [str(name) for name in row.get("accept") or []]
    answer = row.get("answer")
    if "accept" not in row and "label" in row and answer == "accept":
        accepted = [str(row["label"])]
    label = _only(accepted) if answer in (None, "accept") else None
    return Annotation(
        text=row["text"],
        label=label,
        skipped=answer == "ignore",
        annotator=_text(row.get("_annotator_id") or row.get("_session_id")),
        note=_text(row.get("note")),
        meta=_known(row.get("meta") or {}),
    )


def _to_doccano(one: Annotation, labels: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = {"text": one.text, "label": [one.label] if one.label else []}
    row["Comments"] = [one.note] if one.note else []
    if one.annotator:
        row["annotator"] = one.annotator
    return {**row, **_meta(one)}


def _from_doccano(row: Mapping[str, Any]) -> Annotation:
    label = row.get("label", row.get("labels")) or []
    comments = row.get("Comments") or []
    return Annotation(
        text=row["text"] if "text" in row else row["data"],
        label=_only([label] if isinstance(label, str) else [str(name) for name in label]),
        annotator=_text(row.get("annotator")),
        note="; ".join(str(comment) for comment in comments) or None,
        meta=_known(row),
    )


def _to_argilla(one: Annotation, labels: Sequence[str]) -> dict[str, Any]:
    metadata: dict[str, Any] = dict(_meta(one))
    for name, value in (("annotator", one.annotator), ("note", one.note)):
        if value:
            metadata[name] = value
    # Argilla's users have UUIDs: one that is always the same for the same name
    user = str(uuid.uuid5(uuid.NAMESPACE_URL, f"communique:{one.annotator}"))
    suggested = {"value": one.suggested, "score": one.confidence, "agent": one.model}
    return {
        "id": one.id,
        "fields": {"text": one.text},
        "metadata": metadata,
        "suggestions": {_QUESTION: suggested} if one.suggested else {},
        "responses": {_QUESTION: [{"value": one.label, "user_id": user}]} if one.label else {},
        "vectors": {},
    }


def _from_argilla(row: Mapping[str, Any]) -> Annotation:
    metadata = row.get("metadata") or {}
    note = _text(metadata.get("note"))
    if "fields" not in row:  # version 1
        agent = row.get("annotation_agent")
        text = row.get("text") or row["inputs"]["text"]
        label = row.get("annotation")
        skipped = row.get("status") == "Discarded"
        return Annotation(text, label, skipped, _text(agent), note, meta=_known(metadata))
    given = (row.get("responses") or {}).get(_QUESTION) or []
    names = list(dict.fromkeys(str(one["value"]) for one in given if one.get("status") != "discarded"))
    annotator = metadata.get("annotator") or (given[0].get("user_id") if given else None)
    return Annotation(row["fields"]["text"], _only(names), annotator=_text(annotator), note=note, meta=_known(metadata))


_WRITERS: Mapping[str, Callable[[Annotation, Sequence[str]], dict[str, Any]]] = {
    "prodigy": _to_prodigy,
    "doccano": _to_doccano,
    "argilla": _to_argilla,
}
_READERS: Mapping[str, Callable[[Mapping[str, Any]], Annotation]] = {
    "prodigy": _from_prodigy,
    "doccano": _from_doccano,
    "argilla": _from_argilla,
}


def _meta(one: Annotation) -> dict[str, str]:
    return {name: value for name, value in (one.meta or {}).items() if value is not None}


def _known(meta: Mapping[str, Any]) -> dict[str, str | None]:
    return {name: _text(meta[name]) for name in _META if name in meta}


def _text(value: Any) -> str | None:
    return str(value) if value not in (None, "") else None


def _only(labels: Sequence[str]) -> str | None:
    if len(labels) > 1:
        raise ValueError(f"{len(labels)} labels ({', '.join(labels)}); a unit has one")
    return labels[0] if labels else None
