"""Batches: whatever processes do the work and whatever interrupts it, the rows are the same; and what is said of it."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from conftest import CHALLENGE, EVENT, GOAL, Done, clean_environment, command_path
from typer.testing import CliRunner

from pipeline import chunks, sinks
from pipeline.classify import Model
from pipeline.cli import app
from pipeline.journal import Entry, Journal, count_entries
from pipeline.records import Document

Run = Callable[..., Done]
LABELS = ["challenge", "opportunity", "goal", "implication", "background"]


def article(number: int, paragraphs: int = 6) -> str:
    """An article of our own, different for each number."""
    draw = random.Random(number)
    lines = [f"Talks number {number} open", ""]
    for _ in range(paragraphs):
        chosen = [draw.choice((EVENT, GOAL, CHALLENGE, f"Envoy {draw.randrange(999)} left.")) for _ in range(6)]
        lines += [" ".join(chosen), ""]
    return "\n".join(lines)


def write_articles(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number:04d}.txt").write_text(article(number))
    return folder


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 400 articles, some 15,000 units. Read only."""
    return write_articles(tmp_path_factory.mktemp("archive") / "news", 400)


@pytest.fixture(scope="module")
def expected(archive: Path, models: Path) -> bytes:
    """The rows of the archive from one run in one process."""
    target = archive.parent / "expected.jsonl"
    result = CliRunner().invoke(
        app, ["classify", str(archive), "--models", str(models), "-o", str(target), "--jobs", "1"]
    )
    assert result.exit_code == 0, result.stderr
    return target.read_bytes()


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many small chunks, and a journal that is brought to the disk at once."""
    monkeypatch.setattr(chunks, "CHUNK_ITEMS", 7)
    monkeypatch.setattr("pipeline.run.PART_SIZE", chunks.CHUNK_SIZE)
    monkeypatch.setattr(sinks, "SYNC_SECONDS", 0.0)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


# Whatever does the work


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_chunks_of_any_size_give_the_same_rows(
    run: Run, models: Path, archive: Path, expected: bytes, tmp_path: Path, small_chunks: None, form: str
) -> None:
    done = run("classify", archive, "--models", models, "--format", form, "-o", tmp_path / "x")
    assert done.code == 0
    if form == "jsonl":
        assert (tmp_path / "x").read_bytes() == expected
    else:
        rows = list(csv.DictReader(io.StringIO((tmp_path / "x").read_text())))
        wanted = [json.loads(line) for line in expected.splitlines()]
        assert [(row["text"], row["label"]) for row in rows] == [(row["text"], row["label"]) for row in wanted]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x"]


@pytest.mark.slow
def test_two_processes_give_the_same_rows_and_failures_in_their_places(
    communique: Run, models: Path, archive: Path, expected: bytes, tmp_path: Path
) -> None:
    done = communique("classify", archive, "--models", models, "--jobs", 2)
    assert (done.code, done.out.encode()) == (0, expected)
    bad = write_articles(tmp_path / "bad", 3)
    (bad / "0001.html").write_text("<p>no article</p>")
    done = communique("classify", bad, tmp_path / "gone", "--models", models, "--jobs", 2)
    assert done.code == 1
    assert list(dict.fromkeys(row["document"] for row in done.rows)) == [f"{bad}/{n:04d}.txt" for n in range(3)]
    assert [line.partition(": ")[2].partition(": ")[0] for line in done.said[:2]] == [
        f"{bad}/0001.html",
        f"{tmp_path}/gone",
    ]


def test_a_long_document_in_slices_is_the_same(
    run: Run, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "long.txt"
    path.write_text("\n".join(article(number) for number in range(30)))
    whole = run("classify", path, "--models", models).out
    monkeypatch.setattr("pipeline.sentences.SLICE", 5)
    monkeypatch.setattr("pipeline.sentences.CHUNK", 300)
    monkeypatch.setattr("pipeline.classify.BATCH_UNITS", 11)
    assert run("classify", path, "--models", models).out == whole
    assert len(whole.splitlines()) > 1000


def test_one_document_that_breaks_the_classifier_fails_alone(
    run: Run, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Model.classify_documents

    def breaks(self: Model, documents: object) -> Iterator[object]:
        for document in documents:  # type: ignore[attr-defined]
            if isinstance(document, Document) and "Talks number 1 " in document.text:
                raise ZeroDivisionError("odd text")
            yield from whole(self, [document])

    monkeypatch.setattr(Model, "classify_documents", breaks)
    folder = write_articles(tmp_path / "news", 3)
    done = run("classify", folder, "--models", models)
    assert done.code == 1
    assert {row["document"] for row in done.rows} == {f"{folder}/0000.txt", f"{folder}/0002.txt"}
    assert done.said[0] == f"communique: {folder}/0001.txt: can't be classified: ZeroDivisionError: odd text"


def test_rows_of_a_slow_stream_come_as_it_comes(models: Path) -> None:
    process = subprocess.Popen(
        [command_path(), "classify", "-", "--models", str(models)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=clean_environment(),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for number in range(3):
        process.stdin.write(json.dumps({"text": f"Envoy {number} left."}).encode() + b"\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["text"] == f"Envoy {number} left."
    process.stdin.close()
    assert process.wait(timeout=60) == 0


# Interruptions


def begin(arguments: list[object], before: Callable[[], object] = lambda: None) -> int:
    """The command in a fork of this process: it starts at once. Returns its process id."""
    if (process := os.fork()) == 0:  # pragma: no cover
        try:
            before()
            code = CliRunner().invoke(app, [str(argument) for argument in arguments]).exit_code
        except BaseException:
            code = 99
        os._exit(code)
    return process


def journal_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.journal")


def part_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.part")


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_killed_at_ten_random_moments_a_run_ends_with_the_same_bytes(
    run: Run, models: Path, archive: Path, tmp_path: Path, small_chunks: None, form: str
) -> None:
    command = ["classify", archive, "--models", models, "--format", form, "--jobs", 1]
    started = time.perf_counter()
    run(*command, "-o", tmp_path / "whole")
    seconds = time.perf_counter() - started
    whole = (tmp_path / "whole").read_bytes()
    target = tmp_path / "units"
    moments = random.Random(f"{form} {time.time_ns()}")
    kills = kept = 0
    while kills < 10:
        process = begin([*command, "-o", target, "--resume"])
        time.sleep(moments.uniform(0.0, seconds))
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        if os.WIFSIGNALED(status):
            kills += 1
        if target.exists():  # quicker than the kill
            assert target.read_bytes() == whole
            target.unlink()
        elif journal_of(target).exists():
            entries = journal_of(target).read_text().splitlines()[1:]
            sizes = [json.loads(line)[1] for line in entries if line.endswith("]")]
            done = len(whole.splitlines(keepends=True)[0]) if form == "csv" else 0
            assert part_of(target).read_bytes()[: done + sum(sizes)] == whole[: done + sum(sizes)]
            kept += len(entries)
    assert kept > 0, "no kill came while there was something to keep"
    done = run(*command, "-o", target, "--resume")
    assert done.code == 0
    assert target.read_bytes() == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["units", "whole"]


def interrupt(command: list[object], target: Path, journal: Path | None = None, documents: int = 20) -> int:
    """Kill a run when it has done some documents; how many its journal has."""
    journal = journal or journal_of(target)
    process = begin(command)
    while count_entries(journal) < documents:
        time.sleep(0.005)
        assert os.waitpid(process, os.WNOHANG) == (0, 0), "the run came to its end"
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return count_entries(journal)


def test_an_interrupted_run_is_neither_lost_nor_overlooked(
    run: Run, models: Path, archive: Path, expected: bytes, tmp_path: Path, small_chunks: None
) -> None:
    target = tmp_path / "units.jsonl"
    command = ["classify", archive, "--models", models, "-o", target, "--jobs", 1]
    done = interrupt(command, target)
    refused = run(*command)
    assert refused.code == 1
    assert refused.said == [
        f"communique: {target}: an interrupted run has done {done} documents of it "
        "(give --resume to go on with it, or --force to start over)"
    ]
    resumed = run(*command, "--resume")
    assert resumed.code == 0
    assert f"400 documents ({done} of them by an earlier run), " in resumed.said[-1]
    assert target.read_bytes() == expected
    assert run(*command, "--resume").said == [f"communique: {target}: is there already (give --force to replace it)"]


def test_force_starts_over(
    run: Run, models: Path, archive: Path, expected: bytes, tmp_path: Path, small_chunks: None
) -> None:
    target = tmp_path / "units.jsonl"
    command = ["classify", archive, "--models", models, "-o", target, "--jobs", 1]
    interrupt(command, target)
    done = run(*command, "--force")
    assert "earlier run" not in done.err
    assert target.read_bytes() == expected


def test_resume_without_an_interrupted_run_is_a_run(run: Run, models: Path, tmp_path: Path) -> None:
    folder = write_articles(tmp_path / "news", 2)
    assert run("classify", folder, "--models", models, "-o", tmp_path / "x", "--resume").code == 0
    assert (tmp_path / "x").read_text() == run("classify", folder, "--models", models).out


@pytest.mark.parametrize("change", ["content", "new", "gone", "rows"])
def test_what_has_changed_since_is_noticed_and_done_again(
    run: Run, models: Path, tmp_path: Path, small_chunks: None, change: str
) -> None:
    folder = write_articles(tmp_path / "news", 120)
    target = tmp_path / "units.jsonl"
    command = ["classify", folder, "--models", models, "-o", target, "--jobs", 1]
    interrupt(command, target)
    if change == "content":
        (folder / "0009.txt").write_text(GOAL)
        note = f"{folder}/0009.txt is not the document that the interrupted run read there"
    elif change == "new":
        (folder / "0008a.txt").write_text(GOAL)
        note = f"{folder}/0008a.txt is not the document that the interrupted run read there"
    elif change == "gone":
        for number in range(9, 120):
            (folder / f"{number:04d}.txt").unlink()
        note = "documents that the interrupted run had are gone"
    else:
        part = bytearray(part_of(target).read_bytes())
        at = part.index(b"/0009.txt")
        part[at + 20] ^= 1
        part_of(target).write_bytes(part)
        note = f"what the interrupted run wrote of {folder}/0009.txt has been altered"
    done = run(*command, "--resume")
    assert done.code == 0
    assert done.said[0] == f"communique: {note}; going on from there (9 documents kept)"
    assert target.read_text() == run("classify", folder, "--models", models).out


def test_another_model_or_other_options_are_refused(
    run: Run, models: Path, archive: Path, tmp_path: Path, small_chunks: None, released: Path
) -> None:
    target = tmp_path / "units.jsonl"
    command = ["classify", archive, "-o", target, "--jobs", 1]
    interrupt([*command, "--models", models], target)
    other = run(*command, "--models", released, "--resume")
    assert other.code == 1
    assert re.match(
        r'communique: .*\.units\.jsonl\.journal: the interrupted run has model "m\w+", this one "m\w+" \(give the same '
        r"again, or give --force without --resume to start over\)",
        other.said[0],
    )
    other = run(*command, "--models", models, "--resume", "--only", "goal")
    assert 'the interrupted run has only null, this one ["goal"]' in other.said[0]
    assert run(*command, "--models", models, "--resume").code == 0


def test_a_full_disk_keeps_what_is_done(
    run: Run, models: Path, archive: Path, expected: bytes, tmp_path: Path, small_chunks: None
) -> None:
    target = tmp_path / "units.jsonl"
    command = [sys.executable, "-m", "pipeline", "classify", archive, "--models", models, "-o", target]

    def quota() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**21, 2**21))

    done = subprocess.run(
        list(map(str, command)), env=clean_environment(), capture_output=True, check=False, preexec_fn=quota
    )
    said = done.stderr.decode().splitlines()
    assert done.returncode == 1
    assert said[0] == f"communique: {target}: can't be written: File too large"
    assert not target.exists()
    # a quick machine meets the quota before the journal's first second, and then nothing is worth keeping
    assert len(said) == 1 or re.fullmatch(
        rf"communique: {target}: \d+ documents are done and kept; run the same command with --resume to go on from "
        "there",
        said[1],
    )
    assert run(*command[3:], "--resume").code == 0
    assert target.read_bytes() == expected


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_keeps_what_is_done_and_says_so(
    run: Run, models: Path, archive: Path, expected: bytes, tmp_path: Path, number: int
) -> None:
    many = tmp_path / "many.jsonl"
    with many.open("w") as stream:
        for index in range(4000):
            stream.write(json.dumps({"id": f"a{index}", "text": article(index % 400)}) + "\n")
    target = tmp_path / "units.jsonl"
    command = ["classify", many, "--models", models, "-o", target, "--jobs", "1"]
    process = subprocess.Popen([command_path(), *map(str, command)], stderr=subprocess.PIPE, env=clean_environment())
    while count_entries(journal_of(target)) == 0 and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(number)
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 128 + number
    assert re.search(r"[\d,]+ documents are done and kept; run the same command with --resume", said)
    assert "Traceback" not in said
    assert not target.exists()
    kept = count_entries(journal_of(target))
    assert kept > 0
    assert f"{kept:,} documents are done" in said


@pytest.mark.parametrize("step", ["write", "fsync"])
def test_a_journal_interrupted_as_it_is_written_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def cut(stream: BinaryIO, data: bytes) -> None:
        stream.write(data[: len(data) // 2])
        raise KeyboardInterrupt

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    journal = Journal(tmp_path / "journal", {"model": "m1"})
    entries = [Entry(f"é{number}", 10, number, 1, (0, 1), 0) for number in range(5)]
    for entry in entries[:2]:
        journal.add(entry)
    with monkeypatch.context() as patch:
        patch.setattr(*(("pipeline.journal._write", cut) if step == "write" else ("os.fsync", interrupted)))
        with pytest.raises(KeyboardInterrupt):
            journal.sync()
    journal.add(entries[2])
    journal.sync()
    journal.close()
    later = Journal(tmp_path / "journal", {"model": "m1"})
    assert list(later.entries()) == entries[:3]
    later.start(1)
    for entry in entries[3:]:
        later.add(entry)
    later.sync()
    later.close()
    assert list(later.entries()) == [entries[0], *entries[3:]]


def test_two_runs_do_not_write_one_file(models: Path, archive: Path, tmp_path: Path, run: Run) -> None:
    target = tmp_path / "units.jsonl"
    command = ["classify", "-", "--models", str(models), "-o", str(target)]
    first = subprocess.Popen([command_path(), *command], stdin=subprocess.PIPE, env=clean_environment())
    while not part_of(target).exists() and first.poll() is None:
        time.sleep(0.02)
    time.sleep(0.1)
    second = run(*command, stdin=GOAL)
    assert second.said == [f"communique: {target}: another run is writing it (wait for it, or end it)"]
    first.communicate(GOAL.encode(), timeout=60)
    assert first.returncode == 0
    assert json.loads(target.read_text())["text"] == GOAL


# A folder of results


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_folder_gets_a_file_for_each_document(run: Run, models: Path, tmp_path: Path, form: str) -> None:
    news = write_articles(tmp_path / "news", 3)
    (news / "rows.jsonl").write_text("".join(json.dumps({"id": f"row {n}", "text": GOAL}) + "\n" for n in range(2)))
    (news / b"odd \xff\n name.txt".decode(errors="surrogateescape")).write_text(EVENT)
    (news / "bad.txt").write_bytes(b"")
    done = run("classify", news, "--models", models, "--output-dir", tmp_path / "out", "--format", form)
    assert done.code == 1
    found = files(tmp_path / "out")
    assert len(found) == 6
    assert all(re.fullmatch(rf"[\w.-]+-[0-9a-f]{{10}}\.{form}", name) for name in found)
    whole = run("classify", news, "--models", models, "--format", form).out.encode()
    if form == "jsonl":
        assert sorted(b"".join(found.values()).splitlines()) == sorted(whole.splitlines())
    else:
        head = whole.splitlines(keepends=True)[0]
        assert all(data.startswith(head) for data in found.values())
        assert sum(len(data.splitlines()) - 1 for data in found.values()) == len(whole.splitlines()) - 1


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_an_interrupted_folder_is_gone_on_with(
    run: Run,
    models: Path,
    archive: Path,
    tmp_path: Path,
    small_chunks: None,
    monkeypatch: pytest.MonkeyPatch,
    form: str,
) -> None:
    monkeypatch.setattr("pipeline.run.PART_SIZE", chunks.CHUNK_SIZE)
    command = ["classify", archive, "--models", models, "--format", form, "--jobs", 1]
    assert run(*command, "--output-dir", tmp_path / "whole").code == 0
    target = tmp_path / "out"
    done = interrupt([*command, "--output-dir", target], target, target / ".communique.journal")
    assert 20 <= done < 400
    refused = run(*command, "--output-dir", target)
    assert refused.said[0].startswith(f"communique: {target}: an interrupted run has done {done} documents of it")
    altered = sorted(path for path in target.iterdir() if path.suffix == f".{form}")[1]
    altered.write_bytes(altered.read_bytes()[:-5])
    resumed = run(*command, "--output-dir", target, "--resume")
    assert resumed.code == 0
    assert "has been altered; going on from there" in resumed.said[0]
    assert files(target) == files(tmp_path / "whole")
    done = interrupt([*command, "--output-dir", target, "--force"], target, target / ".communique.journal")
    assert run(*command, "--output-dir", target, "--resume").code == 0
    assert files(target) == files(tmp_path / "whole")


def test_a_folder_that_holds_something_is_not_written_into(run: Run, models: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    command = ["classify", "-", "--models", models, "--output-dir", tmp_path / "out"]
    done = run(*command, stdin=GOAL)
    assert done.said == [f"communique: {tmp_path}/out: is not empty (give --force to write into it all the same)"]
    assert run(*command, "--force", stdin=GOAL).code == 0
    assert (tmp_path / "out" / "mine").read_text() == "mine"
    done = run("classify", "-", "--models", models, "--output-dir", tmp_path / "out" / "mine", stdin=GOAL)
    assert done.said == [f"communique: {tmp_path}/out/mine: is a file, not a folder (name a folder with --output-dir)"]


@pytest.mark.parametrize("where", ["file", "stdout", "folder"])
def test_parquet_holds_the_rows_of_json_lines(
    communique: Run, run: Run, models: Path, tmp_path: Path, where: str
) -> None:
    import pyarrow.dataset
    import pyarrow.parquet

    news = write_articles(tmp_path / "news", 5)
    rows = run("classify", news, "--models", models).rows
    command = ["classify", news, "--models", models, "--format", "parquet"]
    target = tmp_path / "units.parquet"
    if where == "file":
        assert run(*command, "-o", target).code == 0
        table = pyarrow.parquet.read_table(target)
    elif where == "folder":
        assert run(*command, "--output-dir", tmp_path / "set").code == 0
        assert sorted(path.name for path in (tmp_path / "set").iterdir()) == ["part-000000.parquet"]
        table = pyarrow.dataset.dataset(tmp_path / "set").to_table()
    else:
        shell = f'"{command_path()}" {" ".join(map(str, command))} > "{target}"'
        subprocess.run(shell, shell=True, check=True, env=clean_environment())
        table = pyarrow.parquet.read_table(target)
    assert table.to_pylist() == rows


# What is said


def test_a_summary_ends_a_run_that_writes_a_file(run: Run, models: Path, tmp_path: Path) -> None:
    news = write_articles(tmp_path / "news", 3)
    rows = run("classify", news, "--models", models).rows
    done = run("classify", news, "--models", models, "-o", tmp_path / "x")
    counts = ", ".join(f"{label} {sum(row['label'] == label for row in rows)}" for label in LABELS)
    uncertain = sum(row["uncertain"] for row in rows)
    assert re.fullmatch(
        rf"communique: 3 documents, {len(rows)} units: {counts}; {uncertain} uncertain; 0 failed; \d+\.\d s, "
        r"[\d,]+ units a second",
        done.said[-1],
    )
    done = run("classify", news, "--models", models, "-o", tmp_path / "y", "--only", "goal")
    goals = sum(row["label"] == "goal" for row in rows)
    assert f"{len(rows)} units ({goals} chosen): challenge 0, opportunity 0, goal {goals}, " in done.said[-1]


def test_errors_go_to_a_file_too(run: Run, models: Path, tmp_path: Path) -> None:
    good, bad = json.dumps({"text": GOAL}), '{"text": 7}'
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{good}\n{bad}\n")
    command = ["classify", "gone.txt", path, "--models", models, "--errors", tmp_path / "errors.jsonl"]
    done = run(*command)
    assert done.code == 1
    assert [json.loads(line) for line in (tmp_path / "errors.jsonl").read_text().splitlines()] == [
        {"document": "gone.txt", "line": None, "reason": "no such file or folder"},
        {"document": str(path), "line": 2, "reason": "field 'text' is a number, not a string"},
    ]
    assert run(*command).said == [f"communique: {tmp_path}/errors.jsonl: is there already (give --force to replace it)"]
    assert run(*command, "--force").code == 1


def test_failures_of_an_earlier_run_are_said_again(run: Run, models: Path, tmp_path: Path, small_chunks: None) -> None:
    news = write_articles(tmp_path / "news", 120)
    (news / "0003.html").write_text("<p>no article</p>")
    target = tmp_path / "units.jsonl"
    command = ["classify", news, "--models", models, "-o", target, "--jobs", 1]
    interrupt(command, target)
    done = run(*command, "--resume", "--errors", tmp_path / "errors.jsonl")
    assert done.code == 1
    assert json.loads((tmp_path / "errors.jsonl").read_text())["document"] == f"{news}/0003.html"
    assert "120 documents" in done.said[-2]
    assert "1 failed" in done.said[-2]


def test_quiet_says_only_what_failed(run: Run, models: Path, tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_bytes("Café talks resumed.".encode("cp1252"))
    command = ["classify", tmp_path / "old.txt", "gone.txt", "--models", models, "-o", tmp_path / "x", "--quiet"]
    assert run(*command).said == [
        "communique: gone.txt: no such file or folder",
        "communique: 1 source could not be read; everything else was classified",
    ]


def test_a_log_for_machines(run: Run, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.progress.EVERY", 0.0)
    (tmp_path / "old.txt").write_bytes("Café talks resumed.".encode("cp1252"))
    command = ["classify", tmp_path / "old.txt", "gone.txt", "--models", models, "--log-json"]
    done = run(*command)
    log = [json.loads(line) for line in done.said]
    assert [line["event"] for line in log] == ["warning", "failure", "progress", "summary"]
    assert log[1]["document"] == "gone.txt"
    assert log[1]["reason"] == "no such file or folder"
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line["time"]) for line in log)
    summary = log[-1]
    assert {name: summary[name] for name in ("documents", "units", "rows", "failed")} == {
        "documents": 1,
        "units": 1,
        "rows": 1,
        "failed": 1,
    }
    assert sum(summary["labels"].values()) == 1
    assert summary["units_per_second"] > 0
    done = run("classify", "x", "--models", tmp_path / "none", "--model", "m1", "--log-json")
    assert [json.loads(line)["event"] for line in done.said] == ["error"]


def test_a_terminal_gets_a_bar_while_rows_go_to_a_file(models: Path, tmp_path: Path) -> None:
    import pty

    news = write_articles(tmp_path / "news", 40)
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [command_path(), "classify", str(news), "--models", str(models), "-o", str(tmp_path / "x")],
        stdout=follower,
        stderr=follower,
        stdin=subprocess.DEVNULL,
        env=clean_environment(TERM="xterm-256color", COLUMNS="100"),
    )
    os.close(follower)
    shown = b""
    try:
        while piece := os.read(leader, 65536):
            shown += piece
    except OSError:  # Linux says so at the end of a terminal
        pass
    os.close(leader)
    assert process.wait(timeout=60) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert re.search(r"40 documents, [\d,]+ units a second, \d:\d\d:\d\d left", text)
    assert re.search(r"communique: 40 documents, [\d,]+ units: ", text)


# Wrong usage


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "a", "--output-dir", "b"], "--output and --output-dir: give one of them"),
        (["--resume"], "--resume goes on with a file or a folder: give --output or --output-dir, too"),
        (["--backend", "dask"], "--backend dask and --scheduler tcp://HOST:PORT go together"),
        (["--scheduler", "tcp://127.0.0.1:1"], "--backend dask and --scheduler tcp://HOST:PORT go together"),
        (["--jobs", "0"], "0 processes can do nothing; give 1 or more, or -1 for every core"),
        (["--output-dir", "b", "--format", "table"], "--output-dir: a table is for reading"),
        (["-o", "a", "--format", "parquet", "--resume"], "--resume: --format parquet is written in one go"),
    ],
)
def test_options_that_do_not_go_together(run: Run, models: Path, options: list[str], message: str) -> None:
    done = run("classify", "-", "--models", models, *options, stdin=GOAL)
    assert done.code == 2
    assert message in " ".join(done.err.split())


# Memory


def peak(models: Path, path: Path, target: Path) -> float:
    """The most memory that a run held, in MB."""
    process = subprocess.Popen(
        [command_path(), "classify", str(path), "--models", str(models), "-o", str(target), "--jobs", "1"],
        env=clean_environment(),
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0
    return used.ru_maxrss / 1024


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_documents(models: Path, tmp_path: Path) -> None:
    def rows(count: int) -> Path:
        path = tmp_path / f"{count}.jsonl"
        draw = random.Random(0)
        with path.open("w") as stream:
            for index in range(count):
                new = f"Zh{draw.randrange(10**9):x}ov met Xu{draw.randrange(10**9):x}ra."  # words not met before
                stream.write(json.dumps({"id": f"a{index}", "text": f"{article(index)}\n{new}\n"}) + "\n")
        return path

    few, many = (peak(models, rows(count), tmp_path / f"out-{count}") for count in (250, 5000))
    assert len((tmp_path / "out-5000").read_bytes().splitlines()) > 150_000
    assert many - few < 60


@pytest.mark.slow
def test_a_document_of_100_mb_is_classified_whole(models: Path, tmp_path: Path) -> None:
    text = "".join(f"{article(number)}\n" for number in range(500))
    text = (text * (100 * 2**20 // len(text) + 1))[: 100 * 2**20]
    path, target = tmp_path / "long.txt", tmp_path / "units.jsonl"
    path.write_text(text)
    assert peak(models, path, target) < 2300
    count = at = 0
    with target.open() as stream:
        for count, line in enumerate(stream, 1):
            if count % 10_007 == 1:
                row = json.loads(line)
                assert row["index"] == count - 1
                assert text[row["start"] : row["end"]] == row["text"]
                assert row["start"] >= at
                at = row["end"]
    assert count > 1_000_000
    assert json.loads(line)["end"] > len(text) - 100
