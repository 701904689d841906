"""Evaluation: article-grouped cross-validation, held-out scores, and the worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence
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


def source_groups(examples: Sequence[Example]) -> Ints:
    """A group number for each unit: its corpus file, and with it all files that share an article or near-duplicates.

    Calibration on whole files shows the scores on text of another origin, which is what a user's news is. Where
    fewer than ``LEAST_SOURCES`` groups come of it, they are the groups of :func:`article_groups`.
    """
    articles = article_groups(examples)
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


def cross_validate(
    classifier: UnitClassifier, examples: Sequence[Example], *, n_splits: int = 5, n_jobs: int = 1
) -> Evaluation:
    """Scores of article-grouped cross-validation.

    Everything that is learnt (vocabulary, coefficients, calibration, thresholds) is learnt inside the
    training part of each fold.

    Raises
    ------
    PipelineError
        The examples hold fewer than three groups of articles, or a label that the classifier does not know.
    """
    groups = article_groups(examples)
    # a fold's training part is split once more, for calibration
    if len(np.unique(groups)) < 3:
        raise PipelineError(
            "cross-validation needs units of at least three articles that share no near-duplicates",
            remedy="add corpus files of other articles",
        )
    batch, chosen, sources = batch_of_examples(examples), natural(examples), source_groups(examples)
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
    return _evaluation("cross-validation", classifier.labels, examples, true, probabilities, thresholds)


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
