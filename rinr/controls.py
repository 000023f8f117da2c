"""Controls: what a sceptic would send in place of networks, for the same frames, measured the same way.

They are presets like any other (:mod:`rinr.networks.codecs`), encoded to frame payloads and decoded from them, so that
headers, boxes and labels are counted the same for all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median

from rinr.codec.frame import EncodedFrame
from rinr.decoder import decode
from rinr.encoder import encode
from rinr.frames import Frame, Pixels
from rinr.metrics import frame_psnr, psnr
from rinr.networks.settings import CodecSettings
from rinr.presets import Preset, codec_preset, find_preset
from rinr.weights import NO_PARTS, Parts

CONTROLS = ("jpeg:90", "jpeg:5+75", "webp:0+80", "avif:5+70", "webp:10/4+80", "webp:10/4+60")
"""The presets of a table's controls: a good picture, and frames at low quality with sharp crops pasted over them."""

_SCALES = (1, 2, 3, 4, 6, 8, 16)
_NAMES = {"jpeg": "JPEG", "webp": "WebP", "avif": "AVIF"}

_NOTHING_SHARED: Mapping[str, Sequence[float]] = {}

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Coded:
    """One frame as it was sent.

    Attributes:
        bytes_total: all that would travel.
        background_db: PSNR outside the boxes; ``None`` where nothing lies outside, or for the reference itself.
        object_db: PSNR over the union of the boxes; ``None`` without boxes, or for the reference itself.
    """

    bytes_total: float
    background_db: float | None
    object_db: float | None


@dataclass(frozen=True)
class Row:
    """A line of a comparison, over the same frames as the others.

    Attributes:
        name: for people.
        preset: with which :func:`rinr.presets.find_preset` finds it; ``None`` for the captured JPEG.
        bytes_a_frame: mean bytes.
        background_db: mean PSNR outside the boxes; ``None`` where no frame has one.
        object_db: mean PSNR over the union of the boxes; ``None`` where no frame has one.
        median_bytes: a frame.
    """

    name: str
    preset: str | None
    frames: int
    bytes_a_frame: float
    background_db: float | None
    object_db: float | None
    median_bytes: float
    median_background_db: float | None
    median_object_db: float | None


def compare(
    frames: Sequence[tuple[Frame, int]],
    ours: Mapping[str, Sequence[EncodedFrame]],
    controls: Sequence[str] = CONTROLS,
    progress: Progress | None = None,
    *,
    parts: Parts = NO_PARTS,
    shared: Mapping[str, Sequence[float]] = _NOTHING_SHARED,
) -> list[Row]:
    """The captured JPEG, the controls and ours, over the same frames.

    Args:
        frames: each with the bytes of its captured JPEG.
        ours: encoded frames by preset.
        controls: presets.
        progress: told how many of the controls' frames are encoded.
        parts: the shared parts that ours need, where they are of clips.
        shared: by preset, each of our frames' part of the bytes of those.

    Returns:
        One row each. The captured JPEG has no PSNR: the working frame, against which all is measured, is made from it.

    Raises:
        ValueError: there are no frames.
    """
    rows = [row("captured JPEG", None, [Coded(size, None, None) for _, size in frames])]
    for number, name in enumerate(controls):
        preset, coded = find_preset(name), []
        for index, (frame, _) in enumerate(frames):
            (image,) = encode([frame], preset)
            coded.append(Coded(image.frame.bytes_total, image.background_db, image.object_db))
            if progress:
                progress(number * len(frames) + index + 1, len(controls) * len(frames))
        rows.append(row(describe(preset), name, coded))
    for name, encoded in ours.items():
        each = shared.get(name) or [0.0] * len(encoded)
        coded = [measure(frame, one, parts, size) for (frame, _), one, size in zip(frames, encoded, each, strict=True)]
        rows.append(row(f"ours, {name}", name, coded))
    return rows


def measure(frame: Frame, encoded: EncodedFrame, parts: Parts = NO_PARTS, bytes_shared: float = 0.0) -> Coded:
    """Decode and measure one frame, its part of what its clip shares counted with its own bytes."""
    decoded = decode(encoded, parts=parts)
    return Coded(encoded.bytes_total + bytes_shared, *frame_psnr(frame.pixels, decoded, frame.boxes))


def row(name: str, preset: str | None, coded: Sequence[Coded]) -> Row:
    """Means and medians over frames.

    Raises:
        ValueError: there are no frames.
    """
    if not coded:
        raise ValueError("a comparison needs at least one frame")
    sizes = [one.bytes_total for one in coded]
    backgrounds = [one.background_db for one in coded if one.background_db is not None]
    objects = [one.object_db for one in coded if one.object_db is not None]
    return Row(
        name=name,
        preset=preset,
        frames=len(coded),
        bytes_a_frame=mean(sizes),
        background_db=mean(backgrounds) if backgrounds else None,
        object_db=mean(objects) if objects else None,
        median_bytes=median(sizes),
        median_background_db=median(backgrounds) if backgrounds else None,
        median_object_db=median(objects) if objects else None,
    )


def describe(preset: Preset) -> str:
    """A preset in words, ``two-stream WebP 10/4 + 80``; presets of networks keep their names."""
    crops = preset.objects[0].network if preset.objects else None
    if not isinstance(preset.background, CodecSettings) or not isinstance(crops, CodecSettings | None):
        return preset.name
    if crops is None:
        return _words(preset.background)
    of_crops = _words(crops)
    return f"two-stream {_words(preset.background)} + " + (
        of_crops.partition(" ")[2] if crops.family == preset.background.family else of_crops
    )


@dataclass(frozen=True)
class SameBytes:
    """A JPEG chosen by its bytes.

    Attributes:
        name: in words.
        bytes_total: all that would travel.
        pixels: what the receiver has, ``[height, width, 3]`` at the working size.
    """

    name: str
    bytes_total: int
    pixels: Pixels


def jpeg_of_size(frame: Frame, max_bytes: int) -> SameBytes:
    """The JPEG of at most so many bytes with the highest PSNR, of full or reduced size.

    A JPEG has some 600 bytes of headers: where none fits, the smallest is given, and its bytes say so.
    """
    fitting = [coded for scale in _SCALES if (coded := _largest_fitting(frame, scale, max_bytes))]
    return max(fitting, key=lambda c: psnr(frame.pixels, c.pixels) or 0) if fitting else _jpeg(frame, 1, _SCALES[-1])


def _largest_fitting(frame: Frame, scale: int, max_bytes: int) -> SameBytes | None:
    """The highest quality that fits, found by halving: a JPEG's size rises with its quality."""
    best, low, high = None, 1, 95
    while low <= high:
        middle = (low + high) // 2
        coded = _jpeg(frame, middle, scale)
        if coded.bytes_total <= max_bytes:
            best, low = coded, middle + 1
        else:
            high = middle - 1
    return best


def _jpeg(frame: Frame, quality: int, scale: int) -> SameBytes:
    preset = codec_preset(CodecSettings("jpeg", quality, scale))
    (image,) = encode([frame], preset)
    return SameBytes(describe(preset), image.frame.bytes_total, decode(image.frame))


def _words(settings: CodecSettings) -> str:
    reduced = f"/{settings.scale}" if settings.scale > 1 else ""
    return f"{_NAMES[settings.family]} {settings.quality}{reduced}"
