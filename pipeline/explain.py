"""What moved a prediction: the score of each label, taken apart into words, cues, structure and context.

The classifier is linear, so the parts are exact: they sum to ``decision_function``. A sentence encoder's part of the
score can't be taken apart and stands as one term.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from pipeline.batches import Batch
from pipeline.lexicon import load_lexicon
from pipeline.model import Floats, Ints, UnitClassifier
from pipeline.sentences import ATTRIBUTES, Tokens, string_of

#: Groups of features in the order of tables; the prefix of any other feature's name is a group too.
_GROUPS = ("word", "cue", "structure", "context")
_STRUCTURE = {
    "has": "has {}",
    "first": "begins with {}",
    "longer": "more than {} tokens",
    "kind": "is a {}",
    "quoted": "quoted: {}",
}
_PLACES = {"section": "heading", "list": "list heading", "before": "unit before"}
#: Groups of terms that are no features.
BASE, ENCODER, OTHERS = "base", "encoder", "others"
_NORM, _ORTH = ATTRIBUTES.index("NORM"), ATTRIBUTES.index("ORTH")
#: Where a cue was found: a phrase that stands there twice is shown once.
_Found = Mapping[tuple[int, str], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Term:
    """One part of the scores of a unit.

    ``group`` is ``word``, ``cue``, ``structure``, ``context``, ``encoder``, ``base`` (what a label gets before
    anything is read), ``others`` (the sum of terms not listed), or the prefix of another feature. ``found`` holds the
    words that a cue was recognised by. ``scores`` has what the term adds to each label, in the order of the labels.
    """

    group: str
    name: str
    found: tuple[str, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The scores of one unit and the terms that sum to them, label by label.

    ``terms`` stand in the order of what they add to the best label or take from it, most first; then ``others`` where
    terms were left out, then the encoder's, then ``base``.
    """

    labels: tuple[str, ...]
    scores: tuple[float, ...]
    terms: tuple[Term, ...]

    @property
    def best(self) -> str:
        """The label with the highest score."""
        return self.labels[int(np.argmax(self.scores))]

    def toward(self, label: str) -> list[tuple[Term, float]]:
        """The terms with what each adds to one label, in order of size; ``others``, encoder and ``base`` last.

        Raises
        ------
        ValueError
            There is no such label.
        """
        column = self.labels.index(label)
        values = [(term, term.scores[column]) for term in self.terms]
        return sorted(values, key=lambda pair: (max(_place(pair[0].group)[0], 19), -abs(pair[1])))

    def by_group(self) -> dict[str, tuple[float, ...]]:
        """The sum of each group's terms, for each label; ``others`` and ``base`` last."""
        sums: dict[str, Floats] = defaultdict(lambda: np.zeros(len(self.labels)))
        for term in sorted(self.terms, key=lambda term: _place(term.group)):
            sums[term.group] = sums[term.group] + np.array(term.scores)
        return {group: tuple(values.tolist()) for group, values in sums.items()}

    def as_dict(self) -> dict[str, Any]:
        """Plain types only, ready for JSON: ``scores``, and ``terms`` whose ``scores`` are by label too."""
        terms = [
            {**asdict(term), "found": list(term.found), "scores": dict(zip(self.labels, term.scores, strict=True))}
            for term in self.terms
        ]
        return {"scores": dict(zip(self.labels, self.scores, strict=True)), "terms": terms}


class Explainer:
    """Takes the scores of one classifier apart.

    Parameters
    ----------
    classifier : UnitClassifier
        Fitted. Its features are told apart by their names alone, so that a new kind of feature needs nothing here.
    """

    def __init__(self, classifier: UnitClassifier) -> None:
        self.classifier = classifier
        self.labels = tuple(classifier.labels)
        self._transform = classifier.pipeline_[:-1]
        self._weights, self._base = classifier.linear()
        numbers: dict[tuple[str, str], int] = {}
        names = self._transform.get_feature_names_out()
        self._term_of = np.array([numbers.setdefault(term_of(name), len(numbers)) for name in names], dtype=np.int64)
        self._terms = list(numbers)

    def explain(self, batch: Batch, most: int | None = None) -> list[Explanation]:
        """One explanation a unit.

        Parameters
        ----------
        batch : Batch
            Whole documents: part of what moves a unit stands in the unit before it.
        most : int, optional
            List only so many terms, those that weigh most on the best label; the others are summed in one.
        """
        if not len(batch):
            return []
        rows, terms, values = self._merged(self._transform.transform(batch))
        others = self.classifier.other_scores(batch)
        scores = _sums(rows, values, len(batch)) + self._base + sum(others.values())
        best = scores.argmax(axis=1)
        starts = np.searchsorted(rows, np.arange(len(batch) + 1))
        found = self._found(batch)
        base = Term(BASE, "before anything is read", (), tuple(self._base.tolist()))
        explanations = []
        for unit in range(len(batch)):
            own = slice(starts[unit], starts[unit + 1])
            listed = self._listed(terms[own], values[own], int(best[unit]), most, found[unit])
            listed += [Term(ENCODER, name, (), tuple(part[unit].tolist())) for name, part in others.items()]
            explanations.append(Explanation(self.labels, tuple(scores[unit].tolist()), (*listed, base)))
        return explanations

    def _merged(self, features: sparse.csr_matrix) -> tuple[Ints, Ints, Floats]:
        """What each term adds to each label, features of one term summed.

        Returns the unit and the term of each, of shape (n,), sorted by unit, and the values of shape (n, n_labels).
        """
        counts = np.diff(features.indptr)
        key = np.repeat(np.arange(len(counts)), counts) * len(self._terms) + self._term_of[features.indices]
        parts = features.data[:, None] * self._weights[:, features.indices].T
        order = np.argsort(key, kind="stable")
        key, parts = key[order], parts[order]
        first = np.flatnonzero(np.diff(key, prepend=-1))
        if not len(first):
            return key, key, parts
        values = np.add.reduceat(parts, first, axis=0)
        return key[first] // len(self._terms), key[first] % len(self._terms), values

    def _listed(
        self, terms: Ints, values: Floats, best: int, most: int | None, found: Mapping[tuple[str, str], Sequence[str]]
    ) -> list[Term]:
        """The terms of one unit, most first, and the sum of those left out."""
        order = np.argsort(-np.abs(values[:, best]), kind="stable")
        shown = order if most is None else order[:most]
        listed = []
        for at, scores in zip(shown.tolist(), values[shown].tolist(), strict=True):
            group, name = self._terms[terms[at]]
            listed.append(Term(group, name, tuple(found.get((group, name), ())), tuple(scores)))
        left = order[len(shown) :]
        if len(left):
            name = f"{len(left)} smaller ones" if len(left) > 1 else "1 smaller one"
            listed.append(Term(OTHERS, name, (), tuple(values[left].sum(axis=0).tolist())))
        return listed

    def _found(self, batch: Batch) -> list[dict[tuple[str, str], Sequence[str]]]:
        """For each unit the words that its cues, and those of its heading and of the unit before, were found by."""
        matcher = getattr(self._transform[0], "matcher_", None)
        if matcher is None:
            return [{} for _ in range(len(batch))]
        own = _phrases(matcher, batch.tokens)
        headings = _phrases(matcher, batch.headings)
        result = []
        for unit, section in enumerate(batch.sections.tolist()):
            words: dict[tuple[str, str], Sequence[str]] = {("cue", name): found for name, found in own[unit].items()}
            places = {"section": headings[section], "list": headings[section]}
            if unit and batch.documents[unit] == batch.documents[unit - 1]:
                places["before"] = own[unit - 1]
            for place, there in places.items():
                words |= {("context", f"{_PLACES[place]}: {name}"): found for name, found in there.items()}
            result.append(words)
        return result


def term_of(feature: str) -> tuple[str, str]:
    """Group and readable name of the term that a feature belongs to.

    The features of one cue (found at all, quoted, negated, ...) are one term.

    >>> term_of("cue=commitment/quoted"), term_of("context=before:commitment")
    (('cue', 'commitment'), ('context', 'unit before: commitment'))
    """
    prefix, _, rest = feature.partition("=")
    if prefix == "cue":
        return "cue", _readable(rest.partition("/")[0])
    if prefix == "context":
        place, colon, name = rest.partition(":")
        return "context", f"{_PLACES.get(place, place)}: {_readable(name)}" if colon else rest
    if prefix in _STRUCTURE:
        return "structure", _STRUCTURE[prefix].format(_readable(rest))
    return (prefix, rest) if rest else ("feature", feature)


def _place(group: str) -> tuple[int, str]:
    """Where a group stands in a table."""
    ends = (OTHERS, ENCODER, BASE)
    if group in _GROUPS:
        return _GROUPS.index(group), ""
    return (20 + ends.index(group), "") if group in ends else (10, group)


def cue_meanings() -> dict[str, str]:
    """What each group of cues stands for, by its readable name, in the words of the lexicon."""
    return {_readable(group.name): group.about for group in load_lexicon()}


def _readable(name: str) -> str:
    return name.replace("_", " ")


def _sums(rows: Ints, values: Floats, n_units: int) -> Floats:
    """The sum of the values of each unit, of shape (n_units, n_labels)."""
    columns = [np.bincount(rows, weights=column, minlength=n_units) for column in values.T]
    return np.stack(columns, axis=1)


def _phrases(matcher: Any, tokens: Tokens) -> list[dict[str, Sequence[str]]]:
    """For each unit, by the name of a cue group, the phrases of the text that it was found by."""
    matches = matcher.match(tokens.attributes[:, _NORM], tokens.starts)
    units = np.searchsorted(tokens.starts, matches.token, side="right") - 1
    orth: NDArray[np.uint64] = tokens.attributes[:, _ORTH]
    found: list[dict[str, list[str]]] = [{} for _ in range(len(tokens.starts) - 1)]
    for unit, at, length, group in zip(
        units.tolist(), matches.token.tolist(), matches.length.tolist(), matches.group.tolist(), strict=True
    ):
        phrases = found[unit].setdefault(_readable(matcher.names[group]), [])
        phrase = _text_of(orth[at : at + length])
        if phrase and phrase not in phrases:
            phrases.append(phrase)
    return [dict(one) for one in found]


def _text_of(keys: NDArray[np.uint64]) -> str:
    """The words as they stand in the text; nothing where this process never met them."""
    try:
        return " ".join(string_of(key) for key in keys.tolist())
    except KeyError:
        return ""
