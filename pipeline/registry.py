"""The shelf: save, verify, load, list and promote models.

A model is a folder ``models/<id>/`` with ``model.joblib``, its manifest ``model.json`` and its card
``README.md``. ``models/current`` names the promoted one. No model is ever overwritten: the id is made from
the content, so that the same corpus and settings, on the same library versions, give the same folder. Only what the
gate decided of a model may be written into its manifest and card later.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import shutil
import tempfile
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from joblib.numpy_pickle import NumpyPickler

from pipeline.card import render_card
from pipeline.manifest import (
    MANIFEST_FILE,
    MANIFEST_VERSION,
    MODEL_FILE,
    REBUILD,
    check_versions,
    library_versions,
    read_manifest,
    verified_bytes,
)
from pipeline.records import ModelInfo, PipelineError
from pipeline.shelf import CURRENT_FILE, current_id, locked

CARD_FILE = "README.md"
#: Fields of a manifest that say when and how a model was made and judged, and not what it is.
_UNCOUNTED = ("id", "created", "timings", "gate", "imported")


def model_bytes(model: Any) -> bytes:
    """The model as joblib writes it, compressed: equal models give equal bytes, whatever the process did before."""
    buffer = io.BytesIO()
    _ByValue(buffer).dump(model)
    return zlib.compress(buffer.getvalue(), 6)


class _ByValue(NumpyPickler):  # type: ignore[misc]
    """joblib's pickler, but a string or a dtype that occurs twice is written twice.

    Pickle refers back to a string where it meets the same object, not an equal one; which of the names in a model
    are one object hangs on what else the process has imported or loaded. The dtypes of arrays that come from a cache
    are objects of their own. joblib's own hash leaves both out likewise.
    """

    def memoize(self, obj: object) -> None:
        if not isinstance(obj, str | bytes | np.dtype):
            super().memoize(obj)


def _content_id(fields: Mapping[str, Any]) -> str:
    """The id of a manifest's fields, whenever and however quickly the model was made.

    A field without a value, which an older manifest does not have, does not count.
    """
    content = {name: value for name, value in fields.items() if name not in _UNCOUNTED and value is not None}
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return f"m{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def save(data: bytes, info: Mapping[str, Any], folder: Path, extra: Mapping[str, bytes] | None = None) -> ModelInfo:
    """Put a model on the shelf, beside the others and without touching them; it is not promoted.

    Parameters
    ----------
    data : bytes
        From :func:`model_bytes`.
    info : mapping
        The fields of :class:`ModelInfo` but ``id``, ``manifest_version``, ``versions`` and ``sha256``.
    folder : Path
        The models folder; made where it is missing.
    extra : mapping of file name to bytes
        What else lies in the model's folder. The manifest should hold the hash of it.
    """
    known: dict[str, Any] = {"versions": library_versions(), "sha256": hashlib.sha256(data).hexdigest()}
    manifest = ModelInfo(id="", manifest_version=MANIFEST_VERSION, **known, **info)
    manifest = replace(manifest, id=_content_id(asdict(manifest)))
    if (saved := _sound(folder / manifest.id)) is not None:
        return saved
    files = {
        **(extra or {}),
        MODEL_FILE: data,
        MANIFEST_FILE: _manifest_text(manifest).encode(),
        CARD_FILE: render_card(manifest).encode(),
    }
    with locked(folder):
        return _sound(folder / manifest.id) or _put(files, manifest, folder)


def _put(files: Mapping[str, bytes], manifest: ModelInfo, folder: Path) -> ModelInfo:
    target = folder / manifest.id
    beside = Path(tempfile.mkdtemp(dir=folder, prefix=f".{manifest.id}-"))
    try:
        for name, content in files.items():
            (beside / name).write_bytes(content)
        beside.chmod(0o755)
        if target.exists():  # a damaged one, which no longer is what its name says
            target.rename(folder / f".{manifest.id}-damaged-{secrets.token_hex(4)}")
        try:
            beside.rename(target)
        except OSError:
            if _sound(target) is None:  # else another process was quicker, where the system has no lock
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return manifest


def _manifest_text(manifest: ModelInfo) -> str:
    return json.dumps(asdict(manifest), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _sound(path: Path) -> ModelInfo | None:
    """The manifest of a model folder whose file is what the manifest says; None where it is not, or is missing."""
    try:
        info = read_manifest(path)
        verified_bytes(path / MODEL_FILE, info)
    except PipelineError:
        return None
    return info


def rewrite(info: ModelInfo, folder: Path) -> None:
    """Replace the manifest and the card of a saved model; call it under the lock. What the model is must not change."""
    for name, text in ((MANIFEST_FILE, _manifest_text(info)), (CARD_FILE, render_card(info))):
        beside = folder / f".{info.id}-{name}.part"
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, folder / info.id / name)


def require_usable(model_id: str | None, folder: Path) -> ModelInfo:
    """The manifest of a model that :func:`load_model` would open, as far as can be told without unpickling it.

    None is the promoted one.

    Raises
    ------
    PipelineError
        As load_model.
    """
    info = read_model(folder, model_id)[1]
    check_versions(info, str(folder / info.id), library_versions())
    return info


def manifest(model_id: str, folder: Path) -> ModelInfo:
    """What ``model.json`` of a saved model says.

    Raises
    ------
    PipelineError
        There is no such model, or its manifest can't be read.
    """
    return read_manifest(_model_folder(model_id, folder))


def list_models(folder: Path) -> list[ModelInfo]:
    """Every model on the shelf with a readable manifest, oldest first."""
    found = []
    for path in sorted(folder.glob(f"*/{MANIFEST_FILE}")):
        try:
            found.append(read_manifest(path.parent))
        except PipelineError:
            continue
    return sorted(found, key=lambda info: (info.created, info.id))


def load_model(folder: Path, model_id: str | None = None) -> tuple[Any, ModelInfo]:
    """Open a model, the promoted one by default, after checking that it is what its manifest says.

    Raises
    ------
    PipelineError
        As :func:`read_model`; or it was made with library versions that are not compatible. Nothing is unpickled then.
    """
    data, info = read_model(folder, model_id)
    check_versions(info, str(folder / info.id), library_versions())
    return _unpickled(data, folder / info.id / MODEL_FILE), info


def read_model(folder: Path, model_id: str | None = None) -> tuple[bytes, ModelInfo]:
    """The bytes of a model file, the promoted one's by default, and its manifest. Nothing is unpickled.

    Raises
    ------
    PipelineError
        There is no such model; its manifest is missing, broken or of an unknown version; its file is missing, cut
        off, no file of the model's own folder, or its SHA-256 is another.
    """
    chosen = model_id or current_id(folder)
    if chosen is None:
        raise PipelineError("no model is promoted", where=str(folder), remedy=REBUILD)
    path = _model_folder(chosen, folder, folder if model_id else folder / CURRENT_FILE)
    info = read_manifest(path)
    return verified_bytes(path / MODEL_FILE, info), info


def _model_folder(model_id: str, folder: Path, where: Path | None = None) -> Path:
    """The folder of a model; ``where`` it was named, for the message where there is none."""
    path = folder / model_id
    if Path(model_id).name != model_id or model_id.startswith(".") or path.is_symlink() or not path.is_dir():
        known = ", ".join(info.id for info in list_models(folder))
        raise PipelineError(
            f"there is no model {model_id!r}; the models are: {known or 'none'}",
            where=str(where or folder),
            remedy=f"name one of them, or {REBUILD}" if known else REBUILD,
        )
    return path


def _unpickled(data: bytes, path: Path) -> Any:
    # Which patch releases go together is decided above, and a warning for each estimator would bury the output.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Trying to unpickle estimator", category=UserWarning)
        try:
            return joblib.load(io.BytesIO(data))
        except Exception as error:  # what unpickling under other code raises is anything
            found = f"can't be opened by this version of communique ({type(error).__name__}: {error})"
            raise PipelineError(found, where=str(path), remedy=REBUILD) from error
