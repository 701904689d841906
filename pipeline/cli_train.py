"""The commands around the corpus: train, evaluate, check."""

from __future__ import annotations

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
    gate: Annotated[
        list[Path] | None,
        typer.Option(
            "--gate",
            metavar="FILE",
            help="A labelled corpus file on which the model must not be worse either; may be given again.",
        ),
    ] = None,
    promote: Annotated[
        bool, typer.Option("--promote", help="Use the model even if the gate refuses it; its card will say so.")
    ] = False,
    cache: Annotated[
        Path | None,
        typer.Option("--cache", metavar="DIR", help="Where tokens and features are kept. Default: the user's cache."),
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Compute everything; keep nothing.")] = False,
) -> None:
    """Fit a model on the corpus, measure it, save it under models/, and use it unless it is worse than the one in use.

    A model that is refused is kept on the shelf, with the reason. A model with an --encoder is saved beside the one in
    use, and used where --model names it.

    Example: communique train --corpus corpus --models models

    Exit code: 0 done; 1 the corpus has errors, or the gate refused the model; 2 wrong usage.
    """
    from pipeline.cache import default_cache_folder
    from pipeline.gate import gate_text
    from pipeline.report import evaluation_text
    from pipeline.train import train

    with reported_errors():
        done = train(
            corpus,
            models,
            seed=seed,
            n_jobs=jobs,
            cross_validation=cross_validation,
            encoder=encoder,
            gate_files=gate or (),
            promote=promote,
            cache=None if no_cache else cache or default_cache_folder(),
            progress=say,
        )
        for scores in (done.cross_validation, done.heldout):
            if scores is not None:
                print(evaluation_text(scores) + "\n")
        if done.gate is not None and (text := gate_text(done.gate)):
            print(text + "\n")
        print(f"model {done.info.id}, card in {done.folder / 'README.md'}")
        if done.gate is not None and not done.gate["promoted"] and not done.promoted:
            for reason in done.gate["reasons"]:
                say(f"communique: {reason}")
            say(
                f"communique: {done.info.id} is kept and not used; {done.gate['against']} still is (look at the added "
                f"files with `communique check`; or `communique models promote {done.info.id}` to use it all the same)"
            )
            raise typer.Exit(1)


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
    curve: Annotated[
        bool, typer.Option("--learning-curve", help="How much more corpus would help, instead of a model's scores.")
    ] = False,
    picture: Annotated[
        Path | None, typer.Option("--picture", metavar="FILE.svg", help="Draw the learning curve.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the --picture file.")] = False,
) -> None:
    """Score a model on labelled units that it was not fitted on.

    Example: communique evaluate my-labelled-articles.jsonl --mistakes 20
    Example: communique evaluate --learning-curve --picture curve.svg
    """
    if picture is not None and not curve:
        usage("--picture is of the --learning-curve; give both")
    if curve:
        _learning_curve(paths or [], corpus, picture, as_json=as_json, force=force)
        return
    import json
    from dataclasses import asdict

    from pipeline.evaluate import evaluate_files
    from pipeline.places import corpus_folder
    from pipeline.report import evaluation_text, mistakes_text

    with reported_errors():
        loaded = model_or_train(models, model)
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


def _learning_curve(
    paths: list[Path], corpus: Path | None, picture: Path | None, *, as_json: bool, force: bool
) -> None:
    import json
    from contextlib import ExitStack

    from pipeline.learning_curve import curve_of_files
    from pipeline.learning_curve_picture import curve_svg, curve_text
    from pipeline.output import opened
    from pipeline.places import corpus_folder

    with reported_errors(), ExitStack() as stack:
        # opened first: that it can't be written is known before the work
        stream = stack.enter_context(opened(picture, force=force)) if picture else None
        found = curve_of_files(paths, corpus_folder(corpus), progress=say)
        print(json.dumps(found.as_dict(), ensure_ascii=False, indent=1) if as_json else curve_text(found))
        if stream is not None:
            stream.write(curve_svg(found))


@app.command(name="check")
def check_cli(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="PATH", help="Corpus files or folders. Default: the corpus folder.")
    ] = None,
    corpus: CorpusOption = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Rewrite files of an older corpus format first; the old ones are kept.")
    ] = False,
) -> None:
    """Check corpus files: every problem as file:line, then counts by label, genre and kind.

    Example: communique check corpus/my-articles.csv

    Exit code: 0 no errors (warnings may be printed); 1 errors; 2 wrong usage.
    """
    from pipeline.corpus import check, counts, files_to_check, load_labels
    from pipeline.corpus_edit import fix_format
    from pipeline.places import corpus_folder
    from pipeline.report import counts_text

    with reported_errors():
        folder = corpus_folder(corpus)
        labels = load_labels(folder)
        files = files_to_check(paths or [folder])
        for file in files if fix else []:
            if kept := fix_format(file):
                say(f"communique: {file}: rewritten in the current corpus format; the file as it was is {kept}")
        examples, found = check(files, labels)
        for problem in found:
            print(problem)
        errors = sum(problem.severity == "error" for problem in found)
        print(counts_text(counts(examples), "good rows"))
        print(f"{errors} errors, {len(found) - errors} warnings")
        if errors:
            raise typer.Exit(1)
