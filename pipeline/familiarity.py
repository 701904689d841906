"""Familiarity: whether a text speaks of what the corpus speaks of, by its words.

A classifier that has only ever seen diplomatic news takes a footballer's hopes for a goal. So each word weighs how much
more frequent it is in the corpus's background than in English of every kind, and a unit whose words, with those of
the units around it, weigh less than nearly all of the corpus does is unfamiliar. The weight is the log-likelihood
ratio by which Moore and Lewis (2010), "Intelligent selection of language model training data", choose text like their
own, for single words. No text about other things is needed to fit it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from pipeline.batches import Batch
from pipeline.keys import lookup
from pipeline.sentences import hash_of
from pipeline.structure import NORM

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Words and the logarithm of their shares; lines that begin with ``#`` say where they come from.
WORDS_FILE = "general_words.tsv"
#: Units on either side whose words count too: one sentence says little, and articles seldom change their subject.
WINDOW = 8
#: So many words of general English are added to the corpus's own, that no share is 0.
_PRIOR = 20_000.0


@cache
def general_words() -> tuple[NDArray[np.uint64], Floats]:
    """Hashes of words, sorted, and the share of each in general English; read once per process."""
    shares: dict[int, float] = {}
    for line in files("pipeline").joinpath(WORDS_FILE).read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            level, words = line.split("\t")
            shares |= {hash_of(word): math.exp(float(level)) for word in words.split()}
    keys = np.array(sorted(shares), dtype=np.uint64)
    return keys, np.array([shares[key] for key in keys.tolist()])


class Familiarity:
    """How far the words of units are those of a corpus.

    Attributes
    ----------
    words : array of uint64, sorted
        spaCy's hashes of words in lower case. Function words, names that are rare and numbers are not among them.
    weights : array of float32
        For each word the logarithm of its share in the corpus over its share in general English.
    threshold : float
        Under it a unit is unfamiliar.
    """

    def __init__(self, words: NDArray[np.uint64], weights: NDArray[np.float32], threshold: float = -math.inf) -> None:
        self.words = words
        self.weights = weights
        self.threshold = threshold

    @classmethod
    def of(cls, batch: Batch) -> Familiarity:
        """The weights of a corpus; without a threshold no text with a known word is unfamiliar."""
        words, shares = general_words()
        norms = batch.tokens.attributes[:, NORM]
        found = lookup(words, norms)
        counts = np.bincount(found[found >= 0], minlength=len(words))
        weights = np.log((counts + _PRIOR * shares) / (len(norms) + _PRIOR) / shares)
        return cls(words, weights.astype(np.float32))

    @classmethod
    def fit(
        cls,
        batch: Batch,
        plain: NDArray[np.bool_],
        folds: Sequence[tuple[Ints, Ints]],
        chosen: NDArray[np.bool_],
        share: float,
    ) -> Familiarity:
        """The weights of a corpus, and the threshold that ``share`` of the ``chosen`` units fall short of.

        Parameters
        ----------
        batch : Batch of n units
        plain : array of n bool
            The units that give the weights: background, for the words that make a unit a goal or a challenge
            ("hopes", "vowed") are those of every subject.
        folds : pairs of train and test rows, whole articles
            The threshold is measured on the test rows, with the weights of the training rows.
        chosen : array of n bool
            Units most like the text that will be classified.
        share : float in 0..1
        """
        scores = np.full(len(batch), np.nan)
        for train, test in folds:
            scores[test] = cls.of(batch.take(train[plain[train]])).scores(batch.take(test))
        known = scores[chosen & ~np.isnan(scores)]
        fitted = cls.of(batch.take(np.flatnonzero(plain)))
        if len(known):
            fitted.threshold = float(np.quantile(known, share))
        return fitted

    def scores(self, batch: Batch) -> Floats:
        """The mean weight of the words in and around each unit, of shape (n_units,); NaN where none is known."""
        n = len(batch)
        found = lookup(self.words, batch.tokens.attributes[:, NORM])
        unit = np.repeat(np.arange(n), np.diff(batch.tokens.starts))[found >= 0]
        weight = np.bincount(unit, self.weights[found[found >= 0]], n)
        count = np.bincount(unit, minlength=n)
        # documents are runs of equal numbers: a window ends where its document does
        edges = np.flatnonzero(np.diff(batch.documents)) + 1
        place = np.arange(n)
        run = np.searchsorted(edges, place, side="right")
        first = np.maximum(np.append(0, edges)[run], place - WINDOW)
        last = np.minimum(np.append(edges, n)[run], place + WINDOW + 1)
        sums, counts = (np.append(0, np.cumsum(column)) for column in (weight, count))
        total, words = sums[last] - sums[first], counts[last] - counts[first]
        return np.asarray(np.divide(total, words, out=np.full(n, np.nan), where=words > 0))

    def unfamiliar(self, batch: Batch) -> NDArray[np.bool_]:
        """Which units fall short of the threshold, or have no known word in or around them."""
        scores = self.scores(batch)
        return np.isnan(scores) | (scores < self.threshold)
