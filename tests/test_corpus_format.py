"""Versions of the corpus format: what is read, what is said, and what `check --fix` leaves of a file."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import EVENT, GOAL, ROOT, Done

from pipeline.corpus import load, load_labels
from pipeline.corpus_format import CURRENT, GENRES_1, CorpusFormatWarning, changes
from pipeline.corpus_rows import REQUIRED, read_examples
from pipeline.records import PipelineError

LABELS = load_labels(ROOT / "corpus")
Run = Callable[..., Done]


def row(text: str = GOAL, label: str = "goal", **more: object) -> dict[str, object]:
    plain = {"article": "a", "title": "News", "genre": "wire", "section": None, "kind": "sentence"}
    return {**plain, "text": text, "label": label, **more}


def put(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows), encoding="utf-8")
    return path


def put_csv(path: Path, *rows: dict[str, object]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


OLD = [row(EVENT, "background", genre="wire report"), row(GOAL, "goal", genre="wire report", note="clear")]


@pytest.mark.parametrize("write", [put, put_csv])
def test_an_old_file_is_read_as_a_current_one_with_one_warning(tmp_path: Path, write: Callable[..., Path]) -> None:
    path = write(tmp_path / f"old.{'csv' if write is put_csv else 'jsonl'}", row(genre="op-ed", note=""), row(EVENT))
    examples, problems = read_examples(path, LABELS)
    assert [(one.genre, one.source) for one in examples] == [("editorial", "composed"), ("wire", "composed")]
    assert [(one.line, one.severity) for one in problems] == [(1 if write is put else 2, "warning")]
    assert str(problems[0]).endswith(
        f"2 rows of corpus format 1, the current one is 2; read as if they were of it "
        f"(run `communique check --fix {path}` to rewrite the file)"
    )


def test_every_genre_of_the_old_format_has_one_of_the_guide() -> None:
    guide = (ROOT / "corpus" / "README.md").read_text(encoding="utf-8")
    assert [genre for genre in GENRES_1.values() if f"`{genre}`" not in guide] == []
    assert set(GENRES_1) & set(GENRES_1.values()) == set()


def test_a_plain_file_is_current_and_is_not_touched(tmp_path: Path, run: Run) -> None:
    path = put(tmp_path / "plain.jsonl", row(EVENT, "background"), row(GOAL))
    assert list(json.loads(path.read_text().splitlines()[0])) == list(REQUIRED)
    examples, problems = read_examples(path, LABELS)
    assert (len(examples), problems) == (2, [])
    assert [one.source for one in examples] == [None, None]
    before = path.read_bytes()
    assert run("check", "--fix", path).err == ""
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_with_a_source_is_no_old_one_whatever_its_genres() -> None:
    assert changes([row(genre="wire report", source=None), row(genre="op-ed")]) == [{}, {}]


def test_a_row_may_state_its_format() -> None:
    rows = [row(format=1), row(format=CURRENT, genre="op-ed"), row(format="1", source="natural")]
    assert changes(rows) == [{"source": "composed"}, {}, {"source": "natural"}]


@pytest.mark.parametrize("value", [1, CURRENT])
def test_a_stated_format_is_read(tmp_path: Path, value: int) -> None:
    for path in (put(tmp_path / "a.jsonl", row(format=value)), put_csv(tmp_path / "a.csv", row(format=value))):
        examples, problems = read_examples(path, LABELS)
        assert [one.source for one in examples] == ["composed" if value == 1 else None]
        assert [one.outdated for one in problems] == [True] * (value == 1)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (CURRENT + 1, "corpus format 3 is newer than this communique, which reads 1 to 2; install a newer"),
        (0, "column 'format' must be a whole number from 1 to 2, or left out"),
        (True, "column 'format' must be a whole number"),
        ("²", "column 'format' must be a whole number"),
        (1.5, "column 'format' must be a whole number"),
    ],
)
def test_a_format_that_cannot_be_read_is_an_error_of_its_row(tmp_path: Path, value: object, message: str) -> None:
    path = put(tmp_path / "a.jsonl", row(), row(EVENT, "background", format=value))
    examples, problems = read_examples(path, LABELS)
    assert len(examples) == 1
    assert [(one.line, one.severity) for one in problems] == [(2, "error")]
    assert problems[0].message.startswith(message)


def test_loading_an_old_file_warns_and_a_current_one_does_not(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    assert len(load([put(tmp_path / "new.jsonl", row())], LABELS)) == 1
    assert len(recwarn) == 0
    with pytest.warns(CorpusFormatWarning, match=r"old\.jsonl:1: 2 rows of corpus format 1.*communique check --fix"):
        load([put(tmp_path / "old.jsonl", *OLD)], LABELS)


def test_every_command_says_that_a_file_is_old(tmp_path: Path, run: Run, models: Path) -> None:
    path = put(tmp_path / "old.jsonl", *OLD)
    done = run("evaluate", path, "--models", models, "--corpus", ROOT / "corpus")
    assert done.code == 0
    assert [line for line in done.said if "format" in line] == [
        f"communique: {path}:1: 2 rows of corpus format 1, the current one is 2; read as if they were of it "
        f"(run `communique check --fix {path}` to rewrite the file)"
    ]


@pytest.mark.parametrize("write", [put, put_csv])
def test_fix_rewrites_and_keeps_the_old_file(tmp_path: Path, run: Run, write: Callable[..., Path]) -> None:
    path = write(tmp_path / f"old.{'csv' if write is put_csv else 'jsonl'}", *[{"note": None, **one} for one in OLD])
    before, read = path.read_bytes(), read_examples(path, LABELS)[0]
    path.chmod(0o640)
    done = run("check", path, "--fix")
    kept = tmp_path / f"{path.name}.format-1"
    assert done.code == 0
    assert done.said == [f"communique: {path}: rewritten in the current corpus format; the file as it was is {kept}"]
    assert done.out.endswith("0 errors, 0 warnings\n")
    assert kept.read_bytes() == before
    assert read_examples(path, LABELS) == (read, [])
    assert path.stat().st_mode & 0o777 == 0o640
    text = path.read_text(encoding="utf-8")
    cells = csv.DictReader(io.StringIO(text)) if write is put_csv else map(json.loads, text.splitlines())
    assert [str(one["format"]) for one in cells] == ["2", "2"]
    after = path.read_bytes()
    assert run("check", path, "--fix").err == ""
    assert path.read_bytes() == after
    os.replace(kept, path)
    assert read_examples(path, LABELS)[1][0].outdated


def test_fix_keeps_earlier_copies(tmp_path: Path, run: Run) -> None:
    path = put(tmp_path / "old.jsonl", *OLD)
    first = tmp_path / "old.jsonl.format-1"
    first.write_text("mine")
    run("check", path, "--fix")
    assert first.read_text() == "mine"
    assert (tmp_path / "old.jsonl.format-1.1").exists()


def test_fix_leaves_rows_that_cannot_be_read(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "old.jsonl"
    path.write_text(json.dumps(OLD[0]) + "\n{broken\n\n" + json.dumps(OLD[1]) + "\n")
    done = run("check", path, "--fix")
    assert done.code == 1
    assert f"{path}:2: bad JSON" in done.out
    lines = path.read_text().split("\n")
    assert lines[1:3] == ["{broken", ""]
    assert [json.loads(lines[at])["genre"] for at in (0, 3)] == ["wire", "wire"]


def test_a_fix_that_fails_leaves_the_file_as_it_was(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "old.jsonl", *OLD)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipeline.output.os.replace", full)
    done = run("check", path, "--fix")
    assert done.code == 1
    assert "can't be written: No space left on device" in done.err
    assert path.read_bytes() == before
    assert {one.name for one in tmp_path.iterdir()} <= {"old.jsonl", "old.jsonl.format-1"}


def test_an_unknown_format_stops_a_training(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"a\.jsonl:1: corpus format 9 is newer than this communique"):
        load([put(tmp_path / "a.jsonl", row(format=9))], LABELS)
