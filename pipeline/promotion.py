"""Which model is in use: promote, roll back, remove. Each is one rename, made under the lock of the shelf."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import EllipsisType
from typing import Any

from pipeline.manifest import REBUILD
from pipeline.records import ModelInfo, PipelineError
from pipeline.registry import manifest, require_usable, rewrite
from pipeline.shelf import current_id, locked, promotions, write_promotions


def in_use(folder: Path) -> str:
    """Id of the promoted model.

    Raises
    ------
    PipelineError
        None is promoted.
    """
    found = current_id(folder)
    if found is None:
        raise PipelineError("no model is promoted", where=str(folder), remedy=REBUILD)
    return found


def record_gate(model_id: str, gate: Mapping[str, Any], folder: Path) -> ModelInfo:
    """Write what the gate decided into the manifest of a saved model, and its card again."""
    with locked(folder):
        info = replace(manifest(model_id, folder), gate=gate)
        rewrite(info, folder)
    return info


def record_override(model_id: str, folder: Path) -> bool:
    """Note in the manifest of a model that the gate refused that it was promoted all the same; False for others."""
    gate = manifest(model_id, folder).gate
    if gate is None or gate["promoted"]:
        return False
    record_gate(model_id, {**gate, "overridden": True}, folder)
    return True


def promote(model_id: str, folder: Path, *, instead_of: str | EllipsisType | None = ...) -> bool:
    """Make a saved model the one that is used; a reader sees the old name or the new, never half.

    Parameters
    ----------
    instead_of : str or None, optional
        The model that must be in use until now (None for none): where another one is, nothing is done. By default
        whatever is in use is replaced.

    Returns
    -------
    Whether the model is in use now.

    Raises
    ------
    PipelineError
        There is no such model, or it is not what its manifest says, or of other library versions.
    """
    with locked(folder):
        require_usable(model_id, folder)
        try:
            before = promotions(folder)
        except PipelineError:  # damaged: promoting is what mends it
            before = []
        if before[:1] == [model_id]:
            return True
        if instead_of is not ... and before[:1] != ([instead_of] if instead_of else []):
            return False
        write_promotions([model_id, *before], folder)
    return True


def rollback(folder: Path) -> tuple[str, str]:
    """Go back to the model that was in use before the current one.

    Returns
    -------
    The id of the model in use now, and of the one that was.

    Raises
    ------
    PipelineError
        None was in use before, or it can't be used any more.
    """
    with locked(folder):
        before = promotions(folder)
        if len(before) < 2:
            raise PipelineError(
                "no model was in use before the current one",
                where=str(folder),
                remedy="see `communique models list`, and name one with `communique models promote ID`",
            )
        require_usable(before[1], folder)
        write_promotions(before[1:], folder)
    return before[1], before[0]


def remove(model_id: str, folder: Path) -> None:
    """Delete a model that is not in use.

    Raises
    ------
    PipelineError
        There is no such model, or it is the one in use.
    """
    with locked(folder):
        manifest(model_id, folder)
        before = promotions(folder)
        if before[:1] == [model_id]:
            raise PipelineError(
                f"{model_id} is the model in use, and is not removed",
                where=str(folder),
                remedy="first `communique models promote` another, or `communique models rollback`",
            )
        if model_id in before:
            write_promotions([one for one in before if one != model_id], folder)
        gone = folder / f".{model_id}-removed"
        (folder / model_id).rename(gone)  # at once, so that nobody finds half a model
        shutil.rmtree(gone)
