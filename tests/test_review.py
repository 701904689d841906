"""A review: what is brought, what is decided, and what the corpus has afterwards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import CHALLENGE, EVENT, GOAL, Done
from serving import Server

from pipeline import load, review_units, train
from pipeline.annotation_formats import FORMATS, Annotation, from_row, to_row
from pipeline.classify import Model
from pipeline.corpus import check, files_to_check, load_corpus, load_labels
from pipeline.records import PipelineError
from pipeline.review import Review
from pipeline.review_exchange import export_review, import_labels

TALKS = f"""Port talks resume

{EVENT} {GOAL}
{CHALLENGE} The harbour board expects
that freight rates will fall by a tenth.

- A joint register of licensed vessels
- Common patrols along the northern border
"""
VISIT = (
    "The envoy arrived on Monday. Both ports stand idle for half of the year. She urged the parliament to ratify the "
    "treaty before the recess. A failure would leave the dam without money. The delegation toured a school."
)


@dataclass
class Desk:
    """A folder of two articles, and a corpus of one's own."""

    model: Model
    folder: Path
    corpus: Path

    def review(self, **more: object) -> Review:
        return Review(self.model, self.folder, self.corpus, **more)  # type: ignore[arg-type]

    @property
    def rows(self) -> list[dict]:
        path = self.corpus / "review.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    def errors(self) -> list[str]:
        _, found = check(files_to_check([self.corpus]), load_labels(self.corpus))
        return [str(problem) for problem in found if problem.severity == "error"]


@pytest.fixture(scope="module")
def model(models: Path) -> Model:
    return load(models=models)


@pytest.fixture
def desk(tmp_path: Path, small_corpus: Path, model: Model) -> Desk:
    corpus, folder = tmp_path / "corpus", tmp_path / "news"
    shutil.copytree(small_corpus, corpus)
    folder.mkdir()
    (folder / "talks.txt").write_text(TALKS, encoding="utf-8")
    (folder / "visit.txt").write_text(VISIT, encoding="utf-8")
    return Desk(model, folder, corpus)


def key_of(review: Review, text: str) -> str:
    return next(key for key, unit in review.material.units.items() if unit.text == text)


def test_decisions_become_rows_that_check_accepts(desk: Desk) -> None:
    review = desk.review(genre="analysis")
    assert len(review.queue) == 12
    for label in ("goal", "challenge", None, "background"):
        task = review.next("anna")
        assert task is not None
        review.decide(task.unit.id, label, "anna", "seen" if label == "goal" else None)
    assert [row["label"] for row in desk.rows if row["note"]] == ["goal"]
    assert sorted(row["label"] for row in desk.rows) == ["background", "challenge", "goal"]
    assert {(row["genre"], row["source"], row["annotator"]) for row in desk.rows} == {("analysis", "review", "anna")}
    assert {row["article"] for row in desk.rows} <= {"talks.txt", "visit.txt"}
    assert desk.errors() == []
    progress = review.progress("anna")
    assert (progress.mine, progress.labelled, progress.skipped, progress.left) == (3, 3, 1, 8)


def test_a_unit_over_two_lines_stands_on_one(desk: Desk) -> None:
    review = desk.review()
    text = "The harbour board expects that freight rates will fall by a tenth."
    review.decide(key_of(review, text), "implication", "anna")
    assert [row["text"] for row in desk.rows] == [text]
    assert desk.errors() == []


def test_rows_stand_in_the_order_of_the_article_whatever_was_decided_first(desk: Desk) -> None:
    review = desk.review()
    for key in reversed(list(review.material.units)):
        review.decide(key, "background", "anna")
    assert [row["text"] for row in desk.rows] == [unit.text for unit in review.material.units.values()]
    assert review.next("anna") is None
    assert desk.errors() == []


def test_the_next_train_learns_from_them(desk: Desk, quick: None, tmp_path: Path) -> None:
    review = desk.review()
    for key in review.queue[:10]:
        review.decide(key, "goal", "anna")
    before = load_corpus(desk.corpus)
    assert sum(row.source == "review" for row in before.train) == 10
    done = train.train(desk.corpus, tmp_path / "models", cross_validation=False)
    assert done.info.corpus["train"]["units"] == len(before.train)


def test_an_undo_is_in_the_corpus_too(desk: Desk) -> None:
    review = desk.review()
    first, second, *_ = review.queue
    review.decide(first, "goal", "anna")
    review.decide(second, "goal", "anna")
    undone = review.undo("anna")
    assert undone is not None
    assert undone.unit.id == second
    assert len(desk.rows) == 1
    assert review.undo("ben") is None, "only one's own"
    review.undo("anna")
    assert desk.rows == []
    assert review.undo("anna") is None


def test_another_review_goes_on_where_the_first_stopped(desk: Desk) -> None:
    first = desk.review()
    for key in first.queue[:5]:
        first.decide(key, "goal", "anna")
    (desk.corpus / "review.jsonl").unlink()  # as if it had been killed before this was written
    second = desk.review()
    assert len(desk.rows) == 5, "the log alone is enough"
    assert set(second.queue) == set(first.queue) - set(first.queue[:5])


def test_what_two_label_differently_is_not_learnt_until_they_agree(desk: Desk) -> None:
    anna, ben = desk.review(), desk.review()
    key = anna.queue[0]
    anna.decide(key, "goal", "anna")
    ben.decide(key, "challenge", "ben")
    assert desk.rows == []
    third = desk.review()
    assert third.task(third.queue[0]).reason == "disputed"
    task = anna.next("anna")
    assert task is not None
    assert task.unit.id == key, "it comes back to both"
    ben.decide(key, "goal", "ben")
    assert [(row["label"], row["annotator"]) for row in desk.rows] == [("goal", "anna, ben")]
    assert desk.errors() == []


def test_what_one_labelled_the_other_need_not(desk: Desk) -> None:
    anna, ben = desk.review(), desk.review()
    for _ in range(6):
        for review, name in ((anna, "anna"), (ben, "ben")):
            task = review.next(name)
            assert task is not None
            review.decide(task.unit.id, "goal", name)
    assert len(desk.rows) == 12
    assert anna.next("anna") is ben.next("ben") is None


def test_a_row_of_the_corpus_is_corrected_in_its_place(desk: Desk) -> None:
    path = desk.corpus / "news.jsonl"
    before = path.read_bytes()
    row = json.loads(before.splitlines()[2])
    (desk.folder / "copy.txt").write_text(f"{row['text']} The delegations met for an hour.", encoding="utf-8")
    review = desk.review()
    key = key_of(review, row["text"])
    other = "goal" if row["label"] != "goal" else "challenge"
    review.decide(key, other, "anna", "read it again")
    changed = path.read_bytes().splitlines()
    assert [n for n, (one, two) in enumerate(zip(before.splitlines(), changed, strict=True)) if one != two] == [2]
    assert json.loads(changed[2]) == {**row, "label": other, "annotator": "anna", "note": "read it again"}
    assert desk.rows == [], "no second row with the same text"
    assert desk.errors() == []
    review.undo("anna")
    undone = json.loads(path.read_bytes().splitlines()[2])
    assert (undone["label"], undone.get("annotator")) == (row["label"], row.get("annotator"))


def test_a_label_that_models_contradict_is_brought_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def contradicting(model: Model, rows: list) -> np.ndarray:
        names = list(model.info.labels)
        chances = np.array([[0.96 if name == row.label else 0.01 for name in names] for row in rows])
        wrong = next(number for number, name in enumerate(names) if name != rows[5].label)
        chances[5] = 0.01
        chances[5, wrong] = 0.96
        return chances

    monkeypatch.setattr(review_units, "_unseen_probabilities", contradicting)
    review = Review(desk.model, desk.corpus, desk.corpus)
    (key,) = review.queue
    assert review.task(key).reason == "suspect"
    assert review.unit(key).known[0].line == 6


@pytest.mark.slow
def test_a_corpus_is_judged_by_models_that_did_not_learn_it(desk: Desk) -> None:
    corpus = load_corpus(desk.corpus)
    chances = review_units._unseen_probabilities(desk.model, list(corpus.train))
    np.testing.assert_allclose(chances.sum(axis=1), 1.0)
    said = [desk.model.info.labels[column] for column in chances.argmax(axis=1)]
    right = np.mean([label == row.label for label, row in zip(said, corpus.train, strict=True)])
    assert 0.3 < right < 0.95, "better than chance, and not by heart"


def test_held_out_articles_are_left_alone(desk: Desk) -> None:
    row = json.loads((desk.corpus / "heldout" / "news.jsonl").read_text(encoding="utf-8").splitlines()[0])
    (desk.folder / "held.txt").write_text(f"{row['text']} The delegations met for an hour.", encoding="utf-8")
    review = desk.review()
    assert review.material.passed_over == {"articles that stand in heldout/": 1}
    assert all(unit.article != "held.txt" for unit in review.material.units.values())


def test_a_file_of_that_name_from_elsewhere_is_not_replaced(desk: Desk) -> None:
    (desk.corpus / "review.jsonl").write_text("mine\n")
    with pytest.raises(PipelineError, match=r"review\.jsonl: does not come from a review"):
        desk.review()
    assert (desk.corpus / "review.jsonl").read_text() == "mine\n"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda review: review.decide("nothing", "goal", "anna"), "no unit 'nothing'"),
        (lambda review: review.decide(review.queue[0], "gaol", "anna"), "unknown label 'gaol'; did you mean 'goal'"),
        (lambda review: review.decide(review.queue[0], "goal", "  "), "annotator's name must have 1 to 80"),
        (lambda review: review.decide(review.queue[0], "goal", "a, b"), "and no comma"),
    ],
)
def test_a_decision_that_cannot_be_is_refused(desk: Desk, call: Callable[[Review], object], said: str) -> None:
    review = desk.review()
    with pytest.raises(PipelineError, match=said):
        call(review)
    assert not (desk.corpus / "review-decisions.log").exists()


# the command


def test_keys_decide_in_a_terminal(desk: Desk, run: Callable[..., Done], models: Path) -> None:
    arguments = [
        "review",
        desk.folder,
        "--corpus",
        desk.corpus,
        "--models",
        models,
        "--terminal",
        "--annotator",
        "anna",
    ]
    done = run(*arguments, stdin="1\n2\nu\n3\nn a note\n4 m s x 5 q 1")
    assert done.code == 0
    assert sorted(row["label"] for row in desk.rows) == ["background", "challenge", "goal", "implication"]
    assert [row["note"] for row in desk.rows if row["note"]] == ["a note"]
    assert "taken back: opportunity" in done.out
    assert "'x' is no key here" in done.out
    assert "12 units to review" in done.err
    rest = run(*arguments, stdin="5" * 20)
    assert "All done" in rest.out
    assert len(desk.rows) == 11, "one was skipped by anna, and stays so"


@pytest.mark.parametrize("form", FORMATS)
def test_labels_go_to_another_tool_and_come_back(
    desk: Desk, run: Callable[..., Done], models: Path, tmp_path: Path, form: str
) -> None:
    review = desk.review()
    for key, label in zip(review.queue, ("goal", "challenge", "implication"), strict=False):
        review.decide(key, label, "anna", "a note" if label == "goal" else None)
    before = desk.rows
    out = tmp_path / "out.jsonl"
    common = ["review", desk.folder, "--corpus", desk.corpus, "--models", models, "--format", form, "--annotator", "x"]
    assert run(*common, "--export", out).code == 0
    assert len(out.read_text(encoding="utf-8").splitlines()) == 12, "what is decided, and what is still open"
    assert run(*common, "--export", out).code == 1, "an existing file is kept"

    (desk.corpus / "review.jsonl").unlink()
    (desk.corpus / "review-decisions.log").unlink()
    done = run(*common, "--import", out)
    assert done.code == 0
    assert "3 new decisions, 9 rows without one or known already, 0 not taken" in done.err
    assert desk.rows == before
    assert "0 new decisions, 12 rows" in run(*common, "--import", out).err, "twice is once"


def test_rows_that_cannot_be_taken_are_named(desk: Desk, tmp_path: Path) -> None:
    review = desk.review()
    rows = [
        {"text": GOAL, "accept": ["goal"], "answer": "accept"},
        {"text": "This stands in no article.", "accept": ["goal"], "answer": "accept"},
        {"text": CHALLENGE, "accept": ["goal", "challenge"], "answer": "accept"},
        {"text": CHALLENGE, "accept": ["dispute"], "answer": "accept"},
        {"accept": ["goal"]},
    ]
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "nonsense\n", encoding="utf-8")
    new, passed, failures = import_labels(review, path, "prodigy", "anna")
    assert (new, passed) == (1, 0)
    assert [failure.line for failure in failures] == [2, 3, 4, 5, 6]
    said = " ".join(map(str, failures))
    for part in ("has this text", "a unit has one", "unknown label 'dispute'", "not a row as prodigy writes it"):
        assert part in said
    assert [row["annotator"] for row in desk.rows] == ["anna"]
    with pytest.raises(PipelineError, match="unknown format 'xml'; allowed: prodigy, doccano, argilla"):
        export_review(review, tmp_path / "out", "xml")


@pytest.mark.parametrize(
    ("form", "row", "expected"),
    [
        ("prodigy", {"text": "A.", "label": "goal", "answer": "accept", "_session_id": "x"}, ("goal", False, "x")),
        ("prodigy", {"text": "A.", "label": "goal", "answer": "reject"}, (None, False, None)),
        ("prodigy", {"text": "A.", "accept": ["goal"], "answer": "ignore"}, (None, True, None)),
        ("doccano", {"id": 7, "data": "A.", "label": ["goal"]}, ("goal", False, None)),
        ("doccano", {"id": 7, "text": "A.", "label": [], "Comments": ["?"]}, (None, False, None)),
        (
            "argilla",
            {"fields": {"text": "A."}, "responses": {"label": [{"value": "goal", "user_id": "u"}]}, "metadata": {}},
            ("goal", False, "u"),
        ),
        ("argilla", {"text": "A.", "annotation": "goal", "annotation_agent": "anna"}, ("goal", False, "anna")),
    ],
)  # fmt: skip
def test_rows_of_other_tools_are_read(form: str, row: dict, expected: tuple) -> None:
    found = from_row(row, form)
    assert (found.label, found.skipped, found.annotator) == expected
    assert found.text == "A."


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("label", ["goal", None])
def test_an_annotation_survives_the_way_out_and_back(form: str, label: str | None) -> None:
    meta = {"communique_id": "0a1b", "article": "talks.txt", "section": None, "kind": "sentence"}
    one = Annotation("A «text».", label, annotator="Łukasz" if label else None, note="n", suggested="goal", meta=meta)
    back = from_row(json.loads(json.dumps(to_row(one, form, ("goal", "background")))), form)
    assert (back.text, back.label, back.id, back.annotator, back.note) == (one.text, label, "0a1b", one.annotator, "n")


# in a browser


def press(tab, key: str) -> None:
    """Press a key, and wait until the page shows another unit."""
    before = tab.get_attribute("body", "data-unit")
    tab.keyboard.press(key)
    tab.wait_for_selector(f'body:not([data-unit="{before}"])')


@pytest.mark.browser
@pytest.mark.slow
def test_ten_units_are_labelled_by_keyboard_and_survive_a_kill(
    desk: Desk, models: Path, chromium: Any, quick: None, tmp_path: Path
) -> None:
    import signal

    (desk.folder / "nasty.txt").write_text("The <img src=x onerror=alert(1)> minister </script> wants a deal now.")
    arguments = ["review", desk.folder, "--corpus", desk.corpus, "--models", models, "--annotator", "anna"]
    wrong: list[str] = []
    with Server(*arguments) as server:
        tab = chromium.new_page()
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("dialog", lambda dialog: (wrong.append("a script of an article ran"), dialog.dismiss()))
        tab.goto(f"{server.url}/review")
        tab.wait_for_selector("[aria-current]")
        tab.keyboard.press("n")
        tab.keyboard.type("a note 1")
        tab.keyboard.press("Enter")
        for number in range(10):
            press(tab, str(1 + number % 5))
        assert "10 by you" in tab.locator("#said").text_content()
        press(tab, "u")
        assert "Taken back: background. 9 by you" in tab.locator("#said").text_content()
        press(tab, "4")
        press(tab, "s")
        assert len(desk.rows) == 10
        shown = tab.locator("#recent li span").all_text_contents()
        tab.reload()
        tab.wait_for_selector("[aria-current]")
        assert tab.locator("#recent li span").all_text_contents() == shown
        assert shown[:3] == ["skipped", "implication", "implication"]
        tab.keyboard.press("m")
        assert tab.locator("#says tr").count() == 5
        server.stop(signal.SIGKILL)
        tab.keyboard.press("1")
        tab.wait_for_selector("#wrong:not([hidden])")
        assert "does not answer" in tab.locator("#wrong").text_content()
        tab.close()
    with (desk.corpus / "review-decisions.log").open("ab") as log:
        log.write(b'{"unit":{"id":"half')
    with Server(*arguments) as server:
        assert any("half-written last line" in line for line in server.said)
        tab = chromium.new_page()
        tab.goto(f"{server.url}/review")
        tab.wait_for_selector("[aria-current]")
        assert "10 by you, 10 labelled in all, 2 left" in tab.locator("#said").text_content()
        tab.close()
    assert wrong == []
    assert desk.errors() == []
    assert [row["note"] for row in desk.rows if row["note"]] == ["a note 1"]
    done = train.train(desk.corpus, tmp_path / "shelf", cross_validation=False)
    learnt = [row for row in load_corpus(desk.corpus).train if row.source == "review"]
    assert len(learnt) == 10
    assert done.info.corpus["train"]["units"] == len(load_corpus(desk.corpus).train)
