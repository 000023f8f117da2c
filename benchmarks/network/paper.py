"""What the paper reports, and what stands beside it here: its shapes, their bytes, and its equation.

The figures are those of arXiv 2408.05617 and of its authors' slides. Its ratios over two to ten devices follow from its
own equation, n / (1 + n a) with n receivers and networks of a times a JPEG's bytes, and are taken from that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.network.control import Quality, quality
from benchmarks.records import Value
from rinr.codec.encoded import EncodedImage
from rinr.networks.settings import Schedule, SirenSettings
from rinr.presets import PAPER, ObjectClass, Preset

DEVICES = 10
RATIO, RELATIVE_SIZE = 5.16, 0.083
BACKGROUND_KB, OBJECT_KB = 24.0, 6.0
BACKGROUND_DB, OBJECT_DB = 34.61, 35.73
RADIO_MB = 2.0


def shapes_preset(steps: int) -> Preset:
    """The paper's shapes and bits with another schedule: without entropy coding their bytes do not depend on it."""
    schedule = Schedule(steps=steps, learning_rate=1e-3, decay=True, pixels=1_024)

    def scheduled(settings: Any) -> SirenSettings:
        assert isinstance(settings, SirenSettings)
        return replace(settings, schedule=schedule)

    return replace(
        PAPER,
        name=f"paper, {steps:,} steps",
        background=scheduled(PAPER.background),
        objects=tuple(ObjectClass(each.max_area, scheduled(each.network)) for each in PAPER.objects),
    )


def raw_bytes(image: EncodedImage) -> int:
    """Bytes of an image's networks in the paper's shapes without entropy coding: weights times bits, boxes besides."""
    background = PAPER.background
    assert isinstance(background, SirenSettings)
    return (
        _weights(background)
        + sum(
            _weights(network)
            for box in image.frame.boxes
            if isinstance(network := PAPER.object_network(box.area), SirenSettings)
        )
        + image.frame.bytes_overhead
    )


def with_raw_bytes(values: Mapping[str, Any], images: Sequence[EncodedImage], receivers: int) -> dict[str, Value]:
    """Values of the paper's shapes had their weights been sent as they are, from counters of the same run.

    Every other byte stays as it was counted; a payload is sent to all other devices.
    """
    coded = sum(image.frame.bytes_total for image in images)
    raw = sum(raw_bytes(image) for image in images)
    total = values["paper.bytes"] + receivers * (raw - coded)
    base = values["paper.ratio"] * values["paper.bytes"]
    return {
        "paper.raw_frame_bytes": raw / len(images),
        "paper.raw_relative_size": values["paper.relative_size"] * raw / coded,
        "paper.raw_bytes": total,
        "paper.raw_ratio": base / total,
    }


@dataclass(frozen=True)
class _Class:
    name: str
    least: int
    most: int | None
    settings: SirenSettings

    def holds(self, area: int) -> bool:
        return area > self.least and (self.most is None or area <= self.most)


def _classes() -> list[_Class]:
    found, least = [], 0
    for each in PAPER.objects:
        assert isinstance(each.network, SirenSettings)
        found.append(_Class(str(each.network.shape), least, each.max_area, each.network))
        least = each.max_area or 0
    return found


def of_classes(ours: Sequence[EncodedImage]) -> dict[str, Value]:
    """By the paper's classes of objects: bytes of one of its networks, and of ours, of frames with one box."""
    values: dict[str, Value] = {}
    for number, one in enumerate(_classes(), 1):
        inside = [image for image in ours if len(image.frame.boxes) == 1 and one.holds(image.frame.boxes[0].area)]
        found = quality(inside) if inside else Quality(None, None)
        start = f"classes.{number}"
        values |= {
            f"{start}.shape": one.name,
            f"{start}.range": f"{one.least + 1:,} to {one.most:,} px" if one.most else f"above {one.least:,} px",
            f"{start}.paper_bytes": _weights(one.settings),
            f"{start}.ours_bytes": sum(i.frame.bytes_objects for i in inside) / len(inside) if inside else None,
            f"{start}.ours_db": found.object_db,
            f"{start}.frames": len(inside),
        }
    return values


def _weights(settings: SirenSettings) -> int:
    return -(-settings.shape.parameters * settings.bits // 8)
