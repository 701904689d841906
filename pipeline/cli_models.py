"""The commands around the shelf: models list, show, promote, rollback, remove, diff."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli_base import CorpusOption, ModelsOption, models_app, reported_errors, say

if TYPE_CHECKING:
    from pipeline.records import ModelInfo

ModelArgument = Annotated[str, typer.Argument(metavar="ID", help="A model of the models folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]


def _decision(info: ModelInfo) -> str:
    """What the gate said, in a word."""
    if info.gate is None:
        return "-"
    if info.gate["overridden"]:
        return "overridden"
    return "passed" if info.gate["promoted"] else "refused"


def _score(info: ModelInfo, name: str) -> str:
    return f"{info.metrics[name]['macro_f1']:.3f}" if name in info.metrics else "-"


@models_app.command("list")
def list_cli(models: ModelsOption = None, as_json: JsonOption = False) -> None:
    """List the models on the shelf, oldest first; a * marks the one in use.

    Example: communique models list
    """
    import json
    from dataclasses import asdict

    from pipeline.places import models_folder
    from pipeline.registry import list_models
    from pipeline.report import table_lines
    from pipeline.shelf import current_id

    with reported_errors():
        folder = models_folder(models)
        current = current_id(folder)
        found = list_models(folder)
        if as_json:
            rows: list[dict[str, Any]] = [{**asdict(info), "current": info.id == current} for info in found]
            print(json.dumps(rows, ensure_ascii=False, indent=1))
            return
        head = ["  model", "created", "units", "cross-validated", "held out", "gate"]
        cells = [
            [
                f"{'*' if info.id == current else ' '} {info.id}",
                info.created[:16].replace("T", " "),
                info.corpus["train"]["units"],
                _score(info, "cross_validation"),
                _score(info, "heldout"),
                _decision(info),
            ]
            for info in found
        ]
        print("\n".join(table_lines(head, cells)))
        broken = sorted({path.parent.name for path in folder.glob("m*/model.json")} - {info.id for info in found})
        for name in broken:
            say(f"communique: {folder / name}: its manifest can't be read (see `communique models show {name}`)")


@models_app.command("show")
def show_cli(
    model: Annotated[str | None, typer.Argument(metavar="ID", help="Default: the one in use.")] = None,
    models: ModelsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the card of a model: what it was made from, its scores, and what the gate said.

    Example: communique models show
    """
    import json
    from dataclasses import asdict

    from pipeline.card import render_card
    from pipeline.places import models_folder
    from pipeline.promotion import in_use
    from pipeline.registry import manifest

    with reported_errors():
        folder = models_folder(models)
        info = manifest(model or in_use(folder), folder)
        print(json.dumps(asdict(info), ensure_ascii=False, indent=1) if as_json else render_card(info))


@models_app.command("promote")
def promote_cli(model: ModelArgument, models: ModelsOption = None) -> None:
    """Use a model of the shelf from now on. One that the gate refused is marked as promoted by hand.

    Example: communique models promote m4316e97a80b1
    """
    from pipeline.places import models_folder
    from pipeline.promotion import promote, record_override

    with reported_errors():
        folder = models_folder(models)
        promote(model, folder)
        if record_override(model, folder):
            say(f"communique: the gate refused {model}; its card now says that it was promoted by hand")
        print(f"{model} is in use")


@models_app.command("rollback")
def rollback_cli(models: ModelsOption = None) -> None:
    """Go back to the model that was in use before the current one.

    Example: communique models rollback
    """
    from pipeline.places import models_folder
    from pipeline.promotion import rollback

    with reported_errors():
        now, before = rollback(models_folder(models))
        print(f"{now} is in use, {before} no longer")


@models_app.command("remove")
def remove_cli(
    model: Annotated[list[str], typer.Argument(metavar="ID...", help="Models of the models folder.")],
    models: ModelsOption = None,
) -> None:
    """Delete models that are not in use. They can't be brought back.

    Example: communique models remove m4316e97a80b1
    """
    from pipeline.places import models_folder
    from pipeline.promotion import remove

    with reported_errors():
        folder = models_folder(models)
        for one in model:
            remove(one, folder)
            print(f"{one} is removed")


@models_app.command("diff")
def diff_cli(
    first: Annotated[str, typer.Argument(metavar="A", help="A model of the models folder.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="Labelled corpus files. Default: heldout/ of the corpus folder."),
    ] = None,
    corpus: CorpusOption = None,
    models: ModelsOption = None,
    units: Annotated[int, typer.Option("--units", min=0, help="How many units with another label to print.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Compare two models: corpus, settings and scores side by side, and the units that they label differently.

    Example: communique models diff m4316e97a80b1 m5ae6a7bfc790 --units 5
    """
    import json

    from pipeline.compare import compare_models, difference_text
    from pipeline.places import corpus_folder, models_folder

    with reported_errors():
        folder, source = models_folder(models), corpus_folder(corpus)
        found = compare_models(first, second, paths or [], models=folder, corpus=source)
        print(json.dumps(found.as_dict(), ensure_ascii=False, indent=1) if as_json else difference_text(found, units))
