"""The verb `train`: from the corpus to a saved, measured and promoted model."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import registry
from pipeline.batches import batch_of_examples
from pipeline.combined import CombinedClassifier
from pipeline.corpus import Corpus, LabelSet, load_corpus
from pipeline.encoder_base import DEFAULT_ENCODER, find_base
from pipeline.evaluate import article_groups, cross_validate, evaluate, natural, source_groups
from pipeline.features import UnitFeatures
from pipeline.model import UnitClassifier
from pipeline.places import corpus_folder, writable_models_folder
from pipeline.records import Evaluation, ModelInfo, PipelineError

Progress = Callable[[str], None]
#: What `communique train` uses; every figure in the README was measured with it.
SETTINGS: dict[str, Any] = {}
#: A label with fewer units teaches nothing by itself.
LEAST_UNITS = 10
#: Cross-validation with calibration inside its folds: one article to score, two to calibrate on.
LEAST_GROUPS = 3


@dataclass(frozen=True, slots=True)
class Training:
    """What a training gave: the saved model, its folder, and its scores (None where not measured)."""

    info: ModelInfo
    folder: Path
    cross_validation: Evaluation | None
    heldout: Evaluation | None


def _silent(_: str) -> None:
    """The progress of somebody who wants none."""


def new_classifier(labels: LabelSet, *, seed: int = 0, n_jobs: int = 1, encoder: str | None = None) -> UnitClassifier:
    """An unfitted classifier with the settings of `communique train`, and the named encoder if one is named."""
    if encoder is not None:
        return CombinedClassifier(labels.names, encoder=encoder, random_state=seed, n_jobs=n_jobs, **SETTINGS)
    return UnitClassifier(labels.names, random_state=seed, n_jobs=n_jobs, **SETTINGS)


def train(
    corpus: Path | None = None,
    models: Path | None = None,
    *,
    seed: int = 0,
    n_jobs: int = -1,
    cross_validation: bool | None = None,
    encoder: str | None = None,
    progress: Progress = _silent,
) -> Training:
    """Fit a model on the corpus, measure it, save it and promote it; one with an encoder is not promoted.

    Parameters
    ----------
    corpus : Path, default ``./corpus`` or the shipped one
    models : Path, default ``./models``
    seed : int
        Seed of the folds; the same corpus and seed give the same model file.
    n_jobs : int
        Processes for the folds; -1 uses every core.
    cross_validation : bool, default True without an encoder and False with one
        Whether to measure by article-grouped cross-validation too, which takes most of the time; with an encoder,
        which is fine-tuned in each fold, an hour and more.
    encoder : str, optional
        Name or folder of a sentence encoder to fine-tune and combine with the default model, or ``default``;
        needs the extra ``[encoder]``.
    progress : callable
        Is told each step, in words.

    Raises
    ------
    PipelineError
        The corpus has errors or is too small, or the models folder can't be written; the extra or the encoder is
        missing.
    """
    if encoder is not None:
        encoder = DEFAULT_ENCODER if encoder == "default" else encoder
        find_base(encoder)  # said before the work, not after it
    timings: dict[str, float] = {}
    models = writable_models_folder(models)
    source = corpus_folder(corpus)
    progress(f"reading the corpus in {source}")
    data = load_corpus(source)
    groups = article_groups(data.train)
    _require_enough(data, groups.tolist(), source)
    classifier = new_classifier(data.labels, seed=seed, n_jobs=n_jobs, encoder=encoder)
    measured = None
    if cross_validation is None:
        cross_validation = encoder is None
    if cross_validation and len(set(groups.tolist())) < LEAST_GROUPS:
        progress(f"not cross-validating: that needs {LEAST_GROUPS} articles that share no near-duplicates")
    elif cross_validation:
        started = time.perf_counter()
        progress(f"cross-validating on {len(data.train)} units in article-grouped folds")
        measured = cross_validate(classifier, data.train, n_jobs=1 if encoder else n_jobs)
        timings["cross_validation"] = round(time.perf_counter() - started, 1)
    started = time.perf_counter()
    progress(f"fitting on {len(data.train)} units")
    labels = [example.label for example in data.train]
    told = {"progress": progress} if isinstance(classifier, CombinedClassifier) else {}
    sources = source_groups(data.train)
    classifier.fit(batch_of_examples(data.train), labels, sources, natural(data.train), **told)
    timings["fit"] = round(time.perf_counter() - started, 1)
    heldout = evaluate(classifier, data.heldout)[0] if data.heldout else None
    classifier.set_params(n_jobs=1)
    fields = _fields(data, classifier, measured, heldout, timings)
    info = registry.save(registry.model_bytes(classifier), fields, models)
    if encoder is None:
        registry.promote(info.id, models)
        progress(f"saved and promoted {models / info.id}")
    else:
        progress(
            f"saved {models / info.id}, not promoted: it needs the extra wherever it is used; name it with --model"
        )
    return Training(info, models / info.id, measured, heldout)


def _require_enough(data: Corpus, groups: Sequence[int], source: Path) -> None:
    """Folds can only be made where labels are spread over articles; say so before scikit-learn does in its words."""
    units = Counter(example.label for example in data.train)
    spread = Counter(
        label for label, _ in {(example.label, group) for example, group in zip(data.train, groups, strict=True)}
    )
    learnable = [label for label in data.labels.names if units[label] >= LEAST_UNITS and spread[label] >= 2]
    if len(learnable) < 2:
        found = f"only '{learnable[0]}' has them" if learnable else "no label has them"
        needed = f"two labels or more need {LEAST_UNITS} units each, in at least two articles"
        raise PipelineError(
            f"too little to learn from: {needed}; {found}",
            where=str(source),
            remedy="add labelled articles, and see the counts with `communique check`",
        )


def _fields(
    data: Corpus,
    classifier: UnitClassifier,
    measured: Evaluation | None,
    heldout: Evaluation | None,
    timings: dict[str, float],
) -> dict[str, object]:
    """The manifest's fields that training knows."""
    metrics = {"cross_validation": measured, "heldout": heldout}
    parameters = classifier.get_params(deep=False)
    settings = {name: value for name, value in parameters.items() if name not in ("labels", "n_jobs", "features")}
    settings |= UnitFeatures(**(classifier.features or {})).get_params()
    if isinstance(classifier, CombinedClassifier):
        settings["encoder"] = classifier.manifest()
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "labels": data.labels.names,
        "thresholds": classifier.thresholds_,
        "seed": classifier.random_state,
        "command": _command(classifier),
        "settings": settings,
        "corpus": {"sha256": data.sha256, **data.counts, "colours": dict(data.labels.colours)},
        "metrics": {name: scores.as_dict() for name, scores in metrics.items() if scores is not None},
        "timings": timings,
    }


def _command(classifier: UnitClassifier) -> str:
    if isinstance(classifier, CombinedClassifier):
        return f"communique train --encoder {shlex.quote(classifier.encoder)}"
    return "communique train"
