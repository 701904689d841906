"""Words taken apart once: the tokens are spaCy's, whatever is in the cache, and memory stays bounded."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
import spacy
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import sentences
from pipeline.keys import KeyTable, lookup
from pipeline.records import Document
from pipeline.sentences import ATTRIBUTES, parse, string_of, tokens_of
from pipeline.words import LONGEST_KEPT, Taken, WordCache

ORTH = ATTRIBUTES.index("ORTH")
bare = spacy.blank("en")


def expected(text: str) -> list[list[int]]:
    doc = bare(text)
    rows = doc.to_array(list(ATTRIBUTES)).tolist()
    return [row for row, token in zip(rows, doc, strict=True) if not token.is_space]


def corpus_texts() -> Iterator[str]:
    for path in sorted((ROOT / "corpus").glob("*-1.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)["text"]


def test_tokens_of_the_corpus_are_those_of_plain_spacy() -> None:
    texts = list(corpus_texts())[::5]
    tokens = tokens_of(texts)
    assert len(texts) > 500
    for text, start, end in zip(texts, tokens.starts, tokens.starts[1:], strict=False):
        assert tokens.attributes[start:end].tolist() == expected(text), text


WORDS = st.sampled_from(
    "don't can't U.S. a.m. 5pm (see) e-mail well-known $5m 3.5% “quoted” 'single' co-op's http://a.example/b?c=d "
    "x@y.example ... — 10-year-old and/or naïve 东京。 🙂🙂 It's we'll gonna O'Neil Jan. vs. C++ \u200b #tag".split(" ")
)
SPACES = st.sampled_from([" ", "  ", "\n", "\t", "\xa0", "\u3000", "\r\n", " \u2028 "])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(WORDS | st.text("ab.'(-\"", min_size=1, max_size=8), SPACES), max_size=12))
def test_tokens_of_any_text_are_those_of_plain_spacy(parts: list[tuple[str, str]]) -> None:
    text = "".join(word + space for word, space in parts)
    if any(word.strip(".'(-\"ab") == "" and not word.strip("()'\".-") for word, _ in parts):
        return  # bare signs beside each other may be a smiley in spaCy, which looks across spaces for those
    assert tokens_of([text]).attributes.tolist() == expected(text)


class Letters:
    """A tokeniser that gives a token a character, and counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bool]] = []

    def __call__(self, words: list[str], keep: bool) -> Taken:
        self.asked += [(word, keep) for word in words]
        characters = [character for word in words for character in word]
        places = np.array([place for word in words for place in range(len(word))], dtype=np.int64)
        codes = np.array([[ord(character)] for character in characters], dtype=np.uint64)
        return Taken(codes, places, places + 1, np.array([len(word) for word in words]))


def read(cache: WordCache, text: str) -> list[tuple[str, int, int]]:
    placed = cache.tokens(text)
    return [
        (chr(code), begin, end)
        for code, begin, end in zip(
            placed.attributes[:, 0].tolist(), placed.begin.tolist(), placed.end.tolist(), strict=True
        )
    ]


def test_each_word_is_taken_apart_once() -> None:
    letters = Letters()
    cache = WordCache(letters, 1, limit=10)
    assert read(cache, " ab  c\nab ") == [("a", 1, 2), ("b", 2, 3), ("c", 5, 6), ("a", 7, 8), ("b", 8, 9)]
    assert read(cache, "c ab") == [("c", 0, 1), ("a", 2, 3), ("b", 3, 4)]
    assert sorted(letters.asked) == [("ab", True), ("c", True)]
    assert read(cache, "") == read(cache, " \n") == []


def test_beyond_the_limit_words_are_right_and_not_kept() -> None:
    letters = Letters()
    cache = WordCache(letters, 1, limit=2)
    long = "x" * (LONGEST_KEPT + 1)
    for text in ("a b", "a c d c", f"{long} b", "d c a"):
        assert "".join(letter for letter, _, _ in read(cache, text)) == text.replace(" ", "")
    kept = [word for word, keep in letters.asked if keep]
    assert sorted(kept) == ["a", "b"]
    assert sorted(word for word, keep in letters.asked if not keep) == sorted(["c", "d", long, "c", "d"])


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=30), max_size=8))
def test_words_and_places_are_those_of_split(texts: list[str]) -> None:
    cache = WordCache(Letters(), 1, limit=5)
    for text in texts:
        found = read(cache, text)
        assert "".join(letter for letter, _, _ in found) == "".join(text.split())
        assert all(text[begin:end] == letter for letter, begin, end in found)


def test_words_of_documents_beyond_the_limit_leave_the_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentences, "KEPT_WORDS", 3)
    sentences._words.cache_clear()
    try:
        strings = sentences.blank_english().vocab.strings
        parse(Document("d", "Kept words."))
        before = len(strings)
        for number in range(300):
            parsed = parse(Document("d", f"Zhq{number}ov met Xk{number}ra and Vy{number}zz."))
            assert len(parsed.tokens.attributes) == 6
        # the store also numbers strings that it has let go, so a lookup says what it holds
        with pytest.raises(KeyError, match="Can't retrieve string"):
            string_of(int(parsed.tokens.attributes[0, ORTH]))
        assert len(strings) < before + 50
    finally:
        sentences._words.cache_clear()


keys64 = st.integers(0, 2**64 - 1)


@given(st.lists(st.sets(keys64, max_size=30), max_size=4), st.lists(keys64))
def test_a_table_finds_what_was_put_in_and_nothing_else(groups: list[set[int]], others: list[int]) -> None:
    table = KeyTable(sum(map(len, groups)) or 1)
    numbers: dict[int, int] = {}
    for group in groups:
        new = [key for key in group if key not in numbers]
        first = len(numbers)
        numbers.update({key: first + index for index, key in enumerate(new)})
        table.insert(np.array(new, dtype=np.uint64), np.arange(first, first + len(new)))
    values = [*others, *numbers, 0]
    found = table.find(np.array(values, dtype=np.uint64))
    assert found.tolist() == [numbers.get(value, -1) for value in values]


def test_large_lookups_are_those_of_bisection() -> None:
    random = np.random.default_rng(0)
    keys = np.unique(random.integers(0, 2**63, 5000, dtype=np.uint64))
    values = np.concatenate((keys[::3], random.integers(0, 2**63, 5000, dtype=np.uint64)))
    few = [lookup(keys.copy(), part) for part in np.array_split(values, 50)]
    assert lookup(keys, values).tolist() == np.concatenate(few).tolist()
