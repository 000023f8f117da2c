"""The cheapest codec control that is as good as some preset of ours: what a sceptic would have the fog node relay.

Candidates are whole frames and two-stream files of WebP and AVIF (crops also JPEG), at full, half and quarter size.
They are tried on a few frames spread over all, a pair of frame and crops by the sums of its parts; the cheapest that
are about as good are then encoded for all frames, and of those that are no worse in background *and* object PSNR, both
means over all frames, the one with the fewest bytes is taken.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import mean

from benchmarks.network.fits import Fits
from rinr.codec.encoded import EncodedImage
from rinr.folders import spread
from rinr.frames import Frame
from rinr.metrics import mean_db
from rinr.networks.settings import CodecSettings
from rinr.presets import Preset, codec_preset, find_preset

TRIED_ON = 10
"""Frames on which all candidates are tried."""

_QUALITIES = (0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 24, 28, 32, 36, 40, 45, 50, 55, 60, 70, 80)
_CROP_QUALITIES = (20, 30, 36, 42, 46, 50, 54, 58, 62, 66, 70, 74, 78, 82, 86, 90)
_SCALES = (4, 2, 1)
_ANY = CodecSettings("jpeg", 1, 16)  # a background to try crops on
# dB by which a candidate may be worse than asked on the few frames, to be looked at on all: at first, and once it is
# known how much better or worse candidates are on all.
_NEARLY, _CLOSE = 0.3, 0.1
_MOST_LOOKED, _ENOUGH_PASSED = 40, 4  # on all frames

Say = Callable[[str], None]


MeasuredQuality = Callable[[Preset, Sequence[Frame]], "Quality"]
"""Gives the quality of frames encoded with a preset."""


@dataclass(frozen=True)
class Quality:
    """Mean PSNR over frames, in dB; ``None`` where no frame has such pixels."""

    background_db: float | None
    object_db: float | None

    def reaches(self, other: "Quality", less: float = 0.0) -> bool:
        """Whether it is no worse in both than another one, or worse by no more than some dB."""
        pairs = ((self.background_db, other.background_db), (self.object_db, other.object_db))
        return all(asked is None or (own is not None and own >= asked - less) for own, asked in pairs)

    def plus(self, gain: "Quality") -> "Quality":
        """With some dB more, where they are known."""
        pairs = ((self.background_db, gain.background_db), (self.object_db, gain.object_db))
        return Quality(*(own if own is None or more is None else own + more for own, more in pairs))


def quality(images: Sequence[EncodedImage]) -> Quality:
    """Of encoded frames, as measured when they were encoded."""
    return Quality(mean_db([i.background_db for i in images]), mean_db([i.object_db for i in images]))


def cheapest(
    frames: Sequence[Frame],
    asked: Quality,
    most_bytes: float,
    fits: Fits,
    say: Say,
    measured: MeasuredQuality | None = None,
) -> Preset | None:
    """The control of fewest bytes that is no worse than asked over all frames; ``None`` where no candidate is.

    Args:
        frames: as the fog node has them.
        asked: at least.
        most_bytes: a frame, in the mean; candidates of far more are not looked at.
        fits: keeps what is encoded.
        say: told what is done.
        measured: the quality of a preset over frames, where it is not against these frames that it counts.
    """

    def of(preset: Preset, some: Sequence[Frame]) -> Quality:
        return measured(preset, some) if measured else quality(fits.encode(some, preset))

    few = spread(frames, TRIED_ON)
    tried = sorted(_candidates(few, most_bytes, fits, of, say), key=lambda each: each[0])
    best: tuple[float, Preset] | None = None
    looked: list[tuple[Quality, Quality]] = []
    passed = 0
    for _, preset, on_few in tried:
        if not on_few.plus(_mean_gain(looked)).reaches(asked, _CLOSE if looked else _NEARLY):
            continue
        say(f"{preset.name}, the {len(looked) + 1}. on all frames")
        on_all = of(preset, frames)
        looked.append((on_few, on_all))
        if on_all.reaches(asked):
            size = mean(image.frame.bytes_total for image in fits.encode(frames, preset))
            best = min(filter(None, (best, (size, preset))), key=lambda each: each[0])
            passed += 1
        if passed == _ENOUGH_PASSED or len(looked) == _MOST_LOOKED:
            break
    return best[1] if best else None


def _mean_gain(looked: Sequence[tuple[Quality, Quality]]) -> Quality:
    """By how much candidates were better on all frames than on the few, in the mean of those that were looked at."""

    def gain(few: Sequence[float | None], all_: Sequence[float | None]) -> float | None:
        return mean_db([b - a if a is not None and b is not None else None for a, b in zip(few, all_, strict=True)])

    return Quality(
        gain([few.background_db for few, _ in looked], [found.background_db for _, found in looked]),
        gain([few.object_db for few, _ in looked], [found.object_db for _, found in looked]),
    )


def _candidates(
    few: Sequence[Frame],
    most_bytes: float,
    fits: Fits,
    of: MeasuredQuality,
    say: Say,
) -> Iterator[tuple[float, Preset, Quality]]:
    """Candidates with their mean bytes a frame and their quality on a few frames."""
    crops: list[tuple[CodecSettings, float, float | None]] = []
    if any(frame.boxes for frame in few):
        for family in ("webp", "avif", "jpeg"):
            for settings in (CodecSettings(family, each) for each in _CROP_QUALITIES):
                preset = codec_preset(_ANY, settings)
                say(f"trying {preset.name}")
                images = fits.encode(few, preset)
                size = mean(image.frame.bytes_total - image.frame.bytes_background for image in images)
                if size > most_bytes:
                    break
                crops.append((settings, size, of(preset, few).object_db))
    for family in ("webp", "avif"):
        for scale in _SCALES:
            for settings in (CodecSettings(family, each, scale) for each in _QUALITIES):
                preset = codec_preset(settings)
                say(f"trying {preset.name}")
                size = mean(image.frame.bytes_total for image in fits.encode(few, preset))
                if size > most_bytes:
                    break
                found = of(preset, few)
                yield size, preset, found
                for of_crops, more, object_db in crops:
                    pair = find_preset(codec_preset(settings, of_crops).name)
                    yield size + more, pair, Quality(found.background_db, object_db)
