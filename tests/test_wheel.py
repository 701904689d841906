"""The wheel: what it holds, and that it works in an empty environment, from any folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import GOAL, ROOT, write_small_corpus

pytestmark = pytest.mark.slow
KEPT = shutil.ignore_patterns("__pycache__", ".git", ".venv", ".*_cache", ".hypothesis", "build", "dist", "*.egg-info")


def call(*command: object, cwd: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """A command as a stranger's shell runs it: nothing of this checkout on any path."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, released: Path) -> Path:
    """The wheel, built from a copy of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "source", ignore=KEPT)
    call(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, folder / "source", cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """The programs of an environment that has the wheel and what it asks for, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    call(sys.executable, "-m", "venv", folder, cwd=folder)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    call(programs / "pip", "install", "-q", wheel, cwd=folder)
    return programs


def _files(folder: Path, suffixes: Sequence[str] = ()) -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and (not suffixes or path.suffix in suffixes)
    }


def test_the_wheel_holds_the_code_the_corpus_and_the_models(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    shipped = {f"pipeline/_shipped/{name}" for folder in ("corpus", "models") for name in _files(ROOT / folder)}
    assert names == _files(ROOT / "pipeline", (".py", ".toml", ".tsv", ".j2", ".css", ".js")) | shipped
    assert wheel.stat().st_size < 20_000_000


def test_the_installed_command_classifies_from_any_folder(installed: Path, released: Path, tmp_path: Path) -> None:
    (tmp_path / "article.txt").write_bytes((ROOT / "corpus" / "source-article.txt").read_bytes())
    done = call(installed / "communique", "classify", "article.txt", cwd=tmp_path)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) > 30
    assert len({row["label"] for row in rows}) == 5
    assert done.stderr == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["article.txt"]


def test_the_installed_command_makes_a_report(installed: Path, released: Path, tmp_path: Path) -> None:
    call(installed / "communique", "report", "-", "--output", "report.html", cwd=tmp_path, stdin=GOAL)
    assert GOAL in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_spacy_finds_the_components_of_an_installed_copy(installed: Path, tmp_path: Path) -> None:
    code = (
        "import spacy; nlp = spacy.blank('en'); nlp.add_pipe('communique_sentences'); nlp.add_pipe('communique'); "
        f"doc = nlp({GOAL!r}); print([span._.label for span in doc.spans['communique']])"
    )
    assert call(installed / "python", "-c", code, cwd=tmp_path).stdout == "['goal']\n"


def test_the_installed_command_reads_web_pages(installed: Path, released: Path, tmp_path: Path) -> None:
    page = f"<html><body><article><h1>Visas</h1><p>{GOAL} {GOAL}</p></article></body></html>"
    (tmp_path / "a.html").write_text(page)
    assert GOAL in call(installed / "communique", "classify", "a.html", cwd=tmp_path).stdout


def test_the_installed_command_checks_and_scores_the_shipped_corpus(installed: Path, tmp_path: Path) -> None:
    assert "0 errors" in call(installed / "communique", "check", cwd=tmp_path).stdout
    assert "macro-F1" in call(installed / "communique", "evaluate", cwd=tmp_path).stdout


def test_the_installed_command_trains_into_this_folder(installed: Path, tmp_path: Path) -> None:
    write_small_corpus(tmp_path / "corpus")
    call(installed / "communique", "train", "--no-cross-validation", cwd=tmp_path)
    model_id = (tmp_path / "models" / "current").read_text().strip()
    manifest = json.loads((tmp_path / "models" / model_id / "model.json").read_text())
    assert manifest["corpus"]["train"]["units"] < 2000
    done = call(installed / "communique", "classify", "-", "--model", model_id, cwd=tmp_path, stdin=GOAL)
    assert json.loads(done.stdout)["text"] == GOAL


def test_the_installed_package_works_from_python(installed: Path, tmp_path: Path) -> None:
    code = f"from pipeline import load; print(load().classify({GOAL!r})[0].label)"
    assert call(installed / "python", "-c", code, cwd=tmp_path).stdout == "goal\n"
