"""The model card: every figure in it comes from the manifest, and the shipped ones can be had again."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from pipeline import registry
from pipeline.batches import batch_of_examples
from pipeline.card import render_card
from pipeline.corpus import load_corpus
from pipeline.evaluate import evaluate
from pipeline.train import Training


def test_the_card_says_what_the_manifest_says(trained: Training) -> None:
    info = trained.info
    card = render_card(info)
    assert card == (trained.folder / "README.md").read_text()
    train, heldout = info.corpus["train"], info.corpus["heldout"]
    for part in (
        f"# Model {info.id}\n",
        f"Fitted on {train['units']:,} units in {train['articles']} articles; held out, and never fitted, are "
        f"{heldout['units']:,} units in {heldout['articles']} articles. SHA-256 `{info.corpus['sha256']}`.",
        f"| background | {train['label']['background']:,} | {heldout['label']['background']:,} |",
        f"`model.joblib` has SHA-256 `{info.sha256}`",
        f"spacy {info.versions['spacy']}",
        f"| goal | {info.thresholds['goal']:.3f} |",
        "Command `communique train`, seed 0.",
    ):
        assert part in card
    scores = info.metrics["heldout"]
    for label, confused in zip(info.labels, scores["confusion"], strict=True):
        row = scores["per_label"][label]
        figures = [f"{row[name]:.3f}" for name in ("precision", "recall", "f1")]
        low, high = row["f1_interval"]
        assert f"| {label} | {' | '.join(figures)} | {low:.3f} to {high:.3f} | {row['support']} |" in card
        assert f"| {label} | {' | '.join(map(str, confused))} |" in card


def test_the_figures_of_a_card_can_be_had_again_from_the_model(trained: Training, small_corpus: Path) -> None:
    """By plain counting, from the probabilities that the saved model gives for the held-out articles."""
    classifier, info = registry.load_model(trained.folder.parent)
    examples = load_corpus(small_corpus).heldout
    probabilities = classifier.predict_proba(batch_of_examples(examples))
    labels = np.array(info.labels)
    said, sure = labels[probabilities.argmax(axis=1)], probabilities.max(axis=1)
    true = np.array([example.label for example in examples])
    card = section(render_card(info), "## Accuracy on held-out articles")
    for label in info.labels:
        hits = int(((said == label) & (true == label)).sum())
        f1 = 2 * hits / max(int((said == label).sum() + (true == label).sum()), 1)
        cells = row(section(card, "### By label"), label)
        assert (cells[2], cells[4]) == (f"{f1:.3f}", str((true == label).sum()))
        chosen = np.argsort(-np.where(said == label, sure, -1), kind="stable")[: min(50, (said == label).sum())]
        if len(chosen):
            cells = row(section(card, "### Most confident units of each label"), label)
            assert cells[:3] == [
                str(len(chosen)),
                f"{sure[chosen[-1]]:.3f}",
                f"{(true[chosen] == label).mean():.0%}".replace("%", " %"),
            ]
    for share in (0.25, 0.5, 1.0):
        told = np.flatnonzero(said != "background")
        taken = told[np.argsort(-sure[told], kind="stable")][: int(share * len(told))]
        cells = row(section(card, "### Coverage against precision"), f"{len(taken) / len(told):.0%}".replace("%", " %"))
        assert cells[:3] == [
            str(len(taken)),
            f"{sure[taken[-1]]:.3f}",
            f"{(said == true)[taken].mean():.0%}".replace("%", " %"),
        ]
    inside = (sure >= 0.5) & (sure < 0.6)
    assert row(section(card, "### Calibration"), "0.5 to 0.6") == [
        str(inside.sum()),
        f"{sure[inside].mean():.3f}",
        f"{(said == true)[inside].mean():.3f}",
    ]


def section(card: str, heading: str) -> str:
    """A part of a card, up to the next heading of its rank."""
    rank = heading.split()[0]
    return card.split(f"{heading}\n", 1)[1].split(f"\n{rank} ", 1)[0]


def row(part: str, name: str) -> list[str]:
    """The cells of the row of a table that begins with a name."""
    (line,) = [line for line in part.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_a_manifest_of_an_earlier_version_has_a_card_without_what_it_lacks(trained: Training) -> None:
    new = ("accuracy_interval", "by_genre", "calibration", "coverage", "most_confident")
    heldout = {name: value for name, value in trained.info.metrics["heldout"].items() if name not in new}
    heldout["per_label"] = {
        label: {name: value for name, value in scores.items() if name != "f1_interval"}
        for label, scores in heldout["per_label"].items()
    }
    card = render_card(replace(trained.info, metrics={"heldout": heldout}))
    assert "| label | precision | recall | F1 | units |" in card
    assert (
        f"Macro-F1: {', '.join(f'{name} {value:.3f}' for name, value in heldout['macro_f1_by_genre'].items())}." in card
    )
    assert "### Calibration" not in card
    assert "### Coverage" not in card


def test_nothing_in_a_manifest_breaks_the_card(trained: Training) -> None:
    """Genres and labels are the user's words; an imported manifest may hold anything."""
    evil = "a|b `c` <script>x</script>\n# Heading [y](javascript:z)"
    heldout = dict(trained.info.metrics["heldout"])
    heldout["by_genre"] = {evil: next(iter(heldout["by_genre"].values()))}
    info = replace(trained.info, id=evil, command=evil, metrics={"heldout": heldout}, settings={evil: evil})
    info = replace(info, imported={"file": evil, "sha256": evil, "id": evil})
    lines = render_card(info).splitlines()
    (cells,) = [line for line in lines if line.startswith("| a\\|b")]
    assert len(re.findall(r"(?<!\\)\|", cells)) == 7
    outside_code = [re.sub(r"`[^`]*`", "", line.replace("\\`", "'")) for line in lines]
    assert not [line for line in outside_code if "<script" in line]
    assert not [line for line in outside_code if re.search(r"(?<!\\)\[y\]", line)]
    assert [line for line in lines if line.startswith("#") and "Heading" in line] == [lines[0]]


def test_the_card_tells_what_the_gate_decided(trained: Training) -> None:
    difference = {"difference": -0.02, "interval": [-0.03, 0.01]}
    compared = {"name": "held-out articles", "units": 9, "articles": 3, "macro_f1": difference}
    gate = {
        "against": "m1",
        "margin": 0.01,
        "promoted": False,
        "overridden": False,
        "reasons": ["Held-out macro-F1 is lower by 0.020."],
        "left_out": 2,
        "comparisons": [{**compared, "per_label": {"goal": difference}}],
    }
    card = section(render_card(replace(trained.info, gate=gate)), "## Compared with the model before it")
    assert "with model m1, with a margin of 0.010. **The gate refused it**, so it was not promoted." in card
    assert "- Held-out macro-F1 is lower by 0.020." in card
    assert "2 units were near-duplicates of evaluation articles, and not fitted." in card
    assert row(card, "F1 of goal") == ["-0.020 (-0.030 to +0.010)"]
    by_hand = render_card(replace(trained.info, gate={**gate, "overridden": True}))
    assert "The gate refused it; **it was promoted by hand all the same**." in by_hand
    first = {**gate, "against": None, "promoted": True, "reasons": [], "left_out": 0, "comparisons": []}
    card = section(render_card(replace(trained.info, gate=first)), "## Compared with the model before it")
    assert card.strip() == "Compared with no model before it, with a margin of 0.010. The gate let it through."


def test_a_card_has_only_what_was_measured(trained: Training) -> None:
    card = render_card(trained.info)
    assert "## Accuracy on held-out articles" in card
    assert "## Accuracy in cross-validation" not in card


def test_the_released_card_is_rendered_from_its_manifest_alone(released: Path) -> None:
    for info in registry.list_models(released):
        assert (released / info.id / "README.md").read_text(encoding="utf-8") == render_card(info)


def test_the_released_figures_can_be_measured_again(released: Path) -> None:
    classifier, info = registry.load_model(released)
    corpus = load_corpus(ROOT / "corpus")
    assert info.corpus["sha256"] == corpus.sha256, "the corpus has changed: run `communique train`"
    assert info.corpus["train"] == corpus.counts["train"]
    scores = evaluate(classifier, corpus.heldout)[0]
    saved = info.metrics["heldout"]
    assert scores.macro_f1 == pytest.approx(saved["macro_f1"], abs=1e-9)
    assert scores.calibration_error == pytest.approx(saved["calibration_error"], abs=1e-6)
    card = (released / info.id / "README.md").read_text(encoding="utf-8")
    low, high = scores.macro_f1_interval
    assert f"macro-F1 **{scores.macro_f1:.3f}** (95 % interval {low:.3f} to {high:.3f}" in card


def test_the_released_models_are_small(released: Path) -> None:
    for info in registry.list_models(released):
        files = (released / info.id).iterdir()
        assert sum(path.stat().st_size for path in files) < 10_000_000, info.id
