"""Sequences as frame payloads: still codecs frame by frame, our single frames, and our clips."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

from benchmarks.clip_curves import Curve, Point, Way, joined
from benchmarks.clip_sequences import Sequence as Run
from rinr.clip_encoder import encode_clips
from rinr.codec.encoded import EncodedImage
from rinr.codec.frame import EncodedFrame
from rinr.curves import coarser
from rinr.encoder import encode
from rinr.metrics import mean_db
from rinr.networks.settings import CodecSettings, CosineTimeSettings
from rinr.presets import Preset, codec_preset

FACTORS = (2.0, 1.4, 1.0, 0.7, 0.5)
"""Of the steps of our presets, for their curves."""

WHOLES: dict[str, dict[int, tuple[int, ...]]] = {
    "jpeg": {1: (1, 3, 5, 10, 20)},
    "webp": {1: (0, 10, 30), 2: (0, 15, 40, 70), 4: (0, 10, 30, 60, 80)},
    "avif": {1: (1, 10), 2: (5, 15, 30), 4: (5, 15, 35, 60, 80)},
}
"""Qualities of frames by codec and scale."""

CROPS = {"jpeg": (10, 30, 50, 75, 90), "webp": (10, 30, 50, 65, 80, 90), "avif": (20, 40, 55, 70, 85)}
"""Qualities of crops by codec."""

REFERENCE = ("jpeg:5", "jpeg:75")
"""The points of frames and of crops that are the reference control."""

_ANY = CodecSettings("jpeg", 1, 16)  # a background to try crops on


@dataclass(frozen=True)
class Sent:
    """A sequence as it was sent; means over its frames.

    Attributes:
        name: what was asked.
        background_bytes: of all that is not an object's: backgrounds, shared parts, headers, boxes, checksums.
        object_bytes: of the objects' networks or files.
        joint: how many frames need a shared part.
        reasons: why frames stand in clips or alone, each once.
    """

    name: str
    background_bytes: float
    object_bytes: float
    background_db: float
    object_db: float
    joint: int = 0
    reasons: tuple[str, ...] = ()

    @property
    def bytes_a_frame(self) -> float:
        """Everything."""
        return self.background_bytes + self.object_bytes


def sent(name: str, images: Sequence[EncodedImage], parts: Sequence[bytes] = ()) -> Sent:
    """Means over the images of one sequence, with the shared parts that they need divided among them all."""
    frames = [image.frame for image in images]
    in_objects = mean(frame.bytes_objects for frame in frames)
    total = (sum(frame.bytes_total for frame in frames) + sum(len(part) for part in parts)) / len(frames)
    return Sent(
        name,
        total - in_objects,
        in_objects,
        mean_db(image.background_db for image in images) or 0.0,
        mean_db(image.object_db for image in images) or 0.0,
        sum(image.part_id is not None for image in images),
        tuple(dict.fromkeys(image.clip for image in images if image.clip)),
    )


def empty_bytes(run: Run) -> float:
    """Of a frame payload without networks: header, labels, boxes, checksum; what a video needs beside its stream."""
    return mean(EncodedFrame(*frame.size, b"", frame.boxes).bytes_total for frame in run.frames)


def wholes(run: Run, family: str, scale: int, quality: int) -> Sent:
    """Frames as files of a still codec, without crops."""
    preset = codec_preset(CodecSettings(family, quality, scale))
    return sent(preset.name, encode(run.frames, preset))


def crops(run: Run, family: str, quality: int) -> Sent:
    """Crops of the boxes; their background is of no interest."""
    settings = CodecSettings(family, quality)
    images = encode(run.frames, codec_preset(_ANY, settings))
    return sent(codec_preset(settings).name, images)


def single(run: Run, preset: Preset) -> Sent:
    """Every frame alone."""
    return sent(preset.name, encode(run.frames, preset))


def clips(run: Run, preset: Preset) -> Sent:
    """Frames together, as the encoder finds clips among them."""
    found = encode_clips(run.frames, run.times, preset)
    images = [image for clip in found for image in clip.images]
    return sent(preset.name, images, [clip.part for clip in found if clip.part])


def scaled(preset: Preset, background: float, objects: float) -> Preset:
    """A preset with steps so many times as coarse: of backgrounds, bases and what is added to them, and of objects."""
    clip = preset.clip
    if clip:
        added = clip.background and replace(clip.background, step=clip.background.step * background)
        clip = replace(clip, base=_base(clip.base, background), background=added)
    return replace(
        preset,
        name=f"{preset.name} x {background:.3g} / {objects:.3g}",
        background=coarser(preset.background, background),
        objects=tuple(replace(each, network=coarser(each.network, objects)) for each in preset.objects),
        clip=clip,
    )


def _base(base: Any, factor: float) -> Any:
    """Of a family that is not told a step, the base stays."""
    if isinstance(base, CosineTimeSettings):
        return replace(base, steps=tuple(step * factor for step in base.steps))
    return base


def backgrounds_of(points: Sequence[Sent]) -> Curve:
    """The curve of what is not the objects'."""
    return _curve(points, lambda p: Point(p.name, p.background_bytes, p.background_db))


def objects_of(points: Sequence[Sent]) -> Curve:
    """The curve of the objects."""
    return _curve(points, lambda p: Point(p.name, p.object_bytes, p.object_db))


def _curve(points: Sequence[Sent], point: Callable[[Sent], Point]) -> Curve:
    """A still codec's points have the names ``codec:quality/scale``, and a ladder a codec and scale; ours have one."""
    ladders: dict[tuple[str, str], list[Point]] = {}
    for each in points:
        codec, separator, rest = each.name.partition(":")
        key = (codec, rest.partition("/")[2]) if separator else ("", "")
        ladders.setdefault(key, []).append(point(each))
    return Curve(tuple(tuple(ladder) for ladder in ladders.values()))


def way(name: str, points: Sequence[Sent]) -> Way:
    """Ours: backgrounds and objects of the same payloads."""
    return Way(name, backgrounds_of(points), objects_of(points))


def still_ways(frames: dict[str, list[Sent]], boxes: dict[str, list[Sent]]) -> list[Way]:
    """Two-stream controls: each codec with crops of its own or, but for JPEG, with the best; and the best of all."""
    best_crops = joined(objects_of(points) for points in boxes.values())
    ways = [Way("two-stream JPEG", backgrounds_of(frames["jpeg"]), objects_of(boxes["jpeg"]))]
    for family, title in (("webp", "WebP"), ("avif", "AVIF")):
        ways.append(Way(f"two-stream {title}", backgrounds_of(frames[family]), best_crops, _whole(frames[family])))
    everything = [point for points in frames.values() for point in points]
    return [*ways, Way("best still codec", backgrounds_of(everything), best_crops, _whole(everything))]


def _whole(points: Sequence[Sent]) -> tuple[tuple[float, float, float], ...]:
    return tuple((p.background_bytes, p.background_db, p.object_db) for p in points)
