"""Sequences as video, with the boxes' crops as still pictures beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.clip_curves import Curve, Point, Way
from benchmarks.clip_sequences import Sequence as Run
from benchmarks.video_codecs import Codec, decode, encode
from rinr.metrics import frame_psnr, mean_db


@dataclass(frozen=True)
class Coded:
    """A sequence as one stream; means over its frames.

    Attributes:
        name: the codec's quality and scale, ``50/2``.
        bytes_a_frame: packets and configuration; no container, no boxes.
    """

    name: str
    quality: int
    scale: int
    key_distance: int
    bytes_a_frame: float
    background_db: float
    object_db: float


def coded(run: Run, codec: Codec, quality: int, scale: int, key_distance: int) -> Coded:
    """Encode, decode and measure."""
    stream = encode([frame.pixels for frame in run.frames], codec, quality, key_distance, scale)
    dbs = [
        frame_psnr(frame.pixels, decoded, frame.boxes)
        for frame, decoded in zip(run.frames, decode(stream), strict=True)
    ]
    return Coded(
        f"{quality}/{scale}",
        quality,
        scale,
        key_distance,
        stream.bytes_total / len(run.frames),
        mean_db(background for background, _ in dbs) or 0.0,
        mean_db(inside for _, inside in dbs) or 0.0,
    )


def way(name: str, points: Sequence[Coded], crops: Curve, beside: float) -> Way:
    """Video with crops, or video alone where it is cheaper.

    Args:
        name: for tables.
        points: of one codec and key distance.
        crops: the best still codecs' curve.
        beside: bytes a frame of boxes, labels and headers.
    """
    ladders: dict[int, list[Point]] = {}
    for p in points:
        ladders.setdefault(p.scale, []).append(Point(p.name, p.bytes_a_frame + beside, p.background_db))
    return Way(
        name,
        Curve(tuple(tuple(ladder) for ladder in ladders.values())),
        crops,
        tuple((p.bytes_a_frame + beside, p.background_db, p.object_db) for p in points),
    )
