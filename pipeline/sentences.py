"""Documents to units (sentences, headings, list items) with their spaCy tokens: the only use of spaCy.

Units come from the text itself (``outline``); spaCy's blank English pipeline tokenises, and no
model is downloaded. Tokens leave this module as numpy arrays of attribute hashes, a spaCy ``Doc`` never does.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import spacy
from numpy.typing import NDArray
from spacy.language import Language
from spacy.strings import get_string_id
from spacy.tokens import Doc

from pipeline.outline import Span, find_spans
from pipeline.records import Document, Unit
from pipeline.words import Taken, WordCache, expand

Ints = NDArray[np.int64]

#: Columns of ``Tokens.attributes``, by their spaCy names.
ATTRIBUTES = ("NORM", "SHAPE", "SUFFIX", "ORTH")
COMPONENT = "communique_sentences"

#: Characters that are tokenised at once. It bounds memory; offsets and tokens do not depend on it.
CHUNK = 2**16
#: Units of a piece of a long document.
SLICE = 4096
#: Words whose tokens are kept, per process (about 0.5 kB each).
KEPT_WORDS = 50_000
#: Longest run without white space that the tokeniser gets in one piece: its affix rules take quadratic time.
LONGEST_RUN = 400

_COLUMNS: list[int | str] = [*ATTRIBUTES, "IDX", "LENGTH"]
_NONE = np.empty(0, dtype=np.int64)
_SURROGATE = re.compile("[\ud800-\udfff]")
#: spaCy's vocabulary is not made to be written by two threads at once.
_TOKENISING = threading.RLock()


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of a sequence of units, as numpy arrays.

    Parameters
    ----------
    attributes : ndarray of uint64, shape (n_tokens, len(ATTRIBUTES))
        spaCy's hashes, a column for each name of ``ATTRIBUTES``.
    starts : ndarray of int64, shape (n_units + 1,)
        The tokens of unit ``i`` are the rows ``starts[i]:starts[i + 1]``. White space is left out, and so is
        what stands between units (list marks, ``#``).
    """

    attributes: NDArray[np.uint64]
    starts: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document with its units, in order, their tokens, and its title if it has one."""

    document: Document
    spans: tuple[Span, ...]
    tokens: Tokens
    title: str | None

    @property
    def units(self) -> tuple[Unit, ...]:
        """The units with their texts, made anew at every call."""
        name, text = self.document.id, self.document.text
        return tuple(
            Unit(name, index, kind, section, start, end, text[start:end])
            for index, (start, end, kind, section) in enumerate(self.spans)
        )


@dataclass(frozen=True, slots=True)
class Piece:
    """Units of a document that stand together, without their tokens.

    The first ``context`` units belong to the piece before, and stand here as neighbours only. ``last`` says that no
    further piece of the document follows.
    """

    document: Document
    spans: tuple[Span, ...]
    context: int = 0
    last: bool = True


@lru_cache(maxsize=1)
def blank_english() -> Language:
    """spaCy's blank English with the component that sets sentence starts. Made once per process."""
    nlp = spacy.blank("en")
    nlp.add_pipe(COMPONENT)
    tokenizer: Any = nlp.tokenizer
    tokenizer.max_cache_size = 0  # words come here once, and a cache could outlive their memory zone
    return nlp


@Language.factory(COMPONENT, assigns=["token.is_sent_start", "doc.sents"])
def create_sentences(nlp: Language, name: str) -> SentenceBoundaries:
    """What ``nlp.add_pipe("communique_sentences")`` calls."""
    return SentenceBoundaries()


class SentenceBoundaries:
    """spaCy component: a sentence starts where a unit starts, or at the list or heading mark before it."""

    def __call__(self, doc: Doc) -> Doc:
        """Set ``is_sent_start`` of every token, and hand the same Doc back."""
        if not len(doc):
            return doc
        spans, _ = find_spans(doc.text)
        columns = np.asarray(doc.to_array(["IDX", "LENGTH", "IS_SPACE"]), dtype=np.int64)
        begin, space = columns[:, 0], columns[:, 2].astype(bool)
        starts, ends = (np.array([span[side] for span in spans], dtype=np.int64) for side in (0, 1))
        unit, inside = _unit_of_token(begin, begin + columns[:, 1], starts, ends)
        sentence = np.maximum.accumulate(np.where(inside | space, unit, unit + 1))
        first = np.diff(sentence, prepend=sentence[0] - 1) > 0
        for token, starts in zip(doc, first.tolist(), strict=True):
            token.is_sent_start = starts
        return doc


def parse(document: Document) -> Parsed:
    """Cut a document into units and tokenise it. Never fails, whatever the text.

    ``document.text[unit.start:unit.end] == unit.text`` for every unit; units are in order, do not overlap,
    and have no white space at either end. A unit has no tokens only where it is part of one.
    """
    spans, heading = find_spans(document.text, document.title)
    piece = Piece(document, tuple(spans))
    return Parsed(document, piece.spans, tokens_of_pieces([piece]), document.title or heading)


def parse_many(documents: Iterable[Document]) -> Iterator[Parsed]:
    """Parse documents one by one, in their order. Memory does not grow with their number."""
    return map(parse, documents)


def cut(document: Document) -> Iterator[Piece]:
    """The units of a document without their tokens, in pieces of ``SLICE`` units at most, each with the one before."""
    spans, _ = find_spans(document.text, document.title)
    for first in range(0, max(len(spans), 1), SLICE):
        context = min(first, 1)
        some = tuple(spans[first - context : first + SLICE])
        yield Piece(document, some, context, first + SLICE >= len(spans))


def tokens_of_pieces(pieces: Sequence[Piece]) -> Tokens:
    """Tokens of the units of pieces of documents, one piece after the other."""
    texts, starts, ends = [], [_NONE], [_NONE]
    at = 0
    for piece in pieces:
        if not piece.spans:
            continue
        text = piece.document.text
        begin = _before_word(text, piece.spans[0].start)
        text = _without_glued_marks(text, piece.spans)[begin : _after_word(text, piece.spans[-1].end)]
        starts.append(np.array([span.start for span in piece.spans]) + (at - begin))
        ends.append(np.array([span.end for span in piece.spans]) + (at - begin))
        texts.append(text)
        at += len(text) + 1
    return _tokenise("\n".join(texts), np.concatenate(starts), np.concatenate(ends), lasting=False)


def tokens_of(texts: Sequence[str], *, lasting: bool = True) -> Tokens:
    """Tokenise texts that are units already (corpus rows), each alone: one unit per text, in order.

    ``lasting`` keeps the strings of all words for :func:`string_of`: for a corpus, not for text without end.
    """
    sizes = np.array([len(text) for text in texts], dtype=np.int64)
    starts = np.cumsum(sizes + 1) - sizes - 1
    return _tokenise("\n".join(texts), starts, starts + sizes, lasting=lasting)


def hash_of(string: str) -> int:
    """spaCy's hash of a string, as it stands in ``Tokens.attributes``."""
    return int(get_string_id(string))


def string_of(key: int) -> str:
    """The string of a hash that this process has met; KeyError where it has not."""
    return blank_english().vocab.strings[int(key)]


def _unit_of_token(begin: Ints, end: Ints, starts: Ints, ends: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """For each token the unit it ends in (or the last one before it; -1 before the first), and whether it is inside.

    ``begin`` and ``end`` are of the tokens, ``starts`` and ``ends`` of the units. A token that reaches over the start
    of a unit belongs to that unit.
    """
    unit = np.searchsorted(starts, end - 1, side="right") - 1
    inside = (unit >= 0) & (begin < ends[unit]) if len(starts) else np.zeros(len(begin), bool)
    return unit, inside


def _tokenise(text: str, starts: Ints, ends: Ints, *, lasting: bool) -> Tokens:
    """Tokens of the units at ``starts`` to ``ends``, which are in order; what stands between them is left out."""
    parts, owners = [np.empty((0, len(ATTRIBUTES)), np.uint64)], [_NONE]
    at = first = 0
    while first < len(starts):
        # a stretch ends before white space, or a word that reaches over its end would count twice
        last = int(np.searchsorted(starts, at + CHUNK))
        while last < len(starts) and (last == first or not text[starts[last] - 1].isspace()):
            last += 1
        stop = int(starts[last]) if last < len(starts) else len(text)
        with _TOKENISING:
            placed = _words().tokens(text[at:stop], lasting=lasting)
        unit, inside = _unit_of_token(placed.begin + at, placed.end + at, starts[first:last], ends[first:last])
        parts.append(placed.attributes.compress(inside, axis=0))
        owners.append(unit[inside] + first)
        at, first = stop, last
    counts = np.bincount(np.concatenate(owners), minlength=len(starts))
    return Tokens(np.concatenate(parts), np.concatenate(([0], np.cumsum(counts))).astype(np.int64, copy=False))


def _before_word(text: str, at: int) -> int:
    """Where the word begins that holds this character."""
    while at and not text[at - 1].isspace():
        at -= 1
    return at


def _after_word(text: str, at: int) -> int:
    """Where the word ends that this place follows."""
    while at < len(text) and not text[at].isspace():
        at += 1
    return at


def _without_glued_marks(text: str, spans: Sequence[Span]) -> str:
    """The text with a space for each list mark that touches its item ("•Trade"), or spaCy would keep them one."""
    glued = [at for at, _, kind, _ in spans if kind == "bullet" and at and not text[at - 1].isspace()]
    if not glued:
        return text
    characters = list(text)
    for at in glued:
        characters[at - 1] = " "
    return "".join(characters)


@lru_cache(maxsize=1)
def _words() -> WordCache:
    return WordCache(_take_apart, len(ATTRIBUTES), KEPT_WORDS)


def _take_apart(words: Sequence[str], keep: bool) -> Taken:
    """Words without white space in them, through spaCy's tokeniser; its vocabulary forgets them if not to be kept."""
    nlp = blank_english()
    with nullcontext() if keep else nlp.vocab.memory_zone():
        return _taken(nlp.tokenizer, words)


def _taken(tokenizer: Any, words: Sequence[str]) -> Taken:
    cuts = [(number, at) for number, word in enumerate(words) for at in range(0, len(word), LONGEST_RUN)]
    owner, shift = np.array(cuts, dtype=np.int64).T
    pieces = [_SURROGATE.sub("\ufffd", words[number][at : at + LONGEST_RUN]) for number, at in cuts]
    place = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}  # a long run repeats itself
    columns = np.asarray(tokenizer(" ".join(place)).to_array(_COLUMNS), dtype=np.uint64)
    begins = np.cumsum([0, *(len(piece) + 1 for piece in place)])[:-1]
    at, size = columns[:, -2].astype(np.int64), columns[:, -1].astype(np.int64)
    counts = np.bincount(np.searchsorted(begins, at, side="right") - 1, minlength=len(place))
    which = np.array([place[piece] for piece in pieces])
    rows = expand((np.cumsum(counts) - counts)[which], counts[which])
    piece = np.repeat(np.arange(len(pieces)), counts[which])
    begin = at[rows] - begins[which][piece] + shift[piece]
    return Taken(
        columns[rows, : len(ATTRIBUTES)], begin, begin + size[rows], np.bincount(owner[piece], minlength=len(words))
    )
