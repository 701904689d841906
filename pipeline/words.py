"""Words between white space to rows of token attributes, each distinct word taken apart once.

A tokeniser that cuts at white space first, as spaCy's does, gives a word the same tokens wherever it stands. So a
running text costs one look into a dictionary a word, and only words not met before go to the tokeniser.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Longer words are taken apart wherever they occur: they seldom occur twice, and would fill the memory.
LONGEST_KEPT = 60
#: The last white space of Unicode is U+3000; all code points behind it count as the one after.
_LAST_SPACE = 0x3000
_VISIBLE = np.array([not chr(code).isspace() for code in range(_LAST_SPACE + 2)])


class Taken(NamedTuple):
    """The tokens of some words, one word after the other.

    Attributes
    ----------
    attributes : ndarray of uint64, shape (n_tokens, n_attributes)
    begin, end : ndarrays of int64, shape (n_tokens,)
        Where each token begins and ends in its word.
    counts : ndarray of int64, shape (n_words,)
        Number of tokens of each word.
    """

    attributes: NDArray[np.uint64]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    counts: NDArray[np.int64]


class Placed(NamedTuple):
    """The tokens of a text: their attributes, and where each begins and ends in it."""

    attributes: NDArray[np.uint64]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]


class WordCache:
    """Words with their tokens, up to a number of words; what comes after those is taken apart whenever it comes.

    Parameters
    ----------
    take : callable
        ``take(words, keep)`` gives the :class:`Taken` of distinct words; ``keep`` says whether they will be kept.
    width : int
        Number of attributes of a token.
    limit : int
        Number of words that are kept. Memory does not grow beyond them.

    Threads may share one.
    """

    def __init__(self, take: Callable[[Sequence[str], bool], Taken], width: int, limit: int) -> None:
        self._take = take
        self._limit = limit
        self._lock = threading.Lock()
        self._number: dict[str, int] = {}
        # one row per token, in the order of the words; room is doubled when it runs out
        self._attributes = np.zeros((0, width), dtype=np.uint64)
        self._begin = np.zeros(0, dtype=np.int64)
        self._end = np.zeros(0, dtype=np.int64)
        self._starts = np.zeros(1, dtype=np.int64)
        self._words = self._tokens = 0

    def tokens(self, text: str, *, lasting: bool = False) -> Placed:
        """The tokens of a text.

        ``lasting`` tells ``take`` to keep even what is beyond the limit.
        """
        with self._lock:
            return self._tokens_of(text, lasting)

    def _tokens_of(self, text: str, lasting: bool) -> Placed:
        words = text.split()
        found = list(map(self._number.get, words))
        passing: list[str] = []
        if None in found:
            new = {word for word, number in zip(words, found, strict=True) if number is None}
            passing = self._learn(sorted(new), lasting)
            found = list(map(self._number.get, words))
        numbers = np.array(found, dtype=np.int64)
        first = self._starts.take(numbers)
        counts = self._starts.take(numbers + 1) - first
        rows = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts - first, counts)
        word = np.repeat(_word_starts(text), counts)
        placed = Placed(self._attributes.take(rows, axis=0), word + self._begin.take(rows), word + self._end.take(rows))
        self._forget(passing)
        return placed

    def _learn(self, new: list[str], lasting: bool) -> list[str]:
        """Take new words apart. Those that are not to be kept are returned, and must be forgotten after use."""
        room = max(0, self._limit - self._words)
        kept = list(islice((word for word in new if len(word) <= LONGEST_KEPT), room))
        known = set(kept)
        passing = [word for word in new if word not in known]
        for words, keep in ((kept, True), (passing, lasting)):
            if words:
                self._append(words, self._take(words, keep))
        return passing

    def _append(self, words: Sequence[str], taken: Taken) -> None:
        n_tokens, n_words = self._tokens + len(taken.begin), self._words + len(words)
        if n_tokens > len(self._begin):
            self._attributes = _grown(self._attributes, 2 * n_tokens)
            self._begin, self._end = _grown(self._begin, 2 * n_tokens), _grown(self._end, 2 * n_tokens)
        if n_words >= len(self._starts):
            self._starts = _grown(self._starts, 2 * n_words)
        self._attributes[self._tokens : n_tokens] = taken.attributes
        self._begin[self._tokens : n_tokens] = taken.begin
        self._end[self._tokens : n_tokens] = taken.end
        self._starts[self._words + 1 : n_words + 1] = self._tokens + np.cumsum(taken.counts)
        self._number.update(zip(words, range(self._words, n_words), strict=True))
        self._words, self._tokens = n_words, n_tokens

    def _forget(self, passing: Sequence[str]) -> None:
        """Drop the words appended last."""
        for word in passing:
            del self._number[word]
        if passing:
            self._words -= len(passing)
            self._tokens = int(self._starts[self._words])


def _grown(array: NDArray[Any], room: int) -> NDArray[Any]:
    larger = np.zeros((room, *array.shape[1:]), dtype=array.dtype)
    larger[: len(array)] = array
    return larger


def _word_starts(text: str) -> NDArray[np.int64]:
    """Where each word of ``text.split()`` begins."""
    if text.isascii():
        codes: NDArray[Any] = np.frombuffer(text.encode("ascii"), np.uint8)
    else:
        wide = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        codes = np.minimum(wide, _LAST_SPACE + 1)
    visible = _VISIBLE.take(codes)
    visible[1:] &= ~visible[:-1]
    return np.flatnonzero(visible)
