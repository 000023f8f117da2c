"""The cheapest image codecs that are no worse over a sample: what a sceptic would send in place of networks.

JPEG, WebP and AVIF at full and reduced size, whole frames and two-stream: the frame at low quality and a sharp crop a
box. Of a two-stream codec the frame alone decides the background's PSNR and the crops alone the objects', so that each
is searched by itself. Files and PSNR grow with the quality, which is found by halving among the qualities that
``benchmarks/controls.py`` tries one by one.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import mean

from rinr.codec.bytestream import varint
from rinr.halving import lowest_that_does
from rinr.networks.settings import CodecSettings, PolicySettings
from rinr.planning.encoding import Bench, Trial
from rinr.presets import Preset, codec_preset

CODECS = ("jpeg", "webp", "avif")
SCALES, CROP_SCALES = PolicySettings().scales, PolicySettings().crop_scales
QUALITIES = (*range(11), *range(12, 40, 2), *range(40, 96, 5))
CROP_QUALITIES = tuple(range(10, 96, 2))

_ANY = CodecSettings("jpeg", 1, 16)  # a frame to try crops on
_TRIALS = 90  # about as many as a search takes, for progress

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Target:
    """Mean PSNRs that a control must not be below, in dB; ``None`` where there are no such pixels."""

    background_db: float | None
    object_db: float | None

    def met_by(self, background_db: float | None, object_db: float | None) -> bool:
        """Whether both are reached."""
        pairs = ((self.background_db, background_db), (self.object_db, object_db))
        return all(asked is None or (got is not None and got >= asked) for asked, got in pairs)


@dataclass(frozen=True)
class Controls:
    """What a search found.

    Attributes:
        of_codec: the cheapest preset of each codec that meets the target; a codec that never does is not there.
        cheapest: of all, frames and crops of different codecs among them; ``None`` where none meets the target.
        best: the highest background and object PSNR that any file tried has: what is possible.
    """

    of_codec: dict[str, Preset]
    cheapest: Preset | None
    best: Target


def search_controls(bench: Bench, target: Target, progress: Progress | None = None) -> Controls:
    """Find the cheapest controls whose mean background and object PSNR are no lower than the target's."""
    search = _Search(bench, target, progress)
    return search.run()


@dataclass(frozen=True)
class _Found:
    """Settings that do, and what they take a frame: the whole, the frame's file, or crops and all else, in bytes."""

    settings: CodecSettings
    size: float


@dataclass
class _Search:
    bench: Bench
    target: Target
    progress: Progress | None
    tried: dict[Preset, Trial] = field(default_factory=dict)

    def run(self) -> Controls:
        of_codec: dict[str, Preset] = {}
        prices: dict[str, float] = {}
        frames: list[_Found] = []
        crops: list[_Found] = []
        for codec in CODECS:
            if self.target.object_db is not None:
                frame = self._over_scales(codec, Target(self.target.background_db, None), _frame_bytes)
                crop = self._crops(codec)
                frames += [frame] if frame else []
                crops += [crop] if crop else []
                if frame and crop:
                    prices[codec] = frame.size + crop.size
                    of_codec[codec] = codec_preset(frame.settings, crop.settings)
            whole = self._over_scales(codec, self.target, _whole_bytes, prices.get(codec, math.inf))
            if whole:
                prices[codec], of_codec[codec] = whole.size, codec_preset(whole.settings)
        cheapest = of_codec[min(prices, key=lambda codec: prices[codec])] if prices else None
        if frames and crops:
            frame, crop = (min(each, key=lambda f: f.size) for each in (frames, crops))
            if not prices or frame.size + crop.size < min(prices.values()):
                cheapest = codec_preset(frame.settings, crop.settings)
        return Controls(of_codec, cheapest, self._best())

    def _over_scales(
        self, codec: str, target: Target, size: Callable[[Trial], float], below: float = math.inf
    ) -> _Found | None:
        """The cheapest file of the frame at any scale that takes fewer bytes than so many; what costs more at its worst
        than one before is passed over."""
        best: _Found | None = None
        for scale in SCALES:
            presets = [codec_preset(CodecSettings(codec, quality, scale)) for quality in QUALITIES]
            if found := self._rising(presets, target, size, best.size if best else below):
                best = _Found(_codec(found[0].background), found[1])
        return best

    def _crops(self, codec: str) -> _Found | None:
        """Likewise of crops."""
        best, target = None, Target(None, self.target.object_db)
        for scale in CROP_SCALES:
            presets = [codec_preset(_ANY, CodecSettings(codec, quality, scale)) for quality in CROP_QUALITIES]
            if found := self._rising(presets, target, _crop_bytes, best.size if best else math.inf):
                best = _Found(_codec(found[0].objects[0].network), found[1])
        return best

    def _rising(
        self,
        presets: Sequence[Preset],
        target: Target,
        size: Callable[[Trial], float],
        below: float,
    ) -> tuple[Preset, float] | None:
        """The first of presets of rising quality that meets a target, if it takes fewer bytes than so many."""
        found = lowest_that_does(
            len(presets),
            lambda number: self._trial(presets[number]),
            lambda trial: target.met_by(trial.background_db, trial.object_db),
            size,
            below,
        )
        if found is None:
            return None
        taken = size(self._trial(presets[found]))
        return (presets[found], taken) if taken < below else None

    def _trial(self, preset: Preset) -> Trial:
        if preset not in self.tried:
            self.tried[preset] = self.bench.trial(preset)
            if self.progress:
                self.progress(len(self.tried), max(_TRIALS, len(self.tried) + 1))
        return self.tried[preset]

    def _best(self) -> Target:
        backgrounds = [t.background_db for t in self.tried.values() if t.background_db is not None]
        objects = [t.object_db for t in self.tried.values() if t.object_db is not None]
        return Target(max(backgrounds, default=None), max(objects, default=None))


def _codec(settings: object) -> CodecSettings:
    assert isinstance(settings, CodecSettings)
    return settings


def _whole_bytes(trial: Trial) -> float:
    return trial.payload_bytes


def _frame_bytes(trial: Trial) -> float:
    """Of the frame's file, with its length where crops follow."""
    return mean(_frame_file(image.frame.bytes_background, bool(image.frame.boxes)) for image in trial.images)


def _crop_bytes(trial: Trial) -> float:
    """Of crops, labels, boxes and header: all but the frame's file."""
    return trial.payload_bytes - _frame_bytes(trial)


def _frame_file(size: int, objects: bool) -> int:
    return size + (len(varint(size)) if objects else 0)
