"""The gate: is a newly trained model, the challenger, worse than the one in use?

Both are scored on the same units, and the difference of their F1 scores gets an interval by resampling articles in
pairs: an article that is drawn counts for both (the paired bootstrap of Efron, 1979). The margins were chosen by
measurement (``python tests/benchmarks/gate_noise.py``), on corpora of 700, 3,000 and 18,500 units of this project, to
each of which 300 units were added as they were or with shuffled labels:

- with 700 to 3,000 units, good ones move macro-F1 by -0.013 to +0.09, the shuffled ones by -0.02 to -0.12, and in all
  trials the interval of the latter ends under +0.01 in the folds or on the held-out articles;
- with 18,500 units good and shuffled ones alike move it by -0.01 to +0.002. What gives the shuffled ones away, at every
  size, is their labels: the current model agrees with them by chance only (Cohen's kappa up to 0.06, against 0.31 and
  more). So the labels of every added file are compared with what the current model's settings say of its units when
  they were not fitted on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.report import table_lines

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Worse than by these is too much: of macro-F1, where the interval does not reach as far above zero; of one label's
#: F1, where the interval lies under zero.
MARGIN, LABEL_MARGIN = 0.01, 0.03
#: An added file whose labels agree with the current model less than this (upper end of Cohen's kappa) looks shuffled.
LEAST_KAPPA = 0.2
#: Fewer units than these say nothing: added units of a file, and of a label to count as one of two or more.
LEAST_ADDED, LEAST_OF_LABEL = 50, 10
_ROUNDS = 1000


@dataclass(frozen=True, slots=True)
class Difference:
    """A challenger's F1 minus the current model's, with a 95 % interval by resampling articles."""

    difference: float
    interval: tuple[float, float]

    def __str__(self) -> str:
        return f"{self.difference:+.3f} ({self.interval[0]:+.3f} to {self.interval[1]:+.3f})"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on one set of labelled units."""

    name: str
    units: int
    articles: int
    macro_f1: Difference
    per_label: Mapping[str, Difference]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Cohen's kappa of an added file's labels with what the current model says, and the upper end of its interval."""

    file: str
    units: int
    kappa: float
    upper: float


def article_tables(articles: Sequence[str], true: Ints, said: Ints, n_labels: int) -> Ints:
    """One confusion table an article, in sorted order of their names: shape (n_articles, n_labels, n_labels)."""
    names, article = np.unique(np.asarray(articles, dtype=object).astype(str), return_inverse=True)
    tables = np.zeros((len(names), n_labels, n_labels), dtype=np.int64)
    np.add.at(tables, (article, true, said), 1)
    return tables


def f1_scores(tables: NDArray[Any]) -> Floats:
    """F1 of each label from confusion tables of shape (..., n_labels, n_labels); 0 for a label that never occurs."""
    hit = np.einsum("...ii->...i", tables).astype(np.float64)
    both = tables.sum(axis=-1) + tables.sum(axis=-2)
    return np.asarray(np.divide(2 * hit, both, out=np.zeros_like(hit), where=both > 0))


def compare(
    name: str,
    labels: Sequence[str],
    articles: Sequence[str],
    true: Ints,
    current: Ints,
    challenger: Ints,
    *,
    rounds: int = _ROUNDS,
    seed: int = 0,
) -> Comparison:
    """Compare what two models say of the same units.

    Parameters
    ----------
    articles : the article of each unit
    true, current, challenger : arrays of label numbers of shape (n_units,)
        What is right, and what each of the two says.
    """
    tables = [article_tables(articles, true, said, len(labels)) for said in (current, challenger)]
    n = len(tables[0])
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=rounds)
    old, new = (f1_scores((draws @ table.reshape(n, -1)).reshape(rounds, *table.shape[1:])) for table in tables)
    found = f1_scores(tables[1].sum(axis=0)) - f1_scores(tables[0].sum(axis=0))
    drawn = new - old
    return Comparison(
        name,
        len(true),
        n,
        _difference(found.mean(), drawn.mean(axis=1)),
        {label: _difference(found[i], drawn[:, i]) for i, label in enumerate(labels)},
    )


def _difference(found: float, drawn: Floats) -> Difference:
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Difference(float(found), (float(low), float(high)))


def agreement(file: str, labels: Ints, said: Ints) -> Agreement | None:
    """How far the labels of an added file agree with a model that was not fitted on them, by Cohen's kappa (1960).

    Returns
    -------
    None where the file is too small, or has too few labels: agreement by chance and by knowledge look the same there.
    """
    n = len(labels)
    if n < LEAST_ADDED or (np.bincount(labels) >= LEAST_OF_LABEL).sum() < 2:
        return None
    width = int(max(labels.max(), said.max())) + 1
    same = float((labels == said).mean())
    chance = float((np.bincount(labels, minlength=width) @ np.bincount(said, minlength=width)) / n**2)
    if chance == 1:
        return None
    kappa = (same - chance) / (1 - chance)
    error = np.sqrt(same * (1 - same) / n) / (1 - chance)
    return Agreement(file, n, kappa, float(kappa + 1.96 * error))


def comparison_faults(comparison: Comparison) -> list[str]:
    """Why a challenger should not replace the current model, by one comparison; nothing where it may."""
    faults = []
    macro = comparison.macro_f1
    if macro.difference < -MARGIN and macro.interval[1] < MARGIN:
        faults.append(f"macro-F1 on {comparison.name} is worse: {macro}, where {-MARGIN} is allowed")
    for label, found in comparison.per_label.items():
        if found.difference < -LABEL_MARGIN and found.interval[1] < 0:
            faults.append(f"F1 of '{label}' on {comparison.name} is worse: {found}, where {-LABEL_MARGIN} is allowed")
    return faults


def agreement_faults(found: Agreement) -> list[str]:
    """Why an added file looks harmful by itself; nothing where it does not."""
    if found.upper >= LEAST_KAPPA:
        return []
    return [
        f"the labels of {found.file} hardly agree with the current model: Cohen's kappa {found.kappa:.2f} over "
        f"{found.units} added units, where chance gives 0; are they shuffled, or shifted by a row?"
    ]


def verdict(
    against: str | None,
    comparisons: Sequence[Comparison],
    agreements: Sequence[Agreement] = (),
    *,
    notes: Sequence[str] = (),
    comparable: bool = True,
    left_out: int = 0,
) -> dict[str, Any]:
    """What the gate found and decided, as plain types for the manifest.

    Parameters
    ----------
    against : id of the current model, or None where there is none
    notes : what was not compared, and why
    comparable : bool
        False where there is a current model in working order, but nothing to compare the two on: not promoted then.
    left_out : int
        Units that were kept out of the fit because they nearly repeat evaluation articles.
    """
    reasons = [fault for comparison in comparisons for fault in comparison_faults(comparison)]
    reasons += [fault for found in agreements for fault in agreement_faults(found)]
    if not comparable:
        reasons.append("there was nothing to compare it with the current model on")
    return {
        "against": against,
        "margin": MARGIN,
        "label_margin": LABEL_MARGIN,
        "promoted": not reasons,
        "overridden": False,
        "reasons": reasons,
        "notes": list(notes),
        "left_out": left_out,
        "comparisons": [
            {**asdict(one), "macro_f1": _plain(one.macro_f1), "per_label": _plain_all(one.per_label)}
            for one in comparisons
        ],
        "agreements": [asdict(found) for found in agreements],
    }


def _plain(found: Difference) -> dict[str, Any]:
    return {"difference": found.difference, "interval": list(found.interval)}


def _plain_all(found: Mapping[str, Difference]) -> dict[str, Any]:
    return {label: _plain(one) for label, one in found.items()}


def gate_text(gate: Mapping[str, Any]) -> str:
    """What the gate found, as a person reads it; from the manifest's ``gate``."""
    lines = []
    comparisons = gate["comparisons"]
    if comparisons:
        lines.append(f"gate: F1 minus that of {gate['against']}, with 95 % intervals by resampling articles")
        rows = [["units", *(one["units"] for one in comparisons)]]
        rows.append(["macro-F1", *(_shown(one["macro_f1"]) for one in comparisons)])
        rows += [
            [label, *(_shown(one["per_label"][label]) for one in comparisons)] for label in comparisons[0]["per_label"]
        ]
        lines += table_lines(["", *(one["name"] for one in comparisons)], rows)
    lines += [
        f"labels of {one['file']}: Cohen's kappa {one['kappa']:.2f} with the current model, {one['units']} added units"
        for one in gate["agreements"]
    ]
    lines += [f"note: {note}" for note in gate["notes"]]
    return "\n".join(lines)


def _shown(found: Mapping[str, Any]) -> str:
    return str(Difference(found["difference"], tuple(found["interval"])))
