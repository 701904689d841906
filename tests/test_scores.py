"""Scores against scikit-learn, and against numbers worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

from pipeline.records import Evaluation
from pipeline.scores import calibration_error, confusion, evaluation_of, macro_f1_of, resampled_interval

LABELS = ("challenge", "goal", "background")
PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


@given(PAIRS)
def test_confusion_and_macro_f1_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    true, said = np.array(pairs).T
    table = confusion(true, said, 4)
    np.testing.assert_array_equal(table, confusion_matrix(true, said, labels=range(4)))
    expected = f1_score(true, said, labels=range(4), average="macro", zero_division=0.0)
    assert macro_f1_of(table) == pytest.approx(expected)


def test_macro_f1_by_hand() -> None:
    # rows are the truth: F1 of 2*3/(4+5), 2*4/(6+5), and 0 for the label that never occurs
    assert macro_f1_of(np.array([[3, 1, 0], [2, 4, 0], [0, 0, 0]])) == pytest.approx((6 / 9 + 8 / 11 + 0) / 3)


def test_calibration_error_by_hand() -> None:
    # bin 0.5..0.6: said 0.55 on average, right in 1 of 2; bin 0.9..1.0: said 0.95, right in 2 of 2
    confidence = np.array([0.52, 0.58, 0.92, 0.98])
    right = np.array([True, False, True, True])
    assert calibration_error(confidence, right) == pytest.approx(0.5 * 0.05 + 0.5 * 0.05)
    assert calibration_error(np.ones(3), np.ones(3, dtype=bool)) == 0
    assert calibration_error(np.ones(3), np.zeros(3, dtype=bool)) == 1
    assert calibration_error(np.zeros(0), np.zeros(0, dtype=bool)) == 0


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50), st.integers(1, 15))
def test_calibration_error_is_that_of_a_plain_loop(pairs: list[tuple[float, bool]], bins: int) -> None:
    cells: dict[int, list[tuple[float, bool]]] = {}
    for confidence, right in pairs:
        cells.setdefault(min(int(confidence * bins), bins - 1), []).append((confidence, right))
    expected = sum(abs(sum(c for c, _ in cell) - sum(r for _, r in cell)) for cell in cells.values()) / len(pairs)
    found = calibration_error(np.array([c for c, _ in pairs]), np.array([r for _, r in pairs]), bins)
    assert found == pytest.approx(expected)


def accuracy(table: np.ndarray) -> float:
    return float(np.trace(table) / table.sum())


def draw(rng: np.random.Generator, articles: int) -> np.ndarray:
    """Articles of 20 units, some easy and some hard: 0.6 of the units are right in the long run."""
    hits = rng.binomial(20, rng.beta(3, 2, articles))
    tables = np.zeros((articles, 2, 2))
    tables[:, 0, 0], tables[:, 0, 1] = hits, 20 - hits
    return tables


def test_the_interval_covers_the_truth_in_about_19_of_20_cases() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(200):
        low, high = resampled_interval(draw(rng, 40), accuracy, rounds=200, seed=seed)
        covered += low <= 0.6 <= high
    assert 0.88 * 200 <= covered <= 0.99 * 200


def test_the_interval_holds_the_middle_95_percent_and_narrows_with_more_articles() -> None:
    rng = np.random.default_rng(2)
    tables = draw(rng, 50)
    low, high = resampled_interval(tables, accuracy)
    assert low < accuracy(tables.sum(axis=0)) < high
    values = [accuracy(tables[rng.integers(0, 50, 50)].sum(axis=0)) for _ in range(4000)]
    assert np.quantile(values, [0.025, 0.975]) == pytest.approx([low, high], abs=0.01)
    many_low, many_high = resampled_interval(draw(rng, 800), accuracy)
    assert many_high - many_low < 0.4 * (high - low)


def test_the_interval_is_reproducible_and_one_article_has_no_width() -> None:
    tables = draw(np.random.default_rng(3), 20)
    assert resampled_interval(tables) == resampled_interval(tables)
    assert resampled_interval(tables, seed=1) != resampled_interval(tables, seed=2)
    low, high = resampled_interval(tables[:1])
    assert low == high == macro_f1_of(tables[0])


def evaluate() -> Evaluation:
    probabilities = np.array(
        [
            [0.8, 0.1, 0.1],  # right
            [0.5, 0.3, 0.2],  # right, doubtful
            [0.1, 0.6, 0.3],  # said goal
            [0.2, 0.7, 0.1],  # right
            [0.1, 0.0, 0.9],  # said background
            [0.0, 0.1, 0.9],  # right
        ]
    )
    return evaluation_of(
        "by hand",
        LABELS,
        np.array([0, 0, 0, 1, 1, 2]),
        probabilities,
        ["x", "y", "x", "y", "z", "z"],
        ["agency", "agency", "agency", "agency", "official", "official"],
        np.array([True, False, True, False, True, False]),
    )


def test_every_score_by_hand() -> None:
    found = evaluate()
    assert (found.name, found.units, found.articles, found.labels) == ("by hand", 6, 3, LABELS)
    assert found.accuracy == pytest.approx(4 / 6)
    assert found.confusion == ((2, 1, 0), (0, 1, 1), (0, 0, 1))
    challenge, goal, background = (found.per_label[label] for label in LABELS)
    assert (challenge.precision, challenge.recall, challenge.support) == pytest.approx((1, 2 / 3, 3))
    assert (goal.precision, goal.recall, goal.f1, goal.support) == pytest.approx((1 / 2, 1 / 2, 1 / 2, 2))
    assert (background.precision, background.recall, background.support) == pytest.approx((1 / 2, 1, 1))
    assert found.macro_f1 == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)
    # 0.5 of challenge, and both of background
    assert found.uncertain_share == pytest.approx(3 / 6)
    assert found.macro_f1_by_genre["agency"] == pytest.approx((4 / 5 + 2 / 3 + 0) / 3)
    # bins of 0.5, 0.6, 0.7, 0.8, 0.9: gaps 0.5, 0.6, 0.3, 0.2 and |1.8 - 1|
    assert found.calibration_error == pytest.approx((0.5 + 0.6 + 0.3 + 0.2 + 0.8) / 6)
    low, high = found.macro_f1_interval
    assert 0 <= low <= found.macro_f1 <= high <= 1


def test_an_evaluation_is_ready_for_json() -> None:
    assert json.loads(json.dumps(evaluate().as_dict(), allow_nan=False))["units"] == 6


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.lists(st.integers(1, 9), min_size=3, max_size=3)), min_size=1, max_size=30)
)
def test_scores_of_an_evaluation_are_those_of_scikit_learn(units: list[tuple[int, list[int]]]) -> None:
    true = np.array([label for label, _ in units])
    probabilities = np.array([counts for _, counts in units], dtype=float)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    said = probabilities.argmax(axis=1)
    articles = [str(at // 4) for at in range(len(units))]
    found = evaluation_of("x", LABELS, true, probabilities, articles, articles, np.zeros(len(true), dtype=bool))
    assert found.accuracy == pytest.approx(accuracy_score(true, said))
    assert found.macro_f1 == pytest.approx(f1_score(true, said, labels=range(3), average="macro", zero_division=0.0))
    columns = zip(*precision_recall_fscore_support(true, said, labels=range(3), zero_division=0.0), strict=True)
    for label, (precision, recall, f1, support) in zip(LABELS, columns, strict=True):
        score = found.per_label[label]
        assert (score.precision, score.recall, score.f1, score.support) == pytest.approx(
            (precision, recall, f1, support)
        )
    assert np.sum(found.confusion) == found.units == len(units)
    assert found.articles == len(set(articles)) == len(found.macro_f1_by_genre)
