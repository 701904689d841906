"""The commands that carry models from one machine to another: models export, models import."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli_base import ModelsOption, models_app, reported_errors, say


class ModelFormat(StrEnum):
    """The kinds of file that a model is exported to."""

    skops = "skops"
    joblib = "joblib"


@models_app.command(name="export")
def export_cli(
    model: Annotated[str | None, typer.Argument(metavar="ID", help="A model. Default: the promoted one.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Default: <ID>.skops in this folder.")
    ] = None,
    form: Annotated[
        ModelFormat,
        typer.Option(
            "--format", help="skops can be imported anywhere; joblib is the bare classifier, for own programs."
        ),
    ] = ModelFormat.skops,
    models: ModelsOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file where it is there already.")] = False,
) -> None:
    """Write a model to one file, for another machine; skops needs the extra [exchange].

    Example: communique models export --output model.skops
    """
    from pipeline.exchange import export_model
    from pipeline.places import models_folder

    with reported_errors():
        done = export_model(models_folder(models), model, output, form=form.value, force=force)
        say(f"model {done.info.id}, {done.bytes:,} bytes, SHA-256 {done.sha256}")
        if form is ModelFormat.joblib:
            say("a joblib file is a pickle: who opens it runs what is in it, and `communique models import` takes none")
        print(done.path)


@models_app.command(name="import")
def import_cli(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A skops file of `communique models export`.")],
    models: Annotated[
        Path | None, typer.Option("--models", metavar="DIR", help="Where the model goes. Default: ./models.")
    ] = None,
    promote: Annotated[bool, typer.Option("--promote", help="Make it the model in use.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only audit the file and say what is in it.")] = False,
) -> None:
    """Put a model from elsewhere on the shelf, after an audit of every type in its file; it is not promoted.

    The audit shows that the file runs no code, not that the model is good: evaluate it before you use it.

    Example: communique models import model.skops --check
    """
    from pipeline.exchange import import_model, read_incoming
    from pipeline.places import writable_models_folder
    from pipeline.promotion import promote as make_current

    with reported_errors():
        if check:
            incoming = read_incoming(file)
            print(f"model {incoming.info.id} of {incoming.info.created[:10]}, SHA-256 of the file {incoming.sha256}")
            for name, count in sorted(incoming.types.items()):
                print(f"{count:7,}  {name}")
            say("audited: nothing in it but what a communique model needs, and the model works; nothing was written")
            return
        folder = writable_models_folder(models)
        info, incoming = import_model(file, folder)
        if not incoming.same:
            say("it was written by other versions, of communique or of the libraries: saved anew, under another id")
        if promote:
            make_current(info.id, folder)
            say(f"saved and promoted {folder / info.id}")
        else:
            say(
                f"saved {folder / info.id}, not promoted: try `communique evaluate --models {folder} --model {info.id}`"
            )
        print(info.id)
