"""Explanations as a terminal shows them: the scores by label, and bars for what moved them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.explain import BASE, OTHERS, Explanation, Term
from pipeline.reasons import Reasons
from pipeline.report import table_lines

if TYPE_CHECKING:
    from rich.console import Console

#: Eighths of a block, so that short bars differ too.
_PARTS = " ▏▎▍▌▋▊▉"
_BAR = 16
#: What an article could steer a terminal with.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def bar(value: float, largest: float, width: int = _BAR) -> str:
    """A bar of blocks, ``width`` characters for the largest value; hatched where the value is negative."""
    if not largest:
        return ""
    eighths = round(abs(value) / largest * width * 8)
    if value < 0:
        return "▒" * max(round(eighths / 8), 1)
    return ("█" * (eighths // 8) + _PARTS[eighths % 8]).rstrip()


def score_lines(reasons: Reasons) -> list[str]:
    """A table: for each label what each group of terms adds, the score, and the probability."""
    explanation, prediction = reasons.explanation, reasons.prediction
    groups = explanation.by_group()
    rows = [
        [
            label,
            *(f"{values[column]:+.2f}" for values in groups.values()),
            f"{explanation.scores[column]:+.2f}",
            f"{prediction.probabilities[label]:.2f}",
        ]
        for column, label in enumerate(explanation.labels)
    ]
    return table_lines(["label", *groups, "score", "prob."], rows)


def bar_rows(explanation: Explanation, label: str, most: int) -> list[tuple[str, str, str, float]]:
    """What moved one label's score: group, name with the words found, bar, and value, largest first.

    No more than ``most`` terms; the others in one row, then the base, so that the values sum to the score.
    """
    values = explanation.toward(label)
    own = [(term, value) for term, value in values if term.group not in (OTHERS, BASE)]
    left = [value for _, value in own[most:]] + [value for term, value in values if term.group == OTHERS]
    base = [(term, value) for term, value in values if term.group == BASE]
    largest = max(abs(value) for value in [sum(left), *(value for _, value in [*own, *base])])
    rows = [(term.group, _named(term), bar(value, largest), value) for term, value in own[:most]]
    if left:
        rows.append((OTHERS, "all smaller ones", bar(sum(left), largest), sum(left)))
    return rows + [(term.group, term.name, bar(value, largest), value) for term, value in base]


def _named(term: Term) -> str:
    if not term.found:
        return f"“{one_line(term.name)}”" if term.group == "word" else one_line(term.name)
    return f"{one_line(term.name)}: " + ", ".join(f"“{one_line(found)}”" for found in term.found)


def one_line(text: str) -> str:
    """Text from an article without what could steer a terminal, on one line."""
    return _CONTROLS.sub("\ufffd", " ".join(text.split()))


def print_reasons(
    reasons: Reasons, console: Console, colours: Mapping[str, str], *, labels: Sequence[str] = (), most: int = 12
) -> None:
    """Print one explanation.

    Parameters
    ----------
    reasons : Reasons
    console : rich Console
    colours : mapping
        Label to colour, ``#RRGGBB``.
    labels : sequence of str
        Whose bars to show; the predicted one where empty.
    most : int
        Number of bars of each label.
    """
    from rich.text import Text

    prediction = reasons.prediction
    console.print(Text(one_line(prediction.unit.text), style="bold"), soft_wrap=True)
    verdict = Text(prediction.label, style=colours.get(prediction.label, "default"))
    verdict.append(f" {prediction.confidence:.2f}{' (uncertain)' if prediction.uncertain else ''}", style="default")
    console.print(verdict)
    _print_lines(console, ["", *score_lines(reasons)])
    for label in labels or [prediction.label]:
        console.print()
        console.print(Text(f"what moved {label}", style=colours.get(label, "default")))
        _print_lines(console, _bar_lines(bar_rows(reasons.explanation, label, most), console.width))
    if reasons.precedents:
        _print_lines(console, ["", "most alike in the corpus", *_precedent_lines(reasons)])


def _print_lines(console: Console, lines: Sequence[str]) -> None:
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _bar_lines(rows: Sequence[tuple[str, str, str, float]], width: int) -> list[str]:
    groups = max(len(group) for group, *_ in rows)
    room = max(20, min(60, width - groups - _BAR - 16))
    lines = [
        f"  {group:{groups}}  {_cut(name, room):{room}}  {value:+.3f}  {shape}".rstrip()
        for group, name, shape, value in rows
    ]
    total = sum(value for *_, value in rows)
    return [*lines, f"  {'score':{groups}}  {'':{room}}  {total:+.3f}"]


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"


def _precedent_lines(reasons: Reasons) -> list[str]:
    lines = []
    for precedent in reasons.precedents:
        lines.append(f"  {precedent.likeness:.2f}  {precedent.label}  {precedent.where}")
        lines.append(f"        {one_line(precedent.text)}")
    return lines
