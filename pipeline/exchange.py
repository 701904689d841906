"""Models to and from elsewhere: export to a skops file, or a joblib file on request; import of an audited skops file.

The skops file of a model opens with skops too, where communique is installed:
``skops.io.load(file, trusted=pipeline.exchange_audit.TRUSTED)``. It also holds ``model.json`` and ``README.md``.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC

from pipeline import registry
from pipeline.batches import batch_of_examples
from pipeline.card import render_card
from pipeline.combined import CombinedClassifier
from pipeline.cues import CueMatcher
from pipeline.encoder_base import require_extra
from pipeline.exchange_audit import ASK, MOST_BYTES, TRUSTED, audit, odd_text, short
from pipeline.exchange_file import NAMES, skops_bytes, with_names
from pipeline.features import UnitFeatures
from pipeline.manifest import MANIFEST_FILE, check_versions, library_versions, manifest_of
from pipeline.model import TemperatureScaling, UnitClassifier
from pipeline.output import opened
from pipeline.probe import check_probe
from pipeline.records import BACKGROUND, Evaluation, Example, ModelInfo, PipelineError

Form = Literal["skops", "joblib"]
#: The attributes of each part of a model, beside the parameters of those that have some.
_LEARNT: Mapping[type, frozenset[str]] = {
    UnitClassifier: frozenset({"scaling_", "thresholds_", "pipeline_", "classes_"}),
    CombinedClassifier: frozenset({"scaling_", "thresholds_", "pipeline_", "classes_", "base_", "share_", "learnt_"}),
    UnitFeatures: frozenset({"matcher_", "vocabulary_", "idf_", *NAMES}),
    LinearSVC: frozenset({"coef_", "intercept_", "classes_", "n_iter_", "n_features_in_"}),
    Pipeline: frozenset(),
    TemperatureScaling: frozenset({"temperature"}),
    CueMatcher: frozenset({"names", "_hashes", "_numbers", "_shapes", "_begins"}),
}
#: Sentences that a model must be able to classify before it is put on the shelf.
_PROBES = ("The minister wants the treaty signed before May.", "Both sides remain at odds over fees: 40 per cent.")
_INSTALL = "run `pip install 'communique[exchange]'`"


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote."""

    info: ModelInfo
    path: Path
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Incoming:
    """A model file from elsewhere that may be imported.

    ``info`` is its manifest there, ``data`` the model as the shelf keeps it, and ``types`` what the audit counted.
    """

    info: ModelInfo
    data: bytes
    types: Mapping[str, int]
    sha256: str

    @property
    def same(self) -> bool:
        """Whether the model is to the byte what its manifest says; other versions may write the same one otherwise."""
        return hashlib.sha256(self.data).hexdigest() == self.info.sha256


def export_model(
    models: Path,
    model_id: str | None = None,
    output: Path | None = None,
    *,
    form: Form = "skops",
    force: bool = False,
) -> Exported:
    """Write a model of the shelf, the promoted one by default, to one file.

    Parameters
    ----------
    output : Path, default ``<id>.skops`` or ``<id>.joblib`` in the working folder
    form : {"skops", "joblib"}
        A skops file is what :func:`import_model` reads. A joblib file holds the bare classifier for other programs; it
        is a pickle, and who opens it has to trust who made it.
    force : bool
        Replace a file that is there already.

    Raises
    ------
    PipelineError
        The model can't be opened, the extra ``[exchange]`` is not installed, or the file can't be written.
    """
    if form == "joblib":
        data, info = registry.read_model(models, model_id)
    else:
        _require_skops()
        classifier, info = registry.load_model(models, model_id)
        data = skops_bytes(classifier, info)
        if read_back(data, info.id).data != registry.model_bytes(classifier):
            raise PipelineError("is not the same when it is read back from a skops file", where=info.id)
    path = output or Path(f"{info.id}.{form}")
    with opened(path, force=force) as stream:
        stream.buffer.write(data)
    return Exported(info, path, len(data), hashlib.sha256(data).hexdigest())


def import_model(path: Path, models: Path) -> tuple[ModelInfo, Incoming]:
    """Put the model of a skops file on the shelf; it is not promoted.

    Returns its manifest on this shelf, and what was read. A model that was made with the versions of communique and of
    the libraries that are installed here keeps its id.

    Raises
    ------
    PipelineError
        As :func:`read_incoming`.
    """
    incoming = read_incoming(path)
    info = incoming.info
    made_here = ("id", "manifest_version", "versions", "sha256")
    fields = {name: value for name, value in asdict(info).items() if name not in made_here}
    fields["gate"] = None  # it was decided against the models of another shelf
    fields["imported"] = {
        "file": path.name,
        "sha256": incoming.sha256,
        "id": info.id,
        "versions": dict(info.versions),
        "on": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return registry.save(incoming.data, fields, models), incoming


def read_incoming(path: Path) -> Incoming:
    """Audit a skops file and build the model that it holds, in memory.

    Raises
    ------
    PipelineError
        It can't be read, is no skops file of a model, holds types that no model needs, was made by other code or with
        library versions that don't go with these, or its model does not work. Nothing of it is built before its types
        were audited.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise PipelineError(f"can't be read: {error.strerror}", where=str(path)) from error
    if len(data) > MOST_BYTES:
        raise PipelineError(f"is larger than {MOST_BYTES // 2**20} MiB, too much for a model", where=str(path))
    return read_back(data, str(path))


def read_back(data: bytes, where: str) -> Incoming:
    """As :func:`read_incoming`, of the bytes of a file."""
    audited = audit(data, where)
    info = _stated(audited.manifest, where)
    check_versions(info, where, library_versions())
    _require_skops()
    if "encoder" in info.settings:
        require_extra()
    from skops.io import get_untrusted_types, loads

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Trying to unpickle estimator", category=UserWarning)
        try:
            unknown = set(get_untrusted_types(data=audited.archive)) - set(TRUSTED)
            if unknown:
                raise ValueError(f"skops found types that were not audited: {', '.join(sorted(unknown))}")
            packed = loads(audited.archive, trusted=TRUSTED)
            _require_parts(packed, info)
            classifier = with_names(packed)
            _require_sound(classifier, info)
            check_probe(classifier, info, where)
        except PipelineError:
            raise
        except Exception as error:  # what building a model from a stranger's numbers raises is anything
            found = f"holds no working communique model: {type(error).__name__}: {short(error)}"
            raise PipelineError(found, where=where, remedy=ASK) from error
    return Incoming(info, registry.model_bytes(classifier), audited.types, hashlib.sha256(data).hexdigest())


def _require_skops() -> None:
    if importlib.util.find_spec("skops") is None:
        raise PipelineError("skops files need the extra [exchange], which is not installed", remedy=_INSTALL)


def _stated(text: str, where: str) -> ModelInfo:
    """The manifest of an incoming file: all of it has the right types, and its card can be rendered."""

    def refused(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    place = f"{where}, {MANIFEST_FILE}"
    try:
        content = json.loads(text, parse_constant=refused)
    except (ValueError, RecursionError) as error:
        raise PipelineError(f"the manifest can't be read: {short(error)}", where=place, remedy=ASK) from error
    if odd_text(content):
        raise PipelineError("the manifest holds control characters or very long text", where=place, remedy=ASK)
    info = manifest_of(content, place)
    try:
        TypeAdapter(dict[str, Evaluation]).validate_python(info.metrics)
        render_card(info)
    except Exception as error:  # a field that is not what the card makes of it
        found = f"the manifest is not one that communique writes: {short(error)}"
        raise PipelineError(found, where=place, remedy=ASK) from error
    return info


def _require_parts(model: UnitClassifier, info: ModelInfo) -> None:
    """Raise a ValueError where an object is not made of the parts of a model, and of nothing else.

    Nothing of it is called before: an attribute may stand in the place of a method.
    """
    features, svm = (step for _, step in model.pipeline_.steps)
    parts: dict[Any, object] = {
        CombinedClassifier if "encoder" in info.settings else UnitClassifier: model,
        Pipeline: model.pipeline_,
        UnitFeatures: features,
        LinearSVC: svm,
        CueMatcher: features.matcher_,
        TemperatureScaling: model.scaling_,
    }
    for kind, part in parts.items():
        parameters = kind._get_param_names() if issubclass(kind, BaseEstimator) else ()
        if type(part) is not kind or set(vars(part)) != _LEARNT[kind].union(parameters):
            raise ValueError(f"its {kind.__name__} is not one that this version of communique makes")
    if model.pipeline_.memory is not None:
        raise ValueError("its pipeline keeps a cache")


def _require_sound(model: UnitClassifier, info: ModelInfo) -> None:
    """Raise a ValueError where the parts of a model don't go together, or with its manifest, or don't work."""
    features, svm = model.pipeline_[0], model.pipeline_[-1]
    if tuple(model.labels) != info.labels or model.thresholds_ != info.thresholds:
        raise ValueError("its labels or thresholds are not those of its manifest")
    n_ngrams, n_features = len(features.ngrams_), len(features.feature_names_)
    if features.vocabulary_.shape != (n_ngrams,) or features.idf_.shape != (n_ngrams,):
        raise ValueError("its vocabulary has not as many words as names")
    if svm.coef_.shape[1:] != (n_features,) or not np.isfinite(svm.coef_).all():
        raise ValueError("its coefficients are not those of its features")
    examples = [Example(text, "", "", None, "sentence", text, BACKGROUND) for text in _PROBES]
    probabilities = model.predict_proba(batch_of_examples(examples))
    if probabilities.shape != (len(examples), len(info.labels)) or not np.allclose(probabilities.sum(axis=1), 1.0):
        raise ValueError("what it says of a sentence are no probabilities")
