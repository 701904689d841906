"""The model card: every figure in it comes from the manifest, and the shipped ones can be had again."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT

from pipeline import registry
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
        f"Fitted on {train['units']} units in {train['articles']} articles (background {train['label']['background']}",
        f"Held out: {heldout['units']} units in {heldout['articles']} articles, never fitted.",
        f"Corpus SHA-256 `{info.corpus['sha256']}`",
        f"`model.joblib` SHA-256 `{info.sha256}`",
        f"spacy {info.versions['spacy']}",
        f"goal {info.thresholds['goal']:.3f}",
        "Command `communique train`, seed 0.",
    ):
        assert part in card
    scores = info.metrics["heldout"]
    for label, confused in zip(info.labels, scores["confusion"], strict=True):
        row = scores["per_label"][label]
        figures = [f"{row[name]:.3f}" for name in ("precision", "recall", "f1")]
        assert f"| {label} | {' | '.join(figures)} | {row['support']} |" in card
        assert f"| {label} | {' | '.join(map(str, confused))} |" in card


def test_a_card_has_only_what_was_measured(trained: Training) -> None:
    card = render_card(trained.info)
    assert "## Held-out articles of the corpus" in card
    assert "## Article-grouped cross-validation" not in card


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
