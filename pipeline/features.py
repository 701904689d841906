"""Features: batches of units to a sparse matrix, in numpy, without a Python loop over tokens."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin

from pipeline.batches import Batch
from pipeline.cues import CueMatcher, Matches
from pipeline.keys import lookup
from pipeline.lexicon import Group, load_lexicon
from pipeline.records import KINDS
from pipeline.sentences import Tokens, hash_of, string_of
from pipeline.structure import CLASS_NAMES, NORM, Zones, class_counts, first_classes, zones

Ints = NDArray[np.int64]
_PAIR = np.uint64(0x9E3779B97F4A7C15)
_COLON = np.uint64(hash_of(":"))
#: A colon this many tokens from the start at most ends a run-in head.
_RUN_IN = 8
_NONE = np.zeros(0, dtype=np.int64)
_LENGTHS = (5, 10, 18, 28, 40)


class _Block(NamedTuple):
    """Some columns of the matrix, with their names."""

    matrix: sparse.csr_matrix
    names: list[str]


def _binary(rows: Ints, columns: Ints, shape: tuple[int, int]) -> sparse.csr_matrix:
    """1 where (row, column) occurs at least once."""
    matrix = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


def _ngram_keys(norms: NDArray[np.uint64], unit: Ints) -> tuple[NDArray[np.uint64], Ints]:
    """Keys of all words and all pairs of neighbours inside a unit, and the unit of each."""
    with np.errstate(over="ignore"):
        pairs = norms[:-1] * _PAIR + norms[1:]
    inside = unit[:-1] == unit[1:]
    return np.concatenate((norms, pairs[inside])), np.concatenate((unit, unit[:-1][inside]))


@lru_cache(maxsize=1)
def _matcher_of(groups: tuple[Group, ...]) -> CueMatcher:
    """The matcher of a lexicon, built once per process: every fold of a cross-validation needs the same."""
    return CueMatcher(groups)


def _text_of(key: np.uint64) -> str:
    """The string of a norm, or its number in a worker process, which never met the strings of its batch."""
    try:
        return string_of(int(key))
    except KeyError:
        return f"{int(key):016x}"


def _heads(tokens: Tokens, where: Zones) -> NDArray[np.bool_]:
    """Which tokens open their unit, or follow a colon among its first tokens."""
    n = len(tokens.attributes)
    first = tokens.starts[where.unit] if n else np.zeros(0, dtype=np.int64)
    place = np.arange(n) - first
    heads: NDArray[np.bool_] = place == 0
    colon = tokens.attributes[:, NORM] == _COLON
    heads[1:] |= colon[:-1] & (place[1:] > 0) & (place[1:] <= _RUN_IN)
    return heads


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
        self.matcher_ = _matcher_of(load_lexicon())
        tokens = batch.tokens
        unit = zones(tokens).unit
        norms = tokens.attributes[:, NORM]
        keys, rows = _ngram_keys(norms, unit)
        order = np.lexsort((rows, keys))
        keys, rows = keys[order], rows[order]
        again = np.zeros(len(keys), dtype=bool)
        again[1:] = (keys[1:] == keys[:-1]) & (rows[1:] == rows[:-1])
        vocabulary, frequency = np.unique(keys[~again], return_counts=True)
        keep = frequency >= self.min_df
        self.vocabulary_ = vocabulary[keep]
        self.idf_ = np.log((1 + len(batch)) / (1 + frequency[keep])) + 1.0
        self._name_ngrams(norms)
        self.feature_names_ = [name for block in self._blocks(batch.take(_NONE)) for name in block.names]
        return self

    def _name_ngrams(self, norms: NDArray[np.uint64]) -> None:
        """Names in the vocabulary's order; a word or pair is looked up once, where it first stands."""
        with np.errstate(over="ignore"):
            pairs = norms[:-1] * _PAIR + norms[1:]
        names: dict[int, str] = {}
        for keys, width in ((norms, 1), (pairs, 2)):
            found, first = np.unique(keys, return_index=True)
            known = lookup(self.vocabulary_, found) >= 0
            for key, at in zip(found[known].tolist(), first[known].tolist(), strict=True):
                names.setdefault(key, " ".join(_text_of(norm) for norm in norms[at : at + width]))
        self.ngrams_ = [f"word={names[key]}" for key in self.vocabulary_.tolist()]

    def transform(self, batch: Batch) -> sparse.csr_matrix:
        """The matrix of shape (n_units, n_features), float64."""
        return sparse.hstack([block.matrix for block in self._blocks(batch)], format="csr")

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of the columns, as scikit-learn asks for them."""
        return np.array(self.feature_names_, dtype=object)

    def _blocks(self, batch: Batch) -> list[_Block]:
        where = zones(batch.tokens)
        matches = self.matcher_.match(batch.tokens.attributes[:, NORM], batch.tokens.starts)
        cues = self._cues(batch.tokens, where, matches)
        blocks = []
        if self.ngram_weight:
            blocks.append(self._ngrams(batch.tokens, where))
        n = len(self.matcher_.names)
        if self.cue_weight:
            blocks.append(_Block(cues.matrix[:, :n] * self.cue_weight, cues.names[:n]))
        if self.stance_weight:
            blocks.append(_Block(cues.matrix[:, n:] * self.stance_weight, cues.names[n:]))
        if self.structure_weight:
            blocks.append(self._structure(batch, where))
        if self.context_weight:
            blocks.append(self._context(batch, cues.matrix[:, :n]))
        return blocks

    def _ngrams(self, tokens: Tokens, where: Zones) -> _Block:
        keys, rows = _ngram_keys(tokens.attributes[:, NORM], where.unit)
        columns = lookup(self.vocabulary_, keys)
        known = columns >= 0
        shape = (len(tokens.starts) - 1, len(self.vocabulary_))
        matrix = _binary(rows[known], columns[known], shape)
        matrix.data = self.idf_[matrix.indices]
        length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
        scale = np.divide(self.ngram_weight, length, out=np.zeros_like(length), where=length > 0)
        matrix.data *= np.repeat(scale, np.diff(matrix.indptr))
        return _Block(matrix, self.ngrams_)

    def _cues(self, tokens: Tokens, where: Zones, matches: Matches) -> _Block:
        """Each group, and each group with where it stands: main, subordinate, quoted, negated, early, at the head.

        The head is the unit's first word, or the first behind a run-in head ("Energy Security: Exploring ...").
        """
        names = self.matcher_.names
        n_units, n = len(tokens.starts) - 1, len(names)
        row, at = where.unit[matches.token], matches.token
        early = at - tokens.starts[row] < 0.4 * np.diff(tokens.starts)[row]
        main = ~where.subordinate[at] & ~where.quoted[at]
        variants = {
            "": np.ones(len(at), dtype=bool),
            "main": main & ~where.negated[at],
            "subordinate": where.subordinate[at],
            "quoted": where.quoted[at],
            "negated": where.negated[at],
            "early": early & ~where.subordinate[at],
            "head": _heads(tokens, where)[at],
        }
        rows = np.concatenate([row[chosen] for chosen in variants.values()])
        columns = np.concatenate([matches.group[chosen] + n * i for i, chosen in enumerate(variants.values())])
        matrix = _binary(rows, columns, (n_units, n * len(variants)))
        return _Block(matrix, [f"cue={name}{'/' if kind else ''}{kind}" for kind in variants for name in names])

    def _structure(self, batch: Batch, where: Zones) -> _Block:
        tokens = batch.tokens
        counts = np.minimum(class_counts(tokens, where.unit), 3.0) / 2.0
        first = first_classes(tokens)
        size = np.diff(tokens.starts)
        lengths = np.stack([size > limit for limit in _LENGTHS], axis=1)
        kinds = np.eye(len(KINDS))[batch.kinds]
        quoted = np.bincount(where.unit[where.quoted], minlength=len(size)) / np.maximum(size, 1)
        dense = np.hstack([counts, first, lengths, kinds, quoted[:, None], quoted[:, None] > 0.5])
        names = [
            *(f"has={name}" for name in CLASS_NAMES),
            *(f"first={name}" for name in CLASS_NAMES),
            *(f"longer={limit}" for limit in _LENGTHS),
            *(f"kind={kind}" for kind in KINDS),
            "quoted=share",
            "quoted=most",
        ]
        return _Block(sparse.csr_matrix(dense * self.structure_weight), names)

    def _context(self, batch: Batch, cues: sparse.csr_matrix) -> _Block:
        """Cues of the section (once more for list items, which inherit from it) and of the unit before."""
        names = self.matcher_.names
        heading_matches = self.matcher_.match(batch.headings.attributes[:, NORM], batch.headings.starts)
        heading_unit = zones(batch.headings).unit[heading_matches.token]
        n_headings = len(batch.headings.starts) - 1
        headings = _binary(heading_unit, heading_matches.group, (n_headings, len(names)))
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
