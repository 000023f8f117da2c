"""Controls: what a sceptic would send in place of networks, for the same frames, measured the same way.

All are encoded by Pillow with ``optimize=True`` and its default chroma subsampling (4:2:0) at the working size, and all
their bytes are counted: the files' own headers, and 8 bytes a box for its place.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from rinr.codec.frame import EncodedFrame
from rinr.decoder import decode
from rinr.frames import Frame, Pixels, resize
from rinr.metrics import frame_psnr, mean_db, psnr

_DIVISORS = (1, 2, 3, 4, 6, 8, 16)

BOX_BYTES = 8
"""What the place of a crop costs: four 16-bit numbers."""


@dataclass(frozen=True)
class Coded:
    """One frame as a control sends it.

    Attributes:
        name: of the control, with its settings.
        bytes_total: all that would travel.
        pixels: what the receiver has, ``[height, width, 3]`` at the working size.
    """

    name: str
    bytes_total: int
    pixels: Pixels


@dataclass(frozen=True)
class Row:
    """A line of a comparison: means over the same frames.

    Attributes:
        bytes_a_frame: mean bytes.
        background_db: mean PSNR outside the boxes; ``None`` where nothing lies outside, or for the reference itself.
        object_db: mean PSNR over the union of the boxes.
    """

    name: str
    frames: int
    bytes_a_frame: float
    background_db: float | None
    object_db: float | None


def jpeg(frame: Frame, quality: int) -> Coded:
    """The working frame as one JPEG."""
    return _reduced(frame, 1, quality)


def two_stream_jpeg(frame: Frame, frame_quality: int = 5, crop_quality: int = 75) -> Coded:
    """The whole frame at low quality, and one crop a box at high quality pasted over it."""
    data = _encode(frame.pixels, frame_quality)
    total, pixels = len(data), _decode(data).copy()
    for box in frame.boxes:
        crop = _encode(frame.pixels[box.slices], crop_quality)
        total += len(crop) + BOX_BYTES
        pixels[box.slices] = _decode(crop)
    return Coded(f"two-stream JPEG {frame_quality} + {crop_quality}", total, pixels)


def jpeg_of_size(frame: Frame, max_bytes: int) -> Coded:
    """The JPEG of at most so many bytes with the highest PSNR, of full or reduced size.

    A JPEG has some 600 bytes of headers: where none fits, the smallest is given, and its bytes say so.
    """
    fitting = [coded for divisor in _DIVISORS if (coded := _largest_fitting(frame, divisor, max_bytes))]
    if not fitting:
        return _reduced(frame, _DIVISORS[-1], 1)
    return max(fitting, key=lambda coded: psnr(frame.pixels, coded.pixels) or 0)


def captured(jpeg_bytes: int, frame: Frame) -> Coded:
    """The captured file itself; the working frame, against which all is measured, is made from it."""
    return Coded("captured JPEG", jpeg_bytes, frame.pixels)


def compare(frames: Sequence[tuple[Frame, int, EncodedFrame]], ours: str) -> list[Row]:
    """The captured JPEG, JPEG 90, two-stream JPEG and ours, over the same frames.

    Args:
        frames: each frame with the bytes of its captured JPEG and its encoded frame.
        ours: the name for our row.

    Returns:
        Four rows. The captured JPEG has no PSNR: it is the reference.
    """
    ours_coded = [(f, Coded(ours, encoded.bytes_total, decode(encoded))) for f, _, encoded in frames]
    reference = row((f, captured(size, f)) for f, size, _ in frames)
    return [
        Row(reference.name, reference.frames, reference.bytes_a_frame, None, None),
        row((f, jpeg(f, 90)) for f, _, _ in frames),
        row((f, two_stream_jpeg(f)) for f, _, _ in frames),
        row(ours_coded),
    ]


def row(coded: Iterable[tuple[Frame, Coded]]) -> Row:
    """The means of one control over its frames.

    Raises:
        ValueError: there are no frames.
    """
    items = list(coded)
    if not items:
        raise ValueError("a comparison needs at least one frame")
    values = [frame_psnr(f.pixels, c.pixels, f.boxes) for f, c in items]
    return Row(
        name=items[0][1].name,
        frames=len(items),
        bytes_a_frame=sum(c.bytes_total for _, c in items) / len(items),
        background_db=mean_db(background for background, _ in values),
        object_db=mean_db(inside for _, inside in values),
    )


def _largest_fitting(frame: Frame, divisor: int, max_bytes: int) -> Coded | None:
    """The highest quality that fits, found by halving: a JPEG's size rises with its quality."""
    low, high = 0, 95
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _reduced(frame, divisor, middle).bytes_total <= max_bytes else (low, middle - 1)
    return _reduced(frame, divisor, low) if low else None


def _reduced(frame: Frame, divisor: int, quality: int) -> Coded:
    width, height = frame.size
    data = _encode(resize(frame.pixels, (max(width // divisor, 1), max(height // divisor, 1))), quality)
    name = f"JPEG {quality}" + (f" at 1/{divisor} of its sides" if divisor > 1 else "")
    return Coded(name, len(data), resize(_decode(data), frame.size))


def _encode(pixels: Pixels, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def _decode(data: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
