"""Words between white space to rows of token attributes, each distinct word taken apart once.

A tokeniser that cuts at white space first, as spaCy's does, gives a word the same tokens wherever it stands. So running
text costs a few array operations and one look into a hash table a word, and only words not met before go to the
tokeniser.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.keys import KeyTable

Ints = NDArray[np.int64]

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
    begin: Ints
    end: Ints
    counts: Ints


class Placed(NamedTuple):
    """The tokens of a text: their attributes, and where each begins and ends in it."""

    attributes: NDArray[np.uint64]
    begin: Ints
    end: Ints


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
        self._hash = _WordHash()
        self._table = KeyTable(limit)
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
        begin, end, hashes = self._hash.words(text)
        numbers = self._table.find(hashes)
        kept = self._words, self._tokens
        new = np.flatnonzero(numbers < 0)
        if len(new):
            distinct, first, which = np.unique(hashes[new], return_index=True, return_inverse=True)
            words = [text[begin[at] : end[at]] for at in new[first].tolist()]
            known, kept = self._learn(words, distinct, lasting)
            numbers[new] = known[which]
        first_token = self._starts.take(numbers)
        counts = self._starts.take(numbers + 1) - first_token
        rows = expand(first_token, counts)
        word = np.repeat(begin, counts)
        placed = Placed(self._attributes.take(rows, axis=0), word + self._begin.take(rows), word + self._end.take(rows))
        if len(new):
            self._words, self._tokens = kept
        return placed

    def _learn(self, words: Sequence[str], hashes: NDArray[np.uint64], lasting: bool) -> tuple[Ints, tuple[int, int]]:
        """Take new words apart: their numbers, and how many words and tokens are to be kept after use."""
        short = np.array([len(word) <= LONGEST_KEPT for word in words])
        keep = short & (np.cumsum(short) <= self._limit - self._words)
        numbers = np.zeros(len(words), dtype=np.int64)
        kept = self._words, self._tokens
        for chosen, keeping in ((np.flatnonzero(keep), True), (np.flatnonzero(~keep), False)):
            if len(chosen):
                numbers[chosen] = np.arange(self._words, self._words + len(chosen))
                self._append(len(chosen), self._take([words[at] for at in chosen.tolist()], keeping or lasting))
            if keeping:
                self._table.insert(hashes[chosen], numbers[chosen])
                kept = self._words, self._tokens
        return numbers, kept

    def _append(self, n_new: int, taken: Taken) -> None:
        n_tokens, n_words = self._tokens + len(taken.begin), self._words + n_new
        if n_tokens > len(self._begin):
            self._attributes = _grown(self._attributes, 2 * n_tokens)
            self._begin, self._end = _grown(self._begin, 2 * n_tokens), _grown(self._end, 2 * n_tokens)
        if n_words >= len(self._starts):
            self._starts = _grown(self._starts, 2 * n_words)
        self._attributes[self._tokens : n_tokens] = taken.attributes
        self._begin[self._tokens : n_tokens] = taken.begin
        self._end[self._tokens : n_tokens] = taken.end
        self._starts[self._words + 1 : n_words + 1] = self._tokens + np.cumsum(taken.counts)
        self._words, self._tokens = n_words, n_tokens


def expand(first: Ints, counts: Ints) -> Ints:
    """The numbers ``first[i]`` to ``first[i] + counts[i]`` for every ``i``, one range after the other."""
    return np.asarray(np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts - first, counts))


def _grown(array: NDArray[Any], room: int) -> NDArray[Any]:
    larger = np.zeros((room, *array.shape[1:]), dtype=array.dtype)
    larger[: len(array)] = array
    return larger


class _WordHash:
    """Where the words of a text are, and a 64-bit hash of each: the polynomial of its characters at a random base.

    With powers of the base and sums over the text, the hash of any stretch is one difference and one product
    (Karp and Rabin, 1987). Two of 50,000 words share a hash with a probability of 1 in 10,000,000,000, and nobody can
    choose words that do, for the base is drawn anew in each process.
    """

    def __init__(self) -> None:
        self._base = secrets.randbits(61) * 8 + 3  # odd, so that it has an inverse; 3 modulo 8 has the longest period
        self._powers = self._inverse = _powers(self._base, 0)

    def words(self, text: str) -> tuple[Ints, Ints, NDArray[np.uint64]]:
        """Begin, end and hash of each word of ``text.split()``."""
        if text.isascii():
            codes: NDArray[Any] = np.frombuffer(text.encode("ascii"), np.uint8)
            visible = _VISIBLE.take(codes)
        else:
            codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
            visible = _VISIBLE.take(np.minimum(codes, _LAST_SPACE + 1))
        if len(codes) > len(self._powers):
            self._powers = _powers(self._base, 2 * len(codes))
            self._inverse = _powers(pow(self._base, -1, 2**64), 2 * len(codes))
        padded = np.zeros(len(codes) + 2, dtype=bool)
        padded[1:-1] = visible
        edges = np.flatnonzero(padded[1:] != padded[:-1])
        begin, end = edges[0::2], edges[1::2]
        sums = np.zeros(len(codes) + 1, dtype=np.uint64)
        # one more than the code, or leading characters of code 0 would not count
        np.cumsum((codes + np.uint64(1)) * self._powers[: len(codes)], out=sums[1:])
        hashes = (sums.take(end) - sums.take(begin)) * self._inverse.take(begin)
        return begin, end, hashes


def _powers(base: int, count: int) -> NDArray[np.uint64]:
    """1, base, base squared, ... modulo 2 to the 64."""
    powers = np.full(count, base, dtype=np.uint64)
    powers[:1] = 1
    return np.cumprod(powers, dtype=np.uint64)
