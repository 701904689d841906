"""Markdown from values that may hold anything: none ends a table cell, a line or a code span, or begins a tag."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

_ESCAPES = {"\\": "\\\\", "&": "&amp;", "<": "&lt;", "|": "\\|", "`": "\\`", "[": "\\[", "*": "\\*"}


def text(value: object) -> str:
    """A value in running text or in a table cell."""
    return "".join(_ESCAPES.get(mark, mark) for mark in " ".join(str(value).split()))


def code(value: object) -> str:
    """A value in a code span, for running text."""
    return "`" + " ".join(str(value).split()).replace("`", "'") + "`"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table, its first column to the left and the others to the right, and an empty line."""
    marks = ["---"] + ["---:"] * (len(head) - 1)
    return [f"| {' | '.join(cells)} |" for cells in (head, marks, *rows)] + [""]


def figure(value: float) -> str:
    """Three decimals."""
    return f"{value:.3f}"


def percent(value: float) -> str:
    """A share as whole per cent."""
    return f"{value:.0%}".replace("%", " %")


def span(interval: Sequence[float] | None, form: Callable[[float], str] = figure) -> str:
    """An interval; a dash where there is none."""
    return f"{form(interval[0])} to {form(interval[1])}" if interval else "-"


def listed(values: Mapping[str, Any], form: Callable[[Any], str] = text) -> str:
    """Names with their values, by commas."""
    return ", ".join(f"{text(name)} {form(value)}" for name, value in values.items())
