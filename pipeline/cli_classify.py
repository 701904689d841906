"""The command that classifies."""

from __future__ import annotations

import os
import signal
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, TextIO

import typer

from pipeline.cli_base import ModelOption, ModelsOption, app, model_or_train, reported_errors, shelved_or_train, usage
from pipeline.records import ModelInfo, PipelineError

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.chunks import Item
    from pipeline.folders import Sink
    from pipeline.parquet_out import ParquetWriter
    from pipeline.progress import Lines
    from pipeline.report import Writer
    from pipeline.summary import Summary
    from pipeline.workers import Backend


class Format(StrEnum):
    """How `classify` prints."""

    table = "table"
    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"


class BackendName(StrEnum):
    """Where `classify` works."""

    loky = "loky"
    dask = "dask"


class _Options(NamedTuple):
    """What the command was given."""

    paths: list[str]
    form: Format | None
    output: Path | None
    output_dir: Path | None
    force: bool
    resume: bool
    errors: Path | None
    model: str | None
    models: Path | None
    only: str | None
    min_confidence: float
    text_field: str
    text_dir: Path | None
    backend: Backend | None
    quiet: bool
    log_json: bool


@app.command(name="classify")
def classify_cli(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH", help="Files, folders, patterns, or - for standard input.")
    ],
    form: Annotated[
        Format | None, typer.Option("--format", help="Default: table on a terminal, jsonl in a pipe or a file.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to a file.")] = None,
    output_dir: Annotated[
        Path | None,
        typer.Option("--output-dir", metavar="DIR", help="Write a file for each document, or a Parquet dataset."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the output, and begin anew.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run of this output.")] = False,
    errors: Annotated[
        Path | None, typer.Option("--errors", metavar="FILE", help="Write what failed, as JSON Lines.")
    ] = None,
    model: ModelOption = None,
    models: ModelsOption = None,
    only: Annotated[
        str | None, typer.Option("--only", metavar="LABEL,...", help="Print only units of these labels.")
    ] = None,
    min_confidence: Annotated[
        float, typer.Option("--min-confidence", min=0.0, max=1.0, help="Print only units at least as confident.")
    ] = 0.0,
    text_field: Annotated[
        str, typer.Option("--text-field", metavar="NAME", help="The text column of JSON Lines, CSV and Parquet.")
    ] = "text",
    text_dir: Annotated[
        Path | None, typer.Option("--text-dir", metavar="DIR", help="Write out the texts that the offsets refer to.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=-1, help="Processes. Default: every core, one for small work.")
    ] = None,
    backend: Annotated[BackendName, typer.Option("--backend", help="This machine, or a cluster.")] = BackendName.loky,
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", metavar="ADDRESS", help="Of the Dask cluster: tcp://HOST:PORT.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only what failed.")] = False,
    log_json: Annotated[bool, typer.Option("--log-json", help="Say it in JSON Lines, for machines.")] = False,
) -> None:
    """Classify every sentence of articles.

    Read are .txt, .md, .html, .jsonl, .csv, .parquet and .zip files, text also as .gz and .zst, folders of them, and
    standard input.

    Example: communique classify news/ --only challenge,goal --format csv -o units.csv

    Example: communique classify archive/ -o units.jsonl --resume --jobs 4 --errors failed.jsonl

    Exit code: 0 all done; 1 something could not be read (it is named on standard error, the rest was done);
    2 wrong usage.
    """
    if output is not None and output_dir is not None:
        usage("--output and --output-dir: give one of them")
    if resume and output is None and output_dir is None:
        usage("--resume goes on with a file or a folder: give --output or --output-dir, too")
    options = _Options(
        *(paths, form, output, output_dir, force, resume, errors, model, models, only, min_confidence),
        *(text_field, text_dir, _backend(backend, scheduler, jobs), quiet, log_json),
    )
    with reported_errors(), _terminable():
        with ExitStack() as stack:  # what it has open is complete when it is left without an exception
            summary = _run(options, stack)
        if summary.failed:
            raise typer.Exit(1)


def _backend(name: BackendName, scheduler: str | None, jobs: int | None) -> Backend | None:
    """Where to work; None leaves it to the amount of work."""
    if jobs == 0:
        usage("--jobs: 0 processes can do nothing; give 1 or more, or -1 for every core")
    if (name is BackendName.dask) != (scheduler is not None):
        usage("--backend dask and --scheduler tcp://HOST:PORT go together")
    if name is BackendName.loky and jobs is None:
        return None
    from joblib import cpu_count

    from pipeline.workers import Backend

    return Backend(name.value, cpu_count() if jobs in (None, -1) else jobs or 1, scheduler)


def _run(options: _Options, stack: ExitStack) -> Summary:
    """The whole run; what it leaves behind where it ends early is said."""
    from pipeline.output import opened

    reporter = _reporter(options)
    summary = None
    # the output comes first: that it can't be written is known before a model is read or trained
    sink, form = _sink(options, stack)
    try:
        errors = (
            None
            if options.errors is None
            else stack.enter_context(opened(options.errors, force=options.force or options.resume))
        )
        from pipeline.chunks import Task
        from pipeline.run import classify_to

        elsewhere = options.backend is not None and options.backend.name == "loky" and options.backend.jobs > 1
        found = (shelved_or_train if elsewhere else model_or_train)(options.models, options.model)
        task = Task(
            form.value,
            _labels(options.only, found.info.labels),
            options.min_confidence,
            str(options.text_dir.absolute()) if options.text_dir is not None else None,
            str(options.output_dir.absolute()) if options.output_dir and form is Format.parquet else None,
        )
        items = _items(options)
        summary = classify_to(sink, items, found, task, backend=options.backend, errors=errors, reporter=reporter)
        return summary
    except BaseException as error:
        kept = sink.abort()
        if isinstance(error, PipelineError):
            reporter.error(str(error))
        if kept:
            reporter.error(kept)
        if isinstance(error, PipelineError):
            raise typer.Exit(1) from None
        raise
    finally:
        reporter.close(summary)


def _items(options: _Options) -> Iterable[Item | None]:
    """What there is to classify; where it comes down a pipe, with a word when it is slow."""
    from pipeline.chunks import as_they_come
    from pipeline.readers import fetch

    piped = "-" in options.paths and sys.stdin is not None and not _is_file(sys.stdin)
    try:
        # a file object of its own: Python would wait at its exit for a thread that reads from sys.stdin
        stdin = open(sys.stdin.fileno(), "rb", closefd=False) if piped else None  # noqa: SIM115
    except (OSError, ValueError):  # no file, as in a test
        piped, stdin = False, None
    items = fetch(options.paths, text_field=options.text_field, stdin=stdin)
    parts = options.output_dir is not None and options.form is Format.parquet  # what they hold must not hang on time
    return as_they_come(items) if piped and not parts else items


def _sink(options: _Options, stack: ExitStack) -> tuple[Sink, Format]:
    """Where the rows go, and in which format."""
    from pipeline.folders import FolderSink, PartsSink
    from pipeline.output import is_special, opened
    from pipeline.sinks import FileSink, StreamSink, WriterSink

    how = {"force": options.force, "resume": options.resume}
    form = options.form or Format.jsonl
    if options.output_dir is not None:
        if form is Format.table:
            usage("--output-dir: a table is for reading; give --format jsonl, csv or parquet")
        if form is Format.parquet:
            return PartsSink(options.output_dir, **how), form
        return FolderSink(options.output_dir, form.value, **how), form
    if options.output is not None and form in (Format.jsonl, Format.csv) and not is_special(options.output):
        return FileSink(options.output, **how), form
    if options.resume:
        usage(f"--resume: --format {form.value} is written in one go; give jsonl or csv, or parquet with --output-dir")
    stream = stack.enter_context(opened(options.output, force=options.force))
    form = options.form or (Format.table if stream.isatty() else Format.jsonl)
    if form in (Format.jsonl, Format.csv):
        return StreamSink(stream), form
    return WriterSink(lambda info: _writer(form, stream, info)), form


def _writer(form: Format, stream: TextIO, info: ModelInfo) -> Writer | ParquetWriter:
    from pipeline.parquet_out import ParquetWriter
    from pipeline.report import writer_for

    if form is Format.parquet:
        if stream.isatty():
            usage("--format parquet is no text for a terminal: give --output")
        return ParquetWriter(stream.buffer, info.labels)
    return writer_for(form.value, stream, info.labels, info.corpus.get("colours", {}), _console)


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    return Console(file=stream)


def _reporter(options: _Options) -> Lines:
    """How the run is talked about: in JSON, with a bar on a terminal while rows go to a file, else in lines."""
    from pipeline.progress import Bar, JsonLog, Lines

    if options.log_json:
        return JsonLog()
    to_file = options.output is not None or options.output_dir is not None
    # in a pipe silence means that all is well, and a pager would fight a bar for the screen
    if (to_file or _is_file(sys.stdout)) and not options.quiet and sys.stderr is not None and sys.stderr.isatty():
        return Bar(options.paths)
    return Lines(quiet=options.quiet, summary=to_file)


def _is_file(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):  # closed, or no file at all
        return False


def _labels(only: str | None, labels: tuple[str, ...]) -> tuple[str, ...] | None:
    """The labels that ``--only`` names, None for all of them."""
    from pipeline.corpus_rows import nearest

    if only is None:
        return None
    chosen = {name.strip() for name in only.split(",")} - {""}
    unknown = sorted(chosen - set(labels))
    if unknown or not chosen:
        found = f"unknown label '{unknown[0]}'{nearest(unknown[0], labels)}" if unknown else "no label named"
        usage(f"--only: {found}; the labels are {', '.join(labels)}")
    return tuple(label for label in labels if label in chosen)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the run as Ctrl-C does: what is done is kept, and workers are ended."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
