"""An agreement as a person reads it."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

from pipeline.agreement import Agreement, Coefficient
from pipeline.report import table_lines

#: How many units that only one person labelled are named.
_SHOWN = 5


def agreement_text(found: Agreement, disagreements: int = 20) -> str:
    """The coefficients, then what was confused with what, then the first units that were labelled differently."""
    short = {
        name: chr(ord("A") + place) if place < 26 else f"#{place + 1}" for place, name in enumerate(found.annotators)
    }
    lines = [f"{letter}  {name}" for name, letter in short.items()]
    lines += ["", f"{found.units} units in {found.articles} articles were labelled by two or more"]
    for name, places in found.unmatched.items():
        if places:
            more = ", ..." if len(places) > _SHOWN else ""
            lines.append(f"  only {short[name]} has {len(places)} more, left out: {', '.join(places[:_SHOWN])}{more}")
    lines += ["", "Cohen's kappa, for each pair"]
    pairs = [f"{short[one]} / {short[two]}" for one, two in combinations(found.annotators, 2)]
    lines += _coefficients(dict(zip(pairs, found.kappa.values(), strict=True)))
    lines += ["", "Krippendorff's alpha (nominal), of all"]
    lines += _coefficients({"all labels": found.alpha, **found.alpha_by_label})
    lines += ["", "how often each gave a label"]
    lines += table_lines(["label", *short.values()], [[label, *counts] for label, counts in found.given.items()])
    lines += ["", *_confusions(found)]
    for one in found.disagreements[:disagreements]:
        lines.append("")
        for name, label in one.labels.items():
            lines.append(f"{one.places[name]}: {short[name]} says {label}")
        if one.section:
            lines.append(f"    under: {one.section}")
        if one.before:
            lines.append(f"    before: {one.before}")
        lines.append(f"    {one.text}")
    rest = len(found.disagreements) - disagreements
    if rest > 0:
        lines += ["", f"and {rest} more; --disagreements {len(found.disagreements)} shows all"]
    return "\n".join(lines)


def _coefficients(found: dict[str, Coefficient]) -> list[str]:
    rows = []
    for name, one in found.items():
        value = "not defined" if one.value is None else f"{one.value:.3f}"
        interval = "-" if one.interval is None else f"{one.interval[0]:.3f} to {one.interval[1]:.3f}"
        rows.append([name, value, interval, one.units])
    return table_lines(["", "value", "95 % interval", "units"], rows)


def _confusions(found: Agreement) -> list[str]:
    count = Counter(
        " / ".join(sorted(pair))
        for one in found.disagreements
        for pair in combinations(one.labels.values(), 2)
        if pair[0] != pair[1]
    )
    if not count:
        return ["no unit was labelled differently"]
    listed = ", ".join(f"{pair} {number}" for pair, number in count.most_common())
    return [f"{len(found.disagreements)} units were labelled differently: {listed}"]
