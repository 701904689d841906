"""The README: every command and every piece of Python in it runs.

Blocks of ```sh, ```console and ```python are run one after the other, in the order of the page, in a copy of the
project, where what one writes the next one finds. In a console block only lines that begin with ``$ `` are commands.
``.venv/bin/`` stands for the environment that the tests run in.

Not run are blocks under the comment ``<!-- not run: the reason -->``, which must give one, and commands that set the
project up (``SETUP``): `.ci/run` runs those as they stand, in a fresh clone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ROOT, clean_environment

#: Commands that make an environment or a checkout, or run these very tests.
SETUP = re.compile(r"git clone|-m venv|pip install|-m pytest")
RUN = ("sh", "bash", "console", "python")
_BLOCK = re.compile(
    r"(?:^<!-- not run:(?P<reason>[^\n]*?)-->\n+)?^```(?P<language>[\w-]+)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; ``reason`` says why it is not run, and is None where it is."""

    line: int
    language: str
    code: str
    reason: str | None


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [
        Block(page.count("\n", 0, found.start("language")) + 1, found["language"], found["code"], found["reason"])
        for found in _BLOCK.finditer(page)
    ]


def commands(block: Block) -> list[str]:
    """The shell commands of a block, without those that set the project up."""
    code = block.code.replace("\\\n", " ")
    if block.language == "console":
        lines = [line[2:] for line in code.splitlines() if line.startswith("$ ")]
    else:
        lines = [line for line in code.splitlines() if line.strip() and not line.startswith("#")]
    return [line for line in lines if not SETUP.search(line)]


README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = blocks(README)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, released: Path) -> Path:
    """A copy of the project that commands may write to."""
    copy = tmp_path_factory.mktemp("readme") / "communique"
    copy.mkdir()
    for name in ("corpus", "models", "pipeline", "README.md", "pyproject.toml", "LICENSE"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    return copy


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    here = Path(sys.executable).parent
    environment = clean_environment(PATH=f"{here}{os.pathsep}{os.environ['PATH']}", PYTHONPATH=str(folder))
    return subprocess.run(
        arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False, input=""
    )


@pytest.mark.slow
def test_everything_in_the_readme_runs(checkout: Path) -> None:
    for block in BLOCKS:
        if block.language not in RUN or block.reason is not None:
            continue
        where = f"README.md:{block.line}"
        if block.language == "python":
            done = run([sys.executable, "-c", block.code], checkout)
            assert done.returncode == 0, f"{where}: {done.stderr}"
        else:
            for command in commands(block):
                # `head` closes the pipe on purpose, which ends the command before it with exit 1
                strict = [] if "| head" in command else ["-o", "pipefail"]
                done = run(["bash", *strict, "-c", command.replace(".venv/bin/", "")], checkout)
                assert done.returncode == 0, f"{where}: {command}\n{done.stdout}{done.stderr}"


def test_the_readme_shows_the_three_jobs_and_python() -> None:
    shown = [command for block in BLOCKS if block.language in RUN[:3] for command in commands(block)]
    for job in ("classify", "train", "evaluate", "check"):
        assert any(re.search(rf"\bcommunique {job}\b", command) for command in shown), (
            f"no example of {job} that is run"
        )
    assert any("from pipeline import load" in block.code for block in BLOCKS if block.language == "python")


def test_the_readme_begins_with_the_two_commands_that_ci_runs() -> None:
    lines = [
        line.removeprefix("$ ") for block in BLOCKS if block.language in RUN[:3] for line in block.code.splitlines()
    ]
    first, second = [line for line in lines if SETUP.search(line) and "git clone" not in line][:2]
    assert first.startswith("python3 -m venv .venv && .venv/bin/pip install")
    assert ".venv/bin/communique classify corpus/source-article.txt " in first
    assert second.endswith(".venv/bin/python -m pytest")


def test_the_models_that_the_readme_names_are_there(released: Path) -> None:
    named = set(re.findall(r"--model (m[0-9a-f]{12})", README))
    assert named
    assert all((released / name / "model.joblib").is_file() for name in named)


def test_what_is_not_run_says_why() -> None:
    assert all((block.reason or "reason").strip() for block in BLOCKS)
    marks = README.count("<!-- not run")
    assert marks == sum(block.reason is not None for block in BLOCKS), "a mark stands directly above its block"


def test_blocks_and_commands_are_found() -> None:
    page = (
        "a\n```sh\n# why\npython3 -m venv .venv && x\ncommunique check \\\n  corpus\n```\n"
        "```console\n$ .venv/bin/communique --help\nUsage\n```\n<!-- not run: takes a cluster -->\n```sh\ndask\n```\n"
        "```json\n{}\n```\n"
    )
    found = blocks(page)
    assert [(block.line, block.language, block.reason) for block in found] == [
        (2, "sh", None),
        (8, "console", None),
        (13, "sh", " takes a cluster "),
        (16, "json", None),
    ]
    assert [commands(block) for block in found[:2]] == [["communique check    corpus"], [".venv/bin/communique --help"]]
