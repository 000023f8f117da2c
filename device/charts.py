"""Line charts as SVG for the page: they take the page's colours, so that they can be read in light and in dark."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 480, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 30, 38
_MAX_POINTS = 400  # of a line


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        name: for the legend.
        style: the class that the page's style sheet has for it.
        points: x and y.
    """

    name: str
    style: str
    points: Sequence[tuple[float, float]]


def line_chart(title: str, across: str, lines: Sequence[Line], top: float) -> str:
    """An SVG element of lines over a common scale from 0.

    Args:
        title: of the chart.
        across: what x is.
        lines: each with at least one point.
        top: the largest y that is shown.
    """
    most_x = max(max(x for x, _ in line.points) for line in lines) or 1
    least_x = min(min(x for x, _ in line.points) for line in lines)
    top = top if top > 0 and math.isfinite(top) else 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        share = (x - least_x) / max(most_x - least_x, 1e-9)
        height = _HEIGHT - _TOP - _BOTTOM
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT), _TOP + (1 - min(max(y / top, 0), 1)) * height

    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">',
        f'<text x="{_LEFT}" y="16" class="title">{escape(title)}</text>',
    ]
    for step in range(5):
        value = top * step / 4
        _, y = place(least_x, value)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    for x, anchor in ((least_x, "start"), (most_x, "end")):
        parts.append(f'<text x="{place(x, 0)[0]:.1f}" y="{_HEIGHT - 18}" text-anchor="{anchor}">{x:g}</text>')
    parts.append(f'<text x="{_WIDTH / 2:.0f}" y="{_HEIGHT - 18}" text-anchor="middle">{escape(across)}</text>')
    for number, line in enumerate(lines):
        places = [place(x, y) for x, y in _thinned(line.points)]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{joined}" class="{line.style}"/>')
        if len(places) <= 30:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" class="{line.style}"/>' for x, y in places]
        if len(lines) > 1:
            x = _WIDTH - _RIGHT - 110 * (len(lines) - number) + 10
            parts.append(f'<line x1="{x}" x2="{x + 18}" y1="12" y2="12" class="{line.style}"/>')
            parts.append(f'<text x="{x + 24}" y="16">{escape(line.name)}</text>')
    return "".join([*parts, "</svg>"])


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most so many of them, the first and the last among them."""
    if len(points) <= _MAX_POINTS:
        return list(points)
    return [points[i * (len(points) - 1) // (_MAX_POINTS - 1)] for i in range(_MAX_POINTS)]
