"""What `drift` measures of articles, and how far these measures go by chance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
#: Of the draws from the reference, this share shows less than an unusual value.
LEVEL = 0.99
_DRAWS = 2000
#: Shares of short documents are drawn towards the reference's, as if they had so many more units or words of its kind.
_MORE_UNITS, _MORE_WORDS = 5, 50
MEASURES = ("labels", "uncertain", "unseen", "novelty")


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure of a set of articles: its value, the reference's, and the least value that is unusual."""

    value: float
    reference: float
    limit: float

    @property
    def unusual(self) -> bool:
        """Whether the value lies above what chance explains."""
        return self.value > self.limit


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A new article: the share of uncertain units and of unseen words, its novelty, and why to label it, 0 to 1.

    ``novelty`` is one minus the cosine to the nearest article of the corpus (:mod:`pipeline.novelty`). ``priority`` is
    the mean share of reference articles that lie below it in the three.
    """

    id: str
    units: int
    uncertain: float
    unseen: float
    novelty: float
    priority: float


@dataclass(frozen=True, slots=True)
class Articles:
    """What is counted of each article: arrays with one row an article."""

    units: Ints
    labels: Ints
    uncertain: Ints
    words: Ints
    unseen: Ints
    novelty: Floats

    def sums(self) -> Floats:
        """Shape (n_articles, 5 + n_labels): units, uncertain, words, unseen, novelty, labels."""
        columns = (self.units, self.uncertain, self.words, self.unseen, self.novelty)
        return np.column_stack([*columns, self.labels]).astype(np.float64)

    def take(self, rows: Ints) -> Articles:
        return Articles(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def shares_of(counts: Ints) -> list[float]:
    total = counts.sum(axis=0)
    return [float(share) for share in total / max(total.sum(), 1)]


def _measured(sums: Floats, n_articles: int) -> Floats:
    """Uncertain share, unseen share, mean novelty, then the label shares, of sums as `Articles.sums` has them."""
    units, uncertain, words, unseen, new = (sums[..., column] for column in range(5))
    head = np.stack([uncertain / np.maximum(units, 1), unseen / np.maximum(words, 1), new / n_articles], axis=-1)
    return np.concatenate([head, sums[..., 5:] / np.maximum(units, 1)[..., None]], axis=-1)


def measures_of(new: Articles, reference: Articles, seed: int) -> dict[str, Measure]:
    rng = np.random.default_rng(seed)
    rows, n, m = reference.sums(), len(new.units), len(reference.units)

    def drawn(size: int) -> Floats:
        picks = np.stack([np.bincount(rng.integers(0, m, size), minlength=m) for _ in range(_DRAWS)])
        return _measured(picks @ rows, size)

    one, other = drawn(n), drawn(m)
    value, usual = _measured(new.sums().sum(axis=0), n), _measured(rows.sum(axis=0), m)
    moved = np.quantile(np.abs(one[:, 3:] - other[:, 3:]).sum(axis=1) / 2, LEVEL)
    found = {"labels": Measure(float(np.abs(value[3:] - usual[3:]).sum() / 2), 0.0, float(moved))}
    limits = usual[:3] + np.quantile(one[:, :3] - other[:, :3], LEVEL, axis=0)
    for place, name in enumerate(MEASURES[1:]):
        found[name] = Measure(float(value[place]), float(usual[place]), float(limits[place]))
    return found


def documents_of(names: Sequence[str], new: Articles, reference: Articles) -> list[NewDocument]:
    uncertain = reference.uncertain.sum() / max(reference.units.sum(), 1)
    unseen = reference.unseen.sum() / max(reference.words.sum(), 1)

    def drawn_in(one: Articles) -> list[Floats]:
        return [
            (one.uncertain + _MORE_UNITS * uncertain) / (one.units + _MORE_UNITS),
            (one.unseen + _MORE_WORDS * unseen) / (one.words + _MORE_WORDS),
            one.novelty,
        ]

    below = [
        np.searchsorted(np.sort(usual), value) / len(usual)
        for value, usual in zip(drawn_in(new), drawn_in(reference), strict=True)
    ]
    priority = np.mean(below, axis=0)
    return [
        NewDocument(
            id=name,
            units=int(new.units[at]),
            uncertain=float(new.uncertain[at] / max(new.units[at], 1)),
            unseen=float(new.unseen[at] / max(new.words[at], 1)),
            novelty=float(new.novelty[at]),
            priority=float(priority[at]),
        )
        for at, name in enumerate(names)
    ]


def first_to_label(documents: Sequence[NewDocument], rows: sparse.csr_matrix, top: int) -> Iterator[NewDocument]:
    """The documents of the highest priority times their distance to the nearest one taken before."""
    away = np.ones(len(documents))
    priority = np.array([document.priority for document in documents])
    left = np.ones(len(documents), dtype=bool)
    for _ in range(min(top, len(documents))):
        # where nothing is left of either factor, the order of the documents decides
        best = int(np.argmax(np.where(left, priority * away, -1.0)))
        left[best] = False
        yield documents[best]
        away = np.minimum(away, 1.0 - np.asarray((rows @ rows[best].T).todense()).ravel())
