"""The cache: the same model to the byte with and without it, whatever happened to it, and only new files are read."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, SMALL_LEXICON, Done, articles_of, write_small_corpus

from pipeline import cache, features, train
from pipeline.batches import Batch, batch_of_examples
from pipeline.corpus import load_corpus
from pipeline.features import UnitFeatures
from pipeline.records import Example
from pipeline.registry import model_bytes

Run = Callable[..., Done]


@pytest.fixture
def examples(quick: None, tmp_path: Path) -> tuple[Example, ...]:
    """Rows of two corpus files, with headings that come again in both."""
    folder = write_small_corpus(tmp_path / "corpus", fitted=1)
    text = articles_of(ROOT / "corpus" / "explainers-1.jsonl", 6)
    (folder / "news.jsonl").write_text(text, encoding="utf-8")
    again = text.replace('"article": "', '"article": "again ').replace(" the ", " our ")
    (folder / "other.jsonl").write_text(again, encoding="utf-8")
    return load_corpus(folder).train


def assert_same(one: Batch, other: Batch) -> None:
    """Both batches give the same features to the bit, of all of their units and of some."""
    half = np.flatnonzero(one.documents < one.documents.max() // 2)
    assert (one.texts, one.heading_texts) == (other.texts, other.heading_texts)
    for name in ("kinds", "documents", "sections"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(one.tokens.attributes, other.tokens.attributes)
    fitted = [UnitFeatures(min_df=2).fit(batch.take(half)) for batch in (one, other)]
    assert model_bytes(fitted[0]) == model_bytes(fitted[1])
    for rows in (half, np.arange(len(one))):
        found = [features.transform(batch.take(rows)) for features, batch in zip(fitted, (one, other), strict=True)]
        for name in ("data", "indices", "indptr"):
            first, second = (getattr(matrix, name) for matrix in found)
            assert first.dtype == second.dtype
            np.testing.assert_array_equal(first, second)


def test_files_joined_are_the_corpus_read_at_once(examples: tuple[Example, ...]) -> None:
    prepared, files, known = cache.prepared_batch(examples)
    assert (files, known) == (2, 0)
    plain = batch_of_examples(examples)
    assert plain.parts is None
    headings = [{row.section for row in examples if row.file.endswith(name)} for name in ("news.jsonl", "other.jsonl")]
    assert headings[0] & headings[1] - {None}, "some headings stand in both files, and are numbered once"
    assert_same(plain, prepared)


def test_what_comes_from_the_cache_is_what_was_computed(examples: tuple[Example, ...], tmp_path: Path) -> None:
    cold, _, _ = cache.prepared_batch(examples, tmp_path / "c")
    warm, files, known = cache.prepared_batch(examples, tmp_path / "c")
    assert (files, known) == (2, 2)
    assert_same(cold, warm)


def test_only_the_file_that_changed_is_read_again(
    examples: tuple[Example, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.prepared_batch(examples, tmp_path / "c")
    relabelled = tuple(replace(row, label="background", note="x") for row in examples)
    assert cache.prepared_batch(relabelled, tmp_path / "c")[1:] == (2, 2), "labels are no part of features"
    changed = (replace(examples[0], text="Another sentence stands here now."), *examples[1:])
    assert cache.prepared_batch(changed, tmp_path / "c")[1:] == (2, 1)
    assert_same(batch_of_examples(changed), cache.prepared_batch(changed, tmp_path / "c")[0])
    monkeypatch.setattr(features, "load_lexicon", lambda: SMALL_LEXICON[:2])
    assert cache.prepared_batch(examples, tmp_path / "c")[1:] == (2, 0), "another lexicon finds other cues"


@pytest.mark.parametrize("damage", ["truncated", "emptied", "deleted", "no folder"])
def test_a_damaged_cache_is_computed_again(examples: tuple[Example, ...], tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "c"
    if damage == "no folder":
        folder.write_text("a file")
    else:
        cache.prepared_batch(examples, folder)
        files = list(folder.rglob("output.pkl"))
        assert len(files) == 2
        for file in files:
            data = file.read_bytes()
            file.unlink() if damage == "deleted" else file.write_bytes(data[: len(data) // 2 * (damage != "emptied")])
    again, files_read, _ = cache.prepared_batch(examples, folder)
    assert files_read == 2
    assert_same(batch_of_examples(examples), again)


def test_cold_and_cached_trainings_give_the_same_model(quick: None, small_corpus: Path, tmp_path: Path) -> None:
    told: list[str] = []
    first, second = (
        train.train(small_corpus, tmp_path / name, cache=tmp_path / "c", progress=told.append).info
        for name in ("one", "two")
    )
    without = train.train(small_corpus, tmp_path / "three").info
    assert first.id == second.id == without.id
    assert first.sha256 == second.sha256 == without.sha256
    assert [line for line in told if "from the cache" in line] == [
        "0 of 1 corpus files from the cache",
        "1 of 1 corpus files from the cache",
    ]
    assert any(line.startswith("seconds: reading ") and ", features " in line for line in told)


def test_the_command_has_a_cache_by_default_and_can_do_without(
    run: Run, quick: None, small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    command = ["train", "--corpus", small_corpus, "--no-cross-validation", "--jobs", 1]
    run(*command, "--models", tmp_path / "one", "--no-cache")
    assert not (tmp_path / "mine").exists()
    done = run(*command, "--models", tmp_path / "two")
    assert "0 of 1 corpus files from the cache" in done.err
    assert stat.S_IMODE((tmp_path / "mine" / "communique").stat().st_mode) == 0o700
    assert "1 of 1 corpus files" in run(*command, "--models", tmp_path / "three").err
    assert "0 of 1 corpus files" in run(*command, "--models", tmp_path / "four", "--cache", tmp_path / "other").err
