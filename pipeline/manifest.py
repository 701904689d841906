"""The manifest ``model.json``, and whether a model file is what its manifest says. Nothing is unpickled here."""

from __future__ import annotations

import hashlib
import json
import platform
import stat
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipeline.records import ModelInfo, PipelineError

MANIFEST_VERSION = 1
MODEL_FILE, MANIFEST_FILE = "model.joblib", "model.json"
REBUILD = "run `communique train` to build one for this installation"
RESTORE = f"bring it back with `communique models import FILE`, where it was exported, or {REBUILD}"
_LIBRARIES = ("communique", "spacy", "scikit-learn", "numpy", "scipy", "joblib")
#: How many parts of a version must be the same for a model to be opened: the pickles of scikit-learn and our own code
#: change with a minor version, spaCy's tokens may, and numpy's arrays only with a major one.
_STRICT = {"communique": 2, "scikit-learn": 2, "spacy": 2, "numpy": 1}
#: Of a file that is not what its manifest says, so much is unpacked at most, a piece at a time, to say why.
_MOST_UNPACKED, _PIECE = 2**30, 2**20


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that a model depends on."""
    return {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}}


def check_versions(info: ModelInfo, where: str, here: Mapping[str, str]) -> None:
    """Raise a PipelineError where a model was made with versions that don't go with those that are ``here``."""
    for name, parts in _STRICT.items():
        there = info.versions.get(name, "unknown")
        if there.split(".")[:parts] != here[name].split(".")[:parts]:
            remedy = REBUILD if there == "unknown" else f"run `pip install '{name}=={there}'`, or {REBUILD}"
            raise PipelineError(f"made with {name} {there}, but {here[name]} is installed", where=where, remedy=remedy)


def read_manifest(path: Path) -> ModelInfo:
    """The manifest of a model folder.

    Raises
    ------
    PipelineError
        It is missing, can't be read, is not what :func:`manifest_of` takes, or is of another model.
    """
    where = path / MANIFEST_FILE
    try:
        content = json.loads(where.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PipelineError("the model's manifest is missing", where=str(where), remedy=RESTORE) from None
    except (ValueError, OSError, RecursionError) as error:
        raise PipelineError(f"the manifest can't be read: {error}", where=str(where), remedy=RESTORE) from error
    info = manifest_of(content, str(where))
    if info.id != path.name:
        raise PipelineError(f"the manifest is of model {info.id!r}", where=str(where), remedy=RESTORE)
    return info


def manifest_of(content: Any, where: str) -> ModelInfo:
    """The manifest that parsed JSON holds.

    Raises
    ------
    PipelineError
        It is of another version, lacks a field, has one that is unknown, or one of another type.
    """
    found = content.get("manifest_version") if isinstance(content, dict) else None
    if found != MANIFEST_VERSION:
        newer = isinstance(found, int) and found > MANIFEST_VERSION
        raise PipelineError(
            f"manifest version {found!r}; this version of communique reads {MANIFEST_VERSION}",
            where=where,
            remedy=f"install a newer communique, or {REBUILD}" if newer else RESTORE,
        )
    try:
        info = ModelInfo(**{**content, "labels": tuple(content["labels"])})
        TypeAdapter(ModelInfo).validate_python(asdict(info))
    except (KeyError, TypeError) as error:
        raise PipelineError(f"the manifest is not complete: {error}", where=where, remedy=RESTORE) from error
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        raise PipelineError(
            f"the manifest's '{place}' is wrong: {fault['msg']}", where=where, remedy=RESTORE
        ) from error
    return info


def verified_bytes(path: Path, info: ModelInfo) -> bytes:
    """The bytes of a model file, whose hash was checked; these are unpickled, and the file is not read again.

    Raises
    ------
    PipelineError
        It is missing, a link or no plain file, empty, cut off, or another than the manifest says.
    """
    try:
        plain = stat.S_ISREG(path.lstat().st_mode)
        data = path.read_bytes() if plain else b""
    except OSError as error:
        raise PipelineError(f"can't be read: {error.strerror}", where=str(path), remedy=RESTORE) from error
    if not plain:
        found = "is a link, or no plain file, and not opened: a model's file lies in its own folder"
        raise PipelineError(found, where=str(path), remedy=RESTORE)
    digest = hashlib.sha256(data).hexdigest()
    if digest != info.sha256:
        fault = "empty" if not data else "cut off" if _cut_off(data) else "damaged or exchanged"
        raise PipelineError(
            f"SHA-256 is {digest[:12]}..., the manifest says {info.sha256[:12]}...: {fault}, not opened",
            where=str(path),
            remedy=RESTORE,
        )
    return data


def _cut_off(data: bytes) -> bool:
    """Whether data is the beginning of what zlib wrote. It is unpacked, a little at a time, and never unpickled."""
    stream, rest, left = zlib.decompressobj(), data, _MOST_UNPACKED
    try:
        while rest and left > 0:
            left -= len(stream.decompress(rest, _PIECE))
            rest = stream.unconsumed_tail
    except zlib.error:
        return False
    return not stream.eof and left > 0
