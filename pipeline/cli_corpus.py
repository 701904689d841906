"""The commands that say how good the corpus is and what it lacks: audit, agreement, drift."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli_base import (
    CorpusOption,
    JobsOption,
    ModelOption,
    ModelsOption,
    SeedOption,
    app,
    model_or_train,
    reported_errors,
    say,
    usage,
)
from pipeline.records import Failure


class AuditFormat(StrEnum):
    """How `audit` prints."""

    table = "table"
    csv = "csv"


@app.command(name="audit")
def audit_cli(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="Show findings in these corpus files only. Default: all that are fitted."),
    ] = None,
    corpus: CorpusOption = None,
    form: Annotated[
        AuditFormat | None,
        typer.Option("--format", help="Default: table, or csv with --output."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to a file.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the --output file.")] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", min=0, help="How many: 10 of each kind in a table, all in CSV.")
    ] = None,
    apply: Annotated[
        Path | None,
        typer.Option("--apply", metavar="FILE", help="Put the column new_label of an edited CSV into the corpus."),
    ] = None,
    seed: SeedOption = 0,
    jobs: JobsOption = -1,
) -> None:
    """List units of the corpus whose label is probably wrong, the most suspicious first. Needs the extra [audit].

    Write them to a CSV file, fill in the column new_label where you agree, and apply it: only those labels change.

    Example: communique audit -o audit.csv; then communique audit --apply audit.csv

    Exit code: 0 done; 1 something could not be read, or rows of the applied file were refused; 2 wrong usage.
    """
    with reported_errors():
        if apply is not None:
            if paths or output is not None or form is not None or limit is not None:
                usage("--apply takes no other arguments but --corpus")
            _apply(apply, corpus)
            return
        from pipeline.audit import audit, examples_to_audit, require_extra
        from pipeline.audit_table import audit_text, write_csv
        from pipeline.corpus import load_labels
        from pipeline.output import opened
        from pipeline.places import corpus_folder
        from pipeline.train import new_classifier

        require_extra()
        with opened(output, force=force) as stream:
            folder = corpus_folder(corpus)
            labels = load_labels(folder)
            examples, only = examples_to_audit(folder, labels, paths or [])
            say(f"communique: auditing {len(examples)} units with models that did not see their articles")
            found = audit(new_classifier(labels, seed=seed, n_jobs=jobs), examples)
            found = [finding for finding in found if not only or finding.example.file in only]
            if (form or (AuditFormat.csv if output else AuditFormat.table)) is AuditFormat.csv:
                write_csv(found[:limit], stream)
            else:
                stream.write(audit_text(found, 10 if limit is None else limit) + "\n")


def _apply(table: Path, corpus: Path | None) -> None:
    from pipeline.audit_table import apply
    from pipeline.corpus import load_labels
    from pipeline.places import corpus_folder

    done = apply(table, load_labels(corpus_folder(corpus)))
    for refused in done.refused:
        say(f"communique: not applied: {refused}")
    for file, count in done.changed.items():
        print(f"{file}: {count} label{'' if count == 1 else 's'} changed")
    if not done.changed:
        print(
            "no label changed" + ("" if done.refused else ": the column new_label is empty, or says what stands there")
        )
    if done.refused:
        raise typer.Exit(1)


@app.command(name="agreement")
def agreement_cli(
    paths: Annotated[
        list[Path], typer.Argument(metavar="FILE FILE...", help="One corpus file or folder for each annotator.")
    ],
    corpus: CorpusOption = None,
    disagreements: Annotated[
        int, typer.Option("--disagreements", min=0, help="How many of them to print, in context.")
    ] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as one JSON object.")] = False,
    seed: SeedOption = 0,
) -> None:
    """Say how far people agree who labelled the same units, by Cohen's kappa and Krippendorff's alpha.

    Example: communique agreement anna.jsonl ben.jsonl
    """
    import json

    with reported_errors():
        if len(paths) < 2:
            usage("name the files of two annotators or more")
        from pipeline.agreement import agreement_of_files
        from pipeline.agreement_text import agreement_text
        from pipeline.corpus import load_labels
        from pipeline.places import corpus_folder

        found = agreement_of_files(paths, load_labels(corpus_folder(corpus)), seed=seed)
        print(
            json.dumps(found.as_dict(), ensure_ascii=False, indent=1)
            if as_json
            else agreement_text(found, disagreements)
        )


@app.command(name="drift")
def drift_cli(
    paths: Annotated[
        list[str], typer.Argument(metavar="FOLDER", help="New articles: files, folders, patterns, or - .")
    ],
    corpus: CorpusOption = None,
    model: ModelOption = None,
    models: ModelsOption = None,
    top: Annotated[int, typer.Option("--top", min=0, help="How many documents to name for labelling.")] = 10,
    text_field: Annotated[
        str, typer.Option("--text-field", metavar="NAME", help="The text column of JSON Lines and CSV.")
    ] = "text",
    as_json: Annotated[bool, typer.Option("--json", help="Everything as one JSON object.")] = False,
    jobs: JobsOption = -1,
) -> None:
    """Say whether new articles are still like the training corpus, and which of them to label first.

    Example: communique drift news/

    Exit code: 0 done, whatever was found; 1 something could not be read; 2 wrong usage.
    """
    import json

    with reported_errors():
        from pipeline.drift import drift_of_files
        from pipeline.drift_text import drift_text
        from pipeline.places import corpus_folder

        failures: list[Failure] = []
        loaded = model_or_train(models, model)
        say("communique: comparing with the articles of the corpus (about a minute)")
        found = drift_of_files(
            loaded,
            corpus_folder(corpus),
            paths,
            top=top,
            n_jobs=jobs,
            text_field=text_field,
            on_failure=failures.append,
        )
        for failure in failures:
            say(f"communique: {failure}")
        print(json.dumps(found.as_dict(), ensure_ascii=False, indent=1) if as_json else drift_text(found))
        if failures:
            raise typer.Exit(1)
