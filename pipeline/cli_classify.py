"""The command that classifies."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from pipeline.cli_base import ModelOption, ModelsOption, app, model_or_train, reported_errors, say, usage
from pipeline.records import Failure

if TYPE_CHECKING:
    from rich.console import Console


class Format(StrEnum):
    """How `classify` prints."""

    table = "table"
    jsonl = "jsonl"
    csv = "csv"


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    return Console(file=stream)


def _labels(only: str | None, labels: tuple[str, ...]) -> frozenset[str]:
    """The labels that ``--only`` names, all of them without it."""
    from pipeline.corpus_rows import nearest

    if only is None:
        return frozenset(labels)
    chosen = frozenset(name.strip() for name in only.split(",")) - {""}
    unknown = sorted(chosen - set(labels))
    if unknown or not chosen:
        found = f"unknown label '{unknown[0]}'{nearest(unknown[0], labels)}" if unknown else "no label named"
        usage(f"--only: {found}; the labels are {', '.join(labels)}")
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

    with reported_errors():
        failures = 0

        def failed(failure: Failure) -> None:
            nonlocal failures
            failures += 1
            say(f"communique: {failure}")

        # the output comes first: that it can't be written is known before a model is read or trained
        with opened(output, force=force) as stream:
            loaded = model_or_train(models, model)
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
