"""Cues: which phrases of the lexicon stand in a unit, and how they stand there.

Matching works on whole batches. Every phrase of the lexicon is one 64-bit key of its words; a batch
is turned into word numbers once, and each phrase shape (its length and the places of its wildcards)
costs one multiply-add over the few tokens that can begin such a phrase. That is the rolling hash of
Karp and Rabin (1987), with words for characters.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
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
        by_shape: dict[tuple[int, tuple[int, ...]], dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        starts: dict[tuple[int, tuple[int, ...]], set[int]] = defaultdict(set)
        base = int(_BASE)
        for index, group in enumerate(groups):
            for phrase in group.phrases:
                places = tuple(place for place, word in enumerate(phrase) if word != ANY)
                # plain integers, wrapped like the 64-bit ones of match(): numpy's own are slow one by one
                key = 0
                for place in places:
                    key = (key * base + number[phrase[place]]) & 0xFFFF_FFFF_FFFF_FFFF
                by_shape[len(phrase), places][key].append(index)
                starts[len(phrase), places].add(number[phrase[0]])
        if len(by_shape) > 63:
            raise ValueError(f"the lexicon has {len(by_shape)} shapes of phrase; at most 63 are supported")
        self._shapes: list[_Shape] = []
        self._begins = np.zeros(len(words) + 1, dtype=np.uint64)
        for bit, (length, places) in enumerate(sorted(by_shape)):
            table = by_shape[length, places]
            keys = np.array(sorted(table), dtype=np.uint64)
            lists = [sorted(set(table[key])) for key in keys.tolist()]
            first = np.cumsum([0, *map(len, lists)], dtype=np.int32)
            flat = np.array([group for one in lists for group in one], dtype=np.int32)
            self._shapes.append(_Shape(length, places, keys, first, flat))
            self._begins[sorted(starts[length, places])] |= np.uint64(1 << bit)

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
