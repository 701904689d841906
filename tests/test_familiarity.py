"""Familiarity: which words weigh what, whose neighbours count, and what it makes uncertain."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import batch_of_texts

from pipeline.batches import Batch, batch_of_parsed
from pipeline.familiarity import WINDOW, Familiarity, general_words
from pipeline.records import Document
from pipeline.sentences import hash_of, parse

NEWS = [
    "The foreign minister discussed the border agreement with the ambassador in Geneva.",
    "Ministers want sanctions on the bank lifted before the summit in Vienna.",
    "The treaty between both governments remains blocked by a border dispute.",
    "The embassy said that the delegation would sign the agreement at the summit.",
]
KITCHEN = "Whisk the eggs with the sugar and bake the cake until golden."


@pytest.fixture(scope="module")
def learnt() -> Familiarity:
    return Familiarity.of(batch_of_texts(NEWS))


def weight(learnt: Familiarity, word: str) -> float:
    at = int(np.searchsorted(learnt.words, np.uint64(hash_of(word))))
    assert learnt.words[at] == hash_of(word)
    return float(learnt.weights[at])


def documents(*texts: str) -> Batch:
    return batch_of_parsed([parse(Document(id=str(n), text=text)) for n, text in enumerate(texts)])


def test_general_words_are_sorted_hashes_with_shares() -> None:
    words, shares = general_words()
    assert (np.diff(words.astype(object)) > 0).all()
    assert len(words) == 30_000
    assert 0 < shares.min() < shares.max() < 0.01
    assert 0.3 < shares.sum() < 1


def test_words_of_the_corpus_weigh_more_the_rarer_they_are_elsewhere(learnt: Familiarity) -> None:
    assert weight(learnt, "sanctions") > weight(learnt, "bank") > 0 > weight(learnt, "cake")


def test_a_word_that_the_corpus_has_not_weighs_the_same_however_rare(learnt: Familiarity) -> None:
    assert weight(learnt, "sugar") == pytest.approx(weight(learnt, "whisk"), abs=1e-6)


def test_a_unit_is_read_with_its_neighbours_of_the_same_document(learnt: Familiarity) -> None:
    alone, beside_news, elsewhere = (
        learnt.scores(documents(KITCHEN))[0],
        learnt.scores(documents(f"{NEWS[0]} {KITCHEN}"))[1],
        learnt.scores(documents(NEWS[0], KITCHEN))[1],
    )
    assert alone == elsewhere
    assert alone < beside_news


def test_the_window_ends_after_so_many_units(learnt: Familiarity) -> None:
    text = " ".join([NEWS[0], *[KITCHEN] * (WINDOW + 1)])
    scores = learnt.scores(documents(text))
    assert len(scores) == WINDOW + 2
    assert scores[0] > scores[-1]
    assert scores[-1] == pytest.approx(learnt.scores(documents(KITCHEN))[0])


def test_the_score_is_the_mean_weight_of_known_words(learnt: Familiarity) -> None:
    assert learnt.scores(documents("Treaty cake 17 qqxyz!"))[0] == pytest.approx(
        (weight(learnt, "treaty") + weight(learnt, "cake")) / 2
    )


def test_text_without_a_known_word_is_unfamiliar(learnt: Familiarity) -> None:
    batch = documents("外交部长表示，双方希望签署协定。", "17 + 4 = 21")
    assert np.isnan(learnt.scores(batch)).all()
    assert learnt.unfamiliar(batch).tolist() == [True, True]


def test_without_a_threshold_nothing_known_is_unfamiliar(learnt: Familiarity) -> None:
    assert learnt.threshold == -math.inf
    assert not learnt.unfamiliar(documents(KITCHEN)).any()


def test_no_units_have_no_scores(learnt: Familiarity) -> None:
    assert learnt.scores(documents("")).shape == (0,)


def test_the_threshold_is_a_quantile_of_scores_that_the_weights_have_not_seen() -> None:
    batch = batch_of_texts([*NEWS, KITCHEN])
    rows = np.arange(5)
    folds = [(rows[rows % 2 == rest], rows[rows % 2 != rest]) for rest in (0, 1)]
    plain = rows != 2
    unseen = np.zeros(5)
    for train, test in folds:
        unseen[test] = Familiarity.of(batch.take(train[plain[train]])).scores(batch.take(test))
    for chosen in (np.ones(5, dtype=bool), rows > 1):
        for share in (0.0, 0.25):
            fitted = Familiarity.fit(batch, plain, folds, chosen, share)
            assert fitted.threshold == pytest.approx(np.quantile(unseen[chosen], share))
            assert fitted.weights.tolist() == Familiarity.of(batch.take(rows[plain])).weights.tolist()
