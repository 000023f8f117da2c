"""Small charts as SVG: lines or points over a logarithm of bytes, for both themes, with titles to hover over."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 640, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 14, 48
_STEPS = (1, 2, 5)
_TICKS = 6


@dataclass(frozen=True)
class Point:
    """One point.

    Attributes:
        x: bytes, above zero.
        y: in the chart's unit.
        words: shown where the pointer rests.
        low: end of a bar beneath it, or None.
        high: end of a bar above it, or None.
    """

    x: float
    y: float
    words: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Series:
    """Points of one way to send frames; `ours` are drawn thick."""

    name: str
    points: tuple[Point, ...]
    ours: bool = False
    joined: bool = True


def chart(series: Sequence[Series], name: str, x_label: str, y_label: str) -> str:
    """An SVG that says by itself what it shows; colours are classes ``s0``, ``s1``, ... in the order of the series.

    Args:
        series: with a point at least among them.
        name: for those who cannot see it.
        x_label: of the bytes.
        y_label: of the other axis.

    Raises:
        ValueError: there is no point.
    """
    points = [point for each in series for point in each.points]
    if not points:
        raise ValueError(f"the chart {name!r} has no point")
    x_range = min(p.x for p in points) / 1.15, max(p.x for p in points) * 1.15
    ends = [end for p in points for end in (p.y, p.low, p.high) if end is not None]
    ticks = _y_ticks(min(ends), max(ends))
    plane = _Plane(x_range, (ticks[0], ticks[-1]))
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}">',
        *_axes(plane, ticks, x_label, y_label),
    ]
    for number, each in enumerate(series):
        parts += _drawn(each, number, plane)
    return "\n".join([*parts, "</svg>"])


def legend(series: Sequence[Series]) -> str:
    """What each colour stands for."""
    items = (f'<li><span class="swatch s{number}"></span>{escape(s.name)}</li>' for number, s in enumerate(series))
    return f'<ul class="legend">{"".join(items)}</ul>'


@dataclass(frozen=True)
class _Plane:
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def x(self, value: float) -> float:
        low, high = (math.log(end) for end in self.x_range)
        return round(_LEFT + (math.log(value) - low) / (high - low) * (WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return round(HEIGHT - _BOTTOM - (value - low) / (high - low) * (HEIGHT - _TOP - _BOTTOM), 1)


def _axes(plane: _Plane, ticks: Sequence[float], x_label: str, y_label: str) -> Iterator[str]:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    for tick in ticks:
        at = plane.y(tick)
        yield f'<path class="grid" d="M{_LEFT} {at}H{right}"/>'
        yield f'<text x="{_LEFT - 6}" y="{at + 4}" text-anchor="end">{tick:g}</text>'
    for tick in _x_ticks(*plane.x_range):
        at = plane.x(tick)
        yield f'<path class="grid" d="M{at} {_TOP}V{bottom}"/>'
        yield f'<text x="{at}" y="{bottom + 18}" text-anchor="middle">{_bytes(tick)}</text>'
    middle = (_LEFT + right) / 2
    yield f'<text x="{middle:g}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_label)}</text>'
    turned = f"translate(13 {(_TOP + bottom) / 2:g}) rotate(-90)"
    yield f'<text transform="{turned}" text-anchor="middle">{escape(y_label)}</text>'


def _drawn(series: Series, number: int, plane: _Plane) -> Iterator[str]:
    kind = f"s{number}{' ours' if series.ours else ''}"
    yield f'<g class="{kind}">'
    if series.joined and len(series.points) > 1:
        path = "L".join(f"{plane.x(p.x)} {plane.y(p.y)}" for p in series.points)
        yield f'<path class="line" d="M{path}"/>'
    for point in series.points:
        x, y = plane.x(point.x), plane.y(point.y)
        if point.low is not None and point.high is not None:
            yield f'<path class="bar" d="M{x} {plane.y(point.low)}V{plane.y(point.high)}"/>'
        radius = 5 if series.ours else 3.5
        yield f'<circle cx="{x}" cy="{y}" r="{radius}"><title>{escape(point.words)}</title></circle>'
    yield "</g>"


def _y_ticks(low: float, high: float) -> list[float]:
    step = 10 ** math.floor(math.log10(max(high - low, 0.1) / _TICKS))
    step = next(step * factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= _TICKS)
    first, last = math.floor(low / step), math.ceil(high / step)
    last = max(last, first + 1)
    return [round(number * step, 6) for number in range(first, last + 1)]


def _x_ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [step * 10**power for power in powers for step in _STEPS if low <= step * 10**power <= high]


def _bytes(count: float) -> str:
    return f"{count / 1000:g} kB" if count >= 1000 else f"{count:g} B"
