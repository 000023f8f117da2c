"""Rate-distortion curves: the same frames at several qualities, ours beside the controls."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import numpy as np

from rinr.controls import Coded, row
from rinr.encoder import encode
from rinr.frames import Frame
from rinr.networks.settings import MAX_QUALITY, CodecSettings, CosineSettings
from rinr.networks.siren_coding import Shape
from rinr.presets import Preset, Settings, find_preset

REFERENCE = "two-stream JPEG"
"""The curve against which BD-rates are given."""

LADDERS: Mapping[str, tuple[str, ...]] = {
    REFERENCE: ("jpeg:1+30", "jpeg:3+50", "jpeg:5+75", "jpeg:10+85", "jpeg:20+90"),
    "two-stream WebP": ("webp:0+50", "webp:0+80", "webp:10+85", "webp:30+90"),
    "two-stream AVIF": ("avif:1+50", "avif:5+70", "avif:15+80", "avif:30+85"),
    "two-stream WebP, frame at 1/4": ("webp:0/4+40", "webp:10/4+60", "webp:10/4+80", "webp:50/4+85", "webp:80/4+90"),
    "two-stream AVIF, frame at 1/4": ("avif:20/4+50", "avif:35/4+70", "avif:60/4+80", "avif:80/4+85"),
}
"""The controls' curves: presets by rising quality of frame and crops."""

_FACTORS = (2.0, 1.4, 1.0, 0.7, 0.5)


@dataclass(frozen=True)
class Point:
    """Means over the frames."""

    preset: str
    bytes_a_frame: float
    background_db: float | None
    object_db: float | None


@dataclass(frozen=True)
class Curve:
    """One way to send the frames, by rising quality.

    Attributes:
        background_bd_rate: bytes more than :data:`REFERENCE` at equal background PSNR, in per cent (negative: fewer);
            ``None`` where the two have too little in common.
        object_bd_rate: likewise, at equal object PSNR.
    """

    name: str
    points: tuple[Point, ...]
    background_bd_rate: float | None = None
    object_bd_rate: float | None = None


def ladder(preset: Preset) -> list[Preset]:
    """A preset at several qualities, itself in the middle: finer and coarser steps, wider and narrower networks."""
    return [
        replace(
            preset,
            name=preset.name if factor == 1 else f"{preset.name} x {factor:g}",
            background=coarser(preset.background, factor),
            objects=tuple(replace(c, network=coarser(c.network, factor)) for c in preset.objects),
        )
        for factor in _FACTORS
    ]


def coarser(settings: Settings, factor: float) -> Settings:
    """A network's settings with a step ``factor`` times as coarse, or about ``1 / factor`` of the weights."""
    if isinstance(settings, CosineSettings):
        return replace(settings, step=settings.step * factor)
    if isinstance(settings, CodecSettings):
        return replace(settings, quality=min(round(settings.quality / factor), MAX_QUALITY))
    # Weights go with the square of the width.
    width = max(round(settings.shape.width / math.sqrt(factor)), 2)
    return replace(settings, shape=Shape(width, settings.shape.layers))


def point(preset: Preset, frames: Sequence[Frame], device: str = "cpu") -> Point:
    """Encode the frames and take the means."""
    images = encode(frames, preset, device=device)
    coded = [Coded(i.frame.bytes_total, i.background_db, i.object_db) for i in images]
    means = row(preset.name, preset.name, coded)
    return Point(preset.name, means.bytes_a_frame, means.background_db, means.object_db)


def controls() -> dict[str, list[Preset]]:
    """The presets of the controls' curves."""
    return {name: [find_preset(rung) for rung in rungs] for name, rungs in LADDERS.items()}


def compared(curves: Sequence[Curve]) -> list[Curve]:
    """Curves with their BD-rates against :data:`REFERENCE`, which must be among them."""
    reference = next(curve for curve in curves if curve.name == REFERENCE)
    return [
        replace(
            curve,
            background_bd_rate=bd_rate(_panel(reference, "background_db"), _panel(curve, "background_db")),
            object_bd_rate=bd_rate(_panel(reference, "object_db"), _panel(curve, "object_db")),
        )
        for curve in curves
    ]


def bd_rate(reference: Sequence[tuple[float, float]], tested: Sequence[tuple[float, float]]) -> float | None:
    """Bjontegaard's mean difference in bytes at equal PSNR, in per cent: negative where the tested curve needs fewer.

    The logarithm of the bytes is a cubic of the PSNR (of lower degree where there are fewer points), integrated over
    the PSNR that both curves reach (VCEG-M33, 2001).

    Args:
        reference: ``(bytes, dB)`` each.
        tested: likewise.

    Returns:
        ``None`` where a curve has fewer than two points, or no PSNR is reached by both.
    """
    if min(len(reference), len(tested)) < 2:
        return None
    low = max(min(db for _, db in curve) for curve in (reference, tested))
    high = min(max(db for _, db in curve) for curve in (reference, tested))
    if low >= high:
        return None
    areas = []
    for curve in (reference, tested):
        at = [db for _, db in curve]
        degree = min(3, len({round(db, 2) for db in at}) - 1)
        cubic = np.polynomial.Polynomial.fit(at, [math.log(size) for size, _ in curve], degree).integ()
        areas.append(float(cubic(high) - cubic(low)))
    return 100 * (math.exp((areas[1] - areas[0]) / (high - low)) - 1)


def draw(curves: Sequence[Curve], title: str) -> bytes:
    """The curves as a PNG: a panel of backgrounds and one of objects, bytes in logarithms.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    figure = Figure(figsize=(12, 5.5), layout="constrained")
    panels: Any = figure.subplots(1, 2)
    for panel, name, field in zip(panels, ("background", "object"), ("background_db", "object_db"), strict=True):
        for curve in curves:
            points = _panel(curve, field)
            ours = curve.name not in LADDERS
            panel.plot(
                [size for size, _ in points],
                [db for _, db in points],
                marker="o" if ours else ".",
                linewidth=2.5 if ours else 1,
                label=curve.name,
            )
        panel.set(xscale="log", xlabel="bytes a frame, all that travels", ylabel=f"{name} PSNR, dB")
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.grid(visible=True, which="both", alpha=0.3)
    panels[0].legend(fontsize=8)
    figure.suptitle(title)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _panel(curve: Curve, field: str) -> list[tuple[float, float]]:
    return [(p.bytes_a_frame, db) for p in curve.points if (db := getattr(p, field)) is not None]
