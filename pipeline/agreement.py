"""The verb `agreement`: how far people agree who labelled the same units, and where they do not."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.corpus import files_to_check, load
from pipeline.corpus_labels import LabelSet
from pipeline.records import Example, PipelineError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
#: An interval is given where at least this share of the resampled coefficients is defined.
_DEFINED = 0.9
#: A unit, for matching: article, text, and which of the same texts in the article it is.
Key = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A coefficient of agreement with its 95 % interval by resampling articles; None where it is not defined.

    1 is perfect agreement, 0 what chance gives. It is not defined where everybody gives one label only, and the
    interval not where there are fewer than two articles.
    """

    value: float | None
    interval: tuple[float, float] | None
    units: int


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A unit with different labels. ``labels`` names the label by annotator, ``places`` its file:line."""

    article: str
    before: str | None
    section: str | None
    text: str
    labels: Mapping[str, str]
    places: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far annotators agree.

    Attributes
    ----------
    annotators : tuple of str
        The names of the files or folders.
    units, articles : int
        Units that two or more of them labelled, and their articles.
    kappa : mapping of "A / B" to Coefficient
        Cohen's kappa of each pair, over the units that both labelled.
    alpha : Coefficient
        Krippendorff's alpha of all of them.
    alpha_by_label : mapping of label to Coefficient
        The same with each other label counted as one: how far they agree on this label.
    given : mapping of label to numbers
        How often each annotator gave it, in their order, among the units that count.
    unmatched : mapping of annotator to file:line
        Units that nobody else labelled.
    disagreements : tuple of Disagreement
    """

    annotators: tuple[str, ...]
    units: int
    articles: int
    kappa: Mapping[str, Coefficient]
    alpha: Coefficient
    alpha_by_label: Mapping[str, Coefficient]
    given: Mapping[str, tuple[int, ...]]
    unmatched: Mapping[str, tuple[str, ...]]
    disagreements: tuple[Disagreement, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain types only, ready for JSON."""
        return asdict(self)


def coincidences(codes: Ints, n_labels: int) -> Floats:
    """The coincidence table of each unit, shape (n_units, n_labels, n_labels).

    Every ordered pair of labels that two annotators gave a unit counts one over the number of annotators of the
    unit less one; a unit with one label counts nothing. The sum over units is what :func:`krippendorff_alpha` takes.

    Parameters
    ----------
    codes : array of shape (n_units, n_annotators)
        Label numbers; -1 where an annotator gave none.
    """
    counts = np.stack([(codes == label).sum(axis=1) for label in range(n_labels)], axis=1).astype(np.float64)
    given = counts.sum(axis=1)
    pairs = counts[:, :, None] * counts[:, None, :]
    pairs[:, np.arange(n_labels), np.arange(n_labels)] -= counts
    return np.asarray(pairs / np.maximum(given - 1, 1)[:, None, None])


def krippendorff_alpha(table: NDArray[np.number]) -> float:
    """Krippendorff's alpha for nominal data, from a coincidence table of shape (n_labels, n_labels).

    ``1 - observed disagreement / expected disagreement``, for any number of annotators and with labels missing:
    K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C. ``nan`` where all labels are the
    same, for then nothing could have disagreed.
    """
    n_label = table.sum(axis=1)
    n = n_label.sum()
    expected = n * n - (n_label * n_label).sum()
    if expected <= 0:
        return float("nan")
    return float(1.0 - (n - 1) * (n - np.trace(table)) / expected)


def kappa_of(table: NDArray[np.number]) -> float:
    """Cohen's kappa from a table of shape (n_labels, n_labels) of two annotators' labels; ``nan`` where not defined.

    J. Cohen, "A coefficient of agreement for nominal scales" (1960). The same as scikit-learn's
    ``cohen_kappa_score``, which takes the labels and not their table.
    """
    n = table.sum()
    chance = float(table.sum(axis=0) @ table.sum(axis=1))
    if n * n <= chance:
        return float("nan")
    return float((n * np.trace(table) - chance) / (n * n - chance))


def agreement(sets: Mapping[str, Sequence[Example]], labels: Sequence[str], *, seed: int = 0) -> Agreement:
    """How far annotators agree on the units that two or more of them labelled.

    Parameters
    ----------
    sets : mapping of annotator to units
        Units are the same where article, text and, for texts that come again in an article, their order are.
    labels : label names
    seed : int
        Of the resampling.

    Raises
    ------
    PipelineError
        There are fewer than two annotators, or no two of them labelled a unit in common.
    """
    if len(sets) < 2:
        raise PipelineError("agreement needs the labels of two people or more", remedy="name another file")
    names = tuple(sets)
    keyed = {name: _keyed(examples) for name, examples in sets.items()}
    times = Counter(key for units in keyed.values() for key in units)
    shared = [key for key in dict.fromkeys(key for units in keyed.values() for key in units) if times[key] > 1]
    if not shared:
        raise PipelineError(
            f"no unit was labelled by two of {', '.join(names)}",
            remedy="units match by their columns article and text; give both people the same file to label",
        )
    number = {label: place for place, label in enumerate(labels)}
    codes = np.array([[number[keyed[n][key].label] if key in keyed[n] else -1 for n in names] for key in shared])
    _, article = np.unique([key[0] for key in shared], return_inverse=True)
    return Agreement(
        annotators=names,
        units=len(shared),
        articles=int(article.max()) + 1,
        kappa={
            f"{names[one]} / {names[two]}": _kappa(codes[:, [one, two]], article, len(labels), seed)
            for one, two in combinations(range(len(names)), 2)
        },
        alpha=_alpha(codes, article, len(labels), seed),
        alpha_by_label={
            label: _alpha(np.where(codes < 0, -1, codes == place), article, 2, seed) for label, place in number.items()
        },
        given={label: tuple((codes == place).sum(axis=0).tolist()) for label, place in number.items()},
        unmatched={
            name: tuple(f"{unit.file}:{unit.line}" for key, unit in units.items() if times[key] == 1)
            for name, units in keyed.items()
        },
        disagreements=_disagreements(keyed, shared, codes),
    )


def agreement_of_files(paths: Sequence[Path], labels: LabelSet, *, seed: int = 0) -> Agreement:
    """:func:`agreement` of corpus files or folders, one an annotator.

    Raises
    ------
    PipelineError
        As for :func:`agreement`, or a file has errors.
    """
    if len({path.resolve() for path in paths}) < len(paths):
        raise PipelineError(
            "a file is named twice; agreement with oneself says nothing", remedy="name two different ones"
        )
    return agreement({str(path): load(files_to_check([path]), labels) for path in paths}, labels.names, seed=seed)


def _keyed(examples: Sequence[Example]) -> dict[Key, Example]:
    seen: Counter[tuple[str, str]] = Counter()
    found: dict[Key, Example] = {}
    for example in examples:
        unit = (example.article, " ".join(example.text.split()))
        found[*unit, seen[unit]] = example
        seen[unit] += 1
    return found


def _kappa(codes: Ints, article: Ints, n_labels: int, seed: int) -> Coefficient:
    from sklearn.metrics import cohen_kappa_score

    both = (codes >= 0).all(axis=1)
    codes, article = codes[both], article[both]
    if not len(codes):
        return Coefficient(None, None, 0)
    tables = np.zeros((int(article.max()) + 1, n_labels, n_labels))
    np.add.at(tables, (article, codes[:, 0], codes[:, 1]), 1)
    if np.isnan(kappa_of(tables.sum(axis=0))):
        return Coefficient(None, None, len(codes))
    value = float(cohen_kappa_score(codes[:, 0], codes[:, 1], labels=np.arange(n_labels)))
    return Coefficient(value, _interval(tables[np.unique(article)], kappa_of, seed), len(codes))


def _alpha(codes: Ints, article: Ints, n_labels: int, seed: int) -> Coefficient:
    pairs = coincidences(codes, n_labels)
    tables = np.zeros((int(article.max()) + 1, n_labels, n_labels))
    np.add.at(tables, article, pairs)
    value = krippendorff_alpha(tables.sum(axis=0))
    if np.isnan(value):
        return Coefficient(None, None, len(codes))
    return Coefficient(value, _interval(tables, krippendorff_alpha, seed), len(codes))


def _interval(
    tables: Floats, measure: Callable[[NDArray[np.number]], float], seed: int, rounds: int = 1000
) -> tuple[float, float] | None:
    """The 95 % percentile interval of a measure of the sum of tables, one an article, by resampling articles.

    Draws in which the measure is not defined are left out; None where these are many, or there is one article.
    """
    n = len(tables)
    if n < 2:
        return None
    rng = np.random.default_rng(seed)
    draws = np.stack([np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(rounds)]) @ tables.reshape(n, -1)
    values = np.array([measure(draw.reshape(tables.shape[1:])) for draw in draws])
    values = values[~np.isnan(values)]
    if len(values) < _DEFINED * rounds:
        return None
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _disagreements(
    keyed: Mapping[str, Mapping[Key, Example]], shared: Sequence[Key], codes: Ints
) -> tuple[Disagreement, ...]:
    """The units with different labels, in the order of the files, with the unit before each."""
    before: dict[Key, str] = {}
    for units in keyed.values():
        by_article: dict[str, list[Key]] = defaultdict(list)
        for key in units:
            by_article[key[0]].append(key)
        for keys in by_article.values():
            for last, key in pairwise(keys):
                before.setdefault(key, units[last].text)
    found = []
    for key, row in zip(shared, codes, strict=True):
        if len(set(row[row >= 0].tolist())) > 1:
            units_of = {name: units[key] for name, units in keyed.items() if key in units}
            one = next(iter(units_of.values()))
            labels = {name: unit.label for name, unit in units_of.items()}
            places = {name: f"{unit.file}:{unit.line}" for name, unit in units_of.items()}
            found.append(Disagreement(one.article, before.get(key), one.section, one.text, labels, places))
    return tuple(found)
