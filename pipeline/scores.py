"""Scores of predictions against labels: per label, macro-F1 with an interval, calibration."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from pipeline.records import Evaluation, LabelScore

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def confusion(true: Ints, said: Ints, n_labels: int) -> Ints:
    """``[i, j]`` counts units of true label ``i`` that were given label ``j``."""
    return np.asarray(confusion_matrix(true, said, labels=np.arange(n_labels)))


def macro_f1_of(table: NDArray[np.number]) -> float:
    """Macro-F1 of a confusion table; a label that never occurs scores 0."""
    hit = np.diag(table).astype(float)
    both = table.sum(axis=0) + table.sum(axis=1)
    return float(np.divide(2 * hit, both, out=np.zeros(len(hit)), where=both > 0).mean())


def resampled_interval(
    tables: NDArray[np.number],
    measure: Callable[[NDArray[np.number]], float] = macro_f1_of,
    rounds: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """A 95 % percentile interval of a measure by resampling whole articles (the bootstrap of Efron, 1979).

    Parameters
    ----------
    tables : array of shape (n_articles, ...)
        One table of counts an article; the measure is taken of their sum.
    """
    rng = np.random.default_rng(seed)
    n = len(tables)
    flat = tables.reshape(n, -1)
    draws = np.stack([np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(rounds)]) @ flat
    values = np.sort([measure(draw.reshape(tables.shape[1:])) for draw in draws])
    return float(values[int(0.025 * rounds)]), float(values[int(0.975 * rounds) - 1])


def calibration_error(confidence: Floats, right: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error (Naeini et al., 2015): equal-width bins, weighted by their size."""
    if not len(confidence):
        return 0.0
    cell = np.minimum((confidence * bins).astype(int), bins - 1)
    gap = np.bincount(cell, confidence, bins) - np.bincount(cell, right.astype(float), bins)
    return float(np.abs(gap).sum() / len(confidence))


def evaluation_of(
    name: str,
    labels: Sequence[str],
    true: Ints,
    probabilities: Floats,
    articles: Sequence[str],
    genres: Sequence[str],
    uncertain: NDArray[np.bool_],
) -> Evaluation:
    """All scores of probabilities of shape (n_units, n_labels) against true label numbers.

    ``articles`` and ``genres`` name the article and genre of each unit, and ``uncertain``
    says which predictions are marked so.
    """
    n_labels = len(labels)
    said = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    numbers, article = np.unique(np.asarray(articles, dtype=object).astype(str), return_inverse=True)
    tables = np.zeros((len(numbers), n_labels, n_labels), dtype=np.int64)
    np.add.at(tables, (article, true, said), 1)
    table = tables.sum(axis=0)
    precision, recall, f1, support = precision_recall_fscore_support(
        true, said, labels=np.arange(n_labels), zero_division=0.0
    )
    genre_names = np.asarray(genres, dtype=object).astype(str)
    by_genre = {
        str(genre): macro_f1_of(confusion(true[genre_names == genre], said[genre_names == genre], n_labels))
        for genre in np.unique(genre_names)
    }
    return Evaluation(
        name=name,
        units=len(true),
        articles=len(numbers),
        labels=tuple(labels),
        accuracy=float((said == true).mean()),
        macro_f1=macro_f1_of(table),
        macro_f1_interval=resampled_interval(tables),
        calibration_error=calibration_error(confidence, said == true),
        per_label={
            label: LabelScore(float(precision[i]), float(recall[i]), float(f1[i]), int(support[i]))
            for i, label in enumerate(labels)
        },
        macro_f1_by_genre=by_genre,
        confusion=tuple(tuple(int(cell) for cell in row) for row in table),
        uncertain_share=float(np.mean(uncertain)),
    )
