"""Frames: from a captured JPEG, which is not trusted, to the working frame that is encoded.

The working frame is RGB, its longest side at most 640 pixels, never upscaled, each side ``round()``ed, resized with
Pillow's LANCZOS filter; boxes follow it.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from rinr.boxes import Annotation, Box, fit_box
from rinr.colour import to_srgb
from rinr.labels import ImageLabels, image_id, labels_id, parse_date

WORKING_SIDE = 640
MAX_PIXELS = 50_000_000
MAX_JPEG_BYTES = 64 * 1024 * 1024

Pixels = npt.NDArray[np.uint8]
"""A picture: ``[height, width, 3]``, RGB, 0 to 255."""

_ORIENTATION, _DATE_TIME, _EXIF_FOLDER, _DATE_TIME_ORIGINAL = 0x0112, 0x0132, 0x8769, 0x9003
_COLOUR_SPACE, _INTEROPERABILITY_FOLDER, _INTEROPERABILITY = 0xA001, 0xA005, 0x0001
_UNCALIBRATED, _ADOBE_RGB = 0xFFFF, "R03"
_TURNED_BY_A_QUARTER = (5, 6, 7, 8)
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What sets a stored raster upright, by its EXIF orientation."""

_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN = b"\xff\xd8\xff", 0xD9, 0xDA
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers that no length follows
# Within a scan, ff 00 is a byte of data, ff d0 to ff d7 are restarts, and ff may be repeated before a marker.
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_FILL = re.compile(rb"\xff+")
_MAX_SEGMENTS = 100_000
_MAX_SPOKEN = 200


class ImageError(ValueError):
    """Bytes that are not a picture this project takes; the message says what is wrong with them."""


class IncompleteJpeg(ImageError):  # noqa: N818 - it may be no error: the file may still be growing
    """A JPEG whose end is not there: cut off, or still being written."""


@dataclass(frozen=True)
class JpegFacts:
    """What a checked JPEG is.

    Attributes:
        size: ``(width, height)`` of the upright picture, in pixels.
        orientation: the EXIF orientation that sets it upright, 1 to 8.
        captured_at: from EXIF, where it says so.
    """

    size: tuple[int, int]
    orientation: int
    captured_at: datetime | None


@dataclass(frozen=True)
class Photo:
    """A captured JPEG, opened: upright, RGB.

    Attributes:
        pixels: ``[height, width, 3]``.
        orientation: the EXIF orientation that was applied, 1 to 8.
        captured_at: from EXIF, where it says so.
    """

    pixels: Pixels
    orientation: int
    captured_at: datetime | None

    @property
    def size(self) -> tuple[int, int]:
        """``(width, height)`` in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]


@dataclass(frozen=True)
class Frame:
    """A working frame with its boxes, ready to be encoded.

    Attributes:
        pixels: ``[height, width, 3]``, longest side at most 640.
        source_size: ``(width, height)`` of the upright captured picture, in pixels.
        notes: what was done to boxes, in words.
        captured_at: from EXIF, where it says so.
        file: the captured file, where it has the working frame's size and lies upright.
    """

    image_id: str
    labels_id: str
    pixels: Pixels
    boxes: tuple[Box, ...]
    source_size: tuple[int, int]
    notes: tuple[str, ...] = ()
    captured_at: datetime | None = None
    file: bytes | None = field(default=None, repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """``(width, height)`` in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]


def check_jpeg(data: bytes) -> JpegFacts:
    """Whether :func:`open_jpeg` takes a JPEG, at the least cost: it is decoded fully, and no picture is made of it.

    Raises:
        IncompleteJpeg: empty or cut off, as is a file that is still being written.
        ImageError: not a JPEG, damaged, or over the limits of bytes and pixels.
    """
    with _jpeg(data) as (image, exif):
        # The whole stream is decoded for a grey picture as well; colours add nothing that could fail.
        image.draft("L", None)
        image.load()
        size = image.size
    return JpegFacts(_upright_size(size, exif.orientation), exif.orientation, exif.captured_at)


def capture_time(data: bytes) -> datetime | None:
    """When a JPEG says that it was taken; nothing of it is decoded.

    Raises:
        ImageError: it is no JPEG, cut off, or over the limits.
    """
    with _jpeg(data) as (_, exif):
        return exif.captured_at


def open_jpeg(data: bytes) -> Photo:
    """Decode a JPEG fully and set it upright, in RGB.

    Grey and CMYK pictures, embedded colour profiles and Adobe RGB that EXIF declares are converted to sRGB.

    Raises:
        IncompleteJpeg: empty or cut off.
        ImageError: not a JPEG, damaged, or over the limits of bytes and pixels.
    """
    with _jpeg(data) as (image, exif):
        image.load()
        upright = to_srgb(image, adobe_rgb=exif.adobe_rgb)
        if exif.orientation in _UPRIGHT:
            upright = upright.transpose(_UPRIGHT[exif.orientation])
        return Photo(np.asarray(upright), exif.orientation, exif.captured_at)


def working_size(width: int, height: int) -> tuple[int, int]:
    """``(width, height)`` of the working frame for a captured picture of this size."""
    scale = min(1.0, WORKING_SIDE / max(width, height))
    return max(round(width * scale), 1), max(round(height * scale), 1)


def working_frame(jpeg: bytes, labels: ImageLabels | None = None) -> Frame:
    """Open a captured JPEG and make its working frame.

    Args:
        jpeg: the captured file's bytes.
        labels: its annotations. Their boxes are taken in the upright picture's pixels, unless the annotated size
            matches only the stored, not yet turned one: then they are turned with the picture.

    Raises:
        ImageError: see :func:`open_jpeg`.
    """
    photo = open_jpeg(jpeg)
    size = working_size(*photo.size)
    boxes, notes = fit_annotations(labels, JpegFacts(photo.size, photo.orientation, photo.captured_at))
    return Frame(
        image_id=image_id(jpeg),
        labels_id=labels_id(labels.boxes if labels else ()),
        pixels=resize(photo.pixels, size),
        boxes=boxes,
        source_size=photo.size,
        notes=notes,
        captured_at=photo.captured_at,
        file=jpeg if photo.size == size and photo.orientation == 1 else None,
    )


def fit_annotations(labels: ImageLabels | None, facts: JpegFacts) -> tuple[tuple[Box, ...], tuple[str, ...]]:
    """The boxes of a working frame, and notes of what was done to them.

    Args:
        labels: annotations of the captured picture: see :func:`working_frame`.
        facts: of the captured picture.
    """
    boxes: list[Box] = []
    notes: list[str] = []
    size = working_size(*facts.size)
    for annotation in labels.boxes if labels else ():
        box, note = fit_box(_turn(annotation, facts, labels.size if labels else None), facts.size, size)
        if box:
            boxes.append(box)
        if note:
            notes.append(note)
    return tuple(sorted(boxes)), tuple(notes)


def resize(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize to ``(width, height)`` with Pillow's LANCZOS filter."""
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


@dataclass(frozen=True)
class _Exif:
    orientation: int = 1
    captured_at: datetime | None = None
    adobe_rgb: bool = False


@contextmanager
def _jpeg(data: bytes) -> Iterator[tuple[Image.Image, _Exif]]:
    """A JPEG within the limits, its end there, not decoded yet; what its decoding raises is an ImageError."""
    if not data:
        raise IncompleteJpeg("the file is empty")
    if len(data) > MAX_JPEG_BYTES:
        raise ImageError(f"the file has {len(data):,} bytes; at most {MAX_JPEG_BYTES:,} are taken")
    if not data.startswith(_START_OF_IMAGE):
        if _START_OF_IMAGE.startswith(data.rstrip(b"\0")):
            raise IncompleteJpeg("the file has no more than zeros or the start of a JPEG yet; copy it again")
        raise ImageError(f"not a JPEG: it starts with {data[:4].hex(' ')}, a JPEG with ff d8 ff")
    if not _has_end(data):
        raise IncompleteJpeg("the JPEG cannot be decoded: its end (ff d9) is not there; it was cut off; copy it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our own pixel limit is checked below, before any decoding
            image = Image.open(io.BytesIO(data), formats=("JPEG",))
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ImageError(f"the picture has {width}x{height} pixels; at most {MAX_PIXELS:,} are taken")
        yield image, _read_exif(image)
    except (ImageError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise ImageError("the JPEG cannot be decoded: its header is damaged") from None
    except Exception as error:  # of whatever kind: hostile bytes lead Pillow to many
        spoken = "".join(c if c.isprintable() else "?" for c in str(error)[:_MAX_SPOKEN])
        kind = IncompleteJpeg if "truncated" in spoken else ImageError
        raise kind(f"the JPEG cannot be decoded: {spoken}") from None


def _has_end(data: bytes) -> bool:
    """Whether the end-of-image marker stands where the picture's segments and scans lead to it.

    Bytes beyond it do not matter. Where the segments are damaged this says yes: that is the decoder's to judge.
    """
    at, end, segments = 2, len(data), 0
    while at + 1 < end:
        segments += 1
        if segments > _MAX_SEGMENTS:
            raise ImageError(f"the JPEG has more than {_MAX_SEGMENTS:,} segments")
        if data[at] != 0xFF:
            return bool(data[at:].strip(b"\0"))  # all zeros: room that was set aside and not written yet
        marker = data[at + 1]
        if marker == 0xFF:
            at = _FILL.match(data, at).end() - 1  # type: ignore[union-attr]  # there is one
            continue
        if marker == _END_OF_IMAGE:
            return True
        at += 2
        if marker not in _STANDALONE and marker != 0:
            at += max(int.from_bytes(data[at : at + 2], "big"), 2)
        if marker == _START_OF_SCAN:
            found = _MARKER_IN_SCAN.search(data, at)
            if not found:
                return False
            at = found.start()
    return False


def _read_exif(image: Image.Image) -> _Exif:
    """What EXIF says; nothing where it is damaged: the picture may be whole all the same."""
    if not {"exif", "xmp"} & image.info.keys():
        return _Exif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exif = image.getexif()
            details = exif.get_ifd(_EXIF_FOLDER)
            uncalibrated = details.get(_COLOUR_SPACE) == _UNCALIBRATED
            index = exif.get_ifd(_INTEROPERABILITY_FOLDER).get(_INTEROPERABILITY) if uncalibrated else None
            orientation = exif.get(_ORIENTATION)
            captured = _date(details.get(_DATE_TIME_ORIGINAL)) or _date(exif.get(_DATE_TIME))
    except Exception:  # Pillow's reader of EXIF raises many kinds
        return _Exif()
    if not isinstance(orientation, int) or not 1 <= orientation <= 8:
        orientation = 1
    return _Exif(orientation, captured, isinstance(index, str) and index.strip("\0 ") == _ADOBE_RGB)


def _date(value: Any) -> datetime | None:
    return parse_date(value.strip("\0 ")) if isinstance(value, str) and len(value) < 100 else None


def _upright_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    return (size[1], size[0]) if orientation in _TURNED_BY_A_QUARTER else size


def _turn(annotation: Annotation, facts: JpegFacts, annotated: tuple[int, int] | None) -> Annotation:
    """Carry a box from the stored raster to the upright picture, where the annotated size says it needs that."""
    width, height = stored = facts.size[::-1]
    if facts.orientation not in _TURNED_BY_A_QUARTER or annotated != stored or width == height:
        return annotation
    x, y, w, h = annotation.x, annotation.y, annotation.width, annotation.height
    turned = {
        5: (y, x, h, w),
        6: (height - y - h, x, h, w),
        7: (height - y - h, width - x - w, h, w),
        8: (y, width - x - w, h, w),
    }[facts.orientation]
    return Annotation(*turned, annotation.label)
