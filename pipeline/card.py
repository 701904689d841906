"""The model card: ``README.md`` of a model folder, rendered from its manifest alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.records import ModelInfo


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(["---"] * len(head)) + "|"]
    return lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]


def _figure(value: float) -> str:
    return f"{value:.3f}"


def _scores(metrics: Mapping[str, Any]) -> list[str]:
    low, high = metrics["macro_f1_interval"]
    lines = [
        f"{metrics['units']} units in {metrics['articles']} articles: macro-F1 **{_figure(metrics['macro_f1'])}** "
        f"(95 % interval {_figure(low)} to {_figure(high)}, by resampling articles), accuracy "
        f"{_figure(metrics['accuracy'])}, calibration error {_figure(metrics['calibration_error'])}, "
        f"{metrics['uncertain_share']:.0%} of the units marked uncertain.",
        "",
    ]
    lines += _table(
        ["label", "precision", "recall", "F1", "units"],
        (
            [label, *(_figure(row[name]) for name in ("precision", "recall", "f1")), row["support"]]
            for label, row in metrics["per_label"].items()
        ),
    )
    lines += ["", "Macro-F1 by genre: " + _list(metrics["macro_f1_by_genre"], _figure) + ".", ""]
    lines.append("Confusion (a row is the true label, a column the label that was given):")
    lines.append("")
    labels = metrics["labels"]
    lines += _table(["", *labels], ([label, *row] for label, row in zip(labels, metrics["confusion"], strict=True)))
    return lines


def _list(values: Mapping[str, Any], form: Any = str) -> str:
    return ", ".join(f"{name} {form(value)}" for name, value in values.items())


def _encoder(encoder: Mapping[str, Any] | None) -> list[str]:
    """The line on the sentence encoder, in a model that has one."""
    if encoder is None:
        return []
    return [
        f"- Sentence encoder `{encoder['name']}`, last {encoder['layers']} layers fine-tuned in {encoder['epochs']} "
        f"passes ({_list(encoder['versions'])}); its share of the summed scores is {encoder['share']:.0%}.",
        f"- The base weights are not stored here: `model.safetensors` with SHA-256 `{encoder['sha256']}` must be on "
        "the machine, and the extra `communique[encoder]` installed.",
    ]


def render_card(info: ModelInfo) -> str:
    """The card as Markdown."""
    train, heldout = info.corpus["train"], info.corpus["heldout"]
    lines = [
        f"# Model {info.id}",
        "",
        f"A communique model of {info.created[:10]}: it gives every sentence, heading and bullet of diplomatic news in "
        f"English one of the labels {', '.join(info.labels)}, with calibrated probabilities.",
        "",
        "**For** sorting and collecting what articles say. **Not for** deciding anything about a person or a state "
        "without reading the sentence, nor for text in other languages or of other kinds.",
        "",
        "## Made from",
        "",
        f"- Fitted on {train['units']} units in {train['articles']} articles ({_list(train['label'])}).",
        f"- Held out: {heldout['units']} units in {heldout['articles']} articles, never fitted.",
        f"- Corpus SHA-256 `{info.corpus['sha256']}`.",
        f"- Command `{info.command}`, seed {info.seed}.",
        f"- Settings: {_list({name: value for name, value in info.settings.items() if name != 'encoder'})}.",
        *_encoder(info.settings.get("encoder")),
        f"- Versions: {_list(info.versions)}.",
        f"- `model.joblib` SHA-256 `{info.sha256}`.",
        "",
        f"A prediction is marked uncertain under its label's threshold: {_list(info.thresholds, _figure)}. "
        "Where the words in and around a unit are unlike the corpus, every label but background is uncertain.",
        "",
    ]
    titles = {
        "cross_validation": "Article-grouped cross-validation on the corpus",
        "heldout": "Held-out articles of the corpus",
    }
    for name, title in titles.items():
        if name in info.metrics:
            lines += [f"## {title}", "", *_scores(info.metrics[name]), ""]
    lines += [
        "## Limits",
        "",
        "The corpus was written for this project. It flatters the model: on real news expect clearly lower figures, "
        "which the project's README gives. Implied meaning, irony and "
        "sentences that do two things at once are often missed, and `opportunity` is the least certain label.",
        "",
    ]
    return "\n".join(lines)
