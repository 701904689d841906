"""Batches: many units side by side, as the arrays that features are computed from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from pipeline.records import KINDS, Example
from pipeline.sentences import Parsed, Piece, Tokens, tokens_of, tokens_of_pieces

Ints = NDArray[np.int64]
_KIND = {kind: number for number, kind in enumerate(KINDS)}


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
    """

    tokens: Tokens
    kinds: Ints
    documents: Ints
    headings: Tokens
    sections: Ints
    texts: tuple[str, ...]
    heading_texts: tuple[str, ...]

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
        )


def _headings(sections: Sequence[str | None], *, lasting: bool) -> tuple[tuple[str, ...], Tokens, Ints]:
    """Number the distinct heading texts, and tokenise each once."""
    number: dict[str, int] = {"": 0}
    column = np.array([number.setdefault(text or "", len(number)) for text in sections], dtype=np.int64)
    return tuple(number), tokens_of(list(number), lasting=lasting), column


def batch_of_parsed(parsed: Sequence[Parsed]) -> Batch:
    """The batch of whole parsed documents; units in the order of ``parsed``."""
    # numpy joins no empty list of arrays, so no documents are joined with no tokens
    parts = [tokens_of([]), *(one.tokens for one in parsed)]
    attributes = np.concatenate([part.attributes for part in parts])
    sizes = np.concatenate([np.diff(part.starts) for part in parts])
    return _batch(parsed, Tokens(attributes, np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)))


def batch_of_pieces(pieces: Sequence[Piece]) -> Batch:
    """The batch of pieces of documents, tokenised all at once; each counts as a document."""
    return _batch(pieces, tokens_of_pieces(pieces))


def _batch(parts: Sequence[Parsed | Piece], tokens: Tokens) -> Batch:
    spans = [span for one in parts for span in one.spans]
    heading_texts, headings, sections = _headings([span.section for span in spans], lasting=False)
    return Batch(
        tokens=tokens,
        kinds=np.array([_KIND[span.kind] for span in spans], dtype=np.int64),
        documents=np.repeat(np.arange(len(parts)), [len(one.spans) for one in parts]),
        headings=headings,
        sections=sections,
        texts=tuple(one.document.text[span.start : span.end] for one in parts for span in one.spans),
        heading_texts=heading_texts,
    )


def _article_numbers(articles: Iterable[str]) -> Ints:
    """0 for the first run of equal ids, 1 for the next, ..."""
    runs = [sum(1 for _ in rows) for _, rows in groupby(articles)]
    return np.repeat(np.arange(len(runs)), runs)


def batch_of_examples(examples: Sequence[Example]) -> Batch:
    """The batch of labelled corpus units; rows of an article that follow each other are neighbours."""
    heading_texts, headings, sections = _headings([example.section for example in examples], lasting=True)
    return Batch(
        tokens=tokens_of([example.text for example in examples]),
        kinds=np.array([KINDS.index(example.kind) for example in examples], dtype=np.int64),
        documents=_article_numbers(example.article for example in examples),
        headings=headings,
        sections=sections,
        texts=tuple(example.text for example in examples),
        heading_texts=heading_texts,
    )
