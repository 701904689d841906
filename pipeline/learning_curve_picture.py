"""A learning curve as text and as a picture.

The picture is an SVG of a few dozen lines, written here: it needs no plotting library, opens in every browser and word
processor, and stays sharp in print.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import numpy as np
from numpy.typing import NDArray

from pipeline.learning_curve import LearningCurve
from pipeline.report import table_lines

_Scale = Callable[[float], float]
_Floats = NDArray[np.float64]
#: Under this gain by doubling, the next hour is better spent on something else.
LITTLE = 0.005
_WIDE = 40

_WIDTH, _HEIGHT = 720, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 24, 92, 62
_BLUE, _GREY, _INK = "#0072B2", "#767676", "#1a1a1a"


def curve_text(curve: LearningCurve) -> str:
    """The sizes with their scores, drawn on a line each, and what the curve says in words."""
    values = [value for point in curve.points for value in point.macro_f1]
    low, high = np.floor(min(values) * 20) / 20, np.ceil(max(values) * 20) / 20
    labels = list(curve.points[0].f1)
    rows = [
        [f"{point.units:,}", point.articles, f"{point.mean:.3f}", _dots(point.macro_f1, low, high)]
        for point in curve.points
    ]
    scale = f"{low:.2f}".ljust(_WIDE - 4) + f"{high:.2f}"
    by_label = [[f"{p.units:,}", *(f"{p.f1[label]:.3f}" for label in labels)] for p in curve.points]
    return "\n".join(
        [
            f"learning curve, scored on {curve.scored_on}: {curve.scored_units} units in "
            f"{curve.scored_articles} articles",
            *table_lines(["units", "articles", "macro-F1", scale], rows),
            "",
            "F1 by label",
            *table_lines(["units", *labels], by_label),
            "",
            *verdict(curve),
        ]
    )


def verdict(curve: LearningCurve) -> list[str]:
    """What the curve says, in two sentences."""
    low, high = curve.gain_interval
    units = curve.points[-1].units
    first = (
        f"Twice the corpus ({2 * units:,} units of the same kind) would bring macro-F1 to about {curve.doubled:.3f}, "
        f"{curve.gain:+.3f} by the fitted curve (95 % interval {low:+.3f} to {high:+.3f}, over draws)."
    )
    if curve.gain < LITTLE:
        return [
            first,
            "More of the same kind hardly helps: label other kinds of article, or look at `communique audit`.",
        ]
    weakest = min(curve.points[-1].f1, key=lambda label: curve.points[-1].f1[label])
    return [
        first,
        f"More corpus helps; the weakest label is {weakest}. `communique drift FOLDER` says what to label first.",
    ]


def _dots(values: tuple[float, ...], low: float, high: float) -> str:
    """A line from the least to the greatest value, and a dot at the mean."""
    at = [round((value - low) / max(high - low, 1e-9) * (_WIDE - 1)) for value in (*values, float(np.mean(values)))]
    line = [" "] * _WIDE
    line[min(at) : max(at) + 1] = "─" * (max(at) - min(at) + 1)
    line[at[-1]] = "●"
    return "".join(line)


def curve_svg(curve: LearningCurve) -> str:
    """The picture: measured draws, their means, and the fitted curve, dashed beyond the corpus."""
    units = curve.points[-1].units
    values = [value for point in curve.points for value in point.macro_f1]
    step = _step(max(*values, curve.doubled) - min(values))
    low = float(np.floor(min(values) / step) * step)
    high = float(np.ceil(max(*values, curve.doubled) / step) * step)

    def x(n: float) -> float:
        return round(_LEFT + n / (2 * units) * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(value: float) -> float:
        return round(_HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM), 1)

    def path(numbers: _Floats) -> str:
        return "M" + " L".join(f"{x(n)},{y(curve.at(n))}" for n in numbers)

    parts = [*_frame(curve), *_axes(curve, x, y, np.arange(low, high + step / 2, step))]
    first = curve.points[0].units
    parts.append(f'<path d="{path(np.linspace(first, units, 60))}" fill="none" stroke="{_BLUE}" stroke-width="2"/>')
    parts.append(
        f'<path d="{path(np.linspace(units, 2 * units, 30))}" fill="none" stroke="{_BLUE}" stroke-width="2" '
        'stroke-dasharray="7 5"/>'
    )
    for point in curve.points:
        for value in point.macro_f1:
            parts.append(f'<circle cx="{x(point.units)}" cy="{y(value)}" r="2.5" fill="{_GREY}" fill-opacity="0.6"/>')
        parts.append(f'<circle cx="{x(point.units)}" cy="{y(point.mean)}" r="5" fill="{_BLUE}"/>')
    end = y(curve.doubled)
    parts.append(f'<circle cx="{x(2 * units)}" cy="{end}" r="5" fill="#ffffff" stroke="{_BLUE}" stroke-width="2"/>')
    parts.append(_text(x(2 * units) - 10, end + 24, f"about {curve.doubled:.3f} ({curve.gain:+.3f})", anchor="end"))
    last = curve.points[-1]
    parts.append(_text(x(last.units), y(last.mean) + 24, f"today {last.mean:.3f}", anchor="middle"))
    return "\n".join([*parts, "</svg>", ""])


def _frame(curve: LearningCurve) -> list[str]:
    title = "Would more corpus help?"
    first = curve.points[0]
    said = f"macro-F1 {first.mean:.3f} with {first.units:,} units, {curve.points[-1].mean:.3f} with all"
    scored = f"Scored on {curve.scored_units:,} units in {curve.scored_articles} articles of {curve.scored_on}"
    scored = scored if len(scored) <= 96 else scored[:95] + "…"
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" role="img" font-family="system-ui, sans-serif" font-size="13">',
        f"<title>{title}</title>",
        f"<desc>{escape(f'{said}; {verdict(curve)[0]}')}</desc>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        _text(_LEFT, 30, title, size=18),
        _text(_LEFT, 52, scored, colour=_GREY),
    ]


def _axes(curve: LearningCurve, x: _Scale, y: _Scale, levels: _Floats) -> list[str]:
    parts = []
    for level in levels.tolist():
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(level)}" y2="{y(level)}" stroke="#e3e3e3"/>')
        parts.append(_text(_LEFT - 8, y(level) + 4, f"{level:.2f}", anchor="end", colour=_GREY))
    bottom = _HEIGHT - _BOTTOM
    step = _step(2 * curve.points[-1].units)
    for units in np.arange(0, 2 * curve.points[-1].units + 1, step).tolist():
        parts.append(f'<line x1="{x(units)}" x2="{x(units)}" y1="{bottom}" y2="{bottom + 5}" stroke="{_GREY}"/>')
        parts.append(_text(x(units), bottom + 20, f"{units:,.0f}", anchor="middle", colour=_GREY))
    parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{bottom}" y2="{bottom}" stroke="{_GREY}"/>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(_text(middle, _HEIGHT - 18, "units in the training corpus; dashed: extrapolated", anchor="middle"))
    parts.append(_text(12, _TOP - 14, "macro-F1"))
    return parts


def _text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = _INK, size: int = 13) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}" font-size="{size}">{escape(text)}</text>'


def _step(span: float) -> float:
    """A round distance of ticks that gives four to nine of them."""
    rough = 10.0 ** np.floor(np.log10(max(span, 1e-6)))
    return float(next(rough * factor for factor in (0.1, 0.2, 0.25, 0.5, 1.0) if span / (rough * factor) <= 9))
