"""Encoding clips: frames of one camera together where that takes fewer bytes, and alone where it does not.

::

    frames --runs (rinr.clips)--> motion --mosaic (rinr.clip_canvas)--> shared network
    each frame less what the shared network shows of it --> its own background --> its objects, as of frames alone

Whether a run is encoded together is decided by a few of its frames, encoded both ways.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rinr.clip_backgrounds import Base, fit_base, fit_difference, rendered
from rinr.clip_extending import extended
from rinr.clip_objects import narrowed, picked_tiles
from rinr.clips import Run, find_runs, outside, unit
from rinr.codec.clip import pack_place, part_id
from rinr.codec.encoded import EncodedClip, EncodedImage
from rinr.encoder import Progress, Work, boxes_with_networks, encode_on, fit_backgrounds
from rinr.frames import Frame
from rinr.metrics import object_mask
from rinr.networks.cosine_coding import TILES
from rinr.networks.payload import Member, write_networks
from rinr.networks.settings import ClipSettings, CosineSettings, CosineTimeSettings
from rinr.presets import Preset, encoding_id

_FRAMES_A_PROBE = 10
_QUICKLY = 1.01
"""By how much the error of a quick fit may be larger: what further sweeps bring."""
_NO_CLIP = "alone: {} alike where a clip has {} or more, and no earlier clip serves"


def encode_clips(
    frames: Sequence[Frame],
    times: Sequence[float | None],
    preset: Preset,
    *,
    known: Sequence[bytes] = (),
    device: str = "cpu",
    progress: Progress | None = None,
) -> list[EncodedClip]:
    """Fit, quantize and code frames of one camera, together where they resemble each other.

    What a run of frames comes to does not depend on which other runs are encoded with it, nor on the machine's speed.

    Args:
        frames: of one camera, in the order of time, of any sizes.
        times: in seconds, one a frame, where known.
        preset: one with settings for clips; otherwise every frame stands alone.
        known: shared parts of earlier clips of this camera, the newest last: new frames that lie in it need no other.
        device: where to fit, ``cpu`` or ``cuda``.
        progress: told how many frame-steps, of two a frame, are done.

    Returns:
        Clips, and frames that stand alone, one run after another; their images are in the order of the frames.

    Raises:
        FloatingPointError: a fit diverged.
        ValueError: not one time a frame.
    """
    return list(each_clip(frames, times, preset, known=known, device=device, progress=progress))


def each_clip(
    frames: Sequence[Frame],
    times: Sequence[float | None],
    preset: Preset,
    *,
    known: Sequence[bytes] = (),
    device: str = "cpu",
    progress: Progress | None = None,
) -> Iterator[EncodedClip]:
    """What :func:`encode_clips` gives, each clip as soon as it is finished."""
    if len(times) != len(frames):
        raise ValueError(f"{len(times)} times for {len(frames)} frames, expected one a frame, or None where not known")
    count = Work(2 * len(frames), progress)
    own = _Frames(frames, preset, device)
    settings = preset.clip
    if settings is None:
        yield from (own.alone(Run(index, index + 1, ""), "", count) for index in range(len(frames)))
        return
    for run in find_runs(frames, times, settings, device=device, on_frame=count):
        made = _encode_run(run, own, settings, known, count)
        known = [*known, *(clip.part for clip in made if clip.part)]
        yield from made


def _encode_run(
    run: Run, own: "_Frames", settings: ClipSettings, known: Sequence[bytes], count: Callable[[int], None]
) -> list[EncodedClip]:
    """A run over an earlier clip's part, over one of its own, or alone; cut where it leaves the earlier one."""
    started = time.perf_counter()
    trials: list[_Trial] = []
    frames = own.frames[run.start : run.stop]
    earlier = extended(frames, run.motions, known[-1], own.device) if known else None
    inside = len(earlier.places) if earlier else 0
    if len(run) > inside >= len(run) / 2:
        first, rest = run.part(0, inside), run.part(inside, len(run), "the camera has left the earlier clip")
        return [*_encode_run(first, own, settings, known, count), *_encode_run(rest, own, settings, (), count)]
    if earlier and inside == len(run):
        trials.append(_Trial(own, run, earlier, settings, new=False))
    if len(run) >= settings.fewest_frames and (base := own.base(run, settings)):
        trials.append(_Trial(own, run, base, settings))
    if not trials:
        return [own.alone(run, _NO_CLIP.format(len(run), settings.fewest_frames), count)]
    if settings.background is None:
        return [trials[-1].encoded(started, count)]  # the preset leaves no choice
    for trial in trials:
        trial.probe()
    best = min(trials, key=lambda trial: trial.lagrangian)
    if not best.worth:
        why = "" if best.no_worse else " and be worse"
        return [own.alone(run, f"alone: a clip would take {best.ratio:.2f} of the backgrounds' bytes{why}", count)]
    return [best.encoded(started, count)]


@dataclass(frozen=True)
class _Cost:
    """What a background takes and leaves.

    Attributes:
        bytes: that travel.
        error: squared, of values from 0 to 1, summed over what no box covers.
    """

    bytes: float
    error: float


class _Frames:
    """Frames, and their backgrounds alone, each fitted once."""

    def __init__(self, frames: Sequence[Frame], preset: Preset, device: str) -> None:
        self.frames, self.preset, self.device = frames, preset, device
        self._alone: dict[int, Member] = {}

    def background(self, index: int) -> Member:
        """Of a frame alone."""
        if index not in self._alone:
            (self._alone[index],) = fit_backgrounds([self.frames[index]], self.preset, self.device)
        return self._alone[index]

    def cost(self, index: int) -> _Cost:
        """Of a frame's background alone."""
        frame, background = self.frames[index], self.background(index)
        shown = rendered(frame.size, background, self.device)
        return _Cost(len(write_networks([background])), error(frame, shown, self.device))

    def base(self, run: Run, settings: ClipSettings) -> Base | None:
        """What a run's frames share, as coarse as they are no worse over it than alone."""

        def enough(base: Base) -> bool:
            trial = _Trial(self, run, base, settings)
            trial.probe()
            return trial.no_worse

        return fit_base(self.frames[run.start : run.stop], run.motions, settings, self.device, enough)

    def uncovered(self, index: int) -> Tensor | None:
        """Where no object has a network, ``[height, width]`` bool; ``None``: everywhere."""
        frame = self.frames[index]
        numbers = boxes_with_networks(frame.boxes, frame.size) if self.preset.objects else []
        boxes = [box for number in numbers if self.preset.object_network((box := frame.boxes[number]).area)]
        return torch.from_numpy(~object_mask(frame.size, boxes)).to(self.device) if boxes else None

    @property
    def worth_of_error(self) -> float:
        """Bytes that one squared error is worth, as fits of backgrounds alone trade them; zero: bytes alone decide."""
        settings = self.preset.background
        if not isinstance(settings, CosineSettings) or not settings.trade:
            return 0.0
        return (255 / settings.step) ** 2 / settings.trade / 8

    def alone(self, run: Run, reason: str, count: Callable[[int], None]) -> EncodedClip:
        """Frames of a run without a shared part."""
        started = time.perf_counter()
        images = encode_on(
            self.frames[run.start : run.stop],
            [self.background(index) for index in range(run.start, run.stop)],
            self.preset,
            device=self.device,
            started=started,
        )
        count(len(run))
        for index in range(run.start, run.stop):
            self._alone.pop(index, None)
        return EncodedClip(tuple(replace(image, clip=reason) for image in images))


class _Trial:
    """A run's frames over what they share.

    Args:
        own: frames of which the run is one.
        run: the frames.
        base: what they share.
        settings: of the clip.
        new: whether the base is theirs alone; otherwise an earlier clip has paid for it.

    Attributes:
        ratio: after :meth:`probe`, bytes of the probes' backgrounds to those alone.
        no_worse: whether their error is no larger than alone.
        lagrangian: bytes, and error in bytes.
        lagrangian_alone: of the same frames alone.
    """

    def __init__(self, own: _Frames, run: Run, base: Base, settings: ClipSettings, *, new: bool = True) -> None:
        self.own, self.run, self.base, self.settings, self.new = own, run, base, settings, new
        self.differences: dict[int, Member | None] = {}
        self.tiles: tuple[int, ...] = ()
        self.share = len(base.payload) / len(run) if new else 0.0
        self.probes: list[int] = []
        self.ratio, self.lagrangian, self.lagrangian_alone, self.no_worse = math.nan, math.nan, math.nan, False

    def probe(self) -> None:
        """Encode the backgrounds of a few frames both ways."""
        run = self.run
        self.probes = spread_over(len(run), max(len(run) // _FRAMES_A_PROBE, 2))
        together = [self._cost(place) for place in self.probes]
        self.tiles = _mostly_picked(self.differences.values())
        alone = [self.own.cost(run.start + place) for place in self.probes]
        self.ratio = sum(each.bytes for each in together) / sum(each.bytes for each in alone)
        self.no_worse = sum(each.error for each in together) <= _QUICKLY * sum(each.error for each in alone)
        self.lagrangian, self.lagrangian_alone = (
            sum(each.error * self.own.worth_of_error + each.bytes for each in costs) for costs in (together, alone)
        )

    @property
    def worth(self) -> bool:
        """Whether this is better than the frames alone."""
        return self.ratio <= self.settings.allowance and self.lagrangian <= self.lagrangian_alone

    def _difference(self, place: int) -> Member | None:
        """Of the run's frame with this number; a network of time holds all of its own frames."""
        if self.new and isinstance(self.settings.base, CosineTimeSettings):
            return None
        if place not in self.differences:
            self.differences[place] = fit_difference(
                self.own.frames[self.run.start + place],
                self.base.places[place],
                self.base,
                self.settings,
                self.own.device,
                wanted=self.own.uncovered(self.run.start + place),
                tiles=self.tiles,
            )
        return self.differences[place]

    def _cost(self, place: int) -> _Cost:
        """Of a frame's background, its share of what is shared among it."""
        frame, own, where = self.own.frames[self.run.start + place], self._difference(place), self.base.places[place]
        shown = rendered(frame.size, own, self.own.device, where, self.base.by_name)
        size = len(write_networks([own])) + len(pack_place(where)) + self.share
        return _Cost(size, error(frame, shown, self.own.device))

    def encoded(self, started: float, count: Callable[[int], None]) -> EncodedClip:
        """All frames, and what they share where it is new."""
        preset, run = self.own.preset, self.run
        first = self._images(self.probes, preset, started) if self.probes else []
        others = [place for place in range(len(run)) if place not in self.probes]
        alike = replace(preset, objects=narrowed(preset.objects, picked_tiles(image.frame for image in first)))
        rest = self._images(others, alike, started) if others else []
        images = [image for _, image in sorted(zip([*self.probes, *others], [*first, *rest], strict=True), key=_place)]
        seconds = (time.perf_counter() - started) / len(run)
        count(len(run))
        reason = f"one of {len(run)} frames" + ("" if self.new else " over an earlier clip")
        if self.probes:
            reason += f", {self.ratio:.2f} of their backgrounds' bytes alone"
        images = [
            replace(
                image,
                encoding_id=encoding_id(preset),
                fit_seconds=seconds,
                part_id=part_id(self.base.payload),
                bytes_shared=self.share,
                clip=reason,
            )
            for image in images
        ]
        return EncodedClip(tuple(images), self.base.payload if self.new else None)

    def _images(self, places: Sequence[int], preset: Preset, started: float) -> list[EncodedImage]:
        """Frames of the run with these numbers."""
        return encode_on(
            [self.own.frames[self.run.start + place] for place in places],
            [self._difference(place) for place in places],
            preset,
            device=self.own.device,
            started=started,
            places=[self.base.places[place] for place in places],
            shared=self.base.by_name,
        )


def _place(numbered: tuple[int, EncodedImage]) -> int:
    return numbered[0]


def _mostly_picked(members: Iterable[Member | None]) -> tuple[int, ...]:
    """The side of tiles that most networks have, the larger one of two; all are tried where there are none."""
    sides = Counter(TILES[member.network.layout.tile] for member in members if member)
    return (max(sides, key=lambda side: (sides[side], side)),) if sides else ()


def spread_over(length: int, count: int) -> list[int]:
    """So many of ``length`` numbers, evenly spread, none at an end."""
    return sorted({(2 * index + 1) * length // (2 * count) for index in range(min(count, length))})


def error(frame: Frame, shown: Tensor, device: str) -> float:
    """Squared error of a background, of values from 0 to 1, summed over what no box covers."""
    left = (shown.clamp(0, 1) - unit(frame, device)).square().sum(dim=0, dtype=torch.float64)
    there = outside(frame, device)
    return float(left.sum() if there is None else left[there].sum())
