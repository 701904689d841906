"""The command `communique`: parse, call, print, exit. Nothing is decided here.

Every command is a thin function over a plain one that anybody can call from Python; heavy modules
are imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TextIO

import typer

from pipeline.records import Failure, PipelineError

if TYPE_CHECKING:
    from rich.console import Console

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


class Format(StrEnum):
    """How `classify` prints."""

    table = "table"
    jsonl = "jsonl"
    csv = "csv"


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
        _usage("0 processes can do nothing; give 1 or more, or -1 for every core")
    return jobs


JobsOption = Annotated[int, typer.Option("--jobs", min=-1, callback=_processes, help="Processes; -1 uses every core.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Seed of the folds.")]


def say(text: object) -> None:
    """Talk goes to standard error; standard output is for data."""
    if sys.stderr is not None:  # it is None where it is closed, and print would then take standard output
        print(text, file=sys.stderr, flush=True)


@contextmanager
def _errors() -> Iterator[None]:
    """A PipelineError, or what the system refuses, is one message and exit 1; a closed pipe ends quietly."""
    try:
        try:
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


def _drop_output() -> None:
    """Let what is still in the buffer go nowhere: Python would try to write it once more at its exit."""
    with suppress(OSError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage(message: str) -> NoReturn:
    raise typer.BadParameter(message)


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    return Console(file=stream)


def _model_or_train(models: Path | None, model: str | None) -> Model:
    """The model to use. Where no folder has one, one is trained first, and said so."""
    from pipeline.classify import load
    from pipeline.places import models_folder, writable_models_folder
    from pipeline.registry import current_id

    if model is None and current_id(models_folder(models)) is None:
        from pipeline.train import train

        target = writable_models_folder(models)
        say(f"communique: no model in {models_folder(models)}; training one into {target} first (about a minute)")
        train(models=target, cross_validation=False, progress=say)
        models = target
    return load(model, models=models)


def _labels(only: str | None, labels: tuple[str, ...]) -> frozenset[str]:
    """The labels that ``--only`` names, all of them without it."""
    from pipeline.corpus_rows import nearest

    if only is None:
        return frozenset(labels)
    chosen = frozenset(name.strip() for name in only.split(",")) - {""}
    unknown = sorted(chosen - set(labels))
    if unknown or not chosen:
        found = f"unknown label '{unknown[0]}'{nearest(unknown[0], labels)}" if unknown else "no label named"
        _usage(f"--only: {found}; the labels are {', '.join(labels)}")
    return chosen


@app.command(name="classify")
def classify_cli(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH", help="Files, folders, patterns, or - for standard input.")
    ],
    form: Annotated[
        Format | None, typer.Option("--format", help="Default: table on a terminal, jsonl in a pipe or a file.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to a file.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the --output file.")] = False,
    model: ModelOption = None,
    models: ModelsOption = None,
    only: Annotated[
        str | None, typer.Option("--only", metavar="LABEL,...", help="Print only units of these labels.")
    ] = None,
    min_confidence: Annotated[
        float, typer.Option("--min-confidence", min=0.0, max=1.0, help="Print only units at least as confident.")
    ] = 0.0,
    text_field: Annotated[
        str, typer.Option("--text-field", metavar="NAME", help="The text column of JSON Lines and CSV.")
    ] = "text",
    text_dir: Annotated[
        Path | None, typer.Option("--text-dir", metavar="DIR", help="Write out the texts that the offsets refer to.")
    ] = None,
) -> None:
    """Classify every sentence of articles: .txt, .md, .html, .jsonl and .csv files, folders, or standard input.

    Example: communique classify news/ --only challenge,goal --format csv -o units.csv

    Exit code: 0 all done; 1 something could not be read (it is named on standard error, the rest was done);
    2 wrong usage.
    """
    from pipeline.output import opened
    from pipeline.readers import write_texts
    from pipeline.report import writer_for

    with _errors():
        failures = 0

        def failed(failure: Failure) -> None:
            nonlocal failures
            failures += 1
            say(f"communique: {failure}")

        # the output comes first: that it can't be written is known before a model is read or trained
        with opened(output, force=force) as stream:
            loaded = _model_or_train(models, model)
            chosen = _labels(only, loaded.info.labels)
            kind = form or (Format.table if stream.isatty() else Format.jsonl)
            writer = writer_for(kind.value, stream, loaded.info.labels, loaded.info.corpus.get("colours", {}), _console)
            for result in loaded.classify_many(paths, text_field=text_field, on_failure=failed):
                for warning in result.document.warnings:
                    say(f"communique: {result.document.id}: {warning}")
                if text_dir is not None:
                    write_texts(result.document, text_dir)
                kept = [p for p in result.predictions if p.label in chosen and p.confidence >= min_confidence]
                writer.document(result.document.title or result.document.id, kept)
            writer.close(loaded.info.labels)
        if failures:
            many = "1 source" if failures == 1 else f"{failures} sources"
            say(f"communique: {many} could not be read; everything else was classified")
            raise typer.Exit(1)


@app.command(name="train")
def train_cli(
    corpus: CorpusOption = None,
    models: Annotated[
        Path | None, typer.Option("--models", metavar="DIR", help="Where models go. Default: ./models.")
    ] = None,
    seed: SeedOption = 0,
    jobs: JobsOption = -1,
    cross_validation: Annotated[
        bool | None,
        typer.Option(
            "--cross-validation/--no-cross-validation",
            help="Measure on article-grouped folds too. Default: yes, but not with an encoder.",
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            "--encoder",
            metavar="NAME|FOLDER",
            help="Fine-tune a sentence encoder too; 'default' is all-MiniLM-L6-v2. Needs the extra [encoder].",
        ),
    ] = None,
) -> None:
    """Fit a model on the corpus, measure it, save it under models/ and make it the one in use.

    A model with an --encoder is saved beside it, and used where --model names it.

    Example: communique train --corpus corpus --models models
    """
    from pipeline.report import evaluation_text
    from pipeline.train import train

    with _errors():
        done = train(
            corpus,
            models,
            seed=seed,
            n_jobs=jobs,
            cross_validation=cross_validation,
            encoder=encoder,
            progress=say,
        )
        for scores in (done.cross_validation, done.heldout):
            if scores is not None:
                print(evaluation_text(scores) + "\n")
        print(f"model {done.info.id}, card in {done.folder / 'README.md'}")


@app.command(name="evaluate")
def evaluate_cli(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="Labelled corpus files. Default: heldout/ of the corpus folder."),
    ] = None,
    corpus: CorpusOption = None,
    model: ModelOption = None,
    models: ModelsOption = None,
    mistakes: Annotated[int, typer.Option("--mistakes", min=0, help="How many of the worst mistakes to print.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Scores and mistakes as one JSON object.")] = False,
) -> None:
    """Score a model on labelled units that it was not fitted on.

    Example: communique evaluate my-labelled-articles.jsonl --mistakes 20
    """
    import json
    from dataclasses import asdict

    from pipeline.evaluate import evaluate_files
    from pipeline.places import corpus_folder
    from pipeline.report import evaluation_text, mistakes_text

    with _errors():
        loaded = _model_or_train(models, model)
        scores, wrong = evaluate_files(loaded.classifier, paths or [], corpus_folder(corpus))
        if as_json:
            shown = [asdict(mistake) for mistake in wrong[:mistakes]]
            print(
                json.dumps(
                    {"model": loaded.info.id, **scores.as_dict(), "mistakes": shown}, ensure_ascii=False, indent=1
                )
            )
            return
        print(f"model {loaded.info.id}\n" + evaluation_text(scores))
        if mistakes and wrong:
            print("\n" + mistakes_text(wrong[:mistakes]))


@app.command(name="check")
def check_cli(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="PATH", help="Corpus files or folders. Default: the corpus folder.")
    ] = None,
    corpus: CorpusOption = None,
) -> None:
    """Check corpus files: every problem as file:line, then counts by label, genre and kind.

    Example: communique check corpus/my-articles.csv

    Exit code: 0 no errors (warnings may be printed); 1 errors; 2 wrong usage.
    """
    from pipeline.corpus import check, counts, files_to_check, load_labels
    from pipeline.places import corpus_folder
    from pipeline.report import counts_text

    with _errors():
        folder = corpus_folder(corpus)
        labels = load_labels(folder)
        examples, found = check(files_to_check(paths or [folder]), labels)
        for problem in found:
            print(problem)
        errors = sum(problem.severity == "error" for problem in found)
        print(counts_text(counts(examples), "good rows"))
        print(f"{errors} errors, {len(found) - errors} warnings")
        if errors:
            raise typer.Exit(1)


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    """Common options."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="surrogateescape")
    if version:
        from importlib.metadata import version as version_of

        print(version_of("communique"))
        raise typer.Exit()
