"""Near-duplicates: units of different articles that share most of their runs of five words.

Shingling after A. Z. Broder, "On the resemblance and containment of documents" (1997): resemblance is
the share of the runs of either unit that both have, containment the share of the shorter unit's runs
that stand in the other.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.records import Example

_RUN = 5
#: Units of fewer than eight words have too few runs to tell a copy from a stock phrase.
_FEWEST_RUNS = 4
#: Words from which on the same text is a copy, whatever its runs.
_LONG = 8
_RESEMBLANCE = 0.5
_CONTAINMENT = 0.8
#: A run remembers only its first units: later copies of a stock sentence are compared with those, so
#: that a corpus with one sentence in every article still takes time in proportion to its size.
_REMEMBERED = 20
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Similar:
    """Two units, by their places in the examples, ``first`` before ``second``, and the runs they share."""

    first: int
    second: int
    shared: int
    shorter: int


def similar_pairs(examples: Sequence[Example]) -> list[Similar]:
    """Near-duplicate units of different articles, by ``second``, then the closest, then ``first``."""
    index: dict[tuple[str, ...], list[int]] = defaultdict(list)
    sizes: list[int] = []
    pairs: list[Similar] = []
    for number, example in enumerate(examples):
        runs = _runs(example.text)
        sizes.append(len(runs))
        if len(runs) < _FEWEST_RUNS:
            continue
        shared: dict[int, int] = defaultdict(int)
        for run in runs:
            seen = index[run]
            for other in seen:
                shared[other] += 1
            if len(seen) < _REMEMBERED:
                seen.append(number)
        found = [
            Similar(other, number, count, min(len(runs), sizes[other]))
            for other, count in shared.items()
            if examples[other].article != example.article and _close(count, len(runs), sizes[other])
        ]
        pairs += sorted(found, key=lambda pair: (-pair.shared / pair.shorter, pair.first))
    return pairs


def similar_across(known: Sequence[Example], others: Sequence[Example]) -> list[tuple[int, int]]:
    """Which of the others nearly repeat a known unit: places in ``others`` and in ``known``, the closest one of each.

    Unlike :func:`similar_pairs` it also counts what stands in two articles of the same name, and long units with the
    same text.
    """
    index: dict[tuple[str, ...], list[int]] = defaultdict(list)
    sizes: list[int] = []
    texts: dict[str, int] = {}
    for number, example in enumerate(known):
        runs = _runs(example.text)
        sizes.append(len(runs))
        if len(example.text.split()) >= _LONG:
            texts.setdefault(_plain(example.text), number)
        for run in runs if len(runs) >= _FEWEST_RUNS else ():
            if len(seen := index[run]) < _REMEMBERED:
                seen.append(number)
    pairs = []
    for place, example in enumerate(others):
        runs = _runs(example.text)
        shared: dict[int, int] = defaultdict(int)
        for run in runs:
            for number in index.get(run, ()):
                shared[number] += 1
        close = [number for number, count in shared.items() if _close(count, len(runs), sizes[number])]
        same = texts.get(_plain(example.text))
        if close or same is not None:
            pairs.append((place, same if same is not None else max(close, key=lambda number: shared[number])))
    return pairs


def near_duplicate_groups(examples: Sequence[Example]) -> dict[str, str]:
    """Every article with its group: the first, by name, of the articles tied by near-duplicate units.

    The groups go into cross-validation, where no split may part two articles with the same sentence.
    The result does not depend on the order of the articles, unless a stock sentence stands in more than
    twenty of them.
    """
    parents = {example.article: example.article for example in examples}

    def root(article: str) -> str:
        while parents[article] != article:
            parents[article] = article = parents[parents[article]]
        return article

    for pair in similar_pairs(examples):
        first, second = root(examples[pair.first].article), root(examples[pair.second].article)
        parents[max(first, second)] = min(first, second)
    return {article: root(article) for article in parents}


def _runs(text: str) -> set[tuple[str, ...]]:
    words = _WORD.findall(text.casefold())
    return set(zip(*(words[start:] for start in range(_RUN)), strict=False))


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _close(shared: int, one: int, other: int) -> bool:
    if shared < _FEWEST_RUNS:
        return False
    return shared / (one + other - shared) >= _RESEMBLANCE or shared / min(one, other) >= _CONTAINMENT
