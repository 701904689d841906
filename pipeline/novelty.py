"""How new a text is beside a corpus, by its words alone: words never met, and the nearest article.

Novelty as the distance to the nearest known document is the plainest measure of those that M. A. F. Pimentel et al.,
"A review of novelty detection" (2014), list. Here a document is the tf-idf vector of its words, and the distance one
minus the cosine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from pipeline.batches import Batch
from pipeline.cues import lookup
from pipeline.structure import NORM

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
#: Documents compared with all known ones at a time.
_STRIDE = 256


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words of a corpus, sorted by hash, with the number of article groups that each occurs in."""

    words: NDArray[np.uint64]
    frequency: Ints


def vocabulary_of(batch: Batch, groups: ArrayLike) -> Vocabulary:
    """The words of labelled units; ``groups`` has the group number of each unit."""
    words, number = np.unique(batch.tokens.attributes[:, NORM], return_inverse=True)
    pairs = np.unique(np.stack([number, np.asarray(groups)[_units(batch)]], axis=1), axis=0)
    return Vocabulary(words, np.bincount(pairs[:, 0], minlength=len(words)).astype(np.int64))


def unseen_shares(batch: Batch, known: Vocabulary, *, within: bool = False) -> Floats:
    """The share of each unit's words that the corpus does not have; 0 for a unit without words.

    With ``within``, the units are the corpus's own, and a word counts as unseen where no other group has it.
    """
    units = _units(batch)
    unseen = _unseen(batch, known, within)
    return np.bincount(units, unseen, len(batch)) / np.maximum(np.bincount(units, minlength=len(batch)), 1)


def unseen_by_document(batch: Batch, known: Vocabulary, *, within: bool = False) -> tuple[Ints, Ints]:
    """For each document of a batch how many of its words the corpus does not have, and how many it has in all."""
    documents = batch.documents[_units(batch)]
    n = int(batch.documents.max()) + 1 if len(batch) else 0
    unseen = np.bincount(documents, _unseen(batch, known, within), n)
    return unseen.astype(np.int64), np.bincount(documents, minlength=n).astype(np.int64)


def vectors(batch: Batch, known: Vocabulary, n_documents: int) -> sparse.csr_matrix:
    """The tf-idf vector of each document, of length 1, shape (n_documents, n_words); words not known are left out.

    ``(1 + log tf) * idf``, with scikit-learn's smooth idf over the corpus's article groups.
    """
    column = lookup(known.words, batch.tokens.attributes[:, NORM])
    met = column >= 0
    rows = batch.documents[_units(batch)][met]
    shape = (n_documents, len(known.words))
    matrix = sparse.csr_matrix((np.ones(len(rows)), (rows, column[met])), shape=shape)
    matrix.sum_duplicates()
    most = known.frequency.max() if len(known.frequency) else 1
    idf = np.log((1 + most) / (1 + known.frequency)) + 1.0
    matrix.data = (1.0 + np.log(matrix.data)) * idf[matrix.indices]
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    matrix.data /= np.repeat(np.where(length > 0, length, 1.0), np.diff(matrix.indptr))
    return matrix


def novelty(
    new: sparse.csr_matrix,
    known: sparse.csr_matrix,
    new_groups: ArrayLike | None = None,
    known_groups: ArrayLike | None = None,
) -> Floats:
    """One minus the cosine to the nearest known document, for each new one: 0 for a copy, 1 where no word is shared.

    With groups, a document is not compared with those of its own group: so known documents can be measured as if they
    were new.
    """
    found = np.ones(new.shape[0])
    for start in range(0, new.shape[0], _STRIDE):
        cosine = (new[start : start + _STRIDE] @ known.T).toarray()
        if new_groups is not None and known_groups is not None:
            own = np.asarray(new_groups)[start : start + _STRIDE, None] == np.asarray(known_groups)[None, :]
            cosine[own] = 0.0
        if cosine.shape[1]:
            found[start : start + _STRIDE] = 1.0 - cosine.max(axis=1)
    return np.clip(found, 0.0, 1.0)


def _units(batch: Batch) -> Ints:
    """The number of the unit that each token stands in."""
    return np.repeat(np.arange(len(batch)), np.diff(batch.tokens.starts))


def _unseen(batch: Batch, known: Vocabulary, within: bool) -> NDArray[np.bool_]:
    column = lookup(known.words, batch.tokens.attributes[:, NORM])
    if within:
        return np.asarray(known.frequency[column] < 2)
    return np.asarray(column < 0)
