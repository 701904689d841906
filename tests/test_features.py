"""Features: what they say, and that a unit's row depends on nothing but its own document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from conftest import batch_of_texts
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer

from pipeline import features
from pipeline.batches import Batch, batch_of_examples, batch_of_parsed
from pipeline.features import UnitFeatures
from pipeline.lexicon import Group
from pipeline.records import KINDS, Document, Example, Kind
from pipeline.sentences import ATTRIBUTES, Tokens, parse, string_of, tokens_of

NORM = ATTRIBUTES.index("NORM")
GROUPS = (
    Group("could", "possibility", frozenset({("could",), ("may",)})),
    Group("could_not", "impossibility", frozenset({("could", "not"), ("can", "not")})),
    Group("dispute", "a dispute", frozenset({("dispute",), ("at", "odds"), ("challenges",)})),
    Group("wish", "a wish", frozenset({("wants", "to"), ("urged", "*", "to"), ("goals",)})),
)


@pytest.fixture(autouse=True)
def small_lexicon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "load_lexicon", lambda: GROUPS)


def row(text: str, article: str = "a", section: str | None = None, kind: Kind = "sentence") -> Example:
    return Example(article, f"Title of {article}", "agency", section, kind, text, "background")


ARTICLES = {
    "a": [
        row("Envoys at odds", kind="heading"),
        row("The envoy wants to meet, which could help."),
        row("They could not agree; the dispute is old."),
        row("“We could talk,” she said."),
    ],
    "b": [
        row("", "b"),
        row("Challenges", "b", kind="heading"),
        row("A dispute over fish", "b", "Challenges", "bullet"),
        row("A dispute over grain", "b", "Challenges", "bullet"),
        row("Both sides urged Egypt to wait.", "b", "Goals"),
    ],
    "c": [row("The dispute may end.", "c")],
    "d": [row(f"Talks were held on day {day}.", "d") for day in range(12)],
}
ALL = [example for rows in ARTICLES.values() for example in rows]


@pytest.fixture
def fitted(small_lexicon: None) -> UnitFeatures:
    return UnitFeatures(min_df=1).fit(batch_of_examples(ALL))


def dense(matrix: sparse.csr_matrix) -> np.ndarray:
    return np.asarray(matrix.todense())


def fired(fitted: UnitFeatures, batch: Batch, unit: int, prefix: str) -> set[str]:
    """The names, without the prefix, of the columns of a unit that are not zero."""
    values = dense(fitted.transform(batch))[unit]
    return {
        name.removeprefix(prefix)
        for name, value in zip(fitted.get_feature_names_out(), values, strict=True)
        if value and name.startswith(prefix)
    }


# n-grams


def norms_of(tokens: Tokens) -> list[list[str]]:
    return [
        [string_of(int(key)) for key in tokens.attributes[start:end, NORM]]
        for start, end in zip(tokens.starts, tokens.starts[1:], strict=False)
    ]


def assert_same_as_sklearn(train: Sequence[str], test: Sequence[str], min_df: int) -> None:
    batch, other = batch_of_texts(train), batch_of_texts(test)
    mine = UnitFeatures(min_df=min_df, ngram_weight=1.0).fit(batch)
    names = [name.removeprefix("word=") for name in mine.get_feature_names_out() if name.startswith("word=")]
    theirs = TfidfVectorizer(
        analyzer=lambda words: [*words, *(f"{one} {two}" for one, two in pairwise(words))],
        binary=True,
        min_df=min_df,
    ).fit(norms_of(batch.tokens))
    columns = [theirs.vocabulary_[name] for name in names]
    assert sorted(names) == sorted(theirs.vocabulary_)
    for one in filter(len, (batch, other)):
        expected = dense(theirs.transform(norms_of(one.tokens)))[:, columns]
        np.testing.assert_allclose(dense(mine.transform(one))[:, : len(names)], expected, atol=1e-12)


@pytest.mark.parametrize("min_df", [1, 2, 3])
def test_ngrams_are_those_of_scikit_learn(min_df: int) -> None:
    texts = [example.text for example in ALL]
    assert_same_as_sklearn(texts, ["The dispute is about fish.", "", "nothing known", "could could could"], min_df)


SHORT = st.lists(
    st.lists(st.sampled_from(["talks", "Peace", "could", "not", ","]), max_size=6).map(" ".join), max_size=6
)


@settings(max_examples=30, deadline=None)
@given(SHORT, SHORT)
def test_ngrams_are_those_of_scikit_learn_on_random_texts(train: list[str], test: list[str]) -> None:
    assert_same_as_sklearn(["peace talks", *train], test, 1)


def test_min_df_counts_units_and_not_occurrences() -> None:
    fitted = UnitFeatures(min_df=2).fit(batch_of_texts(["fish fish fish", "grain", "grain"]))
    assert {name for name in fitted.get_feature_names_out() if name.startswith("word=")} == {"word=grain"}


def test_a_pair_of_words_never_crosses_a_unit() -> None:
    fitted = UnitFeatures(min_df=1).fit(batch_of_texts(["peace", "talks", "peace talks"]))
    assert fired(fitted, batch_of_texts(["peace", "talks"]), 0, "word=") == {"peace"}


def test_tokens_of_another_process_can_be_fitted(fitted: UnitFeatures) -> None:
    """A fold that runs in a worker gets hashes whose strings only the parent process has met."""
    batch = batch_of_texts(["talks talks", "talks"])
    unknown = np.random.default_rng(0).integers(2**63, 2**64 - 1, 3, dtype=np.uint64)
    batch.tokens.attributes[:, NORM] = unknown[[0, 1, 0]]
    again = UnitFeatures(min_df=1).fit(batch)
    assert again.transform(batch).shape == (2, len(set(again.get_feature_names_out())))


# names and shape


@pytest.mark.parametrize(
    "left_out", ["", "ngram_weight", "cue_weight", "stance_weight", "structure_weight", "context_weight"]
)
def test_every_column_has_a_name_of_its_own(left_out: str) -> None:
    fitted = UnitFeatures(min_df=1, **{left_out: 0.0} if left_out else {}).fit(batch_of_examples(ALL))
    names = fitted.get_feature_names_out()
    assert len(set(names)) == len(names) == fitted.transform(batch_of_examples(ALL)).shape[1]
    blocks = {
        "ngram_weight": [name for name in names if name.startswith("word=")],
        "cue_weight": [name for name in names if name.startswith("cue=") and "/" not in name],
        "stance_weight": [name for name in names if name.startswith("cue=") and "/" in name],
        "structure_weight": [
            name for name in names if name.startswith(("has=", "first=", "longer=", "kind=", "quoted="))
        ],
        "context_weight": [name for name in names if name.startswith("context=")],
    }
    assert {block for block, columns in blocks.items() if columns} == set(blocks) - {left_out}


def test_weights_scale_their_block_only() -> None:
    batch = batch_of_examples(ALL)
    weights = ("ngram_weight", "cue_weight", "stance_weight", "context_weight", "structure_weight")
    plain = UnitFeatures(min_df=1, **dict.fromkeys(weights, 1)).fit(batch)
    scaled = UnitFeatures(min_df=1, **dict(zip(weights, (2, 3, 3, 5, 7), strict=True))).fit(batch)
    one, other = dense(plain.transform(batch)), dense(scaled.transform(batch))
    for prefix, factor in (("word=", 2), ("cue=", 3), ("context=", 5), ("has=", 7), ("kind=", 7)):
        columns = [at for at, name in enumerate(plain.get_feature_names_out()) if name.startswith(prefix)]
        np.testing.assert_allclose(other[:, columns], factor * one[:, columns], err_msg=prefix)


@pytest.mark.parametrize("build", [batch_of_texts, batch_of_examples, batch_of_parsed])
def test_an_empty_batch_gives_no_rows(fitted: UnitFeatures, build: Callable[[list[Any]], Batch]) -> None:
    batch = build([])
    assert len(batch) == 0
    assert fitted.transform(batch).shape == (0, len(fitted.get_feature_names_out()))


def test_a_unit_without_tokens_has_a_row(fitted: UnitFeatures) -> None:
    assert dense(fitted.transform(batch_of_texts(["", "talks", ""]))).shape[0] == 3
    assert fired(fitted, batch_of_texts(["", "talks"]), 0, "word=") == set()


def test_scikit_learn_can_clone_it() -> None:
    one = UnitFeatures(min_df=3, cue_weight=0.1)
    assert clone(one).get_params() == one.get_params()
    assert clone(one).set_params(min_df=1).min_df == 1


# cues and context


@pytest.mark.parametrize(
    ("text", "variants"),
    [
        ("It could help the talks between both of them.", {"could", "could/main", "could/early"}),
        ("Both of them said that the talks, which could help, ended.", {"could", "could/subordinate"}),
        ("Both of them then said, “It could help.”", {"could", "could/quoted"}),
        ("Both of them said at noon that not one could help", {"could", "could/negated"}),
        ("It could not help the talks between both of them.", {"could_not", "could_not/main", "could_not/early"}),
    ],
)
def test_cues_say_where_they_stand(fitted: UnitFeatures, text: str, variants: set[str]) -> None:
    found = fired(fitted, batch_of_texts([text]), 0, "cue=")
    places = {"main", "subordinate", "quoted", "negated", "early"}
    assert {name for name in found if "/" not in name or name.split("/")[1] in places} == variants


@pytest.mark.parametrize(
    ("text", "head"),
    [
        ("Challenges remain in the talks", True),
        ("Talks: challenges remain", True),
        ("The talks bring challenges", False),
        ("One two three four five six seven eight nine: challenges", False),
    ],
)
def test_a_cue_that_opens_a_unit_or_follows_its_first_colon_is_a_head(
    fitted: UnitFeatures, text: str, head: bool
) -> None:
    assert ("dispute/head" in fired(fitted, batch_of_texts([text]), 0, "cue=")) is head


def test_kind_section_and_place_are_told(fitted: UnitFeatures) -> None:
    batch = batch_of_examples(ARTICLES["b"])
    assert fired(fitted, batch, 1, "kind=") == {"heading"}
    assert fired(fitted, batch, 2, "kind=") == {"bullet"}
    assert fired(fitted, batch, 0, "context=") == {"first unit"}
    expected = {"section:dispute", "list:dispute", "before:dispute"}
    assert fired(fitted, batch, 2, "context=") == expected
    # a sentence under a heading is no item of its list
    assert fired(fitted, batch, 4, "context=") == {"section:wish", "before:dispute"}
    assert fired(fitted, batch_of_examples(ARTICLES["d"]), 9, "context=") == set()


def test_the_unit_before_is_one_of_the_same_document(fitted: UnitFeatures) -> None:
    last, first = row("A dispute, at odds.", "a"), row("Talks were held.", "b")
    assert fired(fitted, batch_of_examples([last, first]), 1, "context=") == {"first unit"}
    inside = batch_of_examples([last, row("Talks were held.", "a")])
    assert fired(fitted, inside, 1, "context=") == {"before:dispute"}


def test_texts_are_documents_of_their_own(fitted: UnitFeatures) -> None:
    batch = batch_of_texts(["A dispute.", "Talks.", "Talks."])
    for unit in range(3):
        assert fired(fitted, batch, unit, "context=") == {"first unit"}


# no leak between documents

WORDS = ["could", "not", "dispute", "wants", "to", "urged", "which", "“", ",", "talks", "said", ":", "?"]
UNIT = st.tuples(
    st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join),
    st.sampled_from([None, "Challenges", "Goals:"]),
    st.sampled_from(KINDS),
)
DOCUMENTS = st.lists(st.lists(UNIT, min_size=1, max_size=4), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(DOCUMENTS)
def test_documents_together_have_the_features_of_each_alone(
    documents: list[list[tuple[str, str | None, Kind]]],
) -> None:
    fitted = UnitFeatures(min_df=1).fit(batch_of_examples(ALL))
    alone = [
        [row(text, str(number), section, kind) for text, section, kind in units]
        for number, units in enumerate(documents)
    ]
    together = dense(fitted.transform(batch_of_examples([example for units in alone for example in units])))
    np.testing.assert_array_equal(
        together, np.vstack([dense(fitted.transform(batch_of_examples(units))) for units in alone])
    )


def test_the_order_of_documents_does_not_matter(fitted: UnitFeatures) -> None:
    batch = batch_of_examples(ALL)
    order = np.concatenate([np.flatnonzero(batch.documents == number) for number in (2, 0, 3, 1)])
    reordered = batch_of_examples([ALL[at] for at in order])
    np.testing.assert_array_equal(dense(fitted.transform(reordered)), dense(fitted.transform(batch))[order])


def test_fitting_learns_nothing_from_order_or_batch_numbers() -> None:
    batch = batch_of_examples(ALL)
    order = np.concatenate([np.flatnonzero(batch.documents == number) for number in (2, 0, 3, 1)])
    one, other = UnitFeatures().fit(batch), UnitFeatures().fit(batch.take(order))
    assert one.get_feature_names_out().tolist() == other.get_feature_names_out().tolist()
    np.testing.assert_array_equal(one.idf_, other.idf_)


# batches


def texts_of_headings(batch: Batch, numbers: np.ndarray) -> list[list[str]]:
    names = norms_of(batch.headings)
    return [names[number] for number in numbers]


def assert_same(one: Batch, other: Batch) -> None:
    """Equal but for the numbers of documents and headings."""
    np.testing.assert_array_equal(one.tokens.attributes, other.tokens.attributes)
    np.testing.assert_array_equal(one.tokens.starts, other.tokens.starts)
    np.testing.assert_array_equal(one.kinds, other.kinds)
    np.testing.assert_array_equal(np.diff(one.documents) != 0, np.diff(other.documents) != 0)
    assert texts_of_headings(one, one.sections) == texts_of_headings(other, other.sections)


@given(st.lists(st.sampled_from(sorted(ARTICLES)), unique=True))
@settings(deadline=None)
def test_taking_documents_gives_the_batch_of_the_subset(names: list[str]) -> None:
    batch = batch_of_examples(ALL)
    articles = np.array([example.article for example in ALL])
    rows = np.array([at for name in names for at in np.flatnonzero(articles == name)], dtype=np.int64)
    taken = batch.take(rows)
    assert len(taken) == len(rows)
    assert_same(taken, batch_of_examples([ALL[at] for at in rows]))
    fitted = UnitFeatures(min_df=1).fit(batch)
    np.testing.assert_array_equal(dense(fitted.transform(taken)), dense(fitted.transform(batch))[rows])


def test_a_parsed_document_and_its_corpus_rows_are_the_same_batch() -> None:
    text = "# Envoys at odds\n\nThe envoy wants to meet. They could not agree.\n\n## Challenges\n\n- Fish\n- Grain\n"
    parsed = [parse(Document("x", text)), parse(Document("y", "")), parse(Document("z", "Talks. More talks."))]
    examples = [
        Example(one.document.id, one.title or "", "agency", unit.section, unit.kind, unit.text, "background")
        for one in parsed
        for unit in one.units
    ]
    assert [len(one.units) for one in parsed] == [6, 0, 2]
    assert_same(batch_of_parsed(parsed), batch_of_examples(examples))


def test_an_article_that_comes_back_is_no_neighbour_of_its_first_part() -> None:
    batch = batch_of_examples([row("One.", "a"), row("Two.", "b"), row("Three.", "a")])
    assert np.diff(batch.take(np.array([0, 2])).documents).tolist() != [0]


def test_headings_are_tokenised_once_and_none_is_number_zero() -> None:
    batch = batch_of_examples(ARTICLES["b"])
    assert batch.sections.tolist() == [0, 0, 1, 1, 2]
    assert norms_of(batch.headings)[:3] == [[], ["challenges"], ["goals"]]
    assert len(tokens_of([]).starts) == 1
