"""Pictures laid over each other, with a slider between two of them, of the record `slider`."""

import base64
from collections.abc import Mapping
from html import escape
from pathlib import Path

from benchmarks.records import Record, Value
from benchmarks.results.drawings import missing, source
from benchmarks.results.markers import NOT_MEASURED

SIDES = {
    "original": "original", "ours": "ours", "control": "the best codec control at no fewer bytes",
    "jpeg": "the best JPEG of at most these bytes",
}  # fmt: skip


def sliders(found: Mapping[str, Record], pictures: Path) -> str:
    """One a frame of the record; pictures are inside, as data.

    Args:
        found: records by name.
        pictures: the folder of ``FRAME-SIDE.webp``.
    """
    record = found.get("slider")
    if record is None or not record.values:
        return missing("slider", record)
    names = [name.removesuffix(".name") for name in record.values if name.endswith(".name")]
    return "\n".join([*(_slider(name, record.values, pictures) for name in names), source(record)])


def _slider(frame: str, values: Mapping[str, Value], pictures: Path) -> str:
    images, options = [], []
    for side, words in SIDES.items():
        told = words if side == "original" else f"{words}: {_told(frame, side, values)}"
        images.append(f'<img data-side="{side}" alt="{escape(told)}" src="{_data(pictures / f"{frame}-{side}.webp")}">')
        options.append(f'<option value="{side}">{escape(_choice(frame, side, values))}</option>')
    title = escape(str(values[f"{frame}.name"]))
    return (
        f'<figure class="slider" data-left="ours" data-right="control"><div class="stack">{"".join(images)}'
        f'<span class="edge" aria-hidden="true"></span></div>'
        f'<label>where they meet, {title} <input type="range" min="0" max="100" value="50"></label>'
        f'<div class="sides"><label>left <select data-which="left">{"".join(options)}</select></label>'
        f'<label>right <select data-which="right">{"".join(options)}</select></label></div>'
        f"<figcaption>{_caption(frame, values)}</figcaption></figure>"
    )


def _choice(frame: str, side: str, values: Mapping[str, Value]) -> str:
    if side == "original":
        return "original"
    name = str(values.get(f"{frame}.{side}.words", side))
    return f"{name}, {values[f'{frame}.{side}.bytes']:,} bytes"


def _caption(frame: str, values: Mapping[str, Value]) -> str:
    told = (f"{escape(SIDES[side])}: {_told(frame, side, values)}" for side in ("ours", "control", "jpeg"))
    return f"<b>{escape(str(values[f'{frame}.name']))}</b>. {'; '.join(told)}."


def _told(frame: str, side: str, values: Mapping[str, Value]) -> str:
    of = f"{frame}.{side}"
    decibels = " / ".join(_decibels(values[f"{of}.{part}_db"]) for part in ("background", "object"))
    words = f"{values[f'{of}.words']}, " if f"{of}.words" in values else ""
    return f"{words}{values[f'{of}.bytes']:,} bytes, {decibels} dB"


def _decibels(value: Value) -> str:
    return NOT_MEASURED if value is None else f"{value:.1f}"


def _data(file: Path) -> str:
    return f"data:image/webp;base64,{base64.b64encode(file.read_bytes()).decode()}"
