"""Cues: which phrases of the lexicon stand in a unit, and how they stand there.

Matching works on whole batches. Every phrase of the lexicon is one 64-bit key of its words; a batch
is turned into word numbers once, and each phrase shape (its length and the places of its wildcards)
costs one multiply-add over the few tokens that can begin such a phrase. That is the rolling hash of
Karp and Rabin (1987), with words for characters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.keys import lookup
from pipeline.lexicon import ANY, Group
from pipeline.sentences import hash_of

Ints = NDArray[np.int64]
_BASE = np.uint64(0x9E3779B97F4A7C15)


class Matches(NamedTuple):
    """Where cues were found; three arrays of shape (n_matches,), ordered by token."""

    #: index of the first token of the match
    token: Ints
    #: its number of tokens
    length: Ints
    #: index of its group in ``CueMatcher.names``
    group: Ints


class _Shape(NamedTuple):
    """All phrases of one length whose wildcards stand in the same places."""

    length: int
    words: tuple[int, ...]
    keys: NDArray[np.uint64]
    first_group: NDArray[np.int32]
    groups: NDArray[np.int32]


def _shapes(groups: Sequence[Group], number: Mapping[str, int]) -> tuple[list[_Shape], list[Ints]]:
    """The phrases of groups by their shapes, in the order of these, and for each shape the words that begin one."""
    phrases = [phrase for group in groups for phrase in group.phrases]
    group = np.repeat(np.arange(len(groups)), [len(one.phrases) for one in groups])
    words = np.array([number[word] for phrase in phrases for word in phrase], dtype=np.uint64)
    length = np.array(list(map(len, phrases)), dtype=np.int64)
    start = np.cumsum(length) - length
    place = np.arange(len(words)) - np.repeat(start, length)
    owner = np.repeat(np.arange(len(phrases)), length)
    known = np.bincount(owner, (words != 0) << place, len(phrases)).astype(np.int64)  # a bit for each word but ANY
    shapes, firsts = {}, {}
    for size, bits in set(zip(length.tolist(), known.tolist(), strict=True)):
        rows = np.flatnonzero((length == size) & (known == bits))
        places = tuple(at for at in range(size) if bits >> at & 1)
        key = np.zeros(len(rows), dtype=np.uint64)
        for at in places:
            key = key * _BASE + words[start[rows] + at]
        order = np.lexsort((group[rows], key))
        key, of = key[order], group[rows][order]
        new = np.append(True, (key[1:] != key[:-1]) | (of[1:] != of[:-1]))
        keys, first = np.unique(key[new], return_index=True)
        ends = np.append(first, new.sum()).astype(np.int32)
        shapes[size, places] = _Shape(size, places, keys, ends, of[new].astype(np.int32))
        firsts[size, places] = np.unique(words[start[rows]]).astype(np.int64)
    return [shapes[shape] for shape in sorted(shapes)], [firsts[shape] for shape in sorted(shapes)]


def _expand_ranges(first: Ints, count: Ints) -> tuple[Ints, Ints]:
    """For ranges first[i] .. first[i] + count[i]: the owner of each element, and the element."""
    owner = np.repeat(np.arange(len(first)), count)
    offset = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    return owner, first[owner] + offset


class CueMatcher:
    """Finds the phrases of lexicon groups in batches of tokens.

    Parameters
    ----------
    groups : sequence of Group
        Their order gives the group numbers of the matches.
    """

    def __init__(self, groups: Sequence[Group]) -> None:
        self.names: tuple[str, ...] = tuple(group.name for group in groups)
        words = sorted({word for group in groups for phrase in group.phrases for word in phrase} - {ANY})
        number = {word: rank + 1 for rank, word in enumerate(words)}
        # spaCy's norm of "Nov." is "November" with a capital, so a word goes by two hashes
        numbers = {hash_of(form): number[word] for word in words for form in (word, word.capitalize())}
        self._hashes = np.array(sorted(numbers), dtype=np.uint64)
        self._numbers = np.array([0, *(numbers[key] for key in sorted(numbers))], dtype=np.uint64)
        shapes, firsts = _shapes(groups, {ANY: 0, **number})
        if len(shapes) > 63:
            raise ValueError(f"the lexicon has {len(shapes)} shapes of phrase; at most 63 are supported")
        self._shapes: list[_Shape] = shapes
        self._begins = np.zeros(len(words) + 1, dtype=np.uint64)
        for bit, first in enumerate(firsts):
            self._begins[first] |= np.uint64(1 << bit)

    def match(self, norms: NDArray[np.uint64], starts: Ints) -> Matches:
        """Find every phrase that does not lie inside a longer one.

        Parameters
        ----------
        norms : array of shape (n_tokens,)
            spaCy's NORM hashes.
        starts : array of shape (n_units + 1,)
            Unit ``i`` holds the tokens ``starts[i]:starts[i + 1]``; no phrase crosses a unit.
        """
        words = self._numbers[lookup(self._hashes, norms) + 1]
        begins = self._begins[words.astype(np.int64)]
        last = np.repeat(starts[1:], np.diff(starts))
        found: list[tuple[Ints, Ints, Ints]] = []
        live = np.flatnonzero(begins)
        live_bits = begins[live]
        for bit, shape in enumerate(self._shapes):
            at = live[(live_bits >> np.uint64(bit)) & np.uint64(1) != 0]
            at = at[at + shape.length <= last[at]]
            if not len(at):
                continue
            key = np.zeros(len(at), dtype=np.uint64)
            for place in shape.words:
                key = key * _BASE + words[at + place]
            index = lookup(shape.keys, key)
            hit = index >= 0
            at, index = at[hit], index[hit]
            first = shape.first_group[index].astype(np.int64)
            owner, element = _expand_ranges(first, shape.first_group[index + 1] - first)
            found.append((at[owner], np.full(len(owner), shape.length), shape.groups[element].astype(np.int64)))
        if not found:
            empty = np.zeros(0, dtype=np.int64)
            return Matches(empty, empty, empty)
        token, length, group = (np.concatenate(column) for column in zip(*found, strict=True))
        order = np.lexsort((group, -length, token))
        return self._longest(Matches(token[order], length[order], group[order]))

    @staticmethod
    def _longest(matches: Matches) -> Matches:
        """Leave out what lies inside a longer match; matches of the same span all stay."""
        end = matches.token + matches.length
        reach = np.maximum.accumulate(end)
        before = np.concatenate(([0], reach[:-1]))
        same = np.zeros(len(end), dtype=bool)
        same[1:] = (matches.token[1:] == matches.token[:-1]) & (matches.length[1:] == matches.length[:-1])
        keep = end > before
        # a match of the same span as the one before it shares that one's fate
        first_of_span = np.maximum.accumulate(np.where(same, 0, np.arange(len(end))))
        keep = keep[first_of_span]
        return Matches(matches.token[keep], matches.length[keep], matches.group[keep])
