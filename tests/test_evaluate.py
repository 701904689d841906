"""Evaluation: no article is cut anywhere, and the scores are those of the predictions."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from pipeline import evaluate as module
from pipeline import features
from pipeline.batches import Batch, batch_of_examples
from pipeline.evaluate import article_groups, cross_validate, evaluate, evaluate_files, source_groups
from pipeline.lexicon import Group
from pipeline.model import UnitClassifier
from pipeline.records import Example, PipelineError

LABELS = ("challenge", "opportunity", "goal", "implication", "background")
THREE = ("challenge", "goal", "background")
CORPUS = Path(__file__).parent.parent / "corpus"
WORDS = [
    "fish",
    "grain",
    "steel",
    "visas",
    "water",
    "ports",
    "debts",
    "rails",
    "envoys",
    "mines",
    "dams",
    "roads",
    "trade",
    "coal",
    "cables",
    "drones",
    "tea",
]
CUES = {"challenge": "disputed", "goal": "wanted", "background": "visited"}


@pytest.fixture(autouse=True)
def small_lexicon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "load_lexicon", lambda: (Group("wish", "a wish", frozenset({("wanted",)})),))


def example(article: str, text: str, label: str, genre: str = "agency") -> Example:
    return Example(article, "", genre, None, "sentence", text, label)


def learnable(articles: int = 18, seed: int = 0) -> list[Example]:
    """A word tells the label, but for one unit in ten."""
    rng = np.random.default_rng(seed)
    rows = []
    for article in range(articles):
        for _ in range(6):
            label = str(rng.choice(THREE))
            words = [str(word) for word in rng.choice(WORDS, 5)]
            said = label if rng.random() < 0.9 else str(rng.choice(THREE))
            genre = "agency" if article % 2 else "official"
            rows.append(example(f"a{article}", " ".join([CUES[label], *words]), said, genre))
    return rows


def memorisable(articles: int = 60, seed: int = 0, copies: int = 1) -> list[Example]:
    """Every article has words and a label of its own, and nothing else to learn.

    With ``copies`` the articles come in twins with the same texts under different names.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for article in range(articles):
        label = THREE[rng.integers(3)]
        texts = [
            " ".join([f"name{article}", f"town{article}", *(str(word) for word in rng.choice(WORDS, 8))])
            for _ in range(5)
        ]
        rows += [example(f"a{article}-{copy}", text, label) for copy in range(copies) for text in texts]
    return rows


def classifier(**options: object) -> UnitClassifier:
    return UnitClassifier(THREE, **{"n_splits": 3, **options})


# no leak


def test_memorised_articles_score_no_better_than_chance() -> None:
    assert cross_validate(classifier(), memorisable()).accuracy < 0.5


def test_the_leak_test_would_see_cut_articles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "article_groups", lambda examples: np.arange(len(examples)))
    assert cross_validate(classifier(), memorisable()).accuracy > 0.9


def test_copies_of_an_article_score_no_better_than_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    twins = memorisable(articles=24, copies=2)
    assert cross_validate(classifier(), twins, n_splits=3).accuracy < 0.55
    names = {row.article: number for number, row in enumerate(twins)}
    monkeypatch.setattr(module, "article_groups", lambda examples: np.array([names[e.article] for e in examples]))
    assert cross_validate(classifier(), twins, n_splits=3).accuracy > 0.75, "the test would not see a cut pair of twins"


def test_every_fit_sees_whole_groups_and_no_test_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = learnable()
    sizes = Counter(article_groups(rows))
    fits: list[np.ndarray] = []
    tested: list[int] = []

    class Spy(UnitClassifier):
        def fit(
            self,
            batch: Batch,
            y: list[str],
            groups: np.ndarray | None = None,
            calibrate_on: np.ndarray | None = None,
        ) -> UnitClassifier:
            assert groups is not None
            assert calibrate_on is not None
            assert all(sizes[group] == count for group, count in Counter(groups).items())
            fits.append(groups)
            return super().fit(batch, y, groups, calibrate_on)

        def predict_proba(self, batch: Batch) -> np.ndarray:
            tested.append(len(batch))
            assert len(batch) + len(fits[-1]) == len(rows)
            return super().predict_proba(batch)

    cross_validate(Spy(THREE, n_splits=3), rows, n_splits=4)
    assert len(fits) == 4
    assert sum(tested) == len(rows)
    assert all(len(set(groups)) < len(sizes) for groups in fits)


def test_near_duplicates_share_a_group_wherever_their_articles_stand() -> None:
    same = "the two ministers signed a treaty on fishing rights in the strait"
    rows = [example("a", same, "goal"), example("b", "something else", "goal"), example("c", same + " today", "goal")]
    groups = article_groups([*rows, example("a", "more of the first", "goal")])
    assert groups[0] == groups[2] == groups[3] != groups[1]


def test_calibration_leaves_whole_files_out_where_there_are_enough() -> None:
    def row(file: int, article: str, text: str = "") -> Example:
        return replace(example(article, text or f"words of {article} in {file}", "goal"), file=f"{file}.jsonl")

    rows = [row(file, f"{file}-{part}") for file in range(12) for part in "ab"]
    groups = source_groups(rows)
    assert len(set(groups.tolist())) == 12
    assert (groups[::2] == groups[1::2]).all()
    # an article in two files ties them
    tied = source_groups([*rows, row(3, "7-a")])
    assert tied[6] == tied[14] == tied[-1]
    assert len(set(tied.tolist())) == 11
    # and a few files are no sources
    few = [row(0, f"article {number}") for number in range(5)] + [row(1, "other")]
    assert source_groups(few).tolist() == article_groups(few).tolist()


# scores


def test_cross_validation_scores_what_can_be_learnt() -> None:
    rows = learnable()
    found = cross_validate(classifier(), rows, n_splits=3)
    assert (found.name, found.units, found.articles) == ("cross-validation", len(rows), 18)
    assert found.labels == THREE
    assert found.accuracy > 0.8
    assert found.calibration_error < 0.2
    assert set(found.macro_f1_by_genre) == {"agency", "official"}
    assert [sum(row) for row in found.confusion] == [Counter(row.label for row in rows)[label] for label in THREE]
    assert found.macro_f1_interval[0] <= found.macro_f1 <= found.macro_f1_interval[1]


def test_cross_validation_is_reproducible_and_leaves_the_classifier_alone() -> None:
    rows, one = learnable(), classifier()
    assert cross_validate(one, rows, n_splits=3) == cross_validate(one, rows, n_splits=3)
    assert not hasattr(one, "pipeline_")


def test_the_order_of_the_articles_hardly_matters() -> None:
    rows = learnable(articles=12)
    other = [row for name in sorted({row.article for row in rows}, reverse=True) for row in rows if row.article == name]
    one, two = (cross_validate(classifier(), examples, n_splits=3).accuracy for examples in (rows, other))
    assert abs(one - two) < 0.1


def test_cross_validation_needs_articles() -> None:
    rows = learnable()
    with pytest.raises(PipelineError, match=r"at least three articles that share no near-duplicates \(add corpus"):
        cross_validate(classifier(), rows[:12])
    twins = memorisable(articles=2, copies=3)
    with pytest.raises(PipelineError, match="at least three articles that share no near-duplicates"):
        cross_validate(classifier(), twins)
    assert cross_validate(classifier(), rows[:18]).articles == 3


def test_cross_validation_names_unknown_labels() -> None:
    rows = [*learnable(), example("z", "x", "hope")]
    with pytest.raises(
        PipelineError, match="cross-validation: labels that the model does not know: hope; its labels are"
    ):
        cross_validate(classifier(), rows)


@pytest.fixture
def fitted() -> UnitClassifier:
    rows = learnable()
    return classifier().fit(batch_of_examples(rows), [row.label for row in rows])


def test_heldout_scores_are_those_of_the_predictions(fitted: UnitClassifier) -> None:
    rows = learnable(seed=5)
    true = [row.label for row in rows]
    probabilities = fitted.predict_proba(batch_of_examples(rows))
    said = fitted.predict(batch_of_examples(rows)).tolist()
    found, mistakes = evaluate(fitted, rows)
    assert (found.name, found.articles) == ("heldout", 18)
    assert found.accuracy == pytest.approx(accuracy_score(true, said))
    assert found.macro_f1 == pytest.approx(f1_score(true, said, average="macro"))
    doubtful = [p.max() < fitted.thresholds_[label] for p, label in zip(probabilities, said, strict=True)]
    assert found.uncertain_share == pytest.approx(np.mean(doubtful))
    wrong = [at for at, (one, other) in enumerate(zip(true, said, strict=True)) if one != other]
    assert len(wrong) == len(mistakes) > 0
    by_text = {row.text: at for at, row in enumerate(rows)}
    for mistake in mistakes:
        at = by_text[mistake.example.text]
        assert mistake.said == said[at] != mistake.example.label
        assert mistake.confidence == pytest.approx(probabilities[at].max())
        assert mistake.true_probability == pytest.approx(probabilities[at, THREE.index(true[at])])
    gaps = [mistake.confidence - mistake.true_probability for mistake in mistakes]
    assert gaps == sorted(gaps, reverse=True), "the widest gap first"


def test_a_part_of_the_labels_can_be_scored(fitted: UnitClassifier) -> None:
    found, mistakes = evaluate(fitted, [example("x", "wanted fish", "goal")], "one unit")
    assert (found.name, found.units, found.accuracy, mistakes) == ("one unit", 1, 1.0, [])
    assert found.per_label["challenge"].support == 0


def test_nothing_to_score_and_unknown_labels_are_errors(fitted: UnitClassifier) -> None:
    with pytest.raises(PipelineError, match=r"new\.jsonl: no labelled units \(run `communique check`"):
        evaluate(fitted, [], "new.jsonl")
    rows = [example("x", "a", "hope"), example("x", "b", "goal"), example("x", "c", "fear")]
    with pytest.raises(PipelineError, match="heldout: labels that the model does not know: fear, hope; its labels"):
        evaluate(fitted, rows)


# files


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A small corpus folder with all five labels, and one held-out article."""
    (tmp_path / "heldout").mkdir()
    shutil.copy(CORPUS / "labels.toml", tmp_path)
    put(tmp_path / "heldout" / "one.jsonl", "held-out", ["wanted fish", "visited ports", "disputed dams"])
    return tmp_path


def put(path: Path, article: str, texts: list[str]) -> None:
    labels = {cue: label for label, cue in CUES.items()}
    rows = [
        {"article": article, "title": "News", "genre": "agency", "section": None, "kind": "sentence", "text": text}
        | {"label": labels[text.split()[0]]}
        for text in texts
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def five(small_lexicon: None) -> UnitClassifier:
    rows = learnable()
    return UnitClassifier(LABELS, n_splits=3).fit(batch_of_examples(rows), [row.label for row in rows])


def test_files_default_to_the_heldout_articles(five: UnitClassifier, corpus: Path) -> None:
    found, _ = evaluate_files(five, [], corpus)
    assert (found.name, found.units, found.articles) == (str(corpus / "heldout"), 3, 1)
    assert found.accuracy == 1.0


def test_named_files_are_scored_instead(five: UnitClassifier, corpus: Path) -> None:
    put(corpus / "more.jsonl", "other", ["wanted tea", "visited mines"])
    found, _ = evaluate_files(five, [corpus / "more.jsonl"], corpus)
    assert (found.name, found.units) == (str(corpus / "more.jsonl"), 2)


def test_a_file_with_errors_is_named(five: UnitClassifier, corpus: Path) -> None:
    (corpus / "broken.jsonl").write_text("{\n", encoding="utf-8")
    with pytest.raises(PipelineError, match=r"broken\.jsonl"):
        evaluate_files(five, [corpus / "broken.jsonl"], corpus)
