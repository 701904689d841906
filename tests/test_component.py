"""The spaCy component: what it sets, that it survives disk and processes, and which model it takes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from itertools import pairwise
from pathlib import Path

import pytest
import spacy
from conftest import CHALLENGE, EVENT, GOAL, NEWS, ROOT, clean_environment
from spacy.language import Language
from spacy.tokens import Doc

import pipeline
from pipeline import component
from pipeline.classify import Model
from pipeline.component import COMPONENT
from pipeline.records import PipelineError


@pytest.fixture(scope="module")
def model(models: Path) -> Model:
    return pipeline.load(models=models)


@pytest.fixture
def nlp(models: Path) -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe(COMPONENT, config={"models": str(models)})
    return nlp


def found(doc: Doc) -> list[tuple[str, str, dict[str, float], bool]]:
    return [(span.text, span._.label, span._.scores, span._.uncertain) for span in doc.spans[COMPONENT]]


def test_spans_are_the_units_with_their_labels(nlp: Language, model: Model) -> None:
    doc = nlp(NEWS)
    expected = [(one.unit.text, one.label, dict(one.probabilities), one.uncertain) for one in model.classify(NEWS)]
    assert found(doc) == expected
    assert [span.text for span in doc.spans[COMPONENT]] == [EVENT, GOAL, CHALLENGE]
    assert [span.label_ for span in doc.spans[COMPONENT]] == [label for _, label, _, _ in expected]


@pytest.mark.parametrize("text", ["", " \n", "- \n- \n", "•Trade\n•Visas\n", "\ufeffTalks."])
def test_odd_texts_are_no_error(nlp: Language, text: str) -> None:
    doc = nlp(text)
    spans = list(doc.spans[COMPONENT])
    assert all(before.end <= after.start for before, after in pairwise(spans))
    assert doc.text == text


def test_it_survives_the_disk(nlp: Language, tmp_path: Path) -> None:
    nlp.to_disk(tmp_path / "nlp")
    again = spacy.load(tmp_path / "nlp")
    assert found(again(NEWS)) == found(nlp(NEWS))


def test_it_survives_bytes(nlp: Language, models: Path) -> None:
    again = spacy.blank("en")
    again.add_pipe(COMPONENT, config={"models": str(models)})
    again.from_bytes(nlp.to_bytes())
    assert found(again(NEWS)) == found(nlp(NEWS))


def test_a_doc_keeps_its_labels_through_bytes(nlp: Language) -> None:
    doc = nlp(NEWS)
    assert found(Doc(nlp.vocab).from_bytes(doc.to_bytes())) == found(doc)


@pytest.mark.slow
def test_two_processes_give_the_same(nlp: Language) -> None:
    texts = [NEWS, "", GOAL, CHALLENGE, EVENT] * 3
    alone = [found(doc) for doc in nlp.pipe(texts)]
    assert [found(doc) for doc in nlp.pipe(texts, n_process=2, batch_size=4)] == alone
    assert [len(one) for one in alone[:5]] == [3, 0, 1, 1, 1]


def test_another_key(models: Path) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe(COMPONENT, config={"models": str(models), "spans_key": "functions"})
    doc = nlp(GOAL)
    assert [span.text for span in doc.spans["functions"]] == [GOAL]
    assert COMPONENT not in doc.spans


def test_it_stands_beside_the_sentence_component(models: Path) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("communique_sentences")
    nlp.add_pipe(COMPONENT, config={"models": str(models)})
    doc = nlp(NEWS)
    assert [sentence.text.strip() for sentence in doc.sents] == [span.text for span in doc.spans[COMPONENT]]


def test_a_saved_pipeline_opens_its_own_copy_only_where_it_is_told_to(
    nlp: Language, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = tmp_path / "shelf"
    shutil.copytree(models, shelf)
    away = spacy.blank("en")
    away.add_pipe(COMPONENT, config={"models": str(shelf)})
    away.to_disk(tmp_path / "nlp")
    shutil.rmtree(shelf)
    with pytest.raises(
        PipelineError, match=r"(?s)not in the models folder.*if you trust.*components\.communique\.models"
    ):
        spacy.load(tmp_path / "nlp")
    told = {"components.communique.models": str(tmp_path / "nlp" / COMPONENT)}
    assert found(spacy.load(tmp_path / "nlp", config=told)(NEWS)) == found(nlp(NEWS))


def test_another_file_under_the_same_name_is_refused(nlp: Language) -> None:
    named = nlp.get_pipe(COMPONENT)
    assert isinstance(named, component.UnitLabels)
    reference = named.to_bytes().replace(b'"sha256": "', b'"sha256": "0')
    with pytest.raises(PipelineError, match="is not the file that this pipeline was saved with"):
        named.from_bytes(reference)


def test_a_model_that_is_not_there(models: Path) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe(COMPONENT, config={"models": str(models), "model": "m0"})
    with pytest.raises(PipelineError, match="there is no model 'm0'"):
        nlp(GOAL)


def test_other_pipelines_pay_nothing_for_it() -> None:
    """spaCy imports every factory that is installed, for each pipeline that anybody makes."""
    code = "import sys, spacy, pipeline.component; spacy.blank('en'); print('sklearn' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean_environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_the_entry_points_name_the_factories() -> None:
    """What an installed copy tells spaCy; test_wheel asks an installed one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = project["entry-points"]["spacy_factories"]
    assert declared == {
        "communique": "pipeline.component:create_classifier",
        "communique_sentences": "pipeline.sentences:create_sentences",
    }
    installed = {point.name: point.value for point in entry_points(group="spacy_factories")}
    assert installed.items() >= declared.items(), "install this checkout again: `pip install -e .`"
