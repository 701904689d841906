"""The shelf: save, verify, load, list and promote models.

A model is a folder ``models/<id>/`` with ``model.joblib``, its manifest ``model.json`` and its card
``README.md``. ``models/current`` names the promoted one. Nothing is ever overwritten: the id is made from
the content, so that the same corpus and settings, on the same library versions, give the same folder.
"""

from __future__ import annotations

import hashlib
import io
import json
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
from pipeline.output import opened
from pipeline.records import ModelInfo, PipelineError

CARD_FILE, CURRENT_FILE = "README.md", "current"
#: Fields of a manifest that say how a model came about and what was decided on it, not what it is.
_CIRCUMSTANCES = ("id", "created", "timings", "gate", "imported")


def model_bytes(model: Any) -> bytes:
    """The model as joblib writes it, compressed: equal models give equal bytes, whatever the process did before."""
    buffer = io.BytesIO()
    _ByValue(buffer).dump(model)
    return zlib.compress(buffer.getvalue(), 6)


class _ByValue(NumpyPickler):  # type: ignore[misc]
    """joblib's pickler, but a string that occurs twice is written twice.

    Pickle refers back to a string where it meets the same object, not an equal one; which of the names in a model
    are one object hangs on what else the process has imported or loaded. joblib's own hash leaves them out likewise.
    """

    def memoize(self, obj: object) -> None:
        if not isinstance(obj, str | bytes):
            super().memoize(obj)


def _content_id(fields: Mapping[str, Any]) -> str:
    """The id of a manifest's fields, whenever and however quickly the model was made."""
    content = {name: value for name, value in fields.items() if name not in _CIRCUMSTANCES}
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return f"m{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def save(data: bytes, info: Mapping[str, Any], folder: Path) -> ModelInfo:
    """Put a model on the shelf, beside the others and without touching them; it is not promoted.

    Parameters
    ----------
    data : bytes
        From :func:`model_bytes`.
    info : mapping
        The fields of :class:`ModelInfo` but ``id``, ``manifest_version``, ``versions`` and ``sha256``.
    folder : Path
        The models folder; made where it is missing.
    """
    known: dict[str, Any] = {"versions": library_versions(), "sha256": hashlib.sha256(data).hexdigest()}
    manifest = ModelInfo(id="", manifest_version=MANIFEST_VERSION, **known, **info)
    manifest = replace(manifest, id=_content_id(asdict(manifest)))
    target = folder / manifest.id
    if (saved := _sound(target)) is not None:
        return saved
    folder.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=folder, prefix=f".{manifest.id}-"))
    try:
        (beside / MODEL_FILE).write_bytes(data)
        text = json.dumps(asdict(manifest), indent=1, ensure_ascii=False, allow_nan=False)
        (beside / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")
        (beside / CARD_FILE).write_text(render_card(manifest), encoding="utf-8")
        beside.chmod(0o755)
        if target.exists():  # a damaged one, which no longer is what its name says
            target.rename(folder / f".{manifest.id}-damaged-{secrets.token_hex(4)}")
        try:
            beside.rename(target)
        except OSError:
            if _sound(target) is None:  # else another process was quicker
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return manifest


def _sound(path: Path) -> ModelInfo | None:
    """The manifest of a model folder whose file is what the manifest says; None where it is not, or is missing."""
    try:
        info = read_manifest(path)
        verified_bytes(path / MODEL_FILE, info)
    except PipelineError:
        return None
    return info


def promote(model_id: str, folder: Path) -> None:
    """Make a saved model the one that is used; a reader sees the old name or the new, never half."""
    read_manifest(_model_folder(model_id, folder))
    with opened(folder / CURRENT_FILE, force=True) as stream:
        stream.write(model_id + "\n")


def current_id(folder: Path) -> str | None:
    """Id of the promoted model; None where the folder has none."""
    try:
        return (folder / CURRENT_FILE).read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise PipelineError(f"can't be read: {error}", where=str(folder / CURRENT_FILE), remedy=REBUILD) from error


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
        known = ", ".join(info.id for info in list_models(folder)) or "none"
        raise PipelineError(
            f"there is no model {model_id!r}; the models are: {known}",
            where=str(where or folder),
            remedy=f"name one of them with --model, or {REBUILD}",
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
