"""What `benchmarks.clips` found, as values of a record and as the table that is made of those."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from benchmarks.records import Value, name_part

COLUMNS = {
    "single": "ours, frames alone", "jpeg": "two-stream JPEG", "webp": "two-stream WebP", "avif": "two-stream AVIF",
    "clips": "ours, clips", "svt-av1": "SVT-AV1 + crops", "x265": "x265 + crops",
}  # fmt: skip
"""Names of values, and the ways to send a clip that they stand for, as `benchmarks/clip_report.py` calls them."""


def values_of(found: Mapping[str, Any]) -> dict[str, Value]:
    """Of the figures of `benchmarks.clips`: bytes of every way at the PSNRs of our frames alone, and the verdicts."""
    values: dict[str, Value] = {"sequences": len(found["sequences"])}
    for one in found["sequences"]:
        of, sizes = f"sequence.{name_part(one['name'])}", one["bytes"][one["own"]["name"]]
        values |= {f"{of}.name": one["name"], f"{of}.frames": one["frames"]}
        values |= {f"{of}.background_db": one["own"]["background_db"], f"{of}.object_db": one["own"]["object_db"]}
        values |= {f"{of}.{key}": sizes.get(way) for key, way in COLUMNS.items()}
    for key in COLUMNS:
        parts = [
            values[f"{of}.{key}"] / values[f"{of}.single"]  # type: ignore[operator]
            for of in sequences(values)
            if values[f"{of}.{key}"] and values[f"{of}.single"]
        ]
        values[f"median.{key}"] = median(parts) if parts else None
    for verdict in found["verdicts"]:
        of = f"verdict.{name_part(verdict['claim'])}"
        values |= {f"{of}.claim": verdict["claim"], f"{of}.wanted": verdict["wanted"]}
        values |= {f"{of}.measured": verdict["measured"], f"{of}.why": verdict["why"]}
    return values


def sequences(values: Mapping[str, Value]) -> list[str]:
    """What the values of each sequence begin with, in their order."""
    return [name.removesuffix(".name") for name in values if name.startswith("sequence.") and name.endswith(".name")]


def table(values: Mapping[str, Value]) -> str:
    """Bytes a frame of every way; the last line is the median part of our frames alone."""
    lines = [f"| | dB | {' | '.join(COLUMNS.values())} |", f"|---|---|{'---|' * len(COLUMNS)}"]
    for of in sequences(values):
        sizes = {key: values[f"{of}.{key}"] for key in COLUMNS}
        fewest = min(size for size in sizes.values() if size is not None)
        cells = [_cell(size, bold=size == fewest) for size in sizes.values()]
        decibels = f"{values[f'{of}.background_db']:.2f} / {values[f'{of}.object_db']:.2f}"
        lines.append(f"| {values[f'{of}.name']} | {decibels} | {' | '.join(cells)} |")
    parts = ("–" if (part := values[f"median.{key}"]) is None else f"{part:.2f}" for key in COLUMNS)
    return "\n".join([*lines, f"| median part of frames alone | | {' | '.join(parts)} |"])


def _cell(size: Any, bold: bool) -> str:
    if size is None:
        return "–"
    return f"**{size:,.0f}**" if bold else f"{size:,.0f}"
