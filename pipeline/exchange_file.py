"""A model as a skops file: small, because names go in arrays, and the same bytes each time."""

from __future__ import annotations

import copy
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from pipeline.card import render_card
from pipeline.exchange_audit import SCHEMA_FILE
from pipeline.manifest import MANIFEST_FILE
from pipeline.model import UnitClassifier
from pipeline.records import ModelInfo

#: Attributes that hold the names of the features: tens of thousands of strings, which skops would write one by one.
NAMES = ("ngrams_", "feature_names_")


def skops_bytes(classifier: UnitClassifier, info: ModelInfo) -> bytes:
    """The skops file: the same model gives the same bytes, whatever the process did before."""
    import skops.io

    packed = skops.io.dumps(_with_arrays(classifier))
    manifest = json.dumps(asdict(info), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(packed)) as source, zipfile.ZipFile(buffer, "w") as target:
        schema = json.loads(source.read(SCHEMA_FILE))
        files = _renumber(schema)
        members = {MANIFEST_FILE: manifest.encode(), "README.md": render_card(info).encode()}
        members[SCHEMA_FILE] = json.dumps(schema, separators=(",", ":")).encode()
        members |= {new: source.read(old) for old, new in files.items()}
        for name, content in members.items():
            entry = zipfile.ZipInfo(name)  # of 1980, whenever it is written
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            target.writestr(entry, content)
    return buffer.getvalue()


def _renumber(schema: dict[str, Any]) -> dict[str, str]:
    """Number objects and arrays from 1 on, where skops takes their addresses; old and new name of each array.

    Strings and numbers lose theirs: which of them are one object hangs on what else the process has done.
    """
    numbers: dict[int, int] = {}
    files: dict[str, str] = {}
    stack: list[Any] = [schema]
    while stack:
        one = stack.pop()
        if isinstance(one, dict):
            if one.get("__loader__") == "JsonNode":
                del one["__id__"]
            elif "__id__" in one:
                one["__id__"] = numbers.setdefault(one["__id__"], len(numbers) + 1)
            if "file" in one and one.get("__loader__") == "NdArrayNode":
                one["file"] = files.setdefault(one["file"], f"{len(files) + 1}.npy")
            stack.extend(reversed(one.values()))
        elif isinstance(one, list):
            stack.extend(reversed(one))
    return files


def _with_arrays(classifier: UnitClassifier) -> UnitClassifier:
    """The same classifier with the names of its features in arrays; the one given stays as it is."""
    return _renamed(classifier, lambda names: np.array(names, dtype=np.str_))


def with_names(classifier: UnitClassifier) -> UnitClassifier:
    """The opposite of :func:`_with_arrays`."""
    return _renamed(classifier, lambda names: names.tolist())


def _renamed(classifier: UnitClassifier, change: Callable[[Any], Any]) -> UnitClassifier:
    changed, pipeline = copy.copy(classifier), copy.copy(classifier.pipeline_)
    (first, features), *rest = pipeline.steps
    features = copy.copy(features)
    for name in NAMES:
        setattr(features, name, change(getattr(features, name)))
    pipeline.steps = [(first, features), *rest]
    changed.pipeline_ = pipeline
    return changed
