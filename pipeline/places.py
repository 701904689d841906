"""Where the corpus and the models are: named, else in the working folder, else what communique ships."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.records import PipelineError

_PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """The folder that comes with communique: beside the package in a checkout, inside it in a wheel."""
    inside = _PACKAGE / "_shipped" / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def corpus_folder(named: Path | None = None) -> Path:
    """The named folder, else ``./corpus`` where it holds a ``labels.toml``, else the shipped corpus."""
    if named is not None:
        return named
    here = Path("corpus")
    return here if (here / "labels.toml").is_file() else shipped("corpus")


def models_folder(named: Path | None = None) -> Path:
    """The named folder, else ``./models`` where it names a current model, else the shipped models."""
    if named is not None:
        return named
    here = Path("models")
    return here if (here / "current").is_file() else shipped("models")


def writable_models_folder(named: Path | None = None) -> Path:
    """Where a new model goes: the named folder, else ``./models``.

    Raises
    ------
    PipelineError
        It can't be made or written to. That is looked at before the work of a training, and nothing is made yet.
    """
    folder = named or Path("models")
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not nearest.is_dir():
        raise PipelineError("is a file, not a folder", where=str(nearest), remedy="name another with --models")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PipelineError("can't be written to", where=str(nearest), remedy="name another folder with --models")
    return folder
