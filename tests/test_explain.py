"""Explanations: exact for every unit, whatever the features; readable; and the precedents beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import CHALLENGE, GOAL, NEWS, ROOT, Done, batch_of_texts
from rich.console import Console

import pipeline
from pipeline import combined
from pipeline.batches import Batch, batch_of_examples, batch_of_parsed
from pipeline.classify import Model
from pipeline.combined import CombinedClassifier
from pipeline.explain import BASE, ENCODER, OTHERS, Explainer, Explanation, Term, term_of
from pipeline.explain_text import bar, bar_rows, one_line, print_reasons, score_lines
from pipeline.model import UnitClassifier
from pipeline.precedents import Precedents, labelled_units
from pipeline.reasons import Reasoner
from pipeline.records import Document, Example
from pipeline.sentences import parse

SOURCE = ROOT / "corpus" / "source-article.txt"


@pytest.fixture(scope="module")
def model(models: Path) -> Model:
    return pipeline.load(models=models)


@pytest.fixture(scope="module")
def reasoner(model: Model, small_corpus: Path) -> Reasoner:
    return Reasoner(model, small_corpus)


def batch_of(text: str) -> Batch:
    return batch_of_parsed([parse(Document("d", text))])


def gap(explanations: list[Explanation], scores: np.ndarray) -> float:
    """The largest difference between the sum of a unit's terms and its score."""
    sums = [np.sum([term.scores for term in one.terms], axis=0) for one in explanations]
    return float(np.abs(np.array(sums) - scores).max())


@pytest.mark.parametrize("most", [None, 6, 0])
def test_terms_sum_to_the_score_for_every_unit_of_the_source_article(released: Path, most: int | None) -> None:
    model = pipeline.load(models=released)
    batch = batch_of(SOURCE.read_text(encoding="utf-8"))
    explanations = Explainer(model.classifier).explain(batch, most)
    scores = model.classifier.decision_function(batch)
    assert len(explanations) == len(batch) > 30
    assert gap(explanations, scores) < 1e-6
    assert np.abs(np.array([one.scores for one in explanations]) - scores).max() < 1e-6


def test_the_highest_score_is_the_label(model: Model, reasoner: Reasoner) -> None:
    text = SOURCE.read_text(encoding="utf-8")
    found = reasoner.explain(text)
    assert [one.prediction for one in found] == model.classify(text)
    assert [one.explanation.best for one in found] == [one.prediction.label for one in found]


def test_fewer_terms_are_the_heaviest_and_leave_nothing_out(model: Model) -> None:
    explainer = Explainer(model.classifier)
    batch = batch_of(NEWS)
    for whole, short in zip(explainer.explain(batch), explainer.explain(batch, 4), strict=True):
        assert short.terms[:4] == whole.terms[:4]
        assert [term.group for term in short.terms[4:]] == [OTHERS, BASE]
        column = whole.labels.index(whole.best)
        sizes = [abs(term.scores[column]) for term in whole.terms[:-1]]
        assert sizes == sorted(sizes, reverse=True)
        for group, values in whole.by_group().items():
            expected = np.sum([term.scores for term in whole.terms if term.group == group], axis=0)
            np.testing.assert_allclose(values, expected)


def test_a_cue_is_one_term_with_the_words_it_was_found_by(reasoner: Reasoner) -> None:
    (goal,) = reasoner.explain(GOAL)
    cues = {term.name: term for term in goal.explanation.terms if term.group == "cue"}
    assert cues["want"].found == ("wants",)
    assert cues["want"].scores[goal.explanation.labels.index("goal")] > 0


def test_context_names_the_unit_before_and_the_heading(reasoner: Reasoner) -> None:
    text = f"# Talks\n\n## Obstacles\n\n{GOAL} The envoys met.\n"
    met = reasoner.explain(text)[-1]
    context = {term.name: term.found for term in met.explanation.terms if term.group == "context"}
    assert context == {"unit before: want": ("wants",)}
    heading = reasoner.explain("# Talks\n\n## A dispute\n\nThe envoys met.\n")[-1]
    assert {t.name: t.found for t in heading.explanation.terms if t.name.startswith("heading:")} == {
        "heading: obstacle": ("dispute",)
    }


def test_names_of_features_it_has_never_heard_of() -> None:
    assert term_of("word=he said") == ("word", "he said")
    assert term_of("cue=goal_want/main") == term_of("cue=goal_want") == ("cue", "goal want")
    assert term_of("context=list:goal_want") == ("context", "list heading: goal want")
    assert term_of("context=first unit") == ("context", "first unit")
    assert term_of("has=be_past") == ("structure", "has be past")
    assert term_of("position=last") == ("position", "last")
    assert term_of("entropy") == ("feature", "entropy")


def test_a_model_of_two_labels_is_exact_too() -> None:
    rows = [
        Example(f"a{n}", "", "wire", None, "sentence", text, label)
        for n in range(8)
        for text, label in ((f"They want deal {n}.", "goal"), (f"They met {n} times.", "background"))
    ]
    batch = batch_of_examples(rows)
    fitted = UnitClassifier(["goal", "background"], n_splits=2, features={"min_df": 1})
    fitted.fit(batch, [row.label for row in rows])
    assert gap(Explainer(fitted).explain(batch), fitted.decision_function(batch)) < 1e-9
    unseen = UnitClassifier(["goal", "risk", "background"], n_splits=2, features={"min_df": 1})
    unseen.fit(batch, [row.label for row in rows])
    assert gap(Explainer(unseen).explain(batch), unseen.decision_function(batch)) < 1e-9


class _Encoder:
    """Stands for a sentence encoder: scores by the length of a text."""

    def __init__(self, n_labels: int) -> None:
        self._n_labels = n_labels

    def scores(self, pairs: Any) -> np.ndarray:
        return np.array([[len(text) * 0.01 * (k + 1) for k in range(self._n_labels)] for _, text in pairs])


def test_the_encoders_part_is_one_term_and_the_sum_holds(model: Model) -> None:
    plain = model.classifier
    both = CombinedClassifier(plain.labels)
    both.pipeline_, both.share_, both.learnt_ = plain.pipeline_, 0.7, None
    both._opened = _Encoder(len(plain.labels))
    batch = batch_of(NEWS)
    explanations = Explainer(both).explain(batch, 5)
    assert gap(explanations, both.decision_function(batch)) < 1e-9
    assert [term.group for term in explanations[0].terms][-2:] == [ENCODER, BASE]
    sizes = [term.scores[0] for one in explanations for term in one.terms if term.group == ENCODER]
    np.testing.assert_allclose(sizes, [0.7 * len(text) * 0.01 for _, text in combined.pairs_of(batch)])


def test_nothing_to_explain(reasoner: Reasoner) -> None:
    assert reasoner.explain(" \n") == []
    assert Explainer(reasoner.model.classifier).explain(batch_of("")) == []


# Precedents


def test_the_nearest_unit_of_the_corpus_is_found_with_its_place(model: Model, small_corpus: Path) -> None:
    units = labelled_units(small_corpus)
    precedents = Precedents(model.classifier, units)
    rows = [7, 100, 205]
    near = precedents.nearest(batch_of_texts([units[row].text for row in rows]), 3)
    for row, found in zip(rows, near, strict=True):
        example = units[row]
        assert found[0].text == example.text
        assert found[0].likeness > 0.95
        assert [one.likeness for one in found] == sorted((one.likeness for one in found), reverse=True)
        lines = Path(found[0].file).read_text(encoding="utf-8").splitlines()
        assert json.loads(lines[found[0].line - 1])["text"] == example.text
        assert found[0].where == f"{found[0].file}:{found[0].line}"


def test_held_out_units_are_no_precedents(small_corpus: Path) -> None:
    assert "heldout" not in {Path(unit.file).parent.name for unit in labelled_units(small_corpus)}


def test_no_precedent_has_nothing_in_common(model: Model) -> None:
    example = Example("a", "A", "wire", None, "heading", "Zzyzx?", "background", file="x.jsonl", line=1)
    far = Precedents(model.classifier, [example]).nearest(batch_of_texts([GOAL]))
    assert far == [[]] or far[0][0].likeness < 0.5
    assert Precedents(model.classifier, []).nearest(batch_of_texts([GOAL])) == [[]]


# The terminal


def shown(reasoner: Reasoner, text: str, width: int = 100, **options: Any) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    for reasons in reasoner.explain(text):
        print_reasons(reasons, console, {}, **options)
    return console.export_text()


def test_bars() -> None:
    assert bar(1.0, 1.0, 4) == "████"
    assert bar(0.5, 1.0, 4) == "██"
    assert bar(0.03125, 1.0, 4) == "▏"
    assert bar(-0.5, 1.0, 4) == "▒▒"
    assert bar(0.0, 0.0) == ""


def test_what_is_shown_sums_to_what_is_shown(reasoner: Reasoner) -> None:
    (reasons,) = reasoner.explain(CHALLENGE)
    for label in reasons.explanation.labels:
        rows = bar_rows(reasons.explanation, label, 5)
        assert len(rows) <= 7
        column = reasons.explanation.labels.index(label)
        assert sum(value for *_, value in rows) == pytest.approx(reasons.explanation.scores[column], abs=1e-9)
    head, *lines = score_lines(reasons)
    assert head.split()[-2:] == ["score", "prob."]
    for line in lines:
        cells = [float(cell) for cell in line.split()[1:]]
        assert sum(cells[:-2]) == pytest.approx(cells[-2], abs=0.04)


def test_the_terminal_shows_label_bars_and_precedents(reasoner: Reasoner) -> None:
    text = shown(reasoner, GOAL)
    assert f"what moved {reasoner.model.classify(GOAL)[0].label}" in text
    assert "want: “wants”" in text
    assert "█" in text
    assert "most alike in the corpus" in text
    assert "news.jsonl:" in text
    every = shown(reasoner, GOAL, labels=reasoner.model.info.labels)
    assert all(f"what moved {label}" in every for label in reasoner.model.info.labels)


def test_an_article_cannot_steer_the_terminal(reasoner: Reasoner) -> None:
    assert one_line("a\x1b[31m\nb \u202ec") == "a\ufffd[31m b \ufffdc"
    text = shown(reasoner, "They [bold]want\x1b[2J a \u202edeal.")
    assert "[bold]want" in text
    assert not set(text) & set("\x1b\u202e")


# The command


def explain(run: Callable[..., Done], models: Path, corpus: Path, *arguments: object, **options: Any) -> Done:
    return run("explain", *arguments, "--models", models, "--corpus", corpus, **options)


def test_the_command_explains_a_sentence(run: Callable[..., Done], models: Path, small_corpus: Path) -> None:
    done = explain(run, models, small_corpus, GOAL)
    assert done.code == 0
    assert GOAL in done.out
    assert f"what moved {pipeline.load(models=models).classify(GOAL)[0].label}" in done.out


def test_the_command_explains_one_unit_of_a_document(
    run: Callable[..., Done], models: Path, small_corpus: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text(NEWS)
    arguments = ["--document", tmp_path / "a.txt", "--index", 1, "--json", "--precedents", 2]
    (row,) = explain(run, models, small_corpus, *arguments).rows
    assert (row["text"], row["index"]) == (GOAL, 1)
    assert len(row["precedents"]) == 2
    assert set(row["precedents"][0]) == {"likeness", "label", "text", "file", "line"}
    for label, score in row["scores"].items():
        assert sum(term["scores"][label] for term in row["terms"]) == pytest.approx(score, abs=1e-6)


def test_the_command_reads_standard_input(run: Callable[..., Done], models: Path, small_corpus: Path) -> None:
    done = explain(run, models, small_corpus, "-", "--json", "--precedents", 0, stdin=NEWS)
    assert [row["index"] for row in done.rows] == [0, 1, 2]


def test_a_file_of_several_articles_needs_an_id(
    run: Callable[..., Done], models: Path, small_corpus: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"id": name, "text": GOAL}) + "\n" for name in ("x", "y", "z")))
    options = ["--document", path, "--index", 0, "--json", "--precedents", 0]
    done = explain(run, models, small_corpus, *options)
    assert done.code == 1
    assert "holds more than one article (name one with --id, such as 'x' or 'y')" in done.err
    assert explain(run, models, small_corpus, *options, "--id", "z").rows[0]["document"] == "z"
    done = explain(run, models, small_corpus, *options, "--id", "w")
    assert done.code == 1
    assert "no article with the id 'w'" in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "give either a SENTENCE or --document FILE --index N"),
        ([GOAL, "--document", "a.txt"], 2, "give either a SENTENCE"),
        ([GOAL, "--index", "1"], 2, "go together"),
        (["--document", "a.txt"], 2, "go together"),
        (["--document", "a.txt", "--index", "9"], 2, "9 is too high; a.txt has the units 0 to 2"),
        (["--document", "gone.txt", "--index", "0"], 1, "gone.txt: no such file or folder"),
        ([GOAL, "--label", "goul"], 2, "unknown label 'goul'; did you mean 'goal'"),
        (["  "], 1, "no sentence in it"),
    ],
)
def test_wrong_usage_says_what_is_right(
    run: Callable[..., Done],
    models: Path,
    small_corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text(NEWS)
    done = explain(run, models, small_corpus, *arguments)
    assert done.code == code
    assert message in " ".join(done.err.replace("│", " ").split())
    assert done.out == ""


def test_terms_are_plain_records() -> None:
    one = Explanation(("a", "b"), (1.0, 0.5), (Term("word", "x", (), (0.5, 0.5)), Term(BASE, "", (), (0.5, 0.0))))
    assert one.best == "a"
    assert one.as_dict()["terms"][0]["scores"] == {"a": 0.5, "b": 0.5}
    with pytest.raises(ValueError, match="not in tuple"):
        one.toward("c")
