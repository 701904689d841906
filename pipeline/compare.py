"""Two models of the shelf side by side: what they were made from, what they score, and where they disagree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.batches import batch_of_examples
from pipeline.classify import load
from pipeline.corpus import files_to_check, load_labels
from pipeline.corpus import load as load_examples
from pipeline.corpus_check import HELDOUT
from pipeline.records import Example, ModelInfo
from pipeline.report import table_lines

#: Decimals of a score: a difference under them is none.
_DECIMALS = 3


@dataclass(frozen=True, slots=True)
class Change:
    """A unit that two models label differently, with what each says and its probability."""

    example: Example
    first: str
    first_confidence: float
    second: str
    second_confidence: float


@dataclass(frozen=True, slots=True)
class ModelDifference:
    """Two models: facts of both manifests as (topic, name, first, second), and the units with another label."""

    first: ModelInfo
    second: ModelInfo
    facts: tuple[tuple[str, str, Any, Any], ...]
    units: int
    changes: tuple[Change, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain types only, ready for JSON."""
        return {
            "first": self.first.id,
            "second": self.second.id,
            "facts": [
                {"topic": topic, "name": name, "first": one, "second": other} for topic, name, one, other in self.facts
            ],
            "units": self.units,
            "changed": [
                {
                    "file": change.example.file,
                    "line": change.example.line,
                    "text": change.example.text,
                    "label": change.example.label,
                    "first": change.first,
                    "first_confidence": round(change.first_confidence, 6),
                    "second": change.second,
                    "second_confidence": round(change.second_confidence, 6),
                }
                for change in self.changes
            ],
        }


def compare_models(first: str, second: str, paths: Sequence[Path], *, models: Path, corpus: Path) -> ModelDifference:
    """Compare two models, and what they say of labelled units: those of ``paths``, else the held-out articles.

    Raises
    ------
    PipelineError
        There is no such model, or it can't be opened; a file has errors.
    """
    one, other = (load(model, models=models) for model in (first, second))
    examples = load_examples(files_to_check(paths or [corpus / HELDOUT]), load_labels(corpus))
    said = []
    for model in (one, other):
        found = model.classifier.predict_proba(batch_of_examples(examples))
        labels = [model.classifier.labels[at] for at in found.argmax(axis=1).tolist()]
        said.append((labels, found.max(axis=1).tolist()))
    rows = zip(examples, *said[0], *said[1], strict=True)
    changes = [Change(row, old, was, new, now) for row, old, was, new, now in rows if old != new]
    changes.sort(key=lambda change: -(change.first_confidence + change.second_confidence))
    return ModelDifference(one.info, other.info, tuple(_facts(one.info, other.info)), len(examples), tuple(changes))


def _facts(one: ModelInfo, other: ModelInfo) -> Iterator[tuple[str, str, Any, Any]]:
    pairs: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]] = [
        ("corpus", _corpus(one.corpus), _corpus(other.corpus)),
        ("settings", {"seed": one.seed, **one.settings}, {"seed": other.seed, **other.settings}),
        ("thresholds", _rounded(one.thresholds), _rounded(other.thresholds)),
        ("versions", one.versions, other.versions),
    ]
    for name in dict.fromkeys([*one.metrics, *other.metrics]):
        pairs.append((name, _scores(one.metrics.get(name)), _scores(other.metrics.get(name))))
    for topic, old, new in pairs:
        for name in dict.fromkeys([*old, *new]):
            yield topic, name, old.get(name), new.get(name)


def _corpus(corpus: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"sha256": corpus["sha256"][:12]}
    for part in ("train", HELDOUT):
        counts = corpus[part]
        found |= {f"{part} units": counts["units"], f"{part} articles": counts["articles"]}
        found |= {f"{part} {label}": number for label, number in counts["label"].items()}
    return found


def _scores(scores: Mapping[str, Any] | None) -> dict[str, Any]:
    if scores is None:
        return {}
    found = {"units": scores["units"], "macro-F1": round(scores["macro_f1"], _DECIMALS)}
    found |= {f"F1 {label}": round(row["f1"], _DECIMALS) for label, row in scores["per_label"].items()}
    return found | {
        "accuracy": round(scores["accuracy"], _DECIMALS),
        "calibration error": round(scores["calibration_error"], _DECIMALS),
    }


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, _DECIMALS) for name, value in values.items()}


def difference_text(found: ModelDifference, shown: int = 20) -> str:
    """A difference as a person reads it: a table for each topic, with ``*`` where the two differ, then the units."""
    lines = []
    for topic in dict.fromkeys(topic for topic, *_ in found.facts):
        rows = [
            [f"{'*' if one != other else ' '} {name}", _cell(one), _cell(other)]
            for of, name, one, other in found.facts
            if of == topic
        ]
        lines += [*table_lines([topic.replace("_", " "), found.first.id, found.second.id], rows), ""]
    lines.append(f"{len(found.changes)} of {found.units} units have another label")
    for change in found.changes[:shown]:
        lines.append(
            f"{change.example.file}:{change.example.line}: {change.first} {change.first_confidence:.2f}, now "
            f"{change.second} {change.second_confidence:.2f}, labelled {change.example.label}"
        )
        lines.append(f"    {change.example.text}")
    if len(found.changes) > shown:
        lines.append(f"and {len(found.changes) - shown} more")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    return "-" if value is None else str(value)
