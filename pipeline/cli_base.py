"""What all commands share: the application, their common options, how they talk, fail and exit."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TextIO

import typer

from pipeline.corpus_format import CorpusFormatWarning
from pipeline.records import PipelineError

if TYPE_CHECKING:
    from pipeline.chunks import Shelved
    from pipeline.classify import Model

app = typer.Typer(
    help="Reads diplomatic news and says of every sentence whether it states a challenge, an opportunity, a goal or an "
    "implication, or only gives background.\n\nExample: communique classify news/",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


ModelsOption = Annotated[
    Path | None,
    typer.Option("--models", metavar="DIR", help="The models folder. Default: ./models, else the shipped one."),
]
CorpusOption = Annotated[
    Path | None,
    typer.Option("--corpus", metavar="DIR", help="The corpus folder. Default: ./corpus, else the shipped one."),
]
ModelOption = Annotated[
    str | None, typer.Option("--model", metavar="ID", help="A model of the models folder. Default: the promoted one.")
]


def _processes(jobs: int) -> int:
    if jobs == 0:
        usage("0 processes can do nothing; give 1 or more, or -1 for every core")
    return jobs


JobsOption = Annotated[int, typer.Option("--jobs", min=-1, callback=_processes, help="Processes; -1 uses every core.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Seed of the folds.")]


def say(text: object) -> None:
    """Talk goes to standard error; standard output is for data."""
    if sys.stderr is not None:  # it is None where it is closed, and print would then take standard output
        print(text, file=sys.stderr, flush=True)


@contextmanager
def reported_errors() -> Iterator[None]:
    """A PipelineError, or what the system refuses, is one message and exit 1; a closed pipe ends quietly."""
    try:
        try:
            with _said_warnings():
                yield
        except PipelineError as error:
            say(f"communique: {error}")
            raise typer.Exit(1) from None
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
        raise typer.Exit(1) from None
    except OSError as error:
        _drop_output()
        say(f"communique: {error.filename or 'standard output'}: {error.strerror or error}")
        raise typer.Exit(1) from None


@contextmanager
def _said_warnings() -> Iterator[None]:
    """Warnings that are meant for the user are said as everything else is, without a place in our code."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", CorpusFormatWarning)
        shown = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, CorpusFormatWarning):
                say(f"communique: {message}")
            else:
                shown(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield


def _drop_output() -> None:
    """Let what is still in the buffer go nowhere: Python would try to write it once more at its exit."""
    with suppress(OSError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def usage(message: str) -> NoReturn:
    raise typer.BadParameter(message)


def model_or_train(models: Path | None, model: str | None) -> Model:
    """The model to use. Where no folder has one, one is trained first, and said so."""
    from pipeline.classify import load

    return load(model, models=_folder_with_model(models, model))


def shelved_or_train(models: Path | None, model: str | None) -> Shelved:
    """The same without opening it, where other processes will; that it is whole has been checked."""
    from pipeline.chunks import Shelved
    from pipeline.places import models_folder
    from pipeline.registry import require_usable

    folder = models_folder(_folder_with_model(models, model))
    return Shelved(require_usable(model, folder), folder)


def _folder_with_model(models: Path | None, model: str | None) -> Path | None:
    """The models folder; a model is trained into it where none is named and it has none."""
    from pipeline.places import models_folder, writable_models_folder
    from pipeline.shelf import current_id

    if model is None and current_id(models_folder(models)) is None:
        from pipeline.train import train

        target = writable_models_folder(models)
        say(f"communique: no model in {models_folder(models)}; training one into {target} first (about a minute)")
        train(models=target, cross_validation=False, progress=say)
        return target
    return models


#: `communique models ...`: the shelf, and models from and to elsewhere.
models_app = typer.Typer(
    help="The models on the shelf: list, compare, promote, export, import.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(models_app, name="models")
