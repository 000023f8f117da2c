"""What one sequence came to: every way's bytes at the same PSNRs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from benchmarks import clip_payloads as payloads
from benchmarks.clip_access import Access
from benchmarks.clip_curves import Way, joined
from benchmarks.clip_measure import KEY_DISTANCES, Measuring
from benchmarks.clip_motion import SLOW, camera_speed
from benchmarks.clip_payloads import Sent, scaled
from benchmarks.video_codecs import CODECS
from benchmarks.video_curves import way as video_way
from rinr.presets import Preset

SINGLE, CLIPS = "ours, frames alone", "ours, clips"
JPEG, AVIF = "two-stream JPEG", "two-stream AVIF"
VIDEOS = tuple(f"{codec.name} + crops" for codec in CODECS)
_FINER = (0.35, 0.25, 0.18)
"""Factors that are added where a target lies above the curve."""


@dataclass(frozen=True)
class Target:
    """PSNRs at which all ways are read.

    Attributes:
        name: whose they are.
        bytes_a_frame: what that control takes.
    """

    name: str
    bytes_a_frame: float
    background_db: float
    object_db: float


@dataclass(frozen=True)
class Report:
    """One sequence.

    Attributes:
        speed: of its camera, as a part of the frame's width a frame.
        ways: by name; key frames at several distances have names of their own.
        reference: the PSNRs of two-stream JPEG 5 + 75.
        own: the PSNRs of our frames alone.
        steps: factors of the steps of backgrounds and of objects with which clips have the PSNRs of ``own``, read from
            their curves; ``None`` without clips, or where a PSNR lies outside.
        checked: clips encoded with these steps.
        access: random access; empty where it was not measured.
    """

    name: str
    frames: int
    speed: float
    ways: dict[str, Way]
    reference: Target
    own: Target
    steps: tuple[float, float] | None
    checked: Sent | None
    access: tuple[Access, ...] = ()

    @property
    def slow(self) -> bool:
        """Whether the camera hovers or moves slowly."""
        return self.speed < SLOW

    def at(self, name: str, target: Target) -> float | None:
        """Bytes a frame of a way at a target's PSNRs."""
        return self.ways[name].at(target.background_db, target.object_db) if name in self.ways else None

    def ratio(self, name: str, other: str, target: Target) -> float | None:
        """Bytes of one way over those of another."""
        mine, theirs = self.at(name, target), self.at(other, target)
        return mine / theirs if mine and theirs else None


def report(measuring: Measuring, single: Preset, clip: Preset | None, key_distances: Sequence[int]) -> Report:
    """Measure one sequence.

    Args:
        measuring: the sequence.
        single: the preset of frames alone.
        clip: of clips; ``None``: they are left out.
        key_distances: of the videos.
    """
    run = measuring.run
    stills = measuring.stills()
    ways = {each.name: each for each in payloads.still_ways(stills.frames, stills.crops)}
    reference = _target("JPEG 5 + 75", stills.reference)
    middle = measuring.single(scaled(single, 1.0, 1.0))
    own = _target(f"`{single.name}`", middle)
    goals = (reference, own)
    alone = _ladder(lambda factor: measuring.single(scaled(single, factor, factor)), goals)
    ways[SINGLE] = payloads.way(SINGLE, [point for _, point in alone])
    steps, checked = None, None
    if clip:
        together = _ladder(lambda factor: measuring.clips(scaled(clip, factor, factor)), goals)
        ways[CLIPS] = payloads.way(CLIPS, [point for _, point in together])
        steps = steps_for(together, own)
        checked = measuring.clips(scaled(clip, *steps)) if steps else None
    crops = joined(payloads.objects_of(points) for points in stills.crops.values())
    beside = payloads.empty_bytes(run)
    for codec, title in zip(CODECS, VIDEOS, strict=True):
        for distance in key_distances:
            name = title if distance == KEY_DISTANCES[0] else f"{title}, keys every {distance}"
            ways[name] = video_way(name, measuring.video(codec, distance), crops, beside)
    return Report(run.name, len(run.frames), camera_speed(run), ways, reference, own, steps, checked)


def steps_for(points: Sequence[tuple[float, Sent]], target: Target) -> tuple[float, float] | None:
    """Factors of the steps of backgrounds and of objects for a target's PSNRs, between those that were measured.

    ``None`` where a PSNR lies outside.
    """
    background = _factor([(factor, point.background_db) for factor, point in points], target.background_db)
    objects = _factor([(factor, point.object_db) for factor, point in points], target.object_db)
    return (round(background, 3), round(objects, 3)) if background and objects else None


def _factor(points: Sequence[tuple[float, float]], db: float) -> float | None:
    ordered = sorted(points, key=lambda point: -point[0])
    for (coarse, low), (fine, high) in pairwise(ordered):
        if low <= db <= high and high > low:
            return float(coarse * (fine / coarse) ** ((db - low) / (high - low)))
    return None


def _ladder(measure: Callable[[float], Sent], targets: Sequence[Target]) -> list[tuple[float, Sent]]:
    """By falling factors, finer than planned where a target asks for it."""
    points = [(factor, measure(factor)) for factor in payloads.FACTORS]
    for factor in _FINER:
        if all(
            max(p.background_db for _, p in points) >= target.background_db
            and max(p.object_db for _, p in points) >= target.object_db
            for target in targets
        ):
            break
        points.append((factor, measure(factor)))
    return points


def _target(name: str, sent: Sent) -> Target:
    return Target(name, sent.bytes_a_frame, sent.background_db, sent.object_db)
