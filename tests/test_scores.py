"""Scores against scikit-learn, and against numbers worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

from pipeline.records import Evaluation
from pipeline.scores import (
    calibration_bins,
    calibration_error,
    confusion,
    evaluation_of,
    f1_of,
    macro_f1_of,
    resampled_interval,
    resampled_intervals,
    surest,
    wilson_interval,
)

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
        [0.6, 0.5, 0.95],
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
    found = evaluation_of("x", LABELS, true, probabilities, articles, articles, [0.5] * 3)
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


# What the card is made of


def test_several_measures_of_the_same_draws_are_those_of_each() -> None:
    tables = np.random.default_rng(4).integers(0, 9, (30, 3, 3))
    found = resampled_intervals(tables, f1_of, rounds=200)
    for label in range(3):
        assert found[label] == resampled_interval(tables, lambda table, at=label: float(f1_of(table)[at]), rounds=200)


def test_rounds_in_which_a_measure_is_undefined_are_left_out() -> None:
    tables = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, 0.0]])  # a round without the first article has no units
    with np.errstate(invalid="ignore"):
        assert resampled_intervals(tables, lambda draws: draws[:, :1] / draws[:, 1:]) == [(0.75, 0.75)]


def test_calibration_bins_by_hand() -> None:
    first, second = calibration_bins(np.array([0.52, 0.58, 1.0]), np.array([True, False, True]))
    assert (first.low, first.high, first.units, first.right) == (0.5, 0.6, 2, 0.5)
    assert first.confidence == pytest.approx(0.55)
    assert (second.low, second.high, second.units, second.confidence, second.right) == (0.9, 1.0, 1, 1.0, 1.0)


def test_the_surest_by_hand() -> None:
    confidence = np.array([0.5, 0.9, 0.7, 0.8])
    right = np.array([False, True, False, True])
    half, whole = surest(confidence, right, np.array([0, 0, 1, 1]), [2, 4, 0])
    assert (half.share, half.units, half.confidence, half.right) == (0.5, 2, 0.8, 1.0)
    assert (whole.share, whole.units, whole.confidence, whole.right) == (1.0, 4, 0.5, 0.5)
    # all that are right say nothing by resampling; Wilson's interval for 2 of 2
    assert half.right_interval == (pytest.approx(0.342, abs=0.001), pytest.approx(1.0))
    assert surest(confidence[:0], right[:0], np.zeros(0, dtype=int), [0, 0]) == ()


@pytest.mark.parametrize(("right", "units", "expected"), [(0, 10, (0.0, 0.278)), (5, 10, (0.237, 0.763))])
def test_wilsons_interval_is_that_of_the_tables(right: int, units: int, expected: tuple[float, float]) -> None:
    assert wilson_interval(right, units) == pytest.approx(expected, abs=0.001)


def test_an_evaluation_holds_what_the_card_shows() -> None:
    rng = np.random.default_rng(6)
    n = 400
    probabilities = rng.dirichlet([1, 1, 2], n)
    true = np.array([rng.choice(3, p=row) for row in probabilities])
    articles = [f"a{row // 20}" for row in range(n)]
    genres = ["wire" if row < 300 else "speech" for row in range(n)]
    found = evaluation_of("x", LABELS, true, probabilities, articles, genres, [0.5, 0.5, 0.5])
    said, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    assert sum(one.units for one in found.calibration) == n
    told = said != 2
    assert [one.units for one in found.coverage] == [int(share * told.sum()) for share in (0.1, 0.25, 0.5, 0.75, 1)]
    assert found.coverage[-1].right == pytest.approx((said == true)[told].mean())
    for number, label in enumerate(LABELS):
        mine = sorted(zip(-confidence[said == number], true[said == number] == number, strict=True))[:50]
        assert found.most_confident[label].right == pytest.approx(np.mean([right for _, right in mine]))
        score = found.per_label[label]
        assert score.f1_interval is not None
        assert score.f1_interval[0] <= score.f1 <= score.f1_interval[1]
    assert (found.by_genre["speech"].units, found.by_genre["speech"].articles) == (100, 5)
    assert found.by_genre["wire"].macro_f1 == found.macro_f1_by_genre["wire"]
    assert found.by_genre["wire"].accuracy == pytest.approx((said == true)[:300].mean())
    assert found.accuracy_interval is not None
    assert found.accuracy_interval[0] <= found.accuracy <= found.accuracy_interval[1]


def test_a_genre_of_one_article_has_no_interval() -> None:
    probabilities = np.eye(3)[[0, 1, 2, 0]]
    found = evaluation_of("x", LABELS, np.array([0, 1, 2, 0]), probabilities, list("aabc"), list("wwss"), [0, 0, 0])
    assert found.by_genre["w"].macro_f1_interval is None
    assert found.by_genre["s"].macro_f1_interval is not None
    assert json.loads(json.dumps(found.as_dict()))["by_genre"]["w"]["macro_f1_interval"] is None
