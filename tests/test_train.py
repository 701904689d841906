"""The verb `train`: the same corpus gives the same file, and what cannot be learnt from is said."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, clean_environment, write_small_corpus

from pipeline import places, registry, train
from pipeline.records import PipelineError


def test_the_same_corpus_twice_gives_the_same_model(
    quick: None, trained: train.Training, small_corpus: Path, tmp_path: Path
) -> None:
    again = train.train(small_corpus, tmp_path / "models", cross_validation=False)
    assert (again.info.id, again.info.sha256) == (trained.info.id, trained.info.sha256)
    data = (again.folder / "model.joblib").read_bytes()
    assert hashlib.sha256(data).hexdigest() == again.info.sha256
    assert data == (trained.folder / "model.joblib").read_bytes()


def test_another_process_gives_the_same_model(trained: train.Training, small_corpus: Path, tmp_path: Path) -> None:
    # this process has loaded and trained others before, that one only loads one
    code = f"""
from pathlib import Path
from pipeline import load
load(models={str(trained.folder.parent)!r})
from conftest import SMALL_LEXICON, SMALL_SETTINGS
from pipeline import features, train
features.load_lexicon = lambda: SMALL_LEXICON
train.SETTINGS = SMALL_SETTINGS
done = train.train(Path({str(small_corpus)!r}), Path({str(tmp_path)!r}), n_jobs=1, cross_validation=False)
print(done.info.id, done.info.sha256)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean_environment(PYTHONHASHSEED="7", PYTHONPATH=f"{ROOT}:{ROOT / 'tests'}"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [trained.info.id, trained.info.sha256]


@pytest.mark.slow
def test_another_number_of_processes_gives_the_same_model(
    small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the workers read the lexicon that the package ships, so this one must too
    monkeypatch.setattr(train, "SETTINGS", {"n_splits": 2, "features": {"min_df": 5}})
    one, two = (
        train.train(small_corpus, tmp_path / str(jobs), n_jobs=jobs, cross_validation=False).info for jobs in (1, 2)
    )
    assert one.sha256 == two.sha256
    assert one.id == two.id


def test_the_manifest_says_how_to_redo_it(quick: None, small_corpus: Path, tmp_path: Path) -> None:
    said: list[str] = []
    done = train.train(small_corpus, tmp_path, seed=3, progress=said.append)
    info = json.loads((done.folder / "model.json").read_text())
    assert (info["seed"], info["command"], info["manifest_version"]) == (3, "communique train", 1)
    assert info["settings"]["min_df"] == 5
    assert info["settings"]["ngram_weight"] == 3.0
    assert info["versions"] == registry.library_versions()
    assert info["labels"] == ["challenge", "opportunity", "goal", "implication", "background"]
    assert set(info["thresholds"]) == set(info["labels"])
    assert info["corpus"]["train"]["units"] == sum(info["corpus"]["train"]["label"].values())
    for name, units in (("cross_validation", "train"), ("heldout", "heldout")):
        scores = info["metrics"][name]
        assert scores["units"] == info["corpus"][units]["units"]
        assert scores["macro_f1_interval"][0] <= scores["macro_f1"] <= scores["macro_f1_interval"][1]
    assert done.cross_validation is not None
    assert registry.current_id(tmp_path) == done.info.id
    assert [line.split()[0] for line in said] == [
        "reading",
        "tokens",
        "cross-validating",
        "fitting",
        "saved",
        "seconds:",
    ]
    card = (done.folder / "README.md").read_text()
    assert "## Accuracy in cross-validation" in card


def test_a_file_dropped_into_the_corpus_is_learnt_from(quick: None, trained: train.Training, tmp_path: Path) -> None:
    folder = write_small_corpus(tmp_path / "corpus")
    row = {"article": "mine", "title": "Mine", "genre": "wire", "section": None, "kind": "sentence"}
    text = "The harbour board published its yearly figures on Tuesday."
    (folder / "mine.csv").write_text(
        ",".join([*row, "text", "label"]) + f'\nmine,Mine,wire,,sentence,"{text}",background\n'
    )
    done = train.train(folder, tmp_path / "models", cross_validation=False)
    assert done.info.corpus["train"]["units"] == trained.info.corpus["train"]["units"] + 1
    assert done.info.corpus["sha256"] != trained.info.corpus["sha256"]
    assert done.info.id != trained.info.id


def test_without_heldout_articles_nothing_is_held_out(quick: None, tmp_path: Path) -> None:
    folder = write_small_corpus(tmp_path / "corpus")
    (folder / "heldout" / "news.jsonl").unlink()
    done = train.train(folder, tmp_path / "models", cross_validation=False)
    assert done.heldout is None
    card = (done.folder / "README.md").read_text()
    assert "; nothing was held out. SHA-256" in card
    assert "## Accuracy on held-out articles" not in card


def rows(articles: int, labels: str, each: int) -> str:
    lines = []
    for article in range(articles):
        for number in range(each):
            label = labels.split()[number % len(labels.split())]
            text = f"Sentence {label} {'abcdefghij'[number % 10] * 5} number {number} of article {article} stands here."
            row = {"article": f"a{article}", "title": f"T{article}", "genre": "wire", "section": None}
            lines.append(json.dumps({**row, "kind": "sentence", "text": text, "label": label}))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (rows(1, "goal background", 40), "no label has them"),
        (rows(3, "goal", 40), "only 'goal' has them"),
        (rows(3, "goal background", 2), "no label has them"),
        (rows(30, "background", 1) + rows(1, "goal", 12).replace('"a0"', '"b0"'), "only 'background' has them"),
    ],
)
def test_a_corpus_too_small_to_learn_from_is_one_message(quick: None, tmp_path: Path, content: str, found: str) -> None:
    (tmp_path / "labels.toml").write_bytes((ROOT / "corpus" / "labels.toml").read_bytes())
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(PipelineError, match=f"too little to learn from: .*{found}"):
        train.train(tmp_path, tmp_path / "models")
    assert not (tmp_path / "models").exists()


@pytest.mark.filterwarnings("ignore:The least populated class")
def test_a_small_corpus_is_enough(quick: None, tmp_path: Path) -> None:
    (tmp_path / "labels.toml").write_bytes((ROOT / "corpus" / "labels.toml").read_bytes())
    (tmp_path / "a.jsonl").write_text(
        rows(6, "goal background background", 20) + rows(1, "challenge", 1).replace("a0", "z")
    )
    done = train.train(tmp_path, tmp_path / "models")
    assert done.info.corpus["train"]["label"] == {"background": 78, "goal": 42, "challenge": 1}


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_models_folder_that_cannot_be_is_said_before_training(
    quick: None, small_corpus: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(PipelineError, match=r"file: is a file, not a folder \(name another with --models\)"):
        train.train(small_corpus, tmp_path / name, progress=lambda text: pytest.fail(f"already {text}"))


# Where the corpus and the models are


def test_folders_are_the_named_ones_then_those_here_then_the_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert places.corpus_folder() == ROOT / "corpus"
    assert places.models_folder() == ROOT / "models"
    assert places.writable_models_folder() == Path("models")
    for name in ("corpus", "models"):
        (tmp_path / name).mkdir()
    assert places.corpus_folder() == ROOT / "corpus", "an empty folder named corpus is not a corpus"
    assert places.models_folder() == ROOT / "models", "nor one named models a shelf"
    (tmp_path / "corpus" / "labels.toml").touch()
    (tmp_path / "models" / "current").touch()
    assert (places.corpus_folder(), places.models_folder()) == (Path("corpus"), Path("models"))
    assert (places.corpus_folder(Path("x")), places.models_folder(Path("y"))) == (Path("x"), Path("y"))


def test_in_a_wheel_the_shipped_folders_lie_inside_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pipeline" / "_shipped" / "corpus").mkdir(parents=True)
    monkeypatch.setattr(places, "_PACKAGE", tmp_path / "pipeline")
    assert places.shipped("corpus") == tmp_path / "pipeline" / "_shipped" / "corpus"
