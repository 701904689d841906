"""Accuracy: the released model's figures may not drop unseen.

Every floor stands just under what was measured (by at most ``SLACK``), for one corpus: who changes the corpus, the
features or the settings trains and releases anew, and brings ``PINNED`` up to date. A failing test prints the new
figures.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Done

from pipeline import registry
from pipeline.corpus import load_corpus
from pipeline.encoder_base import DEFAULT_ENCODER
from pipeline.evaluate import evaluate
from pipeline.records import Evaluation

PINNED: dict[str, Any] = {
    "corpus": "214179d48b83c3bfee71468e6d8c59f3b21f3196099e4771249c5751ee80a010",
    "heldout macro-F1": 0.73,
    "heldout F1": {"challenge": 0.64, "opportunity": 0.70, "goal": 0.74, "implication": 0.68, "background": 0.87},
    "heldout calibration error": 0.04,
    "cross-validation macro-F1": 0.74,
}
#: Floors (and one ceiling) on real news: `score.py` of the folder that COMMUNIQUE_EXAM names.
EXAM = {"macro_f1": 0.55, "boundary_exact": 0.98, "calibration_error": 0.05}
#: The same for the released model with a sentence encoder.
ENCODER_EXAM = {"macro_f1": 0.64, "boundary_exact": 0.98, "calibration_error": 0.05}
#: A floor further below the measured figure would let a drop pass.
SLACK = 0.03


@pytest.fixture(scope="module")
def measured(released: Path) -> tuple[Evaluation, dict[str, Any]]:
    """The held-out scores of the released model, measured now, and all figures in the form of ``PINNED``."""
    classifier, info = registry.load_model(released)
    corpus = load_corpus(ROOT / "corpus")
    scores = evaluate(classifier, corpus.heldout)[0]
    return scores, {
        "corpus": corpus.sha256,
        "heldout macro-F1": round(scores.macro_f1, 4),
        "heldout F1": {label: round(score.f1, 4) for label, score in scores.per_label.items()},
        "heldout calibration error": round(scores.calibration_error, 4),
        "cross-validation macro-F1": round(info.metrics["cross_validation"]["macro_f1"], 4),
    }


def _just_under(floor: float, value: float) -> bool:
    return floor <= value <= floor + SLACK


def test_the_figures_are_of_this_corpus(measured: tuple[Evaluation, dict[str, Any]]) -> None:
    now = measured[1]
    assert PINNED["corpus"] == now["corpus"], f"the corpus has changed; measured now: {json.dumps(now, indent=4)}"


@pytest.mark.parametrize("name", ["heldout macro-F1", "cross-validation macro-F1"])
def test_macro_f1_has_not_dropped(measured: tuple[Evaluation, dict[str, Any]], name: str) -> None:
    now = measured[1]
    assert _just_under(PINNED[name], now[name]), f"floor {PINNED[name]}; measured now: {json.dumps(now, indent=4)}"


@pytest.mark.parametrize("label", sorted(PINNED["heldout F1"]))
def test_no_label_has_dropped(measured: tuple[Evaluation, dict[str, Any]], label: str) -> None:
    floor, value = PINNED["heldout F1"][label], measured[1]["heldout F1"][label]
    assert _just_under(floor, value), f"{label}: floor {floor}, measured {value}"


def test_probabilities_are_as_honest_as_they_were(measured: tuple[Evaluation, dict[str, Any]]) -> None:
    ceiling, value = PINNED["heldout calibration error"], measured[1]["heldout calibration error"]
    assert ceiling - SLACK <= value <= ceiling, f"ceiling {ceiling}, measured {value}"


def test_every_label_is_better_than_chance(measured: tuple[Evaluation, dict[str, Any]]) -> None:
    scores = measured[0]
    for label, score in scores.per_label.items():
        share = score.support / scores.units
        assert score.f1 > share + 0.1, f"{label}: F1 {score.f1:.3f} at a share of {share:.3f}"


def exam_folder() -> Path:
    folder = os.environ.get("COMMUNIQUE_EXAM")
    if not folder:
        pytest.skip("COMMUNIQUE_EXAM does not name an exam folder (its texts belong to their publishers)")
    return Path(folder).resolve()


def runs_of_eight(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[at : at + 8]) for at in range(len(words) - 7)}


def test_no_row_of_the_corpus_shares_eight_words_in_a_row_with_the_exam() -> None:
    corpus = load_corpus(ROOT / "corpus")
    exam = set().union(*(runs_of_eight(path.read_text(encoding="utf-8")) for path in exam_folder().glob("dev/*.txt")))
    assert len(exam) > 10_000
    shared = [row.text for row in (*corpus.train, *corpus.heldout) if runs_of_eight(row.text) & exam]
    assert shared == []


def on_real_news(communique: Callable[..., Done], models: Path, folder: Path, *options: str) -> dict[str, Any]:
    """What `score.py` says of the command's output for the exam."""
    exam = exam_folder()
    done = communique("classify", exam / "dev", "--format", "jsonl", "--models", models, *options)
    assert (done.code, done.err) == (0, "")
    output = folder / "output.jsonl"
    output.write_text(done.out, encoding="utf-8")
    score = [sys.executable, str(exam / "score.py"), str(exam / "dev.jsonl"), str(output), "--json"]
    result: dict[str, Any] = json.loads(subprocess.run(score, capture_output=True, text=True, check=True).stdout)
    return result


def assert_holds(result: dict[str, Any], promised: dict[str, float]) -> None:
    shown = {name: result[name] for name in (*promised, "accuracy", "missed")}
    assert result["macro_f1"] >= promised["macro_f1"], shown
    assert result["boundary_exact"] >= promised["boundary_exact"], shown
    assert result["calibration_error"] < promised["calibration_error"], shown


def test_real_news_is_classified_as_well_as_promised(
    released: Path, communique: Callable[..., Done], tmp_path: Path
) -> None:
    assert_holds(on_real_news(communique, released, tmp_path), EXAM)


@pytest.mark.slow
def test_the_encoder_reads_real_news_as_well_as_promised(
    released: Path, communique: Callable[..., Done], tmp_path: Path
) -> None:
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec(DEFAULT_ENCODER) is None:
        pytest.skip("the extra [encoder] is not installed")
    (with_encoder,) = [info for info in registry.list_models(released) if "encoder" in info.settings]
    assert_holds(on_real_news(communique, released, tmp_path, "--model", with_encoder.id), ENCODER_EXAM)
