"""The cue matcher against a slow one that does the obvious thing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.cues import CueMatcher, Matches
from pipeline.keys import lookup
from pipeline.lexicon import ANY, Group, Phrase
from pipeline.sentences import hash_of, tokens_of

Found = list[tuple[int, int, int]]


def lexicon(*groups: Sequence[str]) -> list[Group]:
    """Groups g0, g1, ... of phrases written as strings."""
    return [
        Group(f"g{number}", "", frozenset(tuple(phrase.split()) for phrase in group))
        for number, group in enumerate(groups)
    ]


def run(groups: Sequence[Group], units: Sequence[Sequence[str]]) -> Found:
    words = [word for unit in units for word in unit]
    norms = np.array([hash_of(word) for word in words], dtype=np.uint64)
    starts = np.cumsum([0, *map(len, units)], dtype=np.int64)
    matches = CueMatcher(groups).match(norms, starts)
    for column in matches:
        assert column.dtype.kind == "i"
    assert (np.diff(matches.token) >= 0).all(), "ordered by token"
    return [(int(t), int(n), int(g)) for t, n, g in zip(*matches, strict=True)]


def slow(groups: Sequence[Group], units: Sequence[Sequence[str]]) -> Found:
    """Every phrase at every place of every unit; then without those inside a longer one."""
    found: Found = []
    before = 0
    for unit in units:
        for at in range(len(unit)):
            for number, group in enumerate(groups):
                for phrase in group.phrases:
                    here = unit[at : at + len(phrase)]
                    if len(here) == len(phrase) and all(p in (ANY, w) for p, w in zip(phrase, here, strict=True)):
                        found.append((before + at, len(phrase), number))
        before += len(unit)
    return [
        (at, size, number)
        for at, size, number in found
        if not any(other <= at and at + size <= other + longer and longer > size for other, longer, _ in found)
    ]


WORD = st.sampled_from("abcd")
PHRASE: st.SearchStrategy[Phrase] = st.one_of(
    WORD.map(lambda word: (word,)),
    st.tuples(WORD, st.lists(st.sampled_from(["a", "b", "c", "d", ANY]), max_size=3), WORD).map(
        lambda parts: (parts[0], *parts[1], parts[2])
    ),
)
GROUPS = st.lists(st.frozensets(PHRASE, max_size=5), max_size=4).map(
    lambda sets: [Group(f"g{number}", "", phrases) for number, phrases in enumerate(sets)]
)
# z stands in no phrase
UNITS = st.lists(st.lists(st.sampled_from("aabbccdz"), max_size=9), max_size=5)


@settings(max_examples=500, deadline=None)
@given(GROUPS, UNITS)
@example([], [["a"]])
@example(lexicon([]), [["a"]])
@example(lexicon(["a"]), [])
@example(lexicon(["a"]), [[], [], []])
@example(lexicon(["a b", "a"], ["a b"], ["b"]), [["a", "b"], [], ["a"], ["b"]])
@example(lexicon(["a * c", "a b c"], ["b"]), [["a", "b", "c"]])
@example(lexicon(["a b c"], ["b c d"], ["c"]), [["a", "b", "c", "d"]])
def test_same_matches_as_the_slow_matcher(groups: list[Group], units: list[list[str]]) -> None:
    assert sorted(run(groups, units)) == sorted(slow(groups, units))


def test_longest_match_wins_over_groups() -> None:
    groups = lexicon(["could"], ["could not"], ["no longer a threat"], ["threat"])
    assert run(groups, [["it", "could", "not", "be"]]) == [(1, 2, 1)]
    assert run(groups, [["no", "longer", "a", "threat"]]) == [(0, 4, 2)]


def test_overlap_without_inclusion_keeps_both() -> None:
    assert run(lexicon(["a b"], ["b c"]), [list("abc")]) == [(0, 2, 0), (1, 2, 1)]


def test_the_same_phrase_in_two_groups_fires_both() -> None:
    assert run(lexicon(["common ground"], ["common ground", "ground"]), [["common", "ground"]]) == [
        (0, 2, 0),
        (0, 2, 1),
    ]


def test_no_phrase_crosses_a_unit() -> None:
    groups = lexicon(["peace talks"], ["a * c"])
    assert run(groups, [["peace"], ["talks"], ["a", "b"], ["c"]]) == []
    assert run(groups, [["x", "peace", "talks"], ["a", "b", "c"]]) == [(1, 2, 0), (3, 3, 1)]


def test_a_wildcard_takes_exactly_one_token_of_any_kind() -> None:
    groups = lexicon(["urge * to", "urge * * to"])
    assert run(groups, [["urge", "zzz", "to"], ["urge", "to"], ["urge", "urge", "urge", "to"]]) == [
        (0, 3, 0),
        (5, 4, 0),
    ]


def test_matches_text_as_spacy_normalises_it() -> None:
    groups = lexicon(["will not"], ["people - to - people"], ["country 's"])
    tokens = tokens_of(["They won’t.", "They'll not", "People–to–people ties", "The country’s role"])
    found = CueMatcher(groups).match(tokens.attributes[:, 0], tokens.starts)
    owner = np.searchsorted(tokens.starts, found.token, side="right") - 1
    assert list(zip(owner, found.group, strict=True)) == [(0, 0), (1, 0), (2, 1), (3, 2)]


def test_the_matches_do_not_depend_on_what_else_is_in_the_batch() -> None:
    rng = np.random.default_rng(0)
    groups = lexicon(["a b", "c"], ["a * b", "b c d"], ["d"])
    units = [list(rng.choice(list("abcdz"), size=rng.integers(0, 12))) for _ in range(200)]
    together = set(run(groups, units))
    alone, before = set(), 0
    for unit in units:
        alone |= {(before + token, length, group) for token, length, group in run(groups, [unit])}
        before += len(unit)
    assert together == alone


def test_an_empty_lexicon_and_an_empty_batch_give_no_matches() -> None:
    empty = np.zeros(0, dtype=np.uint64)
    matches = CueMatcher([]).match(empty, np.zeros(1, dtype=np.int64))
    assert isinstance(matches, Matches)
    assert [len(column) for column in matches] == [0, 0, 0]


def test_too_many_shapes_are_refused() -> None:
    shapes = ["a " + " ".join("*" if bits >> place & 1 else "a" for place in range(6)) + " a" for bits in range(64)]
    with pytest.raises(ValueError, match="64 shapes of phrase; at most 63 are supported"):
        CueMatcher(lexicon(shapes))
    assert run(lexicon(shapes[1:]), [list("abbbbbba")]) == [(0, 8, 0)]


@given(st.sets(st.integers(0, 2**64 - 1)), st.lists(st.integers(0, 2**64 - 1)))
def test_lookup_finds_the_index_or_says_none(keys: set[int], others: list[int]) -> None:
    table = sorted(keys)
    values = [*others, *table]
    expected = [table.index(value) if value in keys else -1 for value in values]
    found = lookup(np.array(table, dtype=np.uint64), np.array(values, dtype=np.uint64))
    assert found.tolist() == expected
