"""The learning curve: fitted on growing parts, scored on the same units, and drawn as it is."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Done
from sklearn.metrics import f1_score

from pipeline import learning_curve as module
from pipeline.batches import batch_of_examples
from pipeline.corpus import Corpus, load_corpus
from pipeline.learning_curve import LearningCurve, Point, learning_curve
from pipeline.learning_curve_picture import curve_svg, curve_text, verdict
from pipeline.model import UnitClassifier
from pipeline.records import PipelineError

Run = Callable[..., Done]
SHARES = (0.2, 0.5, 1.0)


@pytest.fixture(scope="module")
def corpus(small_corpus: Path) -> Corpus:
    return load_corpus(small_corpus)


def classifier(corpus: Corpus) -> UnitClassifier:
    return UnitClassifier(corpus.labels.names, features={"min_df": 5})


def test_parts_grow_and_the_last_is_the_whole_corpus(corpus: Corpus, quick: None) -> None:
    curve = learning_curve(classifier(corpus), corpus.train, corpus.heldout, shares=SHARES, draws=3)
    assert [len(point.macro_f1) for point in curve.points] == [3, 3, 1]
    units = [point.units for point in curve.points]
    assert units == sorted(units)
    assert (units[-1], curve.points[-1].articles) == (len(corpus.train), len({e.article for e in corpus.train}))
    assert (curve.scored_units, curve.scored_articles) == (len(corpus.heldout), 6)
    assert curve.points[0].mean < curve.points[-1].mean
    assert curve.gain == pytest.approx(curve.doubled - curve.at(units[-1]))
    assert curve.gain_interval[0] <= curve.gain_interval[1]


def test_the_last_score_is_that_of_a_model_of_the_whole_corpus(corpus: Corpus, quick: None) -> None:
    curve = learning_curve(classifier(corpus), corpus.train, corpus.heldout, shares=SHARES, draws=2)
    fitted = classifier(corpus).set_params(n_splits=2)
    fitted.fit(batch_of_examples(corpus.train), [example.label for example in corpus.train])
    said = fitted.predict(batch_of_examples(corpus.heldout))
    labels = list(corpus.labels.names)
    f1 = f1_score([e.label for e in corpus.heldout], said, labels=labels, average=None, zero_division=0)
    assert curve.points[-1].macro_f1[0] == pytest.approx(f1.mean())
    assert list(curve.points[-1].f1.values()) == pytest.approx(f1.tolist())


def test_no_part_holds_a_scored_article_or_a_near_copy(
    corpus: Corpus, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = list(corpus.heldout)
    copied = next(example for example in scored if len(example.text.split()) > 12)
    leak = replace(copied, article=corpus.train[0].article)
    fits: list[np.ndarray] = []
    honest = UnitClassifier.fold_scores

    def spy(self: UnitClassifier, batch: object, y: object, folds: list[tuple[np.ndarray, np.ndarray]]) -> object:
        fits.extend(train for train, _ in folds)
        return honest(self, batch, y, folds)  # type: ignore[arg-type]

    monkeypatch.setattr(UnitClassifier, "fold_scores", spy)
    train = [leak, *corpus.train, *scored[:5]]
    learning_curve(classifier(corpus), train, scored, shares=SHARES, draws=2)
    fitted = {train[row].article for rows in fits for row in rows.tolist()}
    assert fitted == {example.article for example in corpus.train} - {leak.article}


def test_draws_lie_in_each_other_and_hang_on_the_seed(corpus: Corpus, quick: None) -> None:
    one, again, other = (
        learning_curve(classifier(corpus), corpus.train, corpus.heldout, shares=(0.3, 1.0), draws=2, seed=seed)
        for seed in (0, 0, 1)
    )
    assert one == again
    assert one.points[0] != other.points[0]
    assert one.points[-1] == other.points[-1]


def test_too_little_to_draw_from_is_explained(corpus: Corpus) -> None:
    few = {example.article for example in corpus.train[:1]}
    train = [example for example in corpus.train if example.article in few]
    with pytest.raises(PipelineError, match="a learning curve needs ten or more, found 1 articles"):
        learning_curve(classifier(corpus), train, corpus.heldout)
    with pytest.raises(PipelineError, match="heldout: no labelled units to score"):
        learning_curve(classifier(corpus), corpus.train, [])


def test_the_curve_finds_a_power_law_again() -> None:
    sizes = [1000, 2000, 4000, 8000, 16000]
    truth = [0.8 - 8.0 * n**-0.55 for n in sizes]
    points = [Point(n, n // 20, (value,) * 4, {"goal": value}) for n, value in zip(sizes, truth, strict=True)]
    found = module._extrapolated("x", [], points, 4, 0)
    assert (found.level, found.rate) == (pytest.approx(0.8, abs=1e-3), pytest.approx(0.55, abs=0.02))
    assert found.doubled == pytest.approx(0.8 - 8.0 * 32000**-0.55, abs=1e-4)
    assert found.gain_interval == pytest.approx((found.gain, found.gain), abs=1e-6)


def made(gain: float = 0.02) -> LearningCurve:
    points = (
        Point(1000, 40, (0.50, 0.54), {"goal": 0.6, "challenge": 0.4}),
        Point(5000, 200, (0.60, 0.61), {"goal": 0.7, "challenge": 0.5}),
        Point(9000, 390, (0.64,), {"goal": 0.73, "challenge": 0.55}),
    )
    return LearningCurve('<b>"x"</b> & y', 300, 12, points, 0.7, 3.0, 0.43, 0.66, gain, (0.01, 0.03))


def test_a_curve_that_falls_is_taken_for_flat() -> None:
    points = [Point(n, n // 20, (value,) * 2, {"goal": value}) for n, value in [(100, 0.7), (200, 0.6), (400, 0.5)]]
    found = module._extrapolated("x", [], points, 2, 0)
    assert (found.gain, found.doubled) == (0.0, pytest.approx(0.6))


def test_the_text_has_the_figures_and_says_what_follows() -> None:
    text = curve_text(made())
    assert re.search(r"^9,000 +390 +0\.640 +● *$", text, re.MULTILINE)
    assert re.search(r"^1,000 +40 +0\.520 +─+●─+ *$", text, re.MULTILINE)
    assert "Twice the corpus (18,000 units of the same kind) would bring macro-F1 to about 0.660, +0.020" in text
    assert verdict(made())[1].startswith("More corpus helps; the weakest label is challenge.")
    assert verdict(made(gain=0.001))[1].startswith("More of the same kind hardly helps")


def test_the_picture_is_well_formed_and_stays_in_its_frame() -> None:
    root = ET.fromstring(curve_svg(made()))
    name = "{http://www.w3.org/2000/svg}"
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    circles = root.findall(f"{name}circle")
    # every draw, every mean, and the extrapolation
    assert len(circles) == 5 + 3 + 1
    assert all(
        70 <= float(one.attrib["cx"]) <= width and 60 <= float(one.attrib["cy"]) <= height - 62 for one in circles
    )
    heights = [float(one.attrib["cy"]) for one in circles if one.attrib["r"] == "5"]
    assert heights == sorted(heights, reverse=True), "a higher score stands higher"
    assert '<b>"x"</b> & y' in " ".join(text.text or "" for text in root.iter(f"{name}text"))
    assert "http" not in curve_svg(made()).replace("http://www.w3.org/2000/svg", "")


# the command


def test_the_command_prints_the_curve_and_draws_it(
    run: Run, quick: None, monkeypatch: pytest.MonkeyPatch, small_corpus: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "SHARES", SHARES)
    monkeypatch.setattr(module, "DRAWS", 2)
    plain, small = module.curve_of_files, module.learning_curve
    monkeypatch.setattr(module, "curve_of_files", lambda *args, **more: plain(*args, **{**more, "n_jobs": 1}))
    monkeypatch.setattr(module, "learning_curve", lambda *args, **more: small(*args, shares=SHARES, draws=2, **more))
    picture = tmp_path / "curve.svg"
    arguments = ("evaluate", "--learning-curve", "--corpus", small_corpus)
    done = run(*arguments, "--picture", picture)
    assert done.code == 0
    assert done.out.startswith(f"learning curve, scored on {small_corpus / 'heldout'}: ")
    assert ET.fromstring(picture.read_text()).tag.endswith("svg")
    again = run(*arguments, "--picture", picture)
    assert again.code == 1
    assert "is there already (give --force to replace it)" in again.err
    assert json.loads(run(*arguments, "--json").out)["points"][-1]["articles"] == 24


def test_a_picture_is_of_the_curve(run: Run, tmp_path: Path) -> None:
    done = run("evaluate", "--picture", tmp_path / "curve.svg")
    assert done.code == 2
    assert "--learning-curve" in done.err
