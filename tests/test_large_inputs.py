"""Inputs of any size: what finding and reading them takes in memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from pipeline.rows import SeenIds

#: Reads all sources in a process of its own; says what came and by how much memory grew after the first document.
READ = """
import json, resource, sys
from pipeline.readers import read
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
run = read(sys.argv[1:])
next(run)
before = peak()
documents, failures = 1, 0
for item in run:
    if hasattr(item, "text"):
        documents += 1
    else:
        failures += 1
print(json.dumps([documents, failures, peak() - before]))
"""
FIND = """
import json, resource, sys
from pipeline.sources import find
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
names = [0, True, ""]
for found in find(sys.argv[1:]):
    names = [names[0] + 1, names[1] and found.path > names[2], found.path]
print(json.dumps([*names[:2], peak() - before]))
"""


def measured(code: str, *sources: Path) -> list[float]:
    done = subprocess.run([sys.executable, "-c", code, *sources], cwd=ROOT, capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout))


def rows(path: Path, count: int, encoding: str, ids: bool) -> Path:
    """A table of that many articles, each with an id where wanted; the last has the id of the first."""
    with path.open("w", encoding=encoding, newline="") as stream:
        stream.write("id,text\n")
        for number in range(count):
            identity = f"article-{number % (count - 1):07}" if ids else ""
            stream.write(f'{identity},"The two envoys met, and both want a treaty."\n')
    return path


@pytest.mark.parametrize(("encoding", "ids"), [("utf-8", True), ("utf-16", False)])
def test_memory_for_rows(tmp_path: Path, encoding: str, ids: bool) -> None:
    count = 100_000
    documents, failures, growth = measured(READ, rows(tmp_path / "a.csv", count, encoding, ids))
    assert (documents, failures) == (count - ids, ids)
    assert growth < (9 if ids else 3)


@pytest.mark.slow
def test_memory_for_a_million_rows(tmp_path: Path) -> None:
    count = 1_000_000
    documents, failures, growth = measured(READ, rows(tmp_path / "a.csv", count, "utf-8", True))
    assert (documents, failures) == (count - 1, 1)
    assert growth < 45  # the table of ids while it is enlarged for the last time, 12 bytes a slot


@pytest.mark.slow
def test_a_folder_of_100_000_files(tmp_path: Path) -> None:
    for number in range(100_000):
        os.close(os.open(tmp_path / f"{number:06}.txt", os.O_CREAT | os.O_WRONLY))
    count, in_order, growth = measured(FIND, tmp_path)
    assert (count, in_order) == (100_000, True)
    assert growth < 15


def test_ids_are_remembered_with_their_lines() -> None:
    seen = SeenIds(slots=2)
    assert [seen.first_line(f"id {n}", n + 1) for n in range(5000)] == list(range(1, 5001))
    assert [seen.first_line(f"id {n}", 9999) for n in range(5000)] == list(range(1, 5001))
    assert seen.first_line("another", 7) == 7
