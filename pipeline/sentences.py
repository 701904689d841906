"""Documents to units (sentences, headings, list items) with their spaCy tokens: the only use of spaCy.

Units come from the text itself (``outline``); spaCy's blank English pipeline tokenises, and no
model is downloaded. Tokens leave this module as numpy arrays of attribute hashes, a spaCy ``Doc`` never does.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
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

#: Columns of ``Tokens.attributes``, by their spaCy names.
ATTRIBUTES = ("NORM", "SHAPE", "SUFFIX", "ORTH")
COMPONENT = "communique_sentences"

#: Longest text that is one spaCy Doc, in characters. It bounds memory; offsets and tokens do not depend on it.
CHUNK = 200_000
#: Words whose tokenisation is kept, per process (about 0.3 kB each).
CACHED_WORDS = 100_000
#: Longest run without white space that the tokeniser gets in one piece: its affix rules take quadratic time.
LONGEST_RUN = 400

_COLUMNS: list[int | str] = [*ATTRIBUTES, "IDX", "IS_SPACE"]
#: A word without what may make it one of spaCy's special cases, which end the caching of a Doc.
_CACHEABLE = re.compile(r"[^.'’]{4,60}[.’']?").fullmatch
_SURROGATE = re.compile("[\ud800-\udfff]")
_LONG_RUN = re.compile(rf"\S{{{LONGEST_RUN + 1},}}")
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
    units: tuple[Unit, ...]
    tokens: Tokens
    title: str | None


@lru_cache(maxsize=1)
def blank_english() -> Language:
    """spaCy's blank English with the component that sets sentence starts. Made once per process."""
    nlp = spacy.blank("en")
    nlp.add_pipe(COMPONENT)
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
        columns = _array(doc)
        unit, inside = _unit_of_token(columns, spans, len(doc.text))
        space = columns[:, -1].astype(bool)
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
    text = document.text
    spans, heading = find_spans(text, document.title)
    units = tuple(
        Unit(document.id, index, kind, section, start, end, text[start:end])
        for index, (start, end, kind, section) in enumerate(spans)
    )
    return Parsed(document, units, _tokenise(text, spans), document.title or heading)


def parse_many(documents: Iterable[Document]) -> Iterator[Parsed]:
    """Parse documents one by one, in their order.

    The vocabulary keeps every new word it meets. A caller that reads without end can wrap a stretch of this
    loop in :func:`passing_words`: a Parsed holds hashes and text of its own, so it outlives it.
    """
    return map(parse, documents)


@contextmanager
def passing_words() -> Iterator[None]:
    """Words that are first met inside are forgotten at its end; no other thread tokenises meanwhile."""
    with _TOKENISING, blank_english().memory_zone():
        yield


def tokens_of(texts: Sequence[str]) -> Tokens:
    """Tokenise texts that are units already (corpus rows), each alone: one unit per text, in order."""
    parts = [_tokenise(text, [Span(0, len(text), "sentence", None)]) for text in texts]
    lengths = [len(part.attributes) for part in parts]
    rows = [part.attributes for part in parts] or [np.empty((0, len(ATTRIBUTES)), np.uint64)]
    return Tokens(np.concatenate(rows), np.concatenate(([0], np.cumsum(lengths, dtype=np.int64))))


def hash_of(string: str) -> int:
    """spaCy's hash of a string, as it stands in ``Tokens.attributes``."""
    return int(get_string_id(string))


def string_of(key: int) -> str:
    """The string of a hash that this process has met; KeyError where it has not."""
    return blank_english().vocab.strings[int(key)]


def _unit_of_token(
    columns: NDArray[np.uint64], spans: Sequence[Span], length: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """For each token the unit it ends in (or the last one before it; -1 before the first), and whether it is inside.

    A token that reaches over the start of a unit belongs to that unit.
    """
    starts = np.fromiter((span.start for span in spans), np.int64, len(spans))
    ends = np.fromiter((span.end for span in spans), np.int64, len(spans))
    begins = columns[:, -2].astype(np.int64)
    unit = np.searchsorted(starts, np.append(begins[1:], length) - 1, side="right") - 1
    inside = (unit >= 0) & (begins < ends[unit]) if len(spans) else np.zeros(len(begins), bool)
    return unit, inside


def _tokenise(text: str, spans: Sequence[Span]) -> Tokens:
    columns = _columns(_without_glued_marks(text, spans), _cuts(text, spans))
    unit, inside = _unit_of_token(columns, spans, len(text))
    keep = np.flatnonzero(inside & (columns[:, -1] == 0))
    starts = np.searchsorted(unit[keep], np.arange(len(spans) + 1))
    return Tokens(columns[keep, : len(ATTRIBUTES)], starts.astype(np.int64, copy=False))


def _without_glued_marks(text: str, spans: Sequence[Span]) -> str:
    """The text with a space for each list mark that touches its item ("•Trade"), or spaCy would keep them one."""
    glued = [at for at, _, kind, _ in spans if kind == "bullet" and at and not text[at - 1].isspace()]
    if not glued:
        return text
    characters = list(text)
    for at in glued:
        characters[at - 1] = " "
    return "".join(characters)


class _CachedTokenizer:
    """spaCy's tokeniser with the words it meets taken apart once.

    spaCy stops filling its cache of words at the first contraction or abbreviation of each Doc, so that most
    words of running text are taken apart again wherever they occur (40 % of its time, measured on news). New
    words therefore go through it in a short Doc of their own before the text does. The tokens are the same.
    """

    def __init__(self, tokenizer: Any) -> None:
        tokenizer.max_cache_size = CACHED_WORDS
        self.tokenizer = tokenizer
        self.known: set[str] = set()

    def __call__(self, text: str) -> Doc:
        """Tokenise. Unlike ``nlp(text)`` this has no ``nlp.max_length`` to trip over."""
        if len(self.known) < CACHED_WORDS:
            new = set(text.split()) - self.known
            if new:
                self.known.update(itertools.islice(new, CACHED_WORDS - len(self.known)))
                self.tokenizer(" ".join(filter(_CACHEABLE, sorted(new))))
        doc: Doc = self.tokenizer(text)
        return doc


@lru_cache(maxsize=1)
def _cached_tokenizer() -> _CachedTokenizer:
    return _CachedTokenizer(blank_english().tokenizer)


def _columns(text: str, cuts: Sequence[int]) -> NDArray[np.uint64]:
    """One row of ``_COLUMNS`` for each token of the text; IDX counts from the start of the text."""
    tokenizer = _cached_tokenizer()
    parts = []
    try:
        with _TOKENISING:
            for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
                part = _array(tokenizer(text[start:end]))
                part[:, -2] += np.uint64(start)
                parts.append(part)
        return np.concatenate(parts) if cuts else parts[0]
    except UnicodeEncodeError:  # half a surrogate pair, from a broken JSON escape: spaCy takes only UTF-8
        return _columns(_SURROGATE.sub("\ufffd", text), cuts)


def _array(doc: Doc) -> NDArray[np.uint64]:
    return np.asarray(doc.to_array(_COLUMNS), dtype=np.uint64)


def _cuts(text: str, spans: Sequence[Span]) -> list[int]:
    """Where to cut a text that is too much for one Doc: after white space, and inside overlong runs."""
    cuts: list[int] = []
    at = 0
    while len(text) - at > CHUNK:
        space = next((k for k in range(at + CHUNK, at + CHUNK - LONGEST_RUN, -1) if text[k - 1].isspace()), 0)
        at = space or at + CHUNK
        cuts.append(at)
    # looking for overlong runs costs a pass over the text; a run is never longer than its unit or gap
    at = longest = 0
    for start, end, _, _ in spans:
        longest = max(longest, start - at, end - start)
        at = end
    if max(longest, len(text) - at) > 2 * LONGEST_RUN:
        for run in _LONG_RUN.finditer(text):
            cuts.extend(range(run.start(), run.end(), LONGEST_RUN))
    return sorted({*cuts} - {0})
