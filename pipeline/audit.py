"""The verb `audit`: which labels of the corpus are probably wrong, the most suspicious first.

Four things make a unit suspicious:

- its **label**: by confident learning (C. G. Northcutt, L. Jiang, I. L. Chuang, "Confident learning: estimating
  uncertainty in dataset labels", 2021; the library cleanlab), on probabilities of models that saw no unit of the
  unit's article;
- a **conflict**: the same text, or nearly, in another article under another label;
- a **duplicate**: the same, under the same label;
- being an **outlier**: many of its words stand in no other article, as in a sentence in another language. cleanlab's
  own score of outliers from probabilities finds doubtful units rather than odd ones, and that from nearest neighbours
  finds short headings and takes minutes (both tried on the project's corpus).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.batches import Batch, batch_of_examples
from pipeline.corpus import corpus_files
from pipeline.corpus_check import HELDOUT
from pipeline.corpus_labels import LabelSet
from pipeline.corpus_rows import read_examples
from pipeline.corpus_similar import similar_pairs
from pipeline.evaluate import article_groups
from pipeline.model import TemperatureScaling, UnitClassifier, grouped_folds, lengths
from pipeline.novelty import unseen_shares, vocabulary_of
from pipeline.records import Example, PipelineError

Floats = NDArray[np.float64]
#: The kinds of finding, the gravest first.
KINDS = ("conflict", "label", "outlier", "duplicate")
INSTALL = "pip install 'communique[audit]'"
#: A unit is an outlier from this share of words that no other article has, and if it is among the odd ones of the
#: corpus in that: a small corpus has many words once. Units of fewer tokens are not looked at.
OUTLIER_SHARE = 0.25
OUTLIER_QUANTILE = 0.995
OUTLIER_TOKENS = 8
#: Same texts of fewer words ("Challenges:", "He agreed.") say nothing of each other.
_FEWEST_WORDS = 4
#: How many earlier units with one text a later one is compared with.
_REMEMBERED = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """A unit that somebody should look at.

    Attributes
    ----------
    example : Example
    kinds : tuple of str
        Some of ``KINDS``.
    suspicion : float
        One minus the probability, by models that did not see the article, of the label that the unit has.
    suggested : str
        The most probable label by those models; it may be the one that the unit has.
    confidence : float
        Its probability.
    twin : Example or None
        The other unit of a conflict or a duplicate.
    """

    example: Example
    kinds: tuple[str, ...]
    suspicion: float
    suggested: str
    confidence: float
    twin: Example | None = None


def require_extra() -> None:
    """Raise a PipelineError that says what to install, where cleanlab is missing."""
    from importlib.util import find_spec

    if find_spec("cleanlab") is None:
        raise PipelineError("an audit needs the extra [audit]; not installed: cleanlab", remedy=INSTALL)


def examples_to_audit(
    corpus: Path, labels: LabelSet, paths: Sequence[Path] = ()
) -> tuple[list[Example], frozenset[str]]:
    """The training units of a corpus folder and of more files, and the names of those files.

    Rows that contradict or repeat each other are what an audit is for, so only what can't be read is an error.

    Raises
    ------
    PipelineError
        A row can't be read, or a named file is held out.
    """
    known = {path.resolve(): path for path in corpus_files(corpus)}
    held = (corpus / HELDOUT).resolve()
    chosen = []
    for path in paths:
        if path.resolve().is_relative_to(held):
            raise PipelineError(
                "held-out articles measure the model, and would measure nothing if it judged their labels",
                where=str(path),
                remedy="audit the files that are learnt from",
            )
        chosen.append(known.setdefault(path.resolve(), path))
    examples: list[Example] = []
    for path in known.values():
        found, problems = read_examples(path, labels)
        errors = [problem for problem in problems if problem.severity == "error"]
        if errors:
            raise PipelineError(
                f"{errors[0].message}; {len(errors)} such in this file",
                where=f"{path}:{errors[0].line}",
                remedy="mend them first: `communique check` names every one",
            )
        examples += found
    return examples, frozenset(map(str, chosen))


def out_of_fold(
    classifier: UnitClassifier, batch: Batch, examples: Sequence[Example], groups: NDArray[np.int64]
) -> Floats:
    """Probabilities of shape (n_units, n_labels), each by a model that saw no unit of the unit's article group.

    One calibration serves all folds.
    """
    labels = [example.label for example in examples]
    number = {label: place for place, label in enumerate(classifier.labels)}
    y = np.array([number[label] for label in labels])
    folds = grouped_folds(y, groups, classifier.n_splits, classifier.random_state)
    for train, _ in folds:
        if len(found := np.unique(y[train])) < 2:
            raise PipelineError(
                "too little to learn from: without some of the articles, the only label is "
                f"'{classifier.labels[found[0]]}'",
                remedy="add labelled articles, and see the counts with `communique check`",
            )
    scores = np.zeros((len(y), len(number)))
    for (_, test), part in zip(folds, classifier.fold_scores(batch, labels, folds), strict=True):
        scores[test] = part
    n_tokens = lengths(batch)
    return TemperatureScaling.fit(scores, y, n_tokens)(scores, n_tokens)


def audit(classifier: UnitClassifier, examples: Sequence[Example]) -> list[Finding]:
    """The suspicious units of a corpus, the most suspicious first.

    Parameters
    ----------
    classifier : UnitClassifier
        Unfitted; one is fitted for each of its ``n_splits`` folds.
    examples : labelled units, those of an article one after the other

    Raises
    ------
    PipelineError
        The extra is not installed, or the units are of fewer than two articles.
    """
    require_extra()
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    batch, groups = batch_of_examples(examples), article_groups(examples)
    probabilities = out_of_fold(classifier, batch, examples, groups)
    labels = np.asarray(classifier.labels)
    y = np.array([list(labels).index(example.label) for example in examples])
    # of cleanlab's scores, this one finds the most planted errors (tests/benchmarks/audit.py)
    quality = get_label_quality_scores(y, probabilities, method="self_confidence")
    kinds: dict[int, set[str]] = defaultdict(set)
    for row in np.flatnonzero(find_label_issues(y, probabilities, n_jobs=1)).tolist():
        kinds[row].add("label")
    twins = _twins(examples)
    for row, other in twins.items():
        kinds[row].add("duplicate" if examples[other].label == examples[row].label else "conflict")
    for row in _outliers(batch, groups).tolist():
        kinds[row].add("outlier")
    best = probabilities.argmax(axis=1)
    return [
        Finding(
            example=examples[row],
            kinds=tuple(kind for kind in KINDS if kind in kinds[row]),
            suspicion=float(1.0 - quality[row]),
            suggested=str(labels[best[row]]),
            confidence=float(probabilities[row, best[row]]),
            twin=examples[twins[row]] if row in twins else None,
        )
        for row in sorted(kinds, key=lambda row: (quality[row], row))
    ]


def _outliers(batch: Batch, groups: NDArray[np.int64]) -> NDArray[np.int64]:
    share = unseen_shares(batch, vocabulary_of(batch, groups), within=True)
    long = lengths(batch) >= OUTLIER_TOKENS
    if not long.any():
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero(long & (share >= max(OUTLIER_SHARE, np.quantile(share[long], OUTLIER_QUANTILE))))


def _twins(examples: Sequence[Example]) -> Mapping[int, int]:
    """For each unit whose text stands in another article, exactly or nearly, the place of one such unit.

    One with another label goes before one with the same.
    """
    pairs = [(pair.first, pair.second) for pair in similar_pairs(examples)]
    same: dict[str, list[int]] = defaultdict(list)
    for row, example in enumerate(examples):
        words = example.text.casefold().split()
        if len(words) >= _FEWEST_WORDS:
            known = same[" ".join(words)]
            pairs += [(other, row) for other in known if examples[other].article != example.article]
            if len(known) < _REMEMBERED:
                known.append(row)
    found: dict[int, int] = {}
    for one, two in pairs:
        for row, other in ((one, two), (two, one)):
            before = found.get(row)
            if before is None or examples[before].label == examples[row].label != examples[other].label:
                found[row] = other
    return found
