"""The commands to look and to question: report, explain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli_base import (
    CorpusOption,
    ModelOption,
    ModelsOption,
    app,
    model_or_train,
    reported_errors,
    say,
    usage,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.classify import Model, Result
    from pipeline.records import Document, Failure


@app.command(name="report")
def report_cli(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH", help="Files, folders, patterns, or - for standard input.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="The page. Default: standard output.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the --output file.")] = False,
    title: Annotated[str, typer.Option("--title", help="Heading of the page.")] = "Diplomatic news by function",
    explanations: Annotated[
        bool, typer.Option("--explanations/--no-explanations", help="What moved each label; makes the file larger.")
    ] = True,
    precedents: Annotated[
        int, typer.Option("--precedents", min=0, help="How many similar corpus units for each sentence.")
    ] = 2,
    text_field: Annotated[
        str, typer.Option("--text-field", metavar="NAME", help="The text column of JSON Lines and CSV.")
    ] = "text",
    corpus: CorpusOption = None,
    model: ModelOption = None,
    models: ModelsOption = None,
) -> None:
    """Make one web page to read, filter and forward: every article tinted by label, with an overview.

    The page needs no network and no other file. All articles are held in memory while it is made.

    Example: communique report news/ --output report.html

    Exit code: 0 all done; 1 something could not be read (the page names it); 2 wrong usage.
    """
    import sys
    from datetime import UTC, datetime

    from pipeline.corpus_labels import load_labels
    from pipeline.output import opened
    from pipeline.places import corpus_folder
    from pipeline.readers import read
    from pipeline.reasons import Reasoner
    from pipeline.records import Failure
    from pipeline.report_page import report_page

    if output is None and sys.stdout.isatty():
        usage("a page is no use on a terminal: name a file with --output report.html")
    with reported_errors():
        failures = 0
        with opened(output, force=force) as stream:
            loaded = model_or_train(models, model)
            labels = load_labels(corpus_folder(corpus))

            def results() -> Iterator[Result | Failure]:
                nonlocal failures
                for result in loaded.classify_documents(read(paths, text_field=text_field)):
                    if isinstance(result, Failure):
                        failures += 1
                        say(f"communique: {result}")
                    yield result

            stream.write(
                report_page(
                    results(),
                    loaded,
                    title=title,
                    created=datetime.now(UTC).date().isoformat(),
                    reasoner=Reasoner(loaded, corpus, precedents=precedents) if explanations else None,
                    definitions=labels.definitions,
                    letters=labels.letters,
                )
            )
        if failures:
            many = "1 source" if failures == 1 else f"{failures} sources"
            say(f"communique: {many} could not be read; everything else is in the report")
            raise typer.Exit(1)


@app.command(name="explain")
def explain_cli(
    sentence: Annotated[
        str | None, typer.Argument(metavar="SENTENCE", help="The text to explain, or - for standard input.")
    ] = None,
    document: Annotated[
        str | None, typer.Option("--document", metavar="FILE", help="Explain a unit of this article instead.")
    ] = None,
    index: Annotated[
        int | None, typer.Option("--index", min=0, metavar="N", help="Which unit: the 'index' of its output row.")
    ] = None,
    row: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Which article, where the file holds several.")
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", metavar="LABEL", help="Show what moved this label; 'all' for every one.")
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="How many words and cues to show.")] = 12,
    precedents: Annotated[
        int, typer.Option("--precedents", min=0, help="How many labelled corpus units; 0 is quicker.")
    ] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON, one unit a line.")] = False,
    corpus: CorpusOption = None,
    model: ModelOption = None,
    models: ModelsOption = None,
) -> None:
    """Show what moved a label: what each word and cue adds to the score of each label, and similar labelled units.

    Example: communique explain "The minister wants a deal before the spring."
    Example: communique explain --document news/talks.txt --index 3

    What is shown sums to the label's score. Exit code: 0 done; 1 something could not be read; 2 wrong usage.
    """
    import json
    import sys

    from rich.console import Console

    from pipeline.explain_text import print_reasons
    from pipeline.reasons import Reasoner

    if (sentence is None) == (document is None):
        usage("give either a SENTENCE or --document FILE --index N")
    if (document is None) != (index is None):
        usage("--document FILE and --index N go together")
    with reported_errors():
        loaded = model_or_train(models, model)
        labels = _labels_shown(label, loaded.info.labels)
        result = _one_result(loaded, sentence, document, row)
        chosen = _chosen(result, index)
        reasoner = Reasoner(loaded, corpus, precedents=precedents)
        for number, reasons in enumerate(reasoner.of_result(result, only=chosen)):
            if as_json:
                print(json.dumps(reasons.row(), ensure_ascii=False, allow_nan=False))
                continue
            if number:
                print()
            console = Console(file=sys.stdout)
            print_reasons(reasons, console, loaded.info.corpus.get("colours", {}), labels=labels, most=top)


def _labels_shown(label: str | None, known: tuple[str, ...]) -> tuple[str, ...]:
    """The labels that ``--label`` names."""
    from pipeline.corpus_rows import nearest

    if label is None or label == "all":
        return known if label else ()
    if label not in known:
        usage(f"--label: unknown label '{label}'{nearest(label, known)}; the labels are {', '.join(known)}")
    return (label,)


def _one_result(model: Model, sentence: str | None, path: str | None, row: str | None) -> Result:
    """The one document that is asked about, classified."""
    from pipeline.classify import Result
    from pipeline.records import Document, PipelineError

    text = sentence if sentence != "-" else None
    document = _one_document(path or "-", row) if text is None else Document("text", text)
    (result,) = model.classify_documents([document])
    if isinstance(result, Result) and result.predictions:
        return result
    raise PipelineError("no sentence in it", where=document.id)


def _one_document(path: str, row: str | None) -> Document:
    """The only document of a source, or the one with the given id."""
    from pipeline.readers import read
    from pipeline.records import Failure, PipelineError

    named: list[Document] = []
    for found in read([path]):
        if isinstance(found, Failure):
            if row is None or found.line is None:
                raise PipelineError(found.reason, where=found.source)
        elif found.id == row:
            return found
        elif len(named := [*named, found][:2]) == 2 and row is None:
            ids = " or ".join(repr(one.id) for one in named)
            raise PipelineError("holds more than one article", where=path, remedy=f"name one with --id, such as {ids}")
    if row is None and named:
        return named[0]
    raise PipelineError("no article in it" if row is None else f"no article with the id {row!r}", where=path)


def _chosen(result: Result, index: int | None) -> int | None:
    """The index asked for, if the document has it."""
    last = len(result.predictions) - 1
    if index is not None and index > last:
        usage(f"--index: {index} is too high; {result.document.id} has the units 0 to {last}")
    return index
