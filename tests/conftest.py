"""What the tests share: one small trained model, the command in a process of its own and in this one.

All tests run the code of this checkout. In-process tests do so through ``pythonpath`` in pyproject.toml, the
installed command through ``PYTHONPATH``; only ``test_wheel`` runs the installed copy.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import pipeline
from pipeline import features, train
from pipeline.batches import Batch, batch_of_examples
from pipeline.cli import app
from pipeline.lexicon import Group
from pipeline.records import Example

ROOT = Path(__file__).resolve().parents[1]

GOAL = "The minister wants a visa agreement signed before the spring."
CHALLENGE = "Fishing rights in the strait remain the sharpest dispute between the two capitals."
EVENT = "The two presidents met for forty minutes at the airport."
NEWS = f"{EVENT} {GOAL}\n\n{CHALLENGE}\n"

#: Enough for a model that tells the labels apart better than chance, and read in no time.
SMALL_LEXICON = tuple(
    Group(name, f"words of {name}", frozenset((word,) for word in words.split()))
    for name, words in {
        "obstacle": "dispute strained stalled pressure distrust rift divides deadlock hampered obstacle",
        "opening": "opportunity potential untapped complementary room momentum window",
        "want": "wants will aims seeks plans urged pledged vowed intends must",
        "effect": "could may would likely signals means consequences lead",
    }.items()
)
SMALL_SETTINGS = {"n_splits": 2, "features": {"min_df": 5}}
#: Articles of the corpus that the small model is fitted on, and those that it is scored on.
FITTED, HELD_OUT = 24, 6


def pytest_configure() -> None:
    """Stop where the tests would speak of another copy of the code than the one in front of the reader."""
    if Path(pipeline.__file__).resolve().parent != ROOT / "pipeline":
        raise pytest.UsageError(
            f"the tests would run {pipeline.__file__}, not this checkout: run `python -m pytest` in {ROOT}"
        )


def articles_of(path: Path, count: int) -> str:
    """The first articles of a corpus file, as text."""
    lines = path.read_text(encoding="utf-8").splitlines()
    names = list(dict.fromkeys(json.loads(line)["article"] for line in lines))[:count]
    return "".join(line + "\n" for line in lines if json.loads(line)["article"] in names)


def write_small_corpus(folder: Path, fitted: int = FITTED, held_out: int = HELD_OUT) -> Path:
    """A corpus folder with a few whole articles of the project's own corpus."""
    (folder / "heldout").mkdir(parents=True)
    (folder / "labels.toml").write_bytes((ROOT / "corpus" / "labels.toml").read_bytes())
    source = sorted((ROOT / "corpus").glob("newsroom-*.jsonl"))[0]
    (folder / "news.jsonl").write_text(articles_of(source, fitted), encoding="utf-8")
    source = sorted((ROOT / "corpus" / "heldout").glob("*.jsonl"))[0]
    (folder / "heldout" / "news.jsonl").write_text(articles_of(source, held_out), encoding="utf-8")
    return folder


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or fills the user's cache."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus folder of a few articles. Read only."""
    return write_small_corpus(tmp_path_factory.mktemp("small") / "corpus")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training in this process takes the small lexicon and few folds."""
    monkeypatch.setattr(features, "load_lexicon", lambda: SMALL_LEXICON)
    monkeypatch.setattr(train, "SETTINGS", SMALL_SETTINGS)
    monkeypatch.setattr(train, "out_of_fold", partial(train.out_of_fold, n_splits=2))
    # another process would read the whole lexicon
    monkeypatch.setattr(train, "train", partial(train.train, n_jobs=1))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, small_corpus: Path) -> train.Training:
    """A small model, trained once, in a models folder of its own. Read only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "load_lexicon", lambda: SMALL_LEXICON)
        patch.setattr(train, "SETTINGS", SMALL_SETTINGS)
        return train.train(small_corpus, tmp_path_factory.mktemp("shelf") / "models", n_jobs=1, cross_validation=False)


@pytest.fixture(scope="session")
def models(trained: train.Training) -> Path:
    """The models folder with the small model. Read only."""
    return trained.folder.parent


@dataclass(frozen=True)
class Done:
    """What a command gave."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Standard output as JSON Lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def said(self) -> list[str]:
        """The lines on standard error."""
        return self.err.splitlines()


@pytest.fixture
def run() -> Callable[..., Done]:
    """The command in this process: quick, for everything that does not hang on the process."""

    def invoke(*arguments: object, stdin: str | bytes | None = None) -> Done:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    return invoke


def command_path() -> str:
    """The installed command `communique`."""
    path = Path(sys.executable).with_name("communique")
    assert path.exists(), f"no command {path}: install the project first, `pip install '.[test]'`"
    return str(path)


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without what changes how output looks, with the checkout's code first."""
    kept = {key: value for key, value in os.environ.items() if key not in _LOOKS}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


_LOOKS = {"NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES", "TTY_COMPATIBLE", "COLORTERM"}


@pytest.fixture
def communique() -> Callable[..., Done]:
    """The installed command in a process of its own."""

    def call(
        *arguments: object,
        stdin: str | bytes = b"",
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        command: Sequence[str] | None = None,
    ) -> Done:
        done = subprocess.run(
            [*(command or [command_path()]), *(str(argument) for argument in arguments)],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            cwd=cwd,
            env=clean_environment(**(env or {})),
            timeout=120,
            check=False,
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    return call


@pytest.fixture(scope="session")
def released() -> Path:
    """The released models folder; a checkout without a promoted model is not ready to be given away."""
    folder = ROOT / "models"
    assert (folder / "current").is_file(), "no model is released: run `communique train` and commit models/"
    return folder


def batch_of_texts(texts: list[str]) -> Batch:
    """Single sentences, each of an article of its own."""
    return batch_of_examples(
        [Example(f"article {n}", "", "agency", None, "sentence", text, "background") for n, text in enumerate(texts)]
    )
