"""Which units a review brings, and in which order."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from pipeline.review_queue import SHARES, pick, suspects

LABELS = ("challenge", "goal", "background")
COUNTS = {"challenge": 500, "goal": 20, "background": 5000}


def table(*rows: tuple[float, float, float]) -> np.ndarray:
    return np.array(rows)


def many(n: int = 200, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet((1, 1, 1), n)


def test_the_most_uncertain_comes_first() -> None:
    chances = table((0.9, 0.05, 0.05), (0.4, 0.39, 0.21), (0.6, 0.2, 0.2))
    order = [one.row for one in pick(chances, LABELS, [None] * 3, COUNTS) if one.reason == "uncertain"]
    assert order[0] == 1


def test_the_mix_is_as_promised_and_nothing_comes_twice() -> None:
    known = [None] * 300 + ["challenge"] * 100
    chances = np.vstack([many(300), np.tile([0.05, 0.9, 0.05], (100, 1))])
    queue = pick(chances, LABELS, known, COUNTS, most=100)
    assert len({one.row for one in queue}) == len(queue) == 100
    found = Counter(one.reason for one in queue)
    assert {reason: found[reason] / 100 for reason in SHARES} == pytest.approx(dict(SHARES), abs=0.02)
    early = {one.reason for one in queue[:8]}
    assert early == set(SHARES), "whoever stops early has seen some of each"


def test_a_known_label_is_brought_only_where_the_model_contradicts_it() -> None:
    chances = table((0.9, 0.05, 0.05), (0.9, 0.05, 0.05), (0.5, 0.4, 0.1), (0.7, 0.1, 0.2))
    known = ["goal", "challenge", "goal", "goal"]
    assert suspects(chances, LABELS, known) == [3, 0], "the worst is on top of the stack"
    assert [(one.row, one.reason) for one in pick(chances, LABELS, known, COUNTS)] == [(0, "suspect"), (3, "suspect")]


def test_a_rare_label_is_looked_for() -> None:
    chances = table((0.98, 0.01, 0.01), (0.01, 0.98, 0.01), (0.01, 0.01, 0.98))
    (first, *_) = [one for one in pick(chances, LABELS, [None] * 3, COUNTS) if one.reason == "rare"] or [None]
    assert first is not None
    assert first.row == 1


def test_disputes_come_before_everything() -> None:
    queue = pick(many(20), LABELS, [None] * 20, COUNTS, most=5, disputed=[7, 3])
    assert [(one.row, one.reason) for one in queue[:2]] == [(7, "disputed"), (3, "disputed")]
    assert len(queue) == 5
    assert {one.row for one in queue[2:]}.isdisjoint({3, 7})


def test_the_share_at_random_hangs_on_the_seed_alone() -> None:
    def rows(seed: int) -> list[int]:
        return [one.row for one in pick(many(), LABELS, [None] * 200, COUNTS, seed=seed) if one.reason == "random"]

    assert rows(0) == rows(0)
    assert rows(0) != rows(1)


@pytest.mark.parametrize("n", [0, 1, 7])
def test_few_units_all_come(n: int) -> None:
    assert sorted(one.row for one in pick(many(n), LABELS, [None] * n, COUNTS)) == list(range(n))
