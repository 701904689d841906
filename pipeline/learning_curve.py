"""How much more corpus would help: scores of models fitted on parts of the corpus, and where the curve leads.

The curve is the inverse power law that C. Cortes et al., "Learning curves: asymptotic values and rate of convergence"
(1994), found for test errors; T. Viering and M. Loog, "The shape of learning curves: a review" (2023), say how far it
can be trusted: near the measured sizes. It is therefore followed to twice the corpus and no further.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.batches import batch_of_examples
from pipeline.corpus import files_to_check, load, load_corpus
from pipeline.corpus_check import HELDOUT
from pipeline.evaluate import article_groups
from pipeline.model import UnitClassifier
from pipeline.records import Example, PipelineError
from pipeline.scores import confusion, macro_f1_of
from pipeline.train import new_classifier

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
#: Parts of the corpus that models are fitted on; the last is all of it.
SHARES = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
#: How often articles are drawn for each part but the last.
DRAWS = 5
_ROUNDS = 500
#: Rates of the power law that are tried.
_RATES = np.linspace(0.05, 2.0, 391)


@dataclass(frozen=True, slots=True)
class Point:
    """One size of the corpus: its mean units and articles, macro-F1 of each draw, and each label's mean F1."""

    units: int
    articles: int
    macro_f1: tuple[float, ...]
    f1: dict[str, float]

    @property
    def mean(self) -> float:
        """Mean macro-F1 of the draws."""
        return float(np.mean(self.macro_f1))


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """Macro-F1 against the size of the training corpus.

    Attributes
    ----------
    scored_on : str
    scored_units, scored_articles : int
        What every model was scored on; nothing of it, nor near-duplicates of it, was fitted.
    points : tuple of Point, the smallest first
    level, scale, rate : float
        Of the fitted curve, ``level - scale * units ** -rate``.
    doubled : float
        Macro-F1 that the curve gives twice the corpus.
    gain : float
        How much that is more than it gives the corpus of today.
    gain_interval : pair of float
        95 % of the gains, by resampling the draws. It says nothing of other scored articles, or of articles of
        another kind.
    """

    scored_on: str
    scored_units: int
    scored_articles: int
    points: tuple[Point, ...]
    level: float
    scale: float
    rate: float
    doubled: float
    gain: float
    gain_interval: tuple[float, float]

    def at(self, units: float) -> float:
        """The fitted curve's macro-F1."""
        return float(_curve(np.array([self.level, self.scale, self.rate]), np.array([units]))[0])

    def as_dict(self) -> dict[str, Any]:
        """Plain types only, ready for JSON."""
        return asdict(self)


def learning_curve(
    classifier: UnitClassifier,
    train: Sequence[Example],
    scored: Sequence[Example],
    *,
    name: str = HELDOUT,
    shares: Sequence[float] = SHARES,
    draws: int = DRAWS,
    seed: int = 0,
) -> LearningCurve:
    """Fit on growing parts of a corpus, and score each on the same units.

    Parameters
    ----------
    classifier : UnitClassifier
        Unfitted. Macro-F1 needs no calibration, so none is made.
    train, scored : labelled units
        Training articles that share near-duplicates with scored ones are left out.
    shares : rising shares of the article groups, the last 1
        The parts of one draw lie in each other.

    Raises
    ------
    PipelineError
        Nothing is to be scored, or fewer than ten groups of articles are left to learn from.
    """
    if not scored:
        raise PipelineError("no labelled units to score", where=name, remedy="name labelled corpus files")
    examples = [*train, *scored]
    groups = article_groups(examples)
    usable = np.flatnonzero(~np.isin(groups[: len(train)], groups[len(train) :]))
    names = np.unique(groups[usable])
    if len(names) < 10:
        found = f"{len(names)} articles that share nothing with the scored ones"
        raise PipelineError(f"a learning curve needs ten or more, found {found}", remedy="add corpus files")
    rng = np.random.default_rng(seed)
    parts: list[tuple[int, Ints]] = []
    for order in (rng.permutation(names) for _ in range(draws)):
        for size, share in enumerate(shares[:-1]):
            chosen = order[: max(2, round(share * len(order)))]
            parts.append((size, usable[np.isin(groups[usable], chosen)]))
    parts.append((len(shares) - 1, usable))
    labels = list(classifier.labels)
    y = [example.label for example in examples]
    test = np.arange(len(train), len(examples))
    scores = classifier.fold_scores(batch_of_examples(examples), y, [(rows, test) for _, rows in parts])
    true = np.array([labels.index(example.label) for example in scored])
    tables = [confusion(true, score.argmax(axis=1), len(labels)) for score in scores]
    points = [
        _point(
            [rows for at, rows in parts if at == size],
            [table for (at, _), table in zip(parts, tables, strict=True) if at == size],
            groups,
            labels,
        )
        for size in range(len(shares))
    ]
    return _extrapolated(name, scored, points, draws, seed)


def curve_of_files(
    paths: Sequence[Path],
    corpus: Path,
    *,
    seed: int = 0,
    n_jobs: int = -1,
    progress: Callable[[str], None] = lambda _: None,
) -> LearningCurve:
    """The learning curve of a corpus folder, scored on named corpus files or by default on its held-out articles."""
    data = load_corpus(corpus)
    scored = load(files_to_check(paths), data.labels) if paths else list(data.heldout)
    classifier = new_classifier(data.labels, seed=seed, n_jobs=n_jobs)
    name = ", ".join(map(str, paths)) or str(corpus / HELDOUT)
    progress(f"fitting {DRAWS * (len(SHARES) - 1) + 1} models on parts of {len(data.train)} units (about a minute)")
    return learning_curve(classifier, data.train, scored, name=name, seed=seed)


def _point(rows: list[Ints], tables: list[Ints], groups: Ints, labels: Sequence[str]) -> Point:
    def f1_of(table: Ints) -> Floats:
        both = table.sum(axis=0) + table.sum(axis=1)
        return np.asarray(2 * np.diag(table) / np.maximum(both, 1))

    f1 = np.mean([f1_of(table) for table in tables], axis=0)
    return Point(
        units=round(float(np.mean([len(one) for one in rows]))),
        articles=round(float(np.mean([len(np.unique(groups[one])) for one in rows]))),
        macro_f1=tuple(macro_f1_of(table) for table in tables),
        f1=dict(zip(labels, f1.tolist(), strict=True)),
    )


def _curve(parameters: Floats, units: Floats) -> Floats:
    level, scale, rate = parameters
    return np.asarray(level - scale * units**-rate)


def _fitted(units: Floats, values: Floats) -> Floats:
    """Level, scale and rate by least squares: for every rate on a grid the best line, and of those the best.

    A curve that falls, or rises above 1, is none; where there is no other, the mean stands for it.
    """
    x = units[:, None] ** -_RATES
    centred, gap = x - x.mean(axis=0), values - values.mean()
    slope = (centred * gap[:, None]).sum(axis=0) / (centred**2).sum(axis=0)
    level = values.mean() - slope * x.mean(axis=0)
    miss = ((gap[:, None] - slope * centred) ** 2).sum(axis=0)
    best = int(np.argmin(np.where((slope <= 0) & (level <= 1), miss, np.inf)))
    if slope[best] > 0 or level[best] > 1:
        return np.array([values.mean(), 0.0, 1.0])
    return np.array([level[best], -slope[best], _RATES[best]])


def _extrapolated(
    name: str, scored: Sequence[Example], points: Sequence[Point], draws: int, seed: int
) -> LearningCurve:
    sizes = np.array([point.units for point in points], dtype=np.float64)
    # all of the corpus is one draw, which stands for every draw
    values = np.array([[*point.macro_f1] if len(point.macro_f1) > 1 else [*point.macro_f1] * draws for point in points])

    def fitted(columns: Ints) -> Floats:
        return _fitted(np.repeat(sizes, len(columns)), values[:, columns].ravel())

    def gain_of(parameters: Floats) -> float:
        now, then = _curve(parameters, np.array([sizes[-1], 2 * sizes[-1]]))
        return float(then - now)

    parameters = fitted(np.arange(draws))
    rng = np.random.default_rng(seed)
    gains = [gain_of(fitted(rng.integers(0, draws, draws))) for _ in range(_ROUNDS)]
    low, high = np.quantile(gains, [0.025, 0.975])
    level, scale, rate = parameters.tolist()
    return LearningCurve(
        scored_on=name,
        scored_units=len(scored),
        scored_articles=len({example.article for example in scored}),
        points=tuple(points),
        level=level,
        scale=scale,
        rate=rate,
        doubled=float(_curve(parameters, np.array([2 * sizes[-1]]))[0]),
        gain=gain_of(parameters),
        gain_interval=(float(low), float(high)),
    )
