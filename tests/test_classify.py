"""The verb `classify` from Python: predictions, their probabilities, and what happens to bad sources."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import CHALLENGE, EVENT, GOAL, NEWS, clean_environment
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import pipeline
from pipeline import classify
from pipeline.classify import Model, rounded
from pipeline.records import Document, Failure, PipelineError, Result


@pytest.fixture(scope="session")
def model(models: Path) -> Model:
    return pipeline.load(models=models)


def test_a_text_becomes_predictions_in_reading_order(model: Model) -> None:
    found = model.classify(NEWS)
    assert [one.unit.text for one in found] == [EVENT, GOAL, CHALLENGE]
    assert [NEWS[one.unit.start : one.unit.end] for one in found] == [EVENT, GOAL, CHALLENGE]
    for one in found:
        assert tuple(one.probabilities) == model.info.labels
        assert one.label == max(one.probabilities, key=one.probabilities.__getitem__)
        assert one.confidence == one.probabilities[one.label]
        assert one.uncertain == (one.confidence < model.info.thresholds[one.label])


@pytest.mark.parametrize("text", ["", " \n", "\ufeff", "...", "\ud800", "- \n- \n"])
def test_odd_texts_are_no_error(model: Model, text: str) -> None:
    assert all(text[one.unit.start : one.unit.end] == one.unit.text for one in model.classify(text))


def test_neighbours_in_other_documents_change_nothing(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [Document(str(number), text) for number, text in enumerate([NEWS, GOAL, "", CHALLENGE * 3, EVENT])]

    def rows() -> list[list[dict[str, object]]]:
        found = model.classify_documents(documents)
        return [[one.row() for one in result.predictions] for result in found if isinstance(result, Result)]

    together = rows()
    monkeypatch.setattr(classify, "BATCH_UNITS", 1)
    assert rows() == together
    assert [len(document) for document in together] == [3, 1, 0, 3, 1]


def test_failures_keep_their_place(model: Model) -> None:
    failure = Failure("b", "gone")
    found = list(model.classify_documents([Document("a", EVENT), failure, Document("c", GOAL)]))
    assert [one if isinstance(one, Failure) else one.document.id for one in found] == ["a", failure, "c"]


def test_many_paths_give_all_results_and_then_name_what_failed(model: Model, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(EVENT)
    (tmp_path / "z.jsonl").write_text(json.dumps({"body": GOAL}) + "\n")
    results = model.classify_many([tmp_path / "gone.txt", tmp_path], text_field="body")
    seen = [next(results), next(results)]
    with pytest.raises(
        PipelineError, match=r"(?s)1 could not be read, all the others were classified:.*gone\.txt: no such"
    ):
        next(results)
    assert [one.unit.text for result in seen for one in result.predictions] == [EVENT, GOAL]


def test_failures_can_be_handled_one_by_one(model: Model) -> None:
    failures: list[Failure] = []
    results = list(model.classify_many(["gone.txt", "-"], on_failure=failures.append, stdin=io.BytesIO(GOAL.encode())))
    assert [failure.source for failure in failures] == ["gone.txt"]
    assert [result.predictions[0].unit.text for result in results] == [GOAL]


def test_documents_are_read_as_they_are_needed(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classify, "BATCH_UNITS", 4)
    asked = 0

    def endless() -> object:
        nonlocal asked
        while True:
            asked += 1
            yield Document(str(asked), EVENT)

    results = model.classify_documents(endless())  # type: ignore[arg-type]
    assert [result.document.id for _, result in zip(range(3), results, strict=False)] == ["1", "2", "3"]  # type: ignore[union-attr]
    assert asked == 4


# Rounding

ROWS = arrays.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(2, 7)), elements=st.floats(1e-12, 1.0)).map(
    lambda values: values / values.sum(axis=1, keepdims=True)
)


@settings(deadline=None)
@given(ROWS)
def test_rounded_probabilities_sum_to_one_and_stay_near(probabilities: np.ndarray) -> None:
    result = rounded(probabilities)
    decimals = [[round(value, 6) for value in row] for row in result.tolist()]
    assert decimals == result.tolist()
    assert np.abs(result.sum(axis=1) - 1).max() < 1e-12
    assert (result >= 0).all()
    assert (result <= 1).all()
    assert np.abs(result - probabilities).max() <= 5e-7 * probabilities.shape[1] + 1e-12


def test_what_rounding_leaves_over_goes_to_the_largest() -> None:
    assert rounded(np.array([[0.4, 0.3000004, 0.2999996], [0.9999999, 0.0000001, 0.0]])).tolist() == [
        [0.4, 0.3, 0.3],
        [1.0, 0.0, 0.0],
    ]
    assert rounded(np.array([[1 / 3, 1 / 3, 1 / 3]])).tolist() == [[0.333334, 0.333333, 0.333333]]


# The package


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = ("spacy", "sklearn", "numpy")
    code = f"import sys, pipeline; print([m for m in {heavy} if m in sys.modules], pipeline.load.__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean_environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout == "[] load\n"


def test_the_package_names_what_it_has_and_no_more() -> None:
    assert pipeline.Model is Model
    with pytest.raises(AttributeError, match="module 'pipeline' has no attribute 'lode'"):
        pipeline.lode  # noqa: B018


def test_loading_takes_a_path_as_text(models: Path, model: Model) -> None:
    assert pipeline.load(models=str(models)).info.id == model.info.id
    assert pipeline.load(model.info.id, models=models).info.id == model.info.id
