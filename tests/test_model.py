"""The classifier: calibration, thresholds, folds, and scikit-learn's manners."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import batch_of_texts
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from pipeline import features
from pipeline.batches import Batch, batch_of_examples
from pipeline.lexicon import Group
from pipeline.model import TemperatureScaling, UnitClassifier, grouped_folds, label_weights, precision_threshold
from pipeline.records import Example, PipelineError
from pipeline.registry import model_bytes

LABELS = ("challenge", "goal", "background")
OPENINGS = {
    "challenge": ["A dispute over {} strains", "Distrust about {} divides"],
    "goal": ["The envoy wants to settle {} with", "Ministers vowed to discuss {} with"],
    "background": ["Officials met about {} in", "Talks on {} took place beside"],
}
TOPICS = ["fish", "grain", "steel", "visas", "water", "ports", "debts", "rails"]
PLACES = ["Oslo", "Tunis", "Hanoi", "Lima", "Accra", "Riga", "Doha", "Quito"]


@pytest.fixture(autouse=True)
def small_lexicon(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = (
        Group("dispute", "a dispute", frozenset({("dispute",), ("distrust",)})),
        Group("wish", "a wish", frozenset({("wants", "to")})),
    )
    monkeypatch.setattr(features, "load_lexicon", lambda: groups)


def news(articles: int = 20, seed: int = 0, wrong: float = 0.1) -> list[Example]:
    """Articles of six units; a share of the labels is drawn blindly."""
    rng = np.random.default_rng(seed)
    rows = []
    for article in range(articles):
        for _ in range(6):
            label = str(rng.choice(LABELS))
            text = f"{rng.choice(OPENINGS[label]).format(rng.choice(TOPICS))} {rng.choice(PLACES)}."
            said = str(rng.choice(LABELS)) if rng.random() < wrong else label
            rows.append(Example(f"a{article}", "", "agency", None, "sentence", text, said))
    return rows


def labels_of(rows: list[Example]) -> list[str]:
    return [row.label for row in rows]


def classifier(**options: object) -> UnitClassifier:
    return UnitClassifier(LABELS, **{"n_splits": 3, **options})


@pytest.fixture(scope="module")
def fitted() -> UnitClassifier:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "load_lexicon", lambda: ())
        rows = news()
        return classifier().fit(batch_of_examples(rows), labels_of(rows))


# calibration


def test_scaling_recovers_the_temperature() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 2, (20_000, 3))
    y = (truth + rng.gumbel(size=truth.shape)).argmax(axis=1)  # drawn from softmax(truth)
    found = TemperatureScaling.fit(truth * 2.5, y, np.tile([5, 20, 50, 20], 5_000))
    assert found.temperature == pytest.approx(2.5, rel=0.05)
    assert found.slope == pytest.approx(0.0, abs=0.05)


def test_scaling_recovers_that_longer_units_are_less_certain() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 2, (20_000, 3))
    y = (truth + rng.gumbel(size=truth.shape)).argmax(axis=1)
    n_tokens = rng.integers(3, 60, 20_000)
    scores = truth * ((n_tokens / 20) ** 0.4)[:, None]
    found = TemperatureScaling.fit(scores, y, n_tokens)
    assert found.slope == pytest.approx(0.4, abs=0.05)
    probabilities = found(np.ones((2, 3)) * [2.0, 0.0, 0.0], np.array([5, 50]))
    assert probabilities[0, 0] > probabilities[1, 0] + 0.1


def test_scaling_of_scores_that_say_nothing_stays_finite() -> None:
    scores = np.full((10, 3), -20.0)
    scores[:, 0] = 0.0
    found = TemperatureScaling.fit(scores, np.zeros(10, dtype=int), np.full(10, 12))
    assert np.isfinite([found.temperature, found.slope]).all()
    assert found(scores, np.full(10, 12))[:, 0].min() > 0.99


@given(
    st.lists(st.lists(st.floats(-50, 50), min_size=3, max_size=3), min_size=1, max_size=5),
    st.floats(0.1, 10),
    st.floats(-1, 1),
    st.integers(0, 500),
)
def test_scaled_rows_sum_to_one_and_keep_their_order(
    scores: list[list[float]], temperature: float, slope: float, length: int
) -> None:
    found = TemperatureScaling(temperature, slope)(np.array(scores), np.full(len(scores), length))
    assert found.sum(axis=1) == pytest.approx(np.ones(len(scores)))
    assert (found >= 0).all()
    best = np.array(scores).argmax(axis=1)
    assert (found[np.arange(len(best)), best] == found.max(axis=1)).all()


def test_scaling_without_parameters_is_softmax() -> None:
    scores = np.array([[1.0, 2.0], [0.0, -1.0]])
    np.testing.assert_allclose(TemperatureScaling()(scores, np.array([7, 40])), softmax(scores, axis=1))


# weights and thresholds


def test_weights_balance_the_labels_as_far_as_asked() -> None:
    y = np.array([0] * 10 + [1] * 40 + [3] * 50)  # label 2 does not occur
    assert label_weights(y, 0.0).tolist() == [1.0] * 100
    whole, half = label_weights(y, 1.0), label_weights(y, 0.5)
    assert np.bincount(y, whole)[[0, 1, 3]] == pytest.approx([100 / 3] * 3)
    assert half[0] / half[10] == pytest.approx(2.0)
    assert half.mean() == pytest.approx(1.0)


def test_threshold_by_hand() -> None:
    confidence = np.linspace(0.99, 0.50, 50)
    right = np.arange(50) < 30  # the 30 surest are right, no other is
    assert precision_threshold(confidence, right, 0.75) == pytest.approx(confidence[39])
    assert precision_threshold(confidence, right, 1.0) == pytest.approx(confidence[29])
    # nobody reaches 0.9 when all the surest are wrong: the best cut of at least 20 is all of them
    assert precision_threshold(confidence, ~right, 0.9) == pytest.approx(confidence[49])


def test_units_of_equal_confidence_stand_on_one_side_of_the_threshold() -> None:
    # 0.6 on the first 20 of the tie, 0.5 on all of them: the tie as a whole misses the target
    confidence = np.concatenate((np.full(20, 0.9), np.full(20, 0.7)))
    right = np.array([True] * 20 + [True] * 10 + [False] * 10)
    assert precision_threshold(confidence, right, 0.8) == 0.9
    assert precision_threshold(confidence, right, 0.75) == 0.7


UNITS = st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=60)


@settings(max_examples=300)
@given(UNITS, st.sampled_from([0.3, 0.5, 0.6, 0.9, 1.0]))
def test_threshold_is_that_of_a_plain_loop(units: list[tuple[int, bool]], target: float) -> None:
    precision = {}
    for cut in sorted({confidence for confidence, _ in units}):
        above = [right for confidence, right in units if confidence >= cut]
        if len(above) >= min(20, len(units)):
            precision[cut] = sum(above) / len(above)
    good = [cut for cut, value in precision.items() if value >= target]
    expected = {min(good)} if good else {cut for cut, value in precision.items() if value == max(precision.values())}
    confidence, right = (np.array(column) for column in zip(*units, strict=True))
    found = precision_threshold(confidence / 10, right, target)
    assert round(found * 10) in expected


# folds


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 2)), min_size=16, max_size=60),
    st.integers(2, 5),
    st.integers(0, 99),
)
@pytest.mark.filterwarnings("ignore:The least populated class")
def test_folds_cut_no_group_and_test_every_unit_once(units: list[tuple[int, int]], n_splits: int, seed: int) -> None:
    groups = np.array([*range(8), *(group for group, _ in units)])
    y = np.array([*([0] * 8), *(label for _, label in units)])
    folds = grouped_folds(y, groups, n_splits, seed)
    assert len(folds) == n_splits
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(len(y)))
    for train, test in folds:
        assert not set(groups[train]) & set(groups[test])
        assert sorted([*train, *test]) == list(range(len(y)))
        assert (np.diff(train) > 0).all(), "neighbours stay neighbours"


def test_folds_depend_on_the_seed_only() -> None:
    y, groups = np.arange(120) % 3, np.arange(120) // 6
    one, same, other = (grouped_folds(y, groups, 4, seed) for seed in (1, 1, 2))
    assert all((a[1] == b[1]).all() for a, b in zip(one, same, strict=True))
    assert any(a[1].tolist() != b[1].tolist() for a, b in zip(one, other, strict=True))


def test_there_are_no_more_folds_than_groups() -> None:
    assert len(grouped_folds(np.arange(30) % 3, np.arange(30) // 10, 5, 0)) == 3


def test_one_group_makes_no_folds() -> None:
    with pytest.raises(PipelineError, match="units of at least two articles"):
        grouped_folds(np.arange(30) % 3, np.zeros(30), 5, 0)


# the classifier


def test_it_learns_and_its_probabilities_sum_to_one(fitted: UnitClassifier) -> None:
    rows = news(articles=30, seed=9, wrong=0.0)
    batch = batch_of_examples(rows)
    probabilities = fitted.predict_proba(batch)
    assert probabilities.shape == (len(rows), 3)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(len(rows)))
    said = fitted.predict(batch)
    assert said.tolist() == fitted.classes_[probabilities.argmax(axis=1)].tolist()
    assert (said == labels_of(rows)).mean() > 0.95
    # one label in ten was drawn blindly, so about 0.93 are right: nothing is surer than that by much
    assert 0.8 < np.median(probabilities.max(axis=1)) < 0.98
    assert fitted.score(batch, labels_of(rows)) == (said == labels_of(rows)).mean()


def test_predictions_do_not_depend_on_the_batch(fitted: UnitClassifier) -> None:
    rows = news(articles=5, seed=3)
    batch = batch_of_examples(rows)
    alone = [fitted.predict_proba(batch.take(np.flatnonzero(batch.documents == number))) for number in range(5)]
    np.testing.assert_allclose(fitted.predict_proba(batch), np.vstack(alone), rtol=1e-9)


def test_thresholds_are_confidences_of_every_label(fitted: UnitClassifier) -> None:
    assert list(fitted.thresholds_) == list(LABELS) == fitted.classes_.tolist()
    assert all(1 / 3 <= value <= 1 for value in fitted.thresholds_.values())


def test_empty_batch_and_empty_unit(fitted: UnitClassifier) -> None:
    assert fitted.predict_proba(batch_of_examples([])).shape == (0, 3)
    assert fitted.predict(batch_of_examples([])).tolist() == []
    assert fitted.predict_proba(batch_of_texts([""])).sum() == pytest.approx(1)


def test_the_chosen_units_alone_give_calibration_and_thresholds() -> None:
    rows = news(articles=300, wrong=0.0)
    noisy = news(articles=300, seed=1, wrong=0.9)
    batch, y = batch_of_examples(rows + noisy), labels_of(rows + noisy)
    groups = np.repeat(np.arange(600), 6)
    clean = np.repeat([True, False], len(rows))
    sure = classifier().fit(batch, y, groups, clean)
    unsure = classifier().fit(batch, y, groups, ~clean)
    every = classifier().fit(batch, y, groups)
    unit = batch.take(np.arange(6))
    tops = [fitted.predict_proba(unit).max(axis=1).mean() for fitted in (sure, every, unsure)]
    assert tops[0] > tops[1] + 0.1 > tops[2] + 0.2
    # too few say too little: then all are used
    few = np.zeros(len(y), dtype=bool)
    few[:20] = True
    assert classifier().fit(batch, y, groups, few).scaling_.temperature == every.scaling_.temperature
    assert few.sum() == 20, "the caller's array is left as it was"


def test_no_group_is_cut_in_calibration() -> None:
    """Every article has a word and a label of its own: whoever cuts articles believes to know it all."""
    rng = np.random.default_rng(0)
    rows = []
    for article in range(30):
        label = LABELS[article % 3]
        rows += [
            Example(f"a{article}", "", "agency", None, "sentence", f"word{article} {rng.choice(TOPICS)}", label)
            for _ in range(8)
        ]
    batch, y = batch_of_examples(rows), labels_of(rows)
    unknown = batch_of_texts([f"{topic} there" for topic in TOPICS])
    known = batch.take(np.arange(0, len(rows), 8))
    whole = classifier().fit(batch, y)
    assert whole.predict_proba(known).max(axis=1).mean() < 0.6
    assert whole.predict_proba(unknown).max() < 0.6
    cut = classifier().fit(batch, y, groups=np.arange(len(rows)))
    assert cut.predict_proba(known).max(axis=1).mean() > 0.9, "the test would not see a cut article"


def test_a_label_missing_from_a_fold_or_from_all(recwarn: pytest.WarningsRecorder) -> None:
    rows = [row for row in news(wrong=0.0) if row.label != "goal" or row.article == "a3"]
    batch = batch_of_examples(rows)
    found = classifier().fit(batch, labels_of(rows)).predict_proba(batch)
    assert found.sum(axis=1) == pytest.approx(np.ones(len(rows)))
    never = [row for row in rows if row.label != "goal"]
    found = classifier().fit(batch_of_examples(never), labels_of(never)).predict_proba(batch)
    assert found.shape == (len(rows), 3)
    assert found[:, 1].max() < 0.01


def test_unknown_labels_are_named() -> None:
    with pytest.raises(ValueError, match=r"unknown labels \['aim', 'hope'\]; the labels are \['challenge', 'goal'"):
        classifier().fit(batch_of_texts(["a", "b", "c"]), ["hope", "goal", "aim"])


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_predict_before_fit(method: str) -> None:
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(classifier(), method)(batch_of_texts(["a"]))


def test_scikit_learn_can_clone_and_set_it(fitted: UnitClassifier) -> None:
    options = {"C": 0.3, "features": {"min_df": 1}, "precision": 0.8, "random_state": 7, "n_jobs": 2}
    one = classifier(**options)
    twin = clone(one)
    assert twin.get_params() == one.get_params()
    assert {name: twin.get_params()[name] for name in options} == options
    assert twin.set_params(C=5.0).C == 5.0
    assert one.C == 0.3
    with pytest.raises(ValueError, match="Invalid parameter 'colour'"):
        one.set_params(colour="blue")
    with pytest.raises(NotFittedError, match="not fitted yet"):
        clone(fitted).predict(batch_of_texts(["a"]))


def test_feature_parameters_arrive() -> None:
    rows = news()
    batch, y = batch_of_examples(rows), labels_of(rows)
    few = classifier(features={"min_df": 50, "cue_weight": 0.0}).fit(batch, y)
    names = few.pipeline_[0].get_feature_names_out()
    assert not any(name.startswith("cue=") and "/" not in name for name in names)
    assert sum(name.startswith("word=") for name in names) < 8


# one corpus, one file


def test_the_same_seed_gives_the_same_bytes() -> None:
    rows = news()

    def build(seed: int) -> bytes:
        batch: Batch = batch_of_examples(rows)
        return model_bytes(classifier(random_state=seed).fit(batch, labels_of(rows)))

    assert build(0) == build(0)
    assert build(0) != build(1)


SCRIPT = """
import hashlib, sys
sys.path.insert(0, {tests!r})
import test_model as here
from pipeline import features
phrases = frozenset({{("wants", "to"), ("dispute",), ("vowed", "*", "x")}})
features.load_lexicon = lambda: (here.Group("x", "", phrases),)
rows = here.news()
model = here.classifier().fit(here.batch_of_examples(rows), here.labels_of(rows))
print(hashlib.sha256(here.model_bytes(model)).hexdigest())
"""


@pytest.mark.slow
def test_every_process_gives_the_same_bytes() -> None:
    """Sets come in another order under another hash seed; the model must not."""
    script = SCRIPT.format(tests=str(Path(__file__).parent))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    digests = [process.communicate(timeout=120)[0].strip() for process in processes]
    assert len(digests[0]) == 64
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_two_processes_give_the_model_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers load the shipped lexicon, so this test does too."""
    monkeypatch.undo()
    rows = news()
    # texts of their own, so that a worker has not met the words
    batch, y = batch_of_examples(rows), labels_of(rows)
    one = classifier(n_jobs=1).fit(batch, y)
    two = classifier(n_jobs=2).fit(batch, y).set_params(n_jobs=1)
    assert model_bytes(one) == model_bytes(two)
