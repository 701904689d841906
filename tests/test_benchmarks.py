"""The benchmark of speed: that one command measures every system and says so in one table."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, clean_environment

SPEED = ROOT / "tests" / "benchmarks" / "speed.py"


def speed(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SPEED), *map(str, arguments)]
    return subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=900, check=False)


@pytest.mark.slow
def test_every_system_is_in_the_table(tmp_path: Path) -> None:
    done = speed("--sentences", 400, "--keep", tmp_path / "kept")
    assert done.returncode == 0, done.stderr
    head, columns, *rows = done.stdout.splitlines()
    assert head.startswith("400 sentences, ")
    assert columns.split() == ["words/s", "of", "bare", "seconds", "CPU", "s", "of", "bare", "peak", "MB"]
    measured = {row[:46].strip(): [float(cell.replace(",", "")) for cell in row[46:].split()] for row in rows}
    expected = [
        "spaCy blank English, tokenises",
        "spaCy blank English, tokenises, again",
        "communique, 1 job",
        "communique, 1 job, without start",
        "communique, 2 jobs",
        "communique, 2 jobs, without start",
        "scikit-learn TF-IDF + logistic, labels only",
        "spaCy textcat, bag of words, labels only",
    ]
    assert set(expected) <= set(measured)
    assert {len(cells) for cells in measured.values()} == {6}
    first, again = (measured[name] for name in expected[:2])
    assert 1 / first[1] + 1 / again[1] == pytest.approx(2, rel=0.1)  # ratios are to the mean of the two
    assert all(20 < cells[5] < 4000 for cells in measured.values())
    articles = sorted((tmp_path / "kept" / "articles").iterdir())
    words = sum(len(path.read_text(encoding="utf-8").split()) for path in articles)
    assert int(head.split()[2].replace(",", "")) <= words  # the marks of headings and bullets are no words of the text
    assert len((tmp_path / "kept" / "sentences.txt").read_text(encoding="utf-8").splitlines()) == 400


def test_too_little_text_is_wrong_usage(tmp_path: Path) -> None:
    done = speed("--sentences", 5, "--keep", tmp_path / "kept")
    assert done.returncode == 2
    assert "at least 100 are needed" in done.stderr
    assert os.listdir(tmp_path) == []
