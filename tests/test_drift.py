"""Drift: articles like the corpus raise no alarm, others do, and the right ones are named for labelling."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, Done, batch_of_texts

from pipeline.classify import Model, load
from pipeline.corpus import Corpus, load_corpus
from pipeline.drift import LEAST_DOCUMENTS, Drift, drift
from pipeline.drift_measures import Measure
from pipeline.drift_text import drift_text, verdict
from pipeline.novelty import novelty, unseen_shares, vectors, vocabulary_of
from pipeline.records import Document, Example, Failure, PipelineError

Run = Callable[..., Done]
RECIPE = (
    "Chop the onion finely and fry it in butter until soft. Stir in two spoons of flour. Pour in the milk, whisking "
    "all the while. Season with nutmeg, pepper and a pinch of salt. Bake in a hot oven until golden, then sprinkle "
    "with parsley. Serve with a crisp salad and crusty bread."
)


@pytest.fixture
def model(models: Path, quick: None) -> Model:
    return load(models=models)


@pytest.fixture(scope="module")
def corpus(small_corpus: Path) -> Corpus:
    return load_corpus(small_corpus)


def documents(examples: list[Example]) -> list[Document]:
    """The articles of corpus units as plain text."""
    texts: dict[str, list[str]] = {}
    for example in examples:
        mark = {"bullet": "- ", "heading": "# ", "sentence": ""}[example.kind]
        texts.setdefault(example.article, []).append(mark + example.text)
    return [Document(name, "\n\n".join(parts)) for name, parts in texts.items()]


@pytest.fixture(scope="module")
def alike() -> list[Document]:
    """Articles by the writers of the small corpus that are not in it."""
    rows = map(json.loads, (ROOT / "corpus" / "newsroom-2.jsonl").read_text(encoding="utf-8").splitlines())
    return documents([Example(**{name: row[name] for name in FIELDS}) for row in rows])


FIELDS = ("article", "title", "genre", "section", "kind", "text", "label")


def test_articles_of_the_same_writers_raise_no_alarm(model: Model, corpus: Corpus, alike: list[Document]) -> None:
    found = drift(model, corpus, alike)
    assert found.documents == len(alike) >= LEAST_DOCUMENTS
    assert not found.label_more
    assert len(found.unusual) <= 1
    assert sum(new for new, _ in found.label_shares.values()) == pytest.approx(1)
    assert sum(old for _, old in found.label_shares.values()) == pytest.approx(1)


def test_articles_of_another_kind_raise_an_alarm(model: Model, corpus: Corpus) -> None:
    found = drift(model, corpus, [Document(f"recipe {n}", f"{RECIPE} It feeds {n}.") for n in range(12)])
    assert found.label_more
    assert {"unseen", "novelty"} <= set(found.unusual)
    assert ("butter", 12) in found.unseen_words
    assert verdict(found).startswith("Time to label more: these articles are unlike the corpus (")


def test_what_is_unlike_the_corpus_is_labelled_first_and_not_its_copies(
    model: Model, corpus: Corpus, alike: list[Document]
) -> None:
    recipes = [Document(f"recipe {n}", RECIPE) for n in range(3)]
    found = drift(model, corpus, [*alike, *recipes], top=10)
    names = [one.id for one in found.first]
    assert len(names) == len(set(names)) == 10
    assert names[0] == "recipe 0"
    assert not {"recipe 1", "recipe 2"} & set(names), "a copy of what is labelled already teaches nothing"
    assert found.first[0].priority > np.mean([one.priority for one in found.first[1:]])


def test_a_copy_of_a_corpus_article_is_not_new(model: Model, corpus: Corpus) -> None:
    copies = documents(list(corpus.train))
    found = drift(model, corpus, copies, top=len(copies))
    assert found.measures["unseen"].value < found.measures["unseen"].reference / 2
    assert max(one.novelty for one in found.first) < 0.2
    assert 0.5 < found.measures["novelty"].reference < 1, "the reference looks at an article as if it were new"


def test_few_articles_are_measured_and_not_judged(model: Model, corpus: Corpus) -> None:
    found = drift(model, corpus, [Document("one", RECIPE)])
    assert (found.documents, found.label_more) == (1, False)
    assert "novelty" in found.unusual
    assert verdict(found).startswith(
        f"Too few articles to say whether it is time to label more: 1, and {LEAST_DOCUMENTS}"
    )


def test_failures_are_handed_on_and_empty_documents_left_out(model: Model, corpus: Corpus) -> None:
    failures: list[Failure] = []
    given = [Failure("x.txt", "broken"), Document("empty", " \n"), Document("one", RECIPE)]
    found = drift(model, corpus, given, on_failure=failures.append)
    assert (found.documents, failures) == (1, [given[0]])
    with pytest.raises(PipelineError, match="no article with a sentence in it"):
        drift(model, corpus, given[:2])


def test_other_labels_and_too_small_a_corpus_are_refused(model: Model, corpus: Corpus) -> None:
    labels = replace(corpus.labels, names=(*corpus.labels.names, "hope"))
    with pytest.raises(PipelineError, match=r"the corpus has .*, hope \(run `communique train`\)"):
        drift(model, replace(corpus, labels=labels), [Document("one", RECIPE)])
    few = sorted({example.article for example in corpus.train})[:6]
    train = tuple(example for example in corpus.train if example.article in few)
    with pytest.raises(PipelineError, match="the corpus has 6 articles to compare with; 10 or more"):
        drift(model, replace(corpus, train=train), [Document("one", RECIPE)])


def test_articles_composed_for_their_labels_are_left_out_of_the_reference(model: Model, corpus: Corpus) -> None:
    names = sorted({example.article for example in corpus.train})
    # of each article a second part, as if it were another, written as news
    train = [*corpus.train, *(replace(e, article=f"{e.article} again", source="natural") for e in corpus.train)]
    train += [replace(e, article=f"{e.article} third", source="natural") for e in corpus.train]
    found = drift(model, replace(corpus, train=tuple(train)), [Document("one", RECIPE)])
    assert found.reference_articles == 2 * len(names)


def test_words_that_only_the_own_article_has_are_unseen() -> None:
    batch = batch_of_texts(["ports and dams", "ports and roads", "dams and canals"])
    known = vocabulary_of(batch, [0, 1, 1])
    assert unseen_shares(batch, known, within=True).tolist() == pytest.approx([0, 1 / 3, 1 / 3])
    assert unseen_shares(batch_of_texts(["new dams", ""]), known).tolist() == [0.5, 0]


def test_novelty_is_the_distance_to_the_nearest_article_of_another_group() -> None:
    batch = batch_of_texts(["ports and dams", "ports and dams", "roads of gravel"])
    known = vectors(batch, vocabulary_of(batch, [0, 1, 2]), 3)
    assert novelty(known, known).tolist() == pytest.approx([0, 0, 0])
    assert novelty(known, known, [0, 0, 2], [0, 0, 2]).tolist() == pytest.approx([1, 1, 1])
    assert novelty(known[:1], known[2:]).tolist() == [1.0]


def found_with(*unusual: str) -> Drift:
    values = {
        name: Measure(2.0 if name in unusual else 0.0, 0.5, 1.0)
        for name in ("labels", "uncertain", "unseen", "novelty")
    }
    return Drift(20, 100, 50, values, {"goal": (0.5, 0.5)}, (), (), ("the corpus has changed",))


def test_the_verdict_is_in_words() -> None:
    assert drift_text(found_with()).startswith("No need to label more: ")
    assert drift_text(found_with("unseen")).startswith(
        "Not yet time to label more: one of 4 measures is unusual (words never met)"
    )
    said = drift_text(found_with("labels", "uncertain")).splitlines()
    assert said[0].startswith(
        "Time to label more: these articles are unlike the corpus (shift of label shares and uncert"
    )
    assert said[1] == "Note: the corpus has changed."


# the command


def test_the_command_says_it_and_names_documents(
    run: Run, quick: None, models: Path, small_corpus: Path, tmp_path: Path
) -> None:
    for n in range(12):
        (tmp_path / f"recipe-{n:02}.txt").write_text(f"{RECIPE} It feeds {n}.")
    (tmp_path / "bad.jsonl").write_text("{\n")
    arguments = ("drift", tmp_path, "--models", models, "--corpus", small_corpus, "--jobs", 1, "--top", 3)
    done = run(*arguments)
    assert done.code == 1
    assert any("bad.jsonl" in line for line in done.said)
    assert done.out.startswith("Time to label more")
    assert [line[:2] for line in done.out.splitlines() if "recipe-" in line] == ["1.", "2.", "3."]
    assert "Note:" not in done.out
    whole = json.loads(run(*arguments, "--json").out)
    assert whole["label_more"] is True
    assert len(whole["first"]) == 3


def test_a_corpus_that_changed_since_is_noted(
    run: Run, quick: None, models: Path, tmp_path: Path, small_corpus: Path
) -> None:
    shutil.copytree(small_corpus, tmp_path / "corpus")
    (tmp_path / "corpus" / "labels.toml").write_text((small_corpus / "labels.toml").read_text() + "\n")
    (tmp_path / "a.txt").write_text(RECIPE)
    done = run("drift", tmp_path / "a.txt", "--models", models, "--corpus", tmp_path / "corpus", "--jobs", 1)
    assert "Note: the corpus has changed since model" in done.out
