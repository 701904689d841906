"""The verb `train`: from the corpus to a saved, measured and promoted model."""

from __future__ import annotations

import hashlib
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import promotion, registry
from pipeline.batches import Batch
from pipeline.cache import prepared_batch
from pipeline.challenge import (
    Challenger,
    EvaluationSet,
    Incumbent,
    LeftOut,
    evaluation_sets,
    incumbent_of,
    judge,
    without_leaks,
)
from pipeline.combined import CombinedClassifier
from pipeline.corpus import Corpus, LabelSet, load_corpus
from pipeline.encoder_base import DEFAULT_ENCODER, find_base
from pipeline.evaluate import (
    OutOfFold,
    article_groups,
    evaluate,
    natural,
    out_of_fold,
    out_of_fold_scores,
    source_groups,
)
from pipeline.features import UnitFeatures
from pipeline.fitted import FITTED_FILE, fitted_bytes
from pipeline.model import Ints, UnitClassifier
from pipeline.places import corpus_folder, writable_models_folder
from pipeline.probe import probe_of
from pipeline.promotion import record_gate
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
    """What a training gave: the saved model, its folder, and its scores (None where not measured).

    ``gate`` is what comparing it with the model in use found (None where there was none, or it is the same model),
    and ``promoted`` says whether it is in use now.
    """

    info: ModelInfo
    folder: Path
    cross_validation: Evaluation | None
    heldout: Evaluation | None
    gate: Mapping[str, Any] | None = None
    promoted: bool = True


@dataclass(slots=True)
class _Steps:
    """Says each step as it begins, and how long all of them took."""

    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str, said: str) -> Iterator[None]:
        self.progress(said)
        started = time.perf_counter()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0) + time.perf_counter() - started, 1)

    def summary(self) -> str:
        return "seconds: " + ", ".join(f"{name.replace('_', ' ')} {taken}" for name, taken in self.seconds.items())


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
    gate_files: Sequence[Path] = (),
    promote: bool = False,
    cache: Path | None = None,
    progress: Progress = _silent,
) -> Training:
    """Fit a model on the corpus, measure it and save it; promote it unless it is worse than the one in use.

    One with an encoder is promoted only where that is asked for.

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
        which is fine-tuned in each fold, an hour and more. Without it the models are not compared in folds.
    encoder : str, optional
        Name or folder of a sentence encoder to fine-tune and combine with the default model, or ``default``;
        needs the extra ``[encoder]``.
    gate_files : sequence of Path
        Labelled corpus files on which the model must not be worse either; they are not fitted.
    promote : bool
        Promote it whatever the gate says; the card will say so.
    cache : Path, optional
        Folder for the tokens and features of corpus files, which the next training of unchanged ones then takes from
        there. The model is the same with and without it.
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
    steps = _Steps(progress)
    models = writable_models_folder(models)
    source = corpus_folder(corpus)
    with steps("reading", f"reading the corpus in {source}"):
        incumbent = incumbent_of(models)
        data = load_corpus(source, leaks=True)
        data, sets, left_out = without_leaks(data, evaluation_sets(data, gate_files), incumbent)
        for one in left_out:
            progress(str(one))
        groups = article_groups(data.train)
        _require_enough(data, groups.tolist(), source)
    with steps("features", f"tokens and features of {len(data.train)} units"):
        batch, files, known = prepared_batch(data.train, cache)
        if cache is not None:
            progress(f"{known} of {files} corpus files from the cache")
    classifier = new_classifier(data.labels, seed=seed, n_jobs=n_jobs, encoder=encoder)
    measured = None
    if encoder is None if cross_validation is None else cross_validation:
        measured = _in_folds(classifier, data, batch, groups, 1 if encoder else n_jobs, steps)
    with steps("fit", f"fitting on {len(data.train)} units"):
        labels = [example.label for example in data.train]
        told = {"progress": progress} if isinstance(classifier, CombinedClassifier) else {}
        classifier.fit(batch, labels, source_groups(data.train, groups), natural(data.train), **told)
    heldout = evaluate(classifier, data.heldout)[0] if data.heldout else None
    classifier.set_params(n_jobs=1)
    scores = out_of_fold_scores(measured, data.labels.names, data.train) if measured else None
    rows = fitted_bytes(data.train, data.labels.names)
    fields = _fields(data, rows, classifier, scores, heldout, steps.seconds)
    info = registry.save(registry.model_bytes(classifier), fields, models, {FITTED_FILE: rows})
    challenger = Challenger(classifier, data.train, batch, measured, n_jobs)
    with steps("gate", "comparing with the model in use") if incumbent else nullcontext():
        gate, promoted = _promoted(info, challenger, incumbent, sets, left_out, models, promote)
    progress(_outcome(info, gate, promoted, models, encoder))
    progress(steps.summary())
    return Training(info, models / info.id, scores, heldout, gate, promoted)


def _in_folds(
    classifier: UnitClassifier, data: Corpus, batch: Batch, groups: Ints, n_jobs: int, steps: _Steps
) -> OutOfFold | None:
    if len(set(groups.tolist())) < LEAST_GROUPS:
        steps.progress(f"not cross-validating: that needs {LEAST_GROUPS} articles that share no near-duplicates")
        return None
    with steps("cross_validation", f"cross-validating on {len(data.train)} units in article-grouped folds"):
        return out_of_fold(classifier, data.train, n_jobs=n_jobs, batch=batch, groups=groups)


def _promoted(
    info: ModelInfo,
    challenger: Challenger,
    incumbent: Incumbent | None,
    sets: Sequence[EvaluationSet],
    left_out: Sequence[LeftOut],
    models: Path,
    override: bool,
) -> tuple[Mapping[str, Any] | None, bool]:
    """Judge a saved model and promote it or not: what the gate says, and whether the model is in use now."""
    wanted = override or not isinstance(challenger.classifier, CombinedClassifier)
    while True:
        if incumbent is not None and incumbent.id == info.id:
            return None, True
        gate = judge(challenger, incumbent, sets, left_out) if incumbent else None
        refused = gate is not None and not gate["promoted"]
        if gate is not None:
            gate["overridden"] = refused and override
            record_gate(info.id, gate, models)
        if not wanted or (refused and not override):
            return gate, False
        if promotion.promote(info.id, models, instead_of=incumbent.id if incumbent else None):
            return gate, True
        incumbent = incumbent_of(models)  # another training was quicker: now it is the one to compare with


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
    rows: bytes,
    classifier: UnitClassifier,
    measured: Evaluation | None,
    heldout: Evaluation | None,
    timings: Mapping[str, float],
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
        "corpus": {
            "sha256": data.sha256,
            "rows_sha256": hashlib.sha256(rows).hexdigest(),
            **data.counts,
            "colours": dict(data.labels.colours),
        },
        "metrics": {name: scores.as_dict() for name, scores in metrics.items() if scores is not None},
        "timings": dict(timings),
        "probe": probe_of(classifier),
    }


def _command(classifier: UnitClassifier) -> str:
    if isinstance(classifier, CombinedClassifier):
        return f"communique train --encoder {shlex.quote(classifier.encoder)}"
    return "communique train"


def _outcome(info: ModelInfo, gate: Mapping[str, Any] | None, promoted: bool, models: Path, encoder: str | None) -> str:
    place = models / info.id
    if promoted:
        overridden = gate is not None and gate["overridden"]
        return f"saved and promoted {place}" + (", though the gate refused it" if overridden else "")
    if gate is not None and not gate["promoted"]:
        return f"saved {place}, not promoted: the gate refused it"
    assert encoder is not None
    return f"saved {place}, not promoted: it needs the extra wherever it is used; name it with --model"
