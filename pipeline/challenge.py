"""The challenger against the model in use: which units both are scored on, and what each says of them.

Fair is what neither was fitted on. The model in use has seen most of the corpus, so in each fold its settings are
fitted again on its own rows, without those of the fold; the held-out articles and the gate files neither has seen, and
articles in them that the model in use was fitted on are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.batches import Batch
from pipeline.combined import CombinedClassifier
from pipeline.corpus import Corpus, counts, load
from pipeline.corpus_similar import similar_across
from pipeline.evaluate import OutOfFold, predictions, refitted_predictions
from pipeline.features import UnitFeatures
from pipeline.fitted import Fitted, read_fitted
from pipeline.gate import Agreement, Comparison, agreement, compare, verdict
from pipeline.model import UnitClassifier
from pipeline.probe import check_probe
from pipeline.records import Example, ModelInfo, PipelineError
from pipeline.registry import load_model, manifest
from pipeline.shelf import current_id

Ints = NDArray[np.int64]
HELD_OUT, FOLDS = "held-out articles", "cross-validation"


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Labelled units that no challenger is fitted on."""

    name: str
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Incumbent:
    """The model in use. What of it can't be had is None, and ``trouble`` says why it can't be opened."""

    id: str
    info: ModelInfo | None
    classifier: UnitClassifier | None
    fitted: Fitted | None
    trouble: str = ""

    def old_labels(self, examples: Sequence[Example]) -> list[str | None] | None:
        """The label that each row had when the model was fitted, None for added ones; None where it isn't known."""
        return None if self.fitted is None else self.fitted.old_labels(examples)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An article that is kept out of the fit, and the pair of units that says why."""

    units: int
    unit: Example
    evaluation: Example

    def __str__(self) -> str:
        return (
            f"kept out of the fit: article '{self.unit.article}' ({self.units} units), because "
            f"{self.unit.file}:{self.unit.line} nearly repeats {self.evaluation.file}:{self.evaluation.line}"
        )


def incumbent_of(models: Path) -> Incumbent | None:
    """The model in use on a shelf, opened where that is possible; None where none is promoted."""
    found = current_id(models)
    if found is None:
        return None
    try:
        info = manifest(found, models)
    except PipelineError as error:
        return Incumbent(found, None, None, None, str(error))
    fitted = read_fitted(info, models)
    try:
        classifier, _ = load_model(models, found)
        check_probe(classifier, info, str(models / found))
        if isinstance(classifier, CombinedClassifier):
            classifier.open_encoder()
    except PipelineError as error:
        return Incumbent(found, info, None, fitted, str(error))
    return Incumbent(found, info, classifier, fitted)


def evaluation_sets(data: Corpus, files: Sequence[Path]) -> list[EvaluationSet]:
    """The held-out articles of the corpus, and the gate files; each where it has units.

    Raises
    ------
    PipelineError
        A gate file has errors, or no units.
    """
    sets = [EvaluationSet(HELD_OUT, data.heldout)] if data.heldout else []
    for file in files:
        examples = tuple(load([file], data.labels))
        if not examples:
            raise PipelineError("no labelled units", where=str(file), remedy="run `communique check` on the file")
        sets.append(EvaluationSet(str(file), examples))
    return sets


def without_leaks(
    data: Corpus, sets: Sequence[EvaluationSet], incumbent: Incumbent | None
) -> tuple[Corpus, list[EvaluationSet], list[LeftOut]]:
    """The corpus without articles that nearly repeat evaluation articles, and the sets as they can be scored fairly.

    Kept out of the fit is every article that nearly repeats a held-out one, and every added article that nearly
    repeats one of a gate file (or bears its name). What the model in use was fitted on already is kept, and the
    articles of gate files that it repeats are not scored.
    """
    old = incumbent.old_labels(data.train) if incumbent else None
    known = np.array([label is not None for label in old]) if old else np.zeros(len(data.train), dtype=bool)
    why: dict[str, tuple[int, Example]] = {}
    scored = []
    for one in sets:
        seen: set[str] = set()
        pairs = similar_across(one.examples, data.train)
        named = {example.article: example for example in one.examples}
        pairs_by_name = [(place, named[row.article]) for place, row in enumerate(data.train) if row.article in named]
        for place, evaluation in [*((place, one.examples[at]) for place, at in pairs), *pairs_by_name]:
            if known[place]:
                seen.add(evaluation.article)
            if one.name == HELD_OUT or not known[place]:
                why.setdefault(data.train[place].article, (place, evaluation))
        scored.append(replace(one, examples=tuple(row for row in one.examples if row.article not in seen)))
    kept = tuple(row for row in data.train if row.article not in why)
    units = Counter(row.article for row in data.train if row.article in why)
    left_out = [LeftOut(units[article], data.train[place], row) for article, (place, row) in why.items()]
    if left_out:
        data = replace(data, train=kept, counts={**data.counts, "train": counts(kept)})
    return data, scored, left_out


@dataclass(frozen=True, slots=True)
class Challenger:
    """A newly fitted model, and what it was fitted on; ``measured`` is None where folds were not made."""

    classifier: UnitClassifier
    examples: Sequence[Example]
    batch: Batch
    measured: OutOfFold | None
    n_jobs: int = 1


def judge(
    challenger: Challenger, incumbent: Incumbent, sets: Sequence[EvaluationSet], left_out: Sequence[LeftOut] = ()
) -> dict[str, Any]:
    """Compare a challenger with the model in use, as :func:`pipeline.gate.verdict` says it.

    Parameters
    ----------
    sets : from :func:`without_leaks`
    """
    notes: list[str] = []
    comparisons: list[Comparison] = []
    agreements: list[Agreement] = []
    if incumbent.info is None or set(incumbent.info.labels) != set(challenger.classifier.labels):
        why = incumbent.trouble or "its labels are others"
        notes.append(f"not compared with {incumbent.id}: {why}")
    else:
        in_folds = _in_folds(challenger, incumbent, notes)
        if in_folds is not None:
            comparisons.append(in_folds[0])
            agreements += in_folds[1]
        comparisons += _on_sets(challenger, incumbent, sets, notes)
        if in_folds is None:
            agreements += _on_added(challenger, incumbent)
    return verdict(
        incumbent.id,
        comparisons,
        agreements,
        notes=notes,
        comparable=bool(comparisons) or incumbent.classifier is None,
        left_out=sum(one.units for one in left_out),
    )


def _in_folds(
    challenger: Challenger, incumbent: Incumbent, notes: list[str]
) -> tuple[Comparison, list[Agreement]] | None:
    """Both settings fitted in the same folds, each on its own rows, scored on rows that both have with one label."""
    if challenger.measured is None:
        notes.append("not compared in folds: they were not made")
        return None
    old = incumbent.old_labels(challenger.examples)
    recipe = _recipe(incumbent)
    if old is None or recipe is None:
        why = "has a sentence encoder" if old is not None else "does not say which rows it was fitted on"
        notes.append(f"not compared in folds: {incumbent.id} {why}")
        return None
    examples = challenger.examples
    both = np.array([label == row.label for label, row in zip(old, examples, strict=True)])
    added = np.array([label is None for label in old])
    said = refitted_predictions(recipe, challenger.batch, old, challenger.measured.folds, n_jobs=challenger.n_jobs)
    if said is None or not both.any():
        notes.append(f"not compared in folds: too little of what {incumbent.id} was fitted on is left")
        return None
    if gone := len(incumbent.fitted.labels if incumbent.fitted else ()) - int((~added).sum()):
        notes.append(f"{gone} units that {incumbent.id} was fitted on are no longer in the corpus, or not as they were")
    labels = challenger.classifier.labels
    said = _renumbered(said, recipe.labels, labels)
    true, new = challenger.measured.true, challenger.measured.probabilities.argmax(axis=1)
    articles = [row.article for row, chosen in zip(examples, both, strict=True) if chosen]
    found = compare(FOLDS, labels, articles, true[both], said[both], new[both])
    return found, _agreements(examples, added, true, said)


def _on_added(challenger: Challenger, incumbent: Incumbent) -> list[Agreement]:
    """Without folds: the labels of added rows, against what the model in use says of them."""
    old = incumbent.old_labels(challenger.examples)
    if old is None or incumbent.classifier is None:
        return []
    added = [row for row, label in zip(challenger.examples, old, strict=True) if label is None]
    if not added:
        return []
    labels = challenger.classifier.labels
    said = _renumbered(predictions(incumbent.classifier, added), incumbent.classifier.labels, labels)
    return _agreements(added, np.ones(len(added), dtype=bool), _numbers(added, labels), said)


def _agreements(examples: Sequence[Example], added: NDArray[np.bool_], true: Ints, said: Ints) -> list[Agreement]:
    files = np.array([row.file for row in examples])
    found = (
        agreement(str(file), true[added & (files == file)], said[added & (files == file)])
        for file in np.unique(files[added])
    )
    return [one for one in found if one is not None]


def _on_sets(
    challenger: Challenger, incumbent: Incumbent, sets: Sequence[EvaluationSet], notes: list[str]
) -> list[Comparison]:
    """Direct predictions of both models."""
    if incumbent.classifier is None:
        notes.append(
            f"not compared on held-out articles and gate files, because {incumbent.id} can't be opened: "
            f"{incumbent.trouble}"
        )
        return []
    found = []
    labels = challenger.classifier.labels
    for one in sets:
        if not one.examples:
            notes.append(f"not compared on {one.name}: {incumbent.id} was fitted on all of its articles")
            continue
        old = _renumbered(predictions(incumbent.classifier, one.examples), incumbent.classifier.labels, labels)
        new = predictions(challenger.classifier, one.examples)
        articles = [row.article for row in one.examples]
        found.append(compare(one.name, labels, articles, _numbers(one.examples, labels), old, new))
    return found


def _recipe(incumbent: Incumbent) -> UnitClassifier | None:
    """An unfitted classifier with the settings of the model in use; None for one with an encoder, or unknown ones."""
    assert incumbent.info is not None
    settings = dict(incumbent.info.settings)
    known = UnitFeatures().get_params()
    features = {name: settings.pop(name) for name in known if name in settings}
    try:
        return UnitClassifier(incumbent.info.labels, features=features, **settings)
    except TypeError:
        return None


def _renumbered(said: Ints, labels: Sequence[str], wanted: Sequence[str]) -> Ints:
    """Label numbers in the order of ``labels``, in that of ``wanted``."""
    place: Mapping[str, int] = {label: index for index, label in enumerate(wanted)}
    return np.array([place[label] for label in labels], dtype=np.int64)[said]


def _numbers(examples: Sequence[Example], labels: Sequence[str]) -> Ints:
    place = {label: index for index, label in enumerate(labels)}
    return np.array([place[row.label] for row in examples], dtype=np.int64)
