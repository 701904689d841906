"""The part of a model card that says how good the model is: one evaluation as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.markdown import figure, listed, percent, span, table, text
from pipeline.records import BACKGROUND


def scores_lines(metrics: Mapping[str, Any]) -> list[str]:
    """An evaluation as a manifest holds it; what an earlier version did not measure is left out."""
    accuracy = metrics.get("accuracy_interval")
    lines = [
        f"{metrics['units']:,} units in {metrics['articles']:,} articles: macro-F1 **{figure(metrics['macro_f1'])}** "
        f"(95 % interval {span(metrics['macro_f1_interval'])}, by resampling articles), accuracy "
        f"{figure(metrics['accuracy'])}{f' ({span(accuracy)})' if accuracy else ''}, calibration error "
        f"{figure(metrics['calibration_error'])}. {percent(metrics['uncertain_share'])} of the units are marked "
        "uncertain.",
        "",
        "### By label",
        "",
        *_labels(metrics),
        *_genres(metrics),
        "### Confusion",
        "",
        "A row is the true label, a column the label that was given.",
        "",
    ]
    labels = [text(label) for label in metrics["labels"]]
    confusion = zip(labels, metrics["confusion"], strict=True)
    lines += table(["", *labels], ([label, *(f"{cell:,}" for cell in row)] for label, row in confusion))
    return lines + _calibration(metrics) + _coverage(metrics)


def _labels(metrics: Mapping[str, Any]) -> list[str]:
    measured = all(row.get("f1_interval") for row in metrics["per_label"].values())
    rows = (
        [
            text(label),
            *(figure(row[name]) for name in ("precision", "recall", "f1")),
            *([span(row["f1_interval"])] if measured else []),
            f"{row['support']:,}",
        ]
        for label, row in metrics["per_label"].items()
    )
    return table(["label", "precision", "recall", "F1", *(["95 % interval"] if measured else []), "units"], rows)


def _genres(metrics: Mapping[str, Any]) -> list[str]:
    lines = ["### By genre", ""]
    if not metrics.get("by_genre"):
        return [*lines, "Macro-F1: " + listed(metrics["macro_f1_by_genre"], figure) + ".", ""]
    rows = (
        [
            text(genre),
            figure(row["macro_f1"]),
            span(row["macro_f1_interval"]),
            figure(row["accuracy"]),
            f"{row['units']:,}",
            f"{row['articles']:,}",
        ]
        for genre, row in metrics["by_genre"].items()
    )
    lines += table(["genre", "macro-F1", "95 % interval", "accuracy", "units", "articles"], rows)
    return [*lines, "A label that does not occur in a genre counts as an F1 of 0 there.", ""]


def _calibration(metrics: Mapping[str, Any]) -> list[str]:
    if not metrics.get("calibration"):
        return []
    rows = (
        [
            f"{row['low']:.1f} to {row['high']:.1f}",
            f"{row['units']:,}",
            figure(row["confidence"]),
            figure(row["right"]),
        ]
        for row in metrics["calibration"]
    )
    return [
        "### Calibration",
        "",
        "How often it is right by how confident it is; the calibration error is the mean gap between the last two "
        "columns, weighted by units.",
        "",
        *table(["confidence", "units", "mean confidence", "share right"], rows),
    ]


def _coverage(metrics: Mapping[str, Any]) -> list[str]:
    if not metrics.get("coverage"):
        return []
    told = metrics["coverage"][-1]["units"]
    lines = [
        "### Coverage against precision",
        "",
        f"Of the {told:,} units that it gave a label other than {BACKGROUND}, taken from the most confident down:",
        "",
        *table(
            ["share taken", "units", "confidence from", "right", "95 % interval"],
            ([percent(row["share"]), *_surest(row)] for row in metrics["coverage"]),
        ),
        "### Most confident units of each label",
        "",
    ]
    rows = ([text(label), *_surest(row)] for label, row in metrics["most_confident"].items())
    return [*lines, *table(["label", "units", "confidence from", "right", "95 % interval"], rows)]


def _surest(row: Mapping[str, Any]) -> list[str]:
    return [
        f"{row['units']:,}",
        figure(row["confidence"]),
        percent(row["right"]),
        span(row["right_interval"], percent),
    ]
