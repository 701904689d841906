"""Which units are most worth labelling. Pure: probabilities and known labels in, an order with reasons out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.records import BACKGROUND

Reason = Literal["disputed", "uncertain", "suspect", "rare", "random"]
#: How a queue is mixed. Uncertain units teach most (Lewis and Gale 1994); a share at random keeps what is learnt, and
#: what is measured on it, from leaning to what the model finds hard.
SHARES: Mapping[Reason, float] = {"uncertain": 0.4, "suspect": 0.2, "rare": 0.2, "random": 0.2}
#: A label in the corpus is suspect where the model gives another at least this probability, and this one at most that.
SURE, UNLIKELY = 0.6, 0.2


@dataclass(frozen=True, slots=True)
class Pick:
    """A unit by its row, and why it is worth a look."""

    row: int
    reason: Reason


def pick(
    probabilities: NDArray[np.float64],
    labels: Sequence[str],
    known: Sequence[str | None],
    counts: Mapping[str, int],
    *,
    most: int = 200,
    disputed: Sequence[int] = (),
    seed: int = 0,
) -> list[Pick]:
    """The units to look at, in order, each once.

    Parameters
    ----------
    probabilities : array of shape (n_units, n_labels)
    labels : sequence of str
        Names of the columns.
    known : sequence of length n_units
        The label that the corpus has for a unit already, or None.
    counts : mapping
        Units by label in the corpus, which says what is rare.
    most : int
        Length of the queue.
    disputed : sequence of int
        Rows on which two people differ; they come first.
    seed : int
        For the share at random.
    """
    open_rows = np.array([label is None for label in known], dtype=bool)
    by_reason: dict[Reason, list[int]] = {
        "uncertain": _ranked(-_margin(probabilities), open_rows),
        "suspect": suspects(probabilities, labels, known),
        "rare": _ranked(_rarity(probabilities, labels, counts), open_rows),
        "random": _shuffled(open_rows, seed),
    }
    chosen = [Pick(row, "disputed") for row in disputed][:most]
    taken = {one.row for one in chosen}
    due: dict[Reason, float] = dict.fromkeys(SHARES, 0.0)
    while len(chosen) < most:
        left = {reason: rows for reason, rows in by_reason.items() if _drop_taken(rows, taken)}
        if not left:
            break
        for reason in left:
            due[reason] += SHARES[reason]
        reason = max(left, key=lambda one: due[one])
        due[reason] -= sum(SHARES[one] for one in left)
        row = left[reason].pop()
        taken.add(row)
        chosen.append(Pick(row, reason))
    return chosen


def suspects(probabilities: NDArray[np.float64], labels: Sequence[str], known: Sequence[str | None]) -> list[int]:
    """Rows whose corpus label the model contradicts with confidence; the worst last, as from a stack."""
    column = {label: number for number, label in enumerate(labels)}
    found = []
    for row, label in enumerate(known):
        if label is None or label not in column:
            continue
        best, own = float(probabilities[row].max()), float(probabilities[row, column[label]])
        if best >= SURE and own <= UNLIKELY:
            found.append((best - own, row))
    return [row for _, row in sorted(found, key=lambda entry: (entry[0], -entry[1]))]


def _margin(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the best label is ahead of the second."""
    top = np.sort(probabilities, axis=1)[:, -2:]
    return np.asarray(top[:, 1] - top[:, 0])


def _rarity(
    probabilities: NDArray[np.float64], labels: Sequence[str], counts: Mapping[str, int]
) -> NDArray[np.float64]:
    """How much a unit promises of labels that the corpus has few of: its chances, weighted by 1 / count."""
    weight = np.array([0.0 if label == BACKGROUND else 1.0 / max(counts.get(label, 0), 1) for label in labels])
    return np.asarray(probabilities @ weight)


def _ranked(score: NDArray[np.float64], chosen: NDArray[np.bool_]) -> list[int]:
    """The chosen rows, the highest score last, as from a stack; of equal ones the first comes first."""
    rows = np.flatnonzero(chosen)
    return [int(row) for row in rows[np.lexsort((-rows, score[rows]))]]


def _shuffled(chosen: NDArray[np.bool_], seed: int) -> list[int]:
    return [int(row) for row in np.random.default_rng(seed).permutation(np.flatnonzero(chosen))]


def _drop_taken(rows: list[int], taken: set[int]) -> bool:
    """Take from the top of a stack what another reason has had; whether anything is left."""
    while rows and rows[-1] in taken:
        rows.pop()
    return bool(rows)
