"""Structure of units: zones and word classes, against sentences marked by hand and a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.sentences import ATTRIBUTES, Tokens, string_of, tokens_of
from pipeline.structure import CLASS_NAMES, WORD_CLASSES, Zones, class_counts, first_classes, zones

NORM = ATTRIBUTES.index("NORM")


def words_of(tokens: Tokens) -> list[str]:
    return [string_of(int(row[ATTRIBUTES.index("ORTH")])) for row in tokens.attributes]


def marked(text: str, zone: str) -> str:
    """The words of a text that stand in a zone."""
    tokens = tokens_of([text])
    flags = getattr(zones(tokens), zone)
    return " ".join(word for word, flag in zip(words_of(tokens), flags, strict=True) if flag)


@pytest.mark.parametrize(
    ("text", "subordinate"),
    [
        ("Despite the rift, both sides see room for trade.", "Despite the rift"),
        ("Both sides see room for trade despite the rift.", "despite the rift ."),
        ("The pact, which expired in May, may be renewed.", "which expired in May"),
        ("The envoy - who resigned - wants talks.", "who resigned"),
        ("The envoy — who resigned — wants talks.", "who resigned"),
        ("Because talks failed; ports closed.", "Because talks failed"),
        ("He left because “talks failed” again.", "because"),
        ("Both want peace.", ""),
        ("Which will it be?", "Which will it be ?"),
        ("", ""),
    ],
)
def test_subordinate_stretches(text: str, subordinate: str) -> None:
    assert marked(text, "subordinate") == subordinate


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ('"We want peace," she said.', "We want peace ,"),
        ("“We want peace,” she said, “and soon.”", "We want peace , and soon ."),
        ("She called it “a dead letter.", "a dead letter ."),
        ("«Nous voulons» he said", "Nous voulons"),
        ("Nobody's words are quoted here.", ""),
        ('""', ""),
    ],
)
def test_quotations(text: str, quoted: str) -> None:
    assert marked(text, "quoted") == quoted


@pytest.mark.parametrize(
    ("text", "negated"),
    [
        ("They do not see any room for talks.", "see any room"),
        ("They don't trust figures.", "trust figures ."),
        ("No deal", "deal"),
        ("A deal is near.", ""),
        ("never", ""),
    ],
)
def test_negation_reaches_three_tokens(text: str, negated: str) -> None:
    assert marked(text, "negated") == negated


def test_zones_end_with_their_unit() -> None:
    tokens = tokens_of(["He said “we", "go on", "because", "", "it was not", "true", "“", "x"])
    found = zones(tokens)
    assert words_of(tokens) == ["He", "said", "“", "we", "go", "on", "because", "it", "was", "not", "true", "“", "x"]
    assert found.unit.tolist() == [0, 0, 0, 0, 1, 1, 2, 4, 4, 4, 5, 6, 7]
    assert np.flatnonzero(found.quoted).tolist() == [3]
    assert np.flatnonzero(found.subordinate).tolist() == [6]
    assert not found.negated.any()


OPENERS = {"which", "because", "despite"}
PIECES = ["which", "because", "Despite", ",", ";", "-", "—", '"', "“", "”", "not", "never", "talks", "peace", "(", "."]


def slow_zones(tokens: Tokens) -> Zones:
    unit: list[int] = []
    subordinate: list[bool] = []
    quoted: list[bool] = []
    negated: list[bool] = []
    norms = [string_of(int(row[NORM])) for row in tokens.attributes]
    for number, (start, end) in enumerate(zip(tokens.starts, tokens.starts[1:], strict=False)):
        inside = open_quote = False
        for at in range(start, end):
            if norms[at] in OPENERS:
                inside = True
            elif norms[at] in {",", ";", "-", '"', "("}:
                inside = False
            if norms[at] == '"':
                open_quote = not open_quote
            unit.append(number)
            subordinate.append(inside)
            quoted.append(open_quote and norms[at] != '"')
            negated.append(any(norm in {"not", "never"} for norm in norms[max(start, at - 3) : at]))
    return Zones(
        np.array(unit, dtype=np.int64), *(np.array(flags, dtype=bool) for flags in (subordinate, quoted, negated))
    )


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=10), max_size=5))
@example([])
@example([[], []])
def test_zones_are_those_of_a_plain_loop(units: list[list[str]]) -> None:
    tokens = tokens_of([" ".join(unit) for unit in units])
    for name, found, expected in zip(Zones._fields, zones(tokens), slow_zones(tokens), strict=True):
        assert found.tolist() == expected.tolist(), name


def counts(text: str) -> dict[str, int]:
    tokens = tokens_of([text])
    (row,) = class_counts(tokens, zones(tokens).unit)
    return {name: int(count) for name, count in zip(CLASS_NAMES, row, strict=True) if count}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("They'll meet", {"will": 1, "they": 1, "capitalised": 1}),
        ("It won't", {"will": 1, "negation": 1, "thing": 1, "capitalised": 1}),
        ("he'd go", {"person": 1, "would": 1}),
        ("could could may", {"could": 3}),
        ("on Jan. 3 1994", {"month": 1, "number": 1, "year": 1}),
        ("on Sept. 13", {"month": 1, "number": 1}),
        ("in January", {"month": 1, "capitalised": 1}),
        ("€5 and £20", {"money": 2, "number": 2}),
        ("60 per cent of 4%", {"money": 3, "number": 2, "abstract": 1}),
        ("the UN; the U.S.", {"acronym": 2, "semicolon": 1}),
        ("slowly growing", {"ly": 1, "ing": 1, "more": 1}),
        ("signed security", {"ed": 1, "abstract": 1}),
        ("talks - Both — again", {"dash": 2, "capitalised": 1}),
        ("why ?!", {"question": 1, "exclamation": 1}),
    ],
)
def test_word_classes_of_text(text: str, expected: dict[str, int]) -> None:
    assert counts(text) == expected


def test_class_counts_stay_in_their_unit() -> None:
    tokens = tokens_of(["it will", "", "will will", "talks"])
    table = class_counts(tokens, zones(tokens).unit)
    assert table.shape == (4, len(CLASS_NAMES))
    assert table[:, CLASS_NAMES.index("will")].tolist() == [1, 0, 2, 0]


def test_first_classes_look_at_the_first_token_only() -> None:
    table = first_classes(tokens_of(["Will it", "", "it will", "talks"]))
    assert table.shape == (4, len(CLASS_NAMES))
    assert table[:, CLASS_NAMES.index("will")].tolist() == [1, 0, 0, 0]
    assert table[:, CLASS_NAMES.index("thing")].tolist() == [0, 0, 1, 0]
    assert not table[1].any()


def test_no_units_give_empty_tables() -> None:
    tokens = tokens_of([])
    assert [len(column) for column in zones(tokens)] == [0, 0, 0, 0]
    assert class_counts(tokens, zones(tokens).unit).shape == (0, len(CLASS_NAMES))
    assert first_classes(tokens).shape == (0, len(CLASS_NAMES))


def test_every_class_has_a_column() -> None:
    assert sorted(CLASS_NAMES) == sorted(WORD_CLASSES)


def test_every_listed_norm_can_occur_in_text() -> None:
    """A word whose norm is another one ("£" is "$") would never be counted."""
    # given only inside a longer word
    inside = {"'d"}
    words = sorted({word for attribute, listed in WORD_CLASSES.values() if attribute == NORM for word in listed})
    tokens = tokens_of(words)
    dead = []
    for word, start, end in zip(words, tokens.starts, tokens.starts[1:], strict=False):
        norms = [string_of(int(row[NORM])) for row in tokens.attributes[start:end]]
        if norms not in ([word], [word.lower()]) and word not in inside:
            dead.append((word, norms))
    assert not dead
