"""Features: batches of units to a sparse matrix, in numpy, without a Python loop over tokens."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin

from pipeline.batches import Batch, Parts
from pipeline.cues import CueMatcher, lookup
from pipeline.lexicon import Group, load_lexicon
from pipeline.parts import (
    STANCES,
    STRUCTURE_NAMES,
    binary,
    cue_matrix,
    heading_cues,
    ngram_keys,
    parts_of,
    structure_matrix,
)
from pipeline.records import KINDS
from pipeline.sentences import Tokens
from pipeline.structure import NORM, Zones, zones

Ints = NDArray[np.int64]
_NONE = np.zeros(0, dtype=np.int64)


class _Block(NamedTuple):
    """Some columns of the matrix, with their names."""

    matrix: sparse.csr_matrix
    names: list[str]


@lru_cache(maxsize=1)
def _matcher_of(groups: tuple[Group, ...]) -> CueMatcher:
    """The matcher of a lexicon, built once per process: every fold of a cross-validation needs the same."""
    return CueMatcher(groups)


def lexicon_matcher() -> CueMatcher:
    """The matcher of the lexicon that communique has now; a fitted model keeps the one that it was fitted with."""
    return _matcher_of(load_lexicon())


class UnitFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Word n-grams, cues, structure and context of units, as a sparse matrix.

    Parameters
    ----------
    min_df : int, default=2
        Words and word pairs found in fewer units of the training data are left out.
    ngram_weight, cue_weight, stance_weight, structure_weight, context_weight : float
        Scale of each block before the classifier's common penalty, which so weighs less or more on it; 0 leaves a
        block out. ``cue_weight`` is for a cue anywhere in the unit, ``stance_weight`` for how it stands there.

    Attributes
    ----------
    feature_names_ : list of str
        A readable name for each column: ``word=...``, ``cue=...``, ``has=...``, ``context=...``.
    """

    def __init__(
        self,
        *,
        min_df: int = 2,
        ngram_weight: float = 3.0,
        cue_weight: float = 1.0,
        stance_weight: float = 0.5,
        structure_weight: float = 0.15,
        context_weight: float = 0.3,
    ) -> None:
        self.min_df = min_df
        self.ngram_weight = ngram_weight
        self.cue_weight = cue_weight
        self.stance_weight = stance_weight
        self.structure_weight = structure_weight
        self.context_weight = context_weight

    def fit(self, batch: Batch, y: Any = None) -> UnitFeatures:
        """Learn the vocabulary and its inverse document frequencies from a batch."""
        parts = batch.parts or parts_of(batch, lexicon_matcher())
        self.matcher_ = parts.matcher
        frequency = np.bincount(parts.ngrams.indices, minlength=len(parts.keys))
        keep = frequency >= max(self.min_df, 1)
        self.vocabulary_ = parts.keys[keep]
        self.idf_ = np.log((1 + len(batch)) / (1 + frequency[keep])) + 1.0
        names = parts.words
        self.ngrams_ = [
            f"word={names[one]} {names[two]}" if two >= 0 else f"word={names[one]}"
            for one, two in parts.pairs[keep].tolist()
        ]
        self.feature_names_ = [name for block in self._blocks(batch.take(_NONE)) for name in block.names]
        return self

    def transform(self, batch: Batch) -> sparse.csr_matrix:
        """The matrix of shape (n_units, n_features), float64."""
        return sparse.hstack([block.matrix for block in self._blocks(batch)], format="csr")

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of the columns, as scikit-learn asks for them."""
        return np.array(self.feature_names_, dtype=object)

    def _blocks(self, batch: Batch) -> list[_Block]:
        matcher = self.matcher_
        parts = batch.parts
        if parts is not None and parts.matcher is matcher:
            cues, structure, headings = parts.cues, parts.structure, parts.heading_cues
            ngrams = self._known_ngrams(parts)
        else:
            where = zones(batch.tokens)
            cues = cue_matrix(batch.tokens, where, matcher)
            structure, headings = structure_matrix(batch, where), heading_cues(batch.headings, matcher)
            ngrams = self._found_ngrams(batch.tokens, where)
        n = len(matcher.names)
        blocks = []
        if self.ngram_weight:
            blocks.append(self._ngrams(ngrams))
        if self.cue_weight:
            blocks.append(_Block(cues[:, :n] * self.cue_weight, [f"cue={name}" for name in matcher.names]))
        if self.stance_weight:
            stances = [f"cue={name}/{kind}" for kind in STANCES for name in matcher.names]
            blocks.append(_Block(cues[:, n:] * self.stance_weight, stances))
        if self.structure_weight:
            blocks.append(_Block(structure * self.structure_weight, list(STRUCTURE_NAMES)))
        if self.context_weight:
            blocks.append(self._context(batch, cues[:, :n], headings))
        return blocks

    def _found_ngrams(self, tokens: Tokens, where: Zones) -> sparse.csr_matrix:
        """1 where a word or pair of the vocabulary stands in a unit."""
        keys, rows, _ = ngram_keys(tokens.attributes[:, NORM], where.unit)
        columns = lookup(self.vocabulary_, keys)
        known = columns >= 0
        return binary(rows[known], columns[known], (len(tokens.starts) - 1, len(self.vocabulary_)))

    def _known_ngrams(self, parts: Parts) -> sparse.csr_matrix:
        """The same, from parts: their keys are in the vocabulary's order, so that a unit's columns stay in order."""
        columns = lookup(self.vocabulary_, parts.keys)[parts.ngrams.indices]
        known = columns >= 0
        starts = np.concatenate(([0], np.cumsum(known)))[parts.ngrams.indptr]
        shape = (parts.ngrams.shape[0], len(self.vocabulary_))
        return sparse.csr_matrix((np.ones(int(known.sum())), columns[known], starts), shape=shape)

    def _ngrams(self, matrix: sparse.csr_matrix) -> _Block:
        matrix.data = self.idf_[matrix.indices]
        length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
        scale = np.divide(self.ngram_weight, length, out=np.zeros_like(length), where=length > 0)
        matrix.data *= np.repeat(scale, np.diff(matrix.indptr))
        return _Block(matrix, self.ngrams_)

    def _context(self, batch: Batch, cues: sparse.csr_matrix, headings: sparse.csr_matrix) -> _Block:
        """Cues of the section (once more for list items, which inherit from it) and of the unit before."""
        names = self.matcher_.names
        section = headings[batch.sections]
        listed = sparse.diags((batch.kinds == KINDS.index("bullet")).astype(float)) @ section
        n = len(batch)
        same = np.zeros(n, dtype=bool)
        same[1:] = batch.documents[1:] == batch.documents[:-1]
        before = sparse.diags(same.astype(float)) @ cues[np.maximum(np.arange(n) - 1, 0)]
        first = sparse.csr_matrix(~same[:, None], dtype=float)
        matrix = sparse.hstack([section, listed, before, first], format="csr")
        labels = [f"context=section:{name}" for name in names] + [f"context=list:{name}" for name in names]
        labels += [f"context=before:{name}" for name in names]
        labels.append("context=first unit")
        return _Block(matrix * self.context_weight, labels)
