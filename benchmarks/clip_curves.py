"""Rate-distortion curves of whole sequences, background and objects apart, to be read at the same PSNRs.

Two streams are two curves: bytes a frame of all that is not an object's over background PSNR, and bytes a frame of the
objects over object PSNR. What a way needs for a background of ``b`` and objects of ``o`` dB is what each of its curves
takes there, added.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """One quality of one stream.

    Attributes:
        name: what was asked of the encoder.
        bytes_a_frame: mean over the frames.
        db: likewise.
    """

    name: str
    bytes_a_frame: float
    db: float


@dataclass(frozen=True)
class Curve:
    """One stream at several qualities.

    Attributes:
        ladders: points that are read together: of one codec at one scale. Of several ladders the cheapest counts.
    """

    ladders: tuple[tuple[Point, ...], ...]

    def at(self, db: float) -> float | None:
        """Bytes a frame for at least this PSNR: between neighbours the logarithm of the bytes is taken as linear.

        Below a ladder its cheapest point is taken, since a codec that cannot do worse cannot cost less; above all of
        them nothing is known: ``None``.
        """
        found = [size for points in self.ladders if (size := _read(_best(points), db)) is not None]
        return min(found, default=None)

    @property
    def best(self) -> tuple[Point, ...]:
        """The points that no other beats in both, by rising PSNR."""
        return _best([point for points in self.ladders for point in points])


@dataclass(frozen=True)
class Way:
    """One way to send a sequence.

    Attributes:
        name: for tables.
        background: all that travels but the objects.
        objects: what they take.
        whole: points of one stream that has no crops, as ``(bytes, background dB, object dB)``; it counts where it has
            both PSNRs for fewer bytes than two streams.
    """

    name: str
    background: Curve
    objects: Curve
    whole: tuple[tuple[float, float, float], ...] = ()

    def at(self, background_db: float, object_db: float) -> float | None:
        """Bytes a frame for both PSNRs; ``None`` where one is not reached."""
        parts = self.background.at(background_db), self.objects.at(object_db)
        costs = [size for size, *dbs in self.whole if dbs[0] >= background_db and dbs[1] >= object_db]
        if parts[0] is not None and parts[1] is not None:
            costs.append(parts[0] + parts[1])
        return min(costs, default=None)


def joined(curves: Iterable[Curve]) -> Curve:
    """The ladders of all of them."""
    return Curve(tuple(points for curve in curves for points in curve.ladders))


def _best(points: Sequence[Point]) -> tuple[Point, ...]:
    best: list[Point] = []
    for point in sorted(points, key=lambda p: (-p.db, p.bytes_a_frame)):
        if not best or point.bytes_a_frame < best[-1].bytes_a_frame:
            best.append(point)
    return tuple(reversed(best))


def _read(hull: Sequence[Point], db: float) -> float | None:
    if not hull or db > hull[-1].db:
        return None
    if db <= hull[0].db:
        return hull[0].bytes_a_frame
    upper = next(index for index, point in enumerate(hull) if point.db >= db)
    low, high = hull[upper - 1], hull[upper]
    part = (db - low.db) / (high.db - low.db)
    return math.exp((1 - part) * math.log(low.bytes_a_frame) + part * math.log(high.bytes_a_frame))
