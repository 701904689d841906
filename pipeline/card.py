"""The model card: ``README.md`` of a model folder, rendered from its manifest alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.card_scores import scores_lines
from pipeline.markdown import code, figure, listed, percent, span, table, text
from pipeline.records import ModelInfo

#: A genre with fewer evaluated articles than this is named among the limits.
FEW_ARTICLES = 5
_TITLES = {
    "heldout": ("held-out articles", "Accuracy on held-out articles", "Articles of the corpus that were never fitted."),
    "cross_validation": (
        "cross-validation",
        "Accuracy in cross-validation",
        "Every article of the corpus is scored once, by a model that was fitted without it and without its "
        "near-duplicates; calibration and thresholds are fitted inside each fold.",
    ),
}


def render_card(info: ModelInfo) -> str:
    """The card as Markdown; the same manifest gives the same text.

    Figures that a manifest of an earlier version does not hold are left out.
    """
    lines = [f"# Model {text(info.id)}", "", *_summary(info), *_use(info), *_corpus(info)]
    for name in (*_TITLES, *(name for name in info.metrics if name not in _TITLES)):
        if name in info.metrics:
            _, title, about = _TITLES.get(name, ("", f"Accuracy on {text(name)}", ""))
            lines += [f"## {title}", "", *([about, ""] if about else []), *scores_lines(info.metrics[name])]
    lines += [*_thresholds(info), *_gate(info.gate), *_limits(info), *_making(info)]
    return "\n".join(lines).rstrip() + "\n"


def _summary(info: ModelInfo) -> list[str]:
    train = info.corpus["train"]
    lines = [
        f"A communique model of {text(info.created[:10])}. It gives every sentence, heading and list item of "
        f"diplomatic news in English one of the labels {', '.join(map(text, info.labels))}, with calibrated "
        "probabilities.",
        "",
    ]
    if info.imported is not None:
        lines += [
            f"> Imported from {code(info.imported['file'])} (SHA-256 {code(info.imported['sha256'])}), where it was "
            f"model {text(info.imported['id'])}. All figures are those of whoever made it; "
            f"`communique evaluate --model {text(info.id)}` gives your own.",
            "",
        ]
    rows = [
        [f"macro-F1, {title}", f"**{figure(scores['macro_f1'])}** ({span(scores['macro_f1_interval'])})"]
        for name, (title, *_) in _TITLES.items()
        if (scores := info.metrics.get(name))
    ]
    rows += [
        ["fitted on", f"{train['units']:,} units in {train['articles']:,} articles"],
    ]
    return [*lines, *table(["in short", "with 95 % intervals by resampling articles"], rows)]


def _use(info: ModelInfo) -> list[str]:
    return [
        "## Intended use",
        "",
        "**For** sorting and collecting what many articles say: take the labels that it is sure of, and read what it "
        "found.",
        "",
        "**Not for** deciding anything about a person or a state without reading the sentence, nor for text in other "
        "languages or of other kinds: what it says of those means little.",
        "",
    ]


def _corpus(info: ModelInfo) -> list[str]:
    train, heldout = info.corpus["train"], info.corpus["heldout"]
    held = f"held out, and never fitted, are {heldout['units']:,} units in {heldout['articles']:,} articles"
    if not heldout["units"]:
        held = "nothing was held out"
    lines = [
        "## Corpus",
        "",
        f"Fitted on {train['units']:,} units in {train['articles']:,} articles; {held}. SHA-256 "
        f"{code(info.corpus['sha256'])}.",
        "",
    ]
    for field in ("label", "genre", "kind"):
        counts = [part.get(field, {}) for part in (train, heldout)]
        names = [*counts[0], *(name for name in counts[1] if name not in counts[0])]
        if names:
            rows = [[text(name), *(f"{count.get(name, 0):,}" for count in counts)] for name in names]
            lines += table([f"units by {field}", "fitted", "held out"], rows)
    return lines


def _thresholds(info: ModelInfo) -> list[str]:
    rows = ([text(label), figure(value)] for label, value in info.thresholds.items())
    return [
        "## When a prediction is uncertain",
        "",
        "A prediction is marked uncertain where its confidence is under the threshold of its label.",
        "",
        *table(["label", "threshold"], rows),
    ]


def _gate(gate: Mapping[str, Any] | None) -> list[str]:
    if gate is None:
        return []
    if gate["overridden"]:
        verdict = "The gate refused it; **it was promoted by hand all the same**."
    else:
        verdict = "The gate let it through." if gate["promoted"] else "**The gate refused it**, so it was not promoted."
    against = f"model {text(gate['against'])}" if gate["against"] else "no model before it"
    lines = [
        "## Compared with the model before it",
        "",
        f"Compared with {against}, with a margin of {figure(gate['margin'])}. {verdict}",
        "",
        *(f"- {text(reason)}" for reason in gate["reasons"]),
        *([""] if gate["reasons"] else []),
    ]
    if gate["left_out"]:
        lines += [f"{gate['left_out']:,} units were near-duplicates of evaluation articles, and not fitted.", ""]
    compared = gate["comparisons"]
    if compared:
        head = ["difference", *(f"{text(one['name'])} ({one['articles']:,} articles)" for one in compared)]
        labels = list(compared[0]["per_label"])
        rows = [["macro-F1", *(_difference(one["macro_f1"]) for one in compared)]]
        rows += [
            [f"F1 of {text(label)}", *(_difference(one["per_label"].get(label)) for one in compared)]
            for label in labels
        ]
        lines += [
            "Above 0 this model is the better one; 95 % intervals by resampling articles.",
            "",
            *table(head, rows),
        ]
    return lines


def _difference(one: Mapping[str, Any] | None) -> str:
    if one is None:
        return "-"
    return f"{one['difference']:+.3f} ({span(one['interval'], lambda value: f'{value:+.3f}')})"


def _limits(info: ModelInfo) -> list[str]:
    lines = [
        "## Limits",
        "",
        "- The figures are on articles of the same corpus that it was fitted on. communique's own corpus was written "
        "for the project and flatters every model: on real news expect clearly lower figures, which the project's "
        "README gives.",
        "- It sees words more than meaning: implied meaning, irony and sentences that do two things at once are often "
        "missed.",
    ]
    scores = info.metrics.get("heldout") or info.metrics.get("cross_validation")
    if scores:
        weakest = min(scores["per_label"].items(), key=lambda item: item[1]["f1"])
        lines.append(f"- The least certain label is {text(weakest[0])} (F1 {figure(weakest[1]['f1'])}).")
        few = [genre for genre, row in scores.get("by_genre", {}).items() if row["articles"] < FEW_ARTICLES]
        if few:
            lines.append(
                f"- Fewer than {FEW_ARTICLES} articles stand behind the figures of these genres: "
                f"{', '.join(map(text, few))}."
            )
    return [*lines, ""]


def _making(info: ModelInfo) -> list[str]:
    settings = {name: value for name, value in info.settings.items() if name != "encoder"}
    return [
        "## How it was made",
        "",
        f"- Command {code(info.command)}, seed {info.seed}.",
        f"- Settings: {listed(settings)}.",
        *_encoder(info.settings.get("encoder")),
        f"- Versions: {listed(info.versions)}. A model is opened only under versions that go with these.",
        f"- `model.joblib` has SHA-256 {code(info.sha256)}.",
        "",
    ]


def _encoder(encoder: Mapping[str, Any] | None) -> list[str]:
    """The lines on the sentence encoder, in a model that has one."""
    if encoder is None:
        return []
    return [
        f"- Sentence encoder {code(encoder['name'])}, last {encoder['layers']} layers fine-tuned in "
        f"{encoder['epochs']} passes ({listed(encoder['versions'])}); its share of the summed scores is "
        f"{percent(encoder['share'])}.",
        f"- The base weights are not stored here: `model.safetensors` with SHA-256 {code(encoder['sha256'])} must be "
        "on the machine, and the extra `communique[encoder]` installed.",
    ]
