"""The log of decisions: what is confirmed stays, whatever is killed, and two people take turns."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import clean_environment
from hypothesis import given
from hypothesis import strategies as st

from pipeline.decisions import Decision, DecisionLog, KnownRow, ReviewUnit, last_of, verdicts
from pipeline.records import PipelineError


def unit(key: str = "a") -> ReviewUnit:
    known = (KnownRow("wire.jsonl", 3, "goal"),) if key == "known" else ()
    return ReviewUnit(key, "talks.txt", "Talks", "wire", None, "sentence", f"The text of {key}.", 0, known)


def said(key: str, label: str | None, by: str = "anna") -> Decision:
    return Decision(unit(key), "label" if label else "skip", by, label)


def undone(key: str, by: str = "anna") -> Decision:
    return Decision(unit(key), "undo", by)


def write(log: DecisionLog, *decisions: Decision) -> None:
    with log.turn():
        log.append(decisions)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "log"
    decisions = [
        said("a", "goal"),
        Decision(unit("known"), "label", "Łukasz", "challenge", "a «note»\u2028", "2026", "m1"),
    ]
    write(DecisionLog(path), *decisions)
    assert list(DecisionLog(path).read()) == decisions
    assert path.read_bytes().count(b"\n") == 2


def test_two_readers_see_what_the_other_wrote(tmp_path: Path) -> None:
    one, other = DecisionLog(tmp_path / "log"), DecisionLog(tmp_path / "log")
    write(one, said("a", "goal"))
    write(other, said("b", "challenge", "ben"))
    write(one, said("c", None))
    assert [entry.unit.id for entry in other.read()] == ["a", "b", "c"]
    assert list(one.read()) == list(other.read())


@pytest.mark.parametrize("torn", [b"{", b'{"unit":{"id":"zz', b"\xff\x00", said("b", "goal").line()[:-1]])
def test_a_half_written_last_line_is_passed_over_said_and_cut_off(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "log"
    write(DecisionLog(path), said("a", "goal"))
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    log = DecisionLog(path)
    assert [entry.unit.id for entry in log.read()] == ["a"]
    assert log.warnings == [f"{path}:2: a half-written last line ({len(torn)} bytes) is passed over"]
    write(log, said("c", "goal"))
    assert path.read_bytes() == whole + said("c", "goal").line()
    assert [entry.unit.id for entry in DecisionLog(path).read()] == ["a", "c"]


@pytest.mark.parametrize(
    "line",
    [b"[]", b"{}", b"nonsense", b'{"unit":{}}', said("b", "goal").line().replace(b'"label"', b'"lapel"', 1).strip()],
)
def test_a_line_that_is_no_decision_is_told_and_the_others_count(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "log"
    path.write_bytes(said("a", "goal").line() + line + b"\n" + said("c", "goal").line())
    log = DecisionLog(path)
    assert [entry.unit.id for entry in log.read()] == ["a", "c"]
    assert len(log.warnings) == 1
    assert log.warnings[0].startswith(f"{path}:2: not a decision, passed over")


def test_a_full_disk_leaves_the_log_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    log = DecisionLog(path)
    write(log, said("a", "goal"))
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PipelineError, match="log: can't be written: No space left on device"):
        write(log, said("b", "goal"))
    monkeypatch.undo()
    assert path.read_bytes() == before
    write(log, said("c", "goal"))
    assert [entry.unit.id for entry in DecisionLog(path).read()] == ["a", "c"]


def test_a_log_that_somebody_shortened_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = DecisionLog(path)
    write(log, said("a", "goal"), said("b", "goal"))
    path.write_bytes(said("a", "goal").line())
    with pytest.raises(PipelineError, match="has become shorter: somebody changed it"):
        log.read()


#: Imports nothing but the log: three of these start in a blink.
_WRITER = """
import sys
from pathlib import Path
from pipeline.decisions import Decision, DecisionLog, ReviewUnit
log, name = DecisionLog(Path(sys.argv[1])), sys.argv[2]
for number in range(int(sys.argv[3])):
    unit = ReviewUnit(f"{name}{number}", "talks.txt", "Talks", "wire", None, "sentence", "A text.", 0)
    with log.turn():
        log.append([Decision(unit, "label", name, "goal")])
    print(number, flush=True)
"""


def writer(path: Path, name: str, many: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", _WRITER, str(path), name, str(many)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=clean_environment())


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writers = {name: writer(path, name, 25) for name in ("anna", "ben", "cleo")}
    for process in writers.values():
        process.communicate(timeout=90)
        assert process.returncode == 0
    log = DecisionLog(path)
    entries = log.read()
    assert log.warnings == []
    for name in writers:
        assert [entry.unit.id for entry in entries if entry.annotator == name] == [f"{name}{n}" for n in range(25)]


def test_what_a_killed_process_confirmed_is_there(tmp_path: Path) -> None:
    path = tmp_path / "log"
    process = writer(path, "anna", 10**6)
    assert process.stdout is not None
    for _ in range(25):
        process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    confirmed = [*range(25), *process.stdout.read().split()]
    process.wait(30)
    log = DecisionLog(path)
    entries = log.read()
    assert len(entries) in (len(confirmed), len(confirmed) + 1), "the last may be written and not yet told"
    write(log, said("next", "goal"))  # the lock of the killed one is gone
    assert [json.loads(line)["unit"]["id"] for line in path.read_text().splitlines()][-1] == "next"


def test_everybody_s_last_word_counts() -> None:
    held = verdicts([said("a", "goal"), said("a", "challenge"), said("b", None)])
    assert held["a"].label == "challenge"
    assert held["b"].label is None
    assert not held["a"].disputed
    assert held["b"].by["anna"].action == "skip"


def test_an_undo_brings_back_what_was_before() -> None:
    entries = [said("a", "goal"), said("a", "challenge"), undone("a")]
    assert verdicts(entries)["a"].label == "goal"
    assert verdicts([*entries, undone("a")])["a"].by == {}
    assert verdicts([*entries, undone("a"), undone("a")])["a"].by == {}


def test_two_labels_are_a_dispute_until_one_gives_way() -> None:
    entries = [said("a", "goal"), said("a", "challenge", "ben")]
    assert verdicts(entries)["a"].disputed
    assert verdicts(entries)["a"].label is None
    assert verdicts([*entries, said("a", "goal", "ben")])["a"].label == "goal"
    assert verdicts([*entries, said("a", None, "ben")])["a"].label == "goal"
    assert verdicts([*entries, undone("a")])["a"].label == "challenge"


def test_an_undo_takes_back_one_s_own_last() -> None:
    entries = [said("a", "goal"), said("b", "goal"), said("c", "goal", "ben")]
    assert last_of(entries, "anna") == entries[1]
    assert last_of([*entries, undone("b")], "anna") == entries[0]
    assert last_of([*entries, undone("b"), undone("a")], "anna") is None
    assert last_of(entries, "cleo") is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"), st.sampled_from(["goal", "challenge", None, "undo"]), st.sampled_from(["x", "y"])
        )
    )
)
def test_undoing_everything_leaves_nothing(steps: list[tuple[str, str | None, str]]) -> None:
    entries: list[Decision] = []
    for key, what, by in steps:
        if what != "undo":
            entries.append(said(key, what, by))
        elif (last := last_of(entries, by)) is not None:
            before = verdicts(entries)[last.unit.id].by[by]
            assert before == last
            entries.append(undone(last.unit.id, by))
    for by in ("x", "y"):
        while (last := last_of(entries, by)) is not None:
            entries.append(undone(last.unit.id, by))
    assert all(not verdict.by for verdict in verdicts(entries).values())
