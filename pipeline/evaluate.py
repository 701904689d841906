"""Evaluation: article-grouped cross-validation, held-out scores, and the worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from sklearn.base import clone

from pipeline.batches import Batch, batch_of_examples
from pipeline.corpus import files_to_check, load, load_labels, near_duplicate_groups
from pipeline.corpus_check import HELDOUT
from pipeline.model import UnitClassifier, grouped_folds
from pipeline.records import Evaluation, Example, Mistake, PipelineError
from pipeline.scores import evaluation_of

#: ``source`` of a corpus row whose sentence was written with its label in mind.
COMPOSED = "composed"
#: Fewer corpus files than this are too few to leave whole ones out of a fit.
LEAST_SOURCES = 10

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def article_groups(examples: Sequence[Example]) -> Ints:
    """A group number for each unit; articles that share near-duplicates share a group."""
    group_of = near_duplicate_groups(examples)
    _, numbers = np.unique([str(group_of[example.article]) for example in examples], return_inverse=True)
    return np.asarray(numbers, dtype=np.int64)


def source_groups(examples: Sequence[Example], articles: Ints | None = None) -> Ints:
    """A group number for each unit: its corpus file, and with it all files that share an article or near-duplicates.

    Calibration on whole files shows the scores on text of another origin, which is what a user's news is. Where
    fewer than ``LEAST_SOURCES`` groups come of it, they are the groups of :func:`article_groups`, which can be given as
    ``articles`` where they are known already.
    """
    articles = article_groups(examples) if articles is None else articles
    _, files = np.unique([example.file for example in examples], return_inverse=True)
    n_articles = int(articles.max()) + 1
    size = n_articles + int(files.max()) + 1
    links = sparse.coo_matrix((np.ones(len(files)), (articles, files + n_articles)), shape=(size, size))
    sources = connected_components(links, directed=False)[1][articles]
    return np.asarray(sources, dtype=np.int64) if len(np.unique(sources)) >= LEAST_SOURCES else articles


def _label_numbers(examples: Sequence[Example], labels: Sequence[str], where: str) -> Ints:
    """The place of each unit's label among the model's labels."""
    unknown = sorted({example.label for example in examples} - set(labels))
    if unknown:
        raise PipelineError(
            f"labels that the model does not know: {', '.join(unknown)}; its labels are {', '.join(labels)}",
            where=where,
            remedy="run `communique check` on the files",
        )
    number = {label: index for index, label in enumerate(labels)}
    return np.array([number[example.label] for example in examples], dtype=np.int64)


def natural(examples: Sequence[Example]) -> NDArray[np.bool_]:
    """Which units were not composed for their label: their scores are the better guide to those on real news."""
    return np.array([example.source != COMPOSED for example in examples], dtype=bool)


def _fold_probabilities(
    classifier: UnitClassifier,
    batch: Batch,
    y: NDArray[np.str_],
    sources: Ints,
    chosen: NDArray[np.bool_],
    train: Ints,
    test: Ints,
) -> tuple[Floats, list[float]]:
    classifier.fit(batch.take(train), list(y[train]), sources[train], chosen[train])
    return classifier.predict_proba(batch.take(test)), [classifier.thresholds_[label] for label in classifier.labels]


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """What models say of articles that they were not fitted on: one model a fold, every unit in the test part of one.

    ``folds`` has the train and test rows of each; ``true`` the label numbers of shape (n_units,), ``probabilities`` has
    shape (n_units, n_labels), ``thresholds`` the folds' mean of each label's threshold.
    """

    folds: list[tuple[Ints, Ints]]
    true: Ints
    probabilities: Floats
    thresholds: list[float]


def out_of_fold(
    classifier: UnitClassifier,
    examples: Sequence[Example],
    *,
    n_splits: int = 5,
    n_jobs: int = 1,
    batch: Batch | None = None,
    groups: Ints | None = None,
) -> OutOfFold:
    """Probabilities by article-grouped cross-validation.

    Everything that is learnt (vocabulary, coefficients, calibration, thresholds) is learnt inside the
    training part of each fold.

    Parameters
    ----------
    batch, groups : optional
        The examples as :func:`~pipeline.batches.batch_of_examples` and :func:`article_groups` give them, where they
        are known already.

    Raises
    ------
    PipelineError
        The examples hold fewer than three groups of articles, or a label that the classifier does not know.
    """
    groups = article_groups(examples) if groups is None else groups
    # a fold's training part is split once more, for calibration
    if len(np.unique(groups)) < 3:
        raise PipelineError(
            "cross-validation needs units of at least three articles that share no near-duplicates",
            remedy="add corpus files of other articles",
        )
    batch, chosen, sources = batch or batch_of_examples(examples), natural(examples), source_groups(examples, groups)
    y = np.array([example.label for example in examples])
    true = _label_numbers(examples, classifier.labels, "cross-validation")
    folds = grouped_folds(true, groups, n_splits, classifier.random_state)
    parts = Parallel(n_jobs=n_jobs)(
        delayed(_fold_probabilities)(clone(classifier).set_params(n_jobs=1), batch, y, sources, chosen, train, test)
        for train, test in folds
    )
    probabilities = np.zeros((len(y), len(classifier.labels)))
    for (_, test), (part, _) in zip(folds, parts, strict=True):
        probabilities[test] = part
    thresholds = np.mean([levels for _, levels in parts], axis=0)
    return OutOfFold(folds, true, probabilities, thresholds.tolist())


def cross_validate(
    classifier: UnitClassifier, examples: Sequence[Example], *, n_splits: int = 5, n_jobs: int = 1
) -> Evaluation:
    """Scores of article-grouped cross-validation; see :func:`out_of_fold`."""
    found = out_of_fold(classifier, examples, n_splits=n_splits, n_jobs=n_jobs)
    return out_of_fold_scores(found, classifier.labels, examples)


def out_of_fold_scores(found: OutOfFold, labels: Sequence[str], examples: Sequence[Example]) -> Evaluation:
    """The scores of :func:`out_of_fold`."""
    return _evaluation("cross-validation", labels, examples, found.true, found.probabilities, found.thresholds)


def refitted_predictions(
    classifier: UnitClassifier,
    batch: Batch,
    labels: Sequence[str | None],
    folds: Sequence[tuple[Ints, Ints]],
    *,
    n_jobs: int = 1,
) -> Ints | None:
    """What a classifier's settings say of all units when fitted, in each fold, on those that have a label here.

    Calibration is left out: it does not change which label is the most probable.

    Parameters
    ----------
    labels : n label names, None for units that are only predicted
    folds : train and test rows of each fold

    Returns
    -------
    Label numbers of shape (n_units,), or None where a fold has too few labels to fit on.
    """
    number = {label: index for index, label in enumerate(classifier.labels)}
    target = np.array([-1 if label is None else number[label] for label in labels], dtype=np.int64)
    parts = [(train[target[train] >= 0], test) for train, test in folds]
    if any(len(np.unique(target[train])) < 2 for train, _ in parts):
        return None
    scores = Parallel(n_jobs=n_jobs)(
        delayed(clone(classifier)._fit_fold)(batch, target, train, test) for train, test in parts
    )
    said = np.zeros(len(target), dtype=np.int64)
    for (_, test), found in zip(parts, scores, strict=True):
        said[test] = found.argmax(axis=1)
    return said


def predictions(classifier: UnitClassifier, examples: Sequence[Example]) -> Ints:
    """The number of the label that a fitted classifier gives each unit."""
    return np.asarray(classifier.predict_proba(batch_of_examples(examples)).argmax(axis=1))


def _evaluation(
    name: str,
    labels: Sequence[str],
    examples: Sequence[Example],
    true: Ints,
    probabilities: Floats,
    thresholds: Sequence[float],
) -> Evaluation:
    return evaluation_of(
        name,
        labels,
        true,
        probabilities,
        [example.article for example in examples],
        [example.genre for example in examples],
        thresholds,
    )


def evaluate(
    classifier: UnitClassifier, examples: Sequence[Example], name: str = "heldout"
) -> tuple[Evaluation, list[Mistake]]:
    """Scores of a fitted classifier on labelled units, and its mistakes, the widest of the truth first."""
    labels = list(classifier.labels)
    if not examples:
        raise PipelineError("no labelled units", where=name, remedy="run `communique check` on the files")
    true = _label_numbers(examples, labels, name)
    probabilities = classifier.predict_proba(batch_of_examples(examples))
    thresholds = [classifier.thresholds_[label] for label in labels]
    said = probabilities.argmax(axis=1)
    mistakes = [
        Mistake(
            examples[row], labels[said[row]], float(probabilities[row, said[row]]), float(probabilities[row, true[row]])
        )
        for row in np.flatnonzero(said != true).tolist()
    ]
    mistakes.sort(key=lambda mistake: mistake.true_probability - mistake.confidence)
    return _evaluation(name, labels, examples, true, probabilities, thresholds), mistakes


def evaluate_files(classifier: UnitClassifier, paths: Sequence[Path], corpus: Path) -> tuple[Evaluation, list[Mistake]]:
    """Scores on corpus files, by default the held-out articles of the corpus folder.

    Raises
    ------
    PipelineError
        A file has errors, or there is nothing to score.
    """
    labels = load_labels(corpus)
    files = files_to_check(paths or [corpus / HELDOUT])
    return evaluate(classifier, load(files, labels), ", ".join(map(str, paths)) or f"{corpus / HELDOUT}")
