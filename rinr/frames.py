"""Frames: from an uploaded picture (JPEG, WebP or AVIF), which is not trusted, to the working frame that is encoded.

The working frame is RGB, its longest side at most 640 pixels, never upscaled, each side ``round()``ed, resized with
Pillow's LANCZOS filter; boxes follow it.
"""

import io
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
from rinr.picture_files import ImageError, IncompletePicture, check_written, picture_file

WORKING_SIDE = 640
MAX_PIXELS = 50_000_000
MAX_PICTURE_BYTES = 64 * 1024 * 1024

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

_SPOKEN = {"JPEG": "JPEG", "WEBP": "WebP", "AVIF": "AVIF"}
_MAX_SPOKEN = 200


@dataclass(frozen=True)
class PictureFacts:
    """What a checked picture is.

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
    """An uploaded picture, opened: upright, RGB.

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
        source_size: ``(width, height)`` of the upright picture as it was uploaded, in pixels.
        notes: what was done to boxes, in words.
        captured_at: from EXIF, where it says so.
        file: the uploaded file, where it has the working frame's size and lies upright.
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


def check_picture(data: bytes) -> PictureFacts:
    """Whether :func:`open_picture` takes a picture, at the least cost: it is decoded fully, and nothing is made of it.

    Raises:
        IncompletePicture: empty or cut off, as is a file that is still being written.
        ImageError: none of the formats, damaged, moving, transparent, or over the limits of bytes and pixels.
    """
    with _picture(data) as (image, exif):
        # The whole stream of a JPEG is decoded for a grey picture as well; colours add nothing that could fail.
        image.draft("L", None)
        image.load()
        size = image.size
    return PictureFacts(_upright_size(size, exif.orientation), exif.orientation, exif.captured_at)


def capture_time(data: bytes) -> datetime | None:
    """When a picture says that it was taken; nothing of it is decoded.

    Raises:
        ImageError: it is no picture, cut off, or over the limits.
    """
    with _picture(data) as (_, exif):
        return exif.captured_at


def open_picture(data: bytes) -> Photo:
    """Decode a picture fully and set it upright, in RGB.

    Grey and CMYK pictures, embedded colour profiles and Adobe RGB that EXIF declares are converted to sRGB.

    Raises:
        IncompletePicture: empty or cut off.
        ImageError: none of the formats, damaged, moving, transparent, or over the limits of bytes and pixels.
    """
    with _picture(data) as (image, exif):
        image.load()
        upright = to_srgb(image, adobe_rgb=exif.adobe_rgb)
        if exif.orientation in _UPRIGHT:
            upright = upright.transpose(_UPRIGHT[exif.orientation])
        return Photo(np.asarray(upright), exif.orientation, exif.captured_at)


def working_size(width: int, height: int) -> tuple[int, int]:
    """``(width, height)`` of the working frame for a captured picture of this size."""
    scale = min(1.0, WORKING_SIDE / max(width, height))
    return max(round(width * scale), 1), max(round(height * scale), 1)


def working_frame(data: bytes, labels: ImageLabels | None = None) -> Frame:
    """Open an uploaded picture and make its working frame.

    Args:
        data: the file's bytes.
        labels: its annotations, in the upright picture's pixels where the annotated size says nothing else: see
            :func:`fit_annotations`.

    Raises:
        ImageError: see :func:`open_picture`.
    """
    photo = open_picture(data)
    size = working_size(*photo.size)
    boxes, notes = fit_annotations(labels, PictureFacts(photo.size, photo.orientation, photo.captured_at))
    return Frame(
        image_id=image_id(data),
        labels_id=labels_id(labels.boxes if labels else ()),
        pixels=resize(photo.pixels, size),
        boxes=boxes,
        source_size=photo.size,
        notes=notes,
        captured_at=photo.captured_at,
        file=data if photo.size == size and photo.orientation == 1 else None,
    )


def fit_annotations(labels: ImageLabels | None, facts: PictureFacts) -> tuple[tuple[Box, ...], tuple[str, ...]]:
    """The boxes of a working frame, and notes of what was done to them.

    Boxes are taken in the upright picture's pixels. Where the annotated size matches only the stored, not yet turned
    picture, they are turned with it; where it is that of a larger or smaller picture of the same shape, as of one
    that was shrunk after it had been annotated, they are scaled.

    Args:
        labels: annotations of the picture.
        facts: of the picture.
    """
    boxes: list[Box] = []
    notes: list[str] = []
    size = working_size(*facts.size)
    for annotation in annotations_in(labels, facts):
        box, note = fit_box(annotation, facts.size, size)
        if box:
            boxes.append(box)
        if note:
            notes.append(note)
    return tuple(sorted(boxes)), tuple(notes)


def annotations_in(labels: ImageLabels | None, facts: PictureFacts) -> list[Annotation]:
    """Annotations in pixels of the upright picture: see :func:`fit_annotations`."""
    if labels is None:
        return []
    annotated, upright, stored = labels.size, facts.size, facts.size[::-1]
    may_be_stored = facts.orientation in _TURNED_BY_A_QUARTER and upright != stored
    if annotated is None or annotated == upright:
        return list(labels.boxes)
    if may_be_stored and annotated == stored:
        return [_turn(one, facts) for one in labels.boxes]
    if _same_shape(annotated, upright):
        return [_scale(one, annotated, upright) for one in labels.boxes]
    if may_be_stored and _same_shape(annotated, stored):
        return [_turn(_scale(one, annotated, stored), facts) for one in labels.boxes]
    return list(labels.boxes)


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
def _picture(data: bytes) -> Iterator[tuple[Image.Image, _Exif]]:
    """A picture within the limits, its end there, not decoded yet; what its decoding raises is an ImageError."""
    if len(data) > MAX_PICTURE_BYTES:
        raise ImageError(f"the file has {len(data):,} bytes; at most {MAX_PICTURE_BYTES:,} are taken")
    file = picture_file(data)
    name = _SPOKEN[file.format]
    if file.size:
        _check_pixels(file.size)
        check_written(data, file, file.size)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our own pixel limit is checked below, before any decoding
            image = Image.open(io.BytesIO(data[: file.end]), formats=(file.format,))
        _check_pixels(image.size)
        check_written(data, file, image.size)
        if getattr(image, "n_frames", 1) != 1 and file.format != "JPEG":
            raise ImageError(f"the {name} holds {image.n_frames:,} pictures; only single ones are taken")  # type: ignore[attr-defined]
        if image.mode == "RGBA":
            raise ImageError(f"the {name} is transparent in places; save it without an alpha channel")
        yield image, _read_exif(image)
    except (ImageError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise ImageError(f"the {name} cannot be decoded: its header is damaged") from None
    except Exception as error:  # of whatever kind: hostile bytes lead Pillow to many
        spoken = "".join(c if c.isprintable() else "?" for c in str(error)[:_MAX_SPOKEN])
        kind = IncompletePicture if "truncated" in spoken.lower() else ImageError
        raise kind(f"the {name} cannot be decoded: {spoken}") from None


def _check_pixels(size: tuple[int, int]) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise ImageError(f"the picture has {size[0]}x{size[1]} pixels; at most {MAX_PIXELS:,} are taken")


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


def _same_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two pictures differ in scale alone, sides being rounded to pixels."""
    # A scale s fits a side within a pixel from (other - 1) / one to (other + 1) / one; both sides have to share one.
    lowest, highest = ([(b + d) / a for a, b in zip(one, other, strict=True)] for d in (-1, 1))
    return max(lowest) <= min(highest)


def _scale(annotation: Annotation, annotated: tuple[int, int], size: tuple[int, int]) -> Annotation:
    across, down = size[0] / annotated[0], size[1] / annotated[1]
    return Annotation(
        annotation.x * across,
        annotation.y * down,
        annotation.width * across,
        annotation.height * down,
        annotation.label,
    )


def _turn(annotation: Annotation, facts: PictureFacts) -> Annotation:
    """Carry a box from the stored raster to the upright picture, which is turned by a quarter."""
    width, height = facts.size[::-1]
    x, y, w, h = annotation.x, annotation.y, annotation.width, annotation.height
    turned = {
        5: (y, x, h, w),
        6: (height - y - h, x, h, w),
        7: (height - y - h, width - x - w, h, w),
        8: (y, width - x - w, h, w),
    }[facts.orientation]
    return Annotation(*turned, annotation.label)
