"""Batches: many units side by side, as the arrays that features are computed from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from pipeline.cues import CueMatcher
from pipeline.records import KINDS, Example
from pipeline.sentences import Parsed, Tokens, tokens_of

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Parts:
    """What features are made of, as far as it hangs on the units alone: computed once, for all folds.

    Attributes
    ----------
    ngrams : csr matrix of shape (n_units, n_keys)
        1 where a word or pair of neighbours stands in a unit.
    keys : array of shape (n_keys,)
        The number of each word or pair, in rising order.
    pairs : array of shape (n_keys, 2)
        Its words, as indices into ``words``; the second is -1 for a single word.
    words : tuple of str
    cues, structure : csr matrices of n_units rows
    heading_cues : csr matrix of shape (n_headings, n_groups)
    matcher : CueMatcher
        What found the cues.
    """

    ngrams: sparse.csr_matrix
    keys: NDArray[np.uint64]
    pairs: Ints
    words: tuple[str, ...]
    cues: sparse.csr_matrix
    structure: sparse.csr_matrix
    heading_cues: sparse.csr_matrix
    matcher: CueMatcher

    def take(self, rows: Ints) -> Parts:
        """The parts of some units."""
        return replace(self, ngrams=self.ngrams[rows], cues=self.cues[rows], structure=self.structure[rows])


@dataclass(frozen=True, slots=True)
class Batch:
    """Units of whole documents, in reading order.

    Attributes
    ----------
    tokens : Tokens
        The tokens of the units, all documents one after the other.
    kinds : array of shape (n_units,)
        Index of each unit's kind in ``records.KINDS``.
    documents : array of shape (n_units,)
        Number of the document each unit belongs to; neighbours with the same number are neighbours
        in the text.
    headings : Tokens
        The distinct section headings and list lead-ins; entry 0 is empty.
    sections : array of shape (n_units,)
        Index into ``headings`` of each unit's section; 0 where there is none.
    texts, heading_texts : tuples of str
        The text of each unit and of each heading, for a sentence encoder, which reads strings and no tokens.
    parts : Parts, optional
        Computed beforehand, where the same units are fitted again and again.
    """

    tokens: Tokens
    kinds: Ints
    documents: Ints
    headings: Tokens
    sections: Ints
    texts: tuple[str, ...]
    heading_texts: tuple[str, ...]
    parts: Parts | None = None

    def __len__(self) -> int:
        return len(self.kinds)

    def take(self, rows: Ints) -> Batch:
        """The batch of some units, in the order of ``rows``.

        Take whole documents: what becomes a neighbour in the new batch counts as a neighbour in the text.
        """
        sizes = np.diff(self.tokens.starts)[rows]
        starts = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        picked = np.arange(starts[-1]) - np.repeat(starts[:-1] - self.tokens.starts[rows], sizes)
        return Batch(
            tokens=Tokens(self.tokens.attributes[picked], starts),
            kinds=self.kinds[rows],
            documents=self.documents[rows],
            headings=self.headings,
            sections=self.sections[rows],
            texts=tuple(self.texts[row] for row in rows.tolist()),
            heading_texts=self.heading_texts,
            parts=None if self.parts is None else self.parts.take(rows),
        )


def joined(batches: Sequence[Batch], matcher: CueMatcher) -> Batch:
    """Batches with parts, one after the other: the same as the batch of all of their units together.

    No document may stand in two of them.
    """
    headings: dict[str, tuple[int, int]] = {}  # where each distinct one comes up first: its batch, and its place there
    for number, batch in enumerate(batches):
        for place, text in enumerate(batch.heading_texts):
            headings.setdefault(text, (number, place))
    order = {text: index for index, text in enumerate(headings)}
    sections = [np.array([order[text] for text in batch.heading_texts])[batch.sections] for batch in batches]
    counts = np.cumsum([0, *(int(batch.documents[-1]) + 1 if len(batch) else 0 for batch in batches)])
    return Batch(
        tokens=_joined_tokens([batch.tokens for batch in batches]),
        kinds=np.concatenate([batch.kinds for batch in batches]),
        documents=np.concatenate([batch.documents + first for batch, first in zip(batches, counts, strict=False)]),
        headings=tokens_of(list(headings)),
        sections=np.concatenate(sections),
        texts=tuple(text for batch in batches for text in batch.texts),
        heading_texts=tuple(headings),
        parts=_joined_parts([batch.parts for batch in batches if batch.parts], list(headings.values()), matcher),
    )


def _joined_tokens(parts: Sequence[Tokens]) -> Tokens:
    sizes = np.concatenate([np.diff(part.starts) for part in parts])
    starts = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    return Tokens(np.concatenate([part.attributes for part in parts]), starts)


def _joined_parts(parts: Sequence[Parts], headings: Sequence[tuple[int, int]], matcher: CueMatcher) -> Parts:
    number: dict[str, int] = {}
    words = [np.array([number.setdefault(word, len(number)) for word in part.words] + [-1]) for part in parts]
    keys, first = np.unique(np.concatenate([part.keys for part in parts]), return_index=True)
    pairs = np.concatenate([word[part.pairs] for word, part in zip(words, parts, strict=True)])[first]
    ngrams = []
    for part in parts:  # keys are in rising order in each, so those of a unit stay in order
        column = np.searchsorted(keys, part.keys)[part.ngrams.indices]
        shape = (part.ngrams.shape[0], len(keys))
        ngrams.append(sparse.csr_matrix((part.ngrams.data, column, part.ngrams.indptr), shape=shape))
    return Parts(
        ngrams=sparse.vstack(ngrams, format="csr"),
        keys=keys,
        pairs=pairs,
        words=tuple(number),
        cues=sparse.vstack([part.cues for part in parts], format="csr"),
        structure=sparse.vstack([part.structure for part in parts], format="csr"),
        heading_cues=sparse.vstack([parts[at].heading_cues[place] for at, place in headings], format="csr"),
        matcher=matcher,
    )


def _headings(sections: Sequence[str | None]) -> tuple[tuple[str, ...], Tokens, Ints]:
    """Number the distinct heading texts, and tokenise each once."""
    number: dict[str, int] = {"": 0}
    column = np.array([number.setdefault(text or "", len(number)) for text in sections], dtype=np.int64)
    return tuple(number), tokens_of(list(number)), column


def batch_of_parsed(parsed: Sequence[Parsed]) -> Batch:
    """The batch of whole parsed documents; units in the order of ``parsed``."""
    # numpy joins no empty list of arrays, so no documents are joined with no tokens
    parts = [tokens_of([]), *(one.tokens for one in parsed)]
    attributes = np.concatenate([part.attributes for part in parts])
    sizes = np.concatenate([np.diff(part.starts) for part in parts])
    units = [unit for one in parsed for unit in one.units]
    counts = [len(one.units) for one in parsed]
    heading_texts, headings, sections = _headings([unit.section for unit in units])
    return Batch(
        tokens=Tokens(attributes, np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)),
        kinds=np.array([KINDS.index(unit.kind) for unit in units], dtype=np.int64),
        documents=np.repeat(np.arange(len(parsed)), counts),
        headings=headings,
        sections=sections,
        texts=tuple(unit.text for unit in units),
        heading_texts=heading_texts,
    )


def _article_numbers(articles: Iterable[str]) -> Ints:
    """0 for the first run of equal ids, 1 for the next, ..."""
    runs = [sum(1 for _ in rows) for _, rows in groupby(articles)]
    return np.repeat(np.arange(len(runs)), runs)


def batch_of_examples(examples: Sequence[Example]) -> Batch:
    """The batch of labelled corpus units; rows of an article that follow each other are neighbours."""
    heading_texts, headings, sections = _headings([example.section for example in examples])
    return Batch(
        tokens=tokens_of([example.text for example in examples]),
        kinds=np.array([KINDS.index(example.kind) for example in examples], dtype=np.int64),
        documents=_article_numbers(example.article for example in examples),
        headings=headings,
        sections=sections,
        texts=tuple(example.text for example in examples),
        heading_texts=heading_texts,
    )
