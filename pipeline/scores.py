"""Scores of predictions against labels: per label, macro-F1 with an interval, calibration, coverage."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from pipeline.records import BACKGROUND, ConfidenceBin, Evaluation, GenreScore, LabelScore, Surest

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
#: Shares of the units with a label other than background, the most confident first, whose precision is measured.
SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)
#: So many of a label's most confident units are looked at by themselves.
MOST_CONFIDENT = 50


def confusion(true: Ints, said: Ints, n_labels: int) -> Ints:
    """``[i, j]`` counts units of true label ``i`` that were given label ``j``."""
    return np.asarray(confusion_matrix(true, said, labels=np.arange(n_labels)))


def f1_of(tables: NDArray[np.number]) -> Floats:
    """F1 of each label of confusion tables of shape (..., n_labels, n_labels); 0 for a label that never occurs."""
    hit = np.diagonal(tables, axis1=-2, axis2=-1).astype(float)
    both = tables.sum(axis=-2) + tables.sum(axis=-1)
    return np.asarray(np.divide(2 * hit, both, out=np.zeros_like(hit), where=both > 0))


def macro_f1_of(table: NDArray[np.number]) -> float:
    """Macro-F1 of a confusion table; a label that never occurs scores 0."""
    return float(f1_of(table).mean())


def _measures(tables: NDArray[np.number]) -> Floats:
    """Macro-F1, accuracy and the F1 of each label, of confusion tables of shape (n, n_labels, n_labels)."""
    f1 = f1_of(tables)
    accuracy = np.trace(tables, axis1=-2, axis2=-1) / tables.sum(axis=(-2, -1))
    return np.column_stack([f1.mean(axis=-1), accuracy, f1])


def resampled_intervals(
    tables: NDArray[np.number],
    measures: Callable[[NDArray[np.number]], Floats],
    rounds: int = 1000,
    seed: int = 0,
) -> list[tuple[float, float]]:
    """95 % percentile intervals of some measures by resampling whole articles (the bootstrap of Efron, 1979).

    Parameters
    ----------
    tables : array of shape (n_articles, ...)
        One table of counts an article; the measures are taken of their sum.
    measures : callable
        Gives an array of shape (n, n_measures) for tables of shape (n, ...). A round in which a measure is undefined
        (NaN) is left out of its interval.
    """
    rng = np.random.default_rng(seed)
    n = len(tables)
    flat = tables.reshape(n, -1)
    draws = np.stack([np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(rounds)]) @ flat
    intervals = []
    for column in measures(draws.reshape(rounds, *tables.shape[1:])).T:
        ordered = np.sort(column[~np.isnan(column)])
        low, high = int(0.025 * len(ordered)), max(int(0.975 * len(ordered)) - 1, 0)
        intervals.append((float(ordered[low]), float(ordered[high])))
    return intervals


def resampled_interval(
    tables: NDArray[np.number],
    measure: Callable[[NDArray[np.number]], float] = macro_f1_of,
    rounds: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """The 95 % interval of one measure of one table; see :func:`resampled_intervals`."""

    def one_by_one(draws: NDArray[np.number]) -> Floats:
        return np.array([[measure(draw)] for draw in draws])

    return resampled_intervals(tables, one_by_one, rounds, seed)[0]


def calibration_error(confidence: Floats, right: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error (Naeini et al., 2015): equal-width bins, weighted by their size."""
    if not len(confidence):
        return 0.0
    found = calibration_bins(confidence, right, bins)
    return float(sum(one.units * abs(one.confidence - one.right) for one in found) / len(confidence))


def calibration_bins(confidence: Floats, right: NDArray[np.bool_], bins: int = 10) -> tuple[ConfidenceBin, ...]:
    """How often units are right by their confidence, in bins of equal width; empty bins are left out."""
    cell = np.minimum((confidence * bins).astype(int), bins - 1)
    return tuple(
        ConfidenceBin(
            low=at / bins,
            high=(at + 1) / bins,
            units=int((cell == at).sum()),
            confidence=float(confidence[cell == at].mean()),
            right=float(right[cell == at].mean()),
        )
        for at in np.unique(cell).tolist()
    )


def wilson_interval(right: int, units: int) -> tuple[float, float]:
    """The 95 % interval of a share of independent units (Wilson, 1927); it has a width at 0 and at 1 too."""
    z, share = 1.959964, right / units
    middle = (share + z**2 / (2 * units)) / (1 + z**2 / units)
    reach = z / (1 + z**2 / units) * np.sqrt(share * (1 - share) / units + z**2 / (4 * units**2))
    return float(max(middle - reach, 0.0)), float(min(middle + reach, 1.0))


def surest(confidence: Floats, right: NDArray[np.bool_], articles: Ints, counts: Sequence[int]) -> tuple[Surest, ...]:
    """The precision of the ``n`` most confident units, for each ``n`` of the counts that is not 0.

    ``articles`` numbers the article of each unit; units of the same confidence are taken in their order.
    """
    counts = [count for count in counts if count]
    if not counts:
        return ()
    order = np.argsort(-confidence, kind="stable")
    names, article = np.unique(articles[order], return_inverse=True)
    tables = np.zeros((len(names), len(counts), 2), dtype=np.int64)
    for at, count in enumerate(counts):
        outcome = right[order[:count]].astype(np.int64)
        np.add.at(tables, (article[:count], np.full(count, at), outcome), 1)

    def precision(draws: NDArray[np.number]) -> Floats:
        total = draws.sum(axis=-1)
        return np.asarray(np.divide(draws[..., 1], total, out=np.full(total.shape, np.nan), where=total > 0))

    return tuple(
        Surest(
            share=count / len(order),
            units=count,
            confidence=float(confidence[order[count - 1]]),
            right=float(right[order[:count]].mean()),
            right_interval=_wider(interval, wilson_interval(int(right[order[:count]].sum()), count)),
        )
        for count, interval in zip(counts, resampled_intervals(tables, precision), strict=True)
    )


def _wider(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """Resampling finds no width where all units are right, or all of one article."""
    return min(one[0], other[0]), max(one[1], other[1])


def _tables(true: Ints, said: Ints, articles: Ints, n_labels: int) -> Ints:
    """A confusion table for each article, of shape (n_articles, n_labels, n_labels)."""
    names, article = np.unique(articles, return_inverse=True)
    tables = np.zeros((len(names), n_labels, n_labels), dtype=np.int64)
    np.add.at(tables, (article, true, said), 1)
    return tables


def _genre_score(tables: Ints) -> GenreScore:
    table = tables.sum(axis=0)
    macro_f1, accuracy, *_ = _measures(table[None])[0].tolist()
    return GenreScore(
        units=int(table.sum()),
        articles=len(tables),
        accuracy=accuracy,
        macro_f1=macro_f1,
        macro_f1_interval=resampled_intervals(tables, _measures)[0] if len(tables) > 1 else None,
    )


def _label_scores(
    labels: Sequence[str], true: Ints, said: Ints, intervals: Sequence[tuple[float, float]]
) -> dict[str, LabelScore]:
    precision, recall, f1, support = precision_recall_fscore_support(
        true, said, labels=np.arange(len(labels)), zero_division=0.0
    )
    return {
        label: LabelScore(float(precision[i]), float(recall[i]), float(f1[i]), int(support[i]), intervals[i])
        for i, label in enumerate(labels)
    }


def evaluation_of(
    name: str,
    labels: Sequence[str],
    true: Ints,
    probabilities: Floats,
    articles: Sequence[str],
    genres: Sequence[str],
    thresholds: Sequence[float],
) -> Evaluation:
    """All scores of probabilities of shape (n_units, n_labels) against true label numbers.

    ``articles`` and ``genres`` name the article and genre of each unit; ``thresholds`` has one
    confidence a label under which a prediction counts as uncertain.
    """
    n_labels = len(labels)
    said = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    right = said == true
    article = np.unique(np.asarray(articles, dtype=object).astype(str), return_inverse=True)[1]
    genre = np.asarray(genres, dtype=object).astype(str)
    tables = _tables(true, said, article, n_labels)
    table = tables.sum(axis=0)
    by_genre = {
        str(one): _genre_score(_tables(true[genre == one], said[genre == one], article[genre == one], n_labels))
        for one in np.unique(genre)
    }
    of_macro_f1, of_accuracy, *of_labels = resampled_intervals(tables, _measures)
    told = np.array([label != BACKGROUND for label in labels])[said]
    of_label = {label: said == number for number, label in enumerate(labels)}
    return Evaluation(
        name=name,
        units=len(true),
        articles=len(tables),
        labels=tuple(labels),
        accuracy=float(right.mean()),
        macro_f1=macro_f1_of(table),
        macro_f1_interval=of_macro_f1,
        calibration_error=calibration_error(confidence, right),
        per_label=_label_scores(labels, true, said, of_labels),
        macro_f1_by_genre={name: score.macro_f1 for name, score in by_genre.items()},
        confusion=tuple(tuple(int(cell) for cell in row) for row in table),
        uncertain_share=float((confidence < np.asarray(thresholds)[said]).mean()),
        accuracy_interval=of_accuracy,
        by_genre=by_genre,
        calibration=calibration_bins(confidence, right),
        coverage=surest(confidence[told], right[told], article[told], [int(share * told.sum()) for share in SHARES]),
        most_confident={
            label: one
            for label, chosen in of_label.items()
            for one in surest(
                confidence[chosen], right[chosen], article[chosen], [min(MOST_CONFIDENT, int(chosen.sum()))]
            )
        },
    )
