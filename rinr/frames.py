"""Frames: from a captured JPEG, which is not trusted, to the working frame that is encoded.

The working frame is RGB, its longest side at most 640 pixels, never upscaled, each side ``round()``ed, resized with
Pillow's LANCZOS filter; boxes follow it.
"""

import io
import warnings
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from rinr.boxes import Annotation, Box, fit_box
from rinr.labels import ImageLabels, image_id, labels_id, parse_date

WORKING_SIDE = 640
MAX_PIXELS = 50_000_000
MAX_JPEG_BYTES = 64 * 1024 * 1024

Pixels = npt.NDArray[np.uint8]
"""A picture: ``[height, width, 3]``, RGB, 0 to 255."""

_ORIENTATION, _DATE_TIME, _EXIF_FOLDER, _DATE_TIME_ORIGINAL = 0x0112, 0x0132, 0x8769, 0x9003
_TURNED_BY_A_QUARTER = (5, 6, 7, 8)


class ImageError(ValueError):
    """Bytes that are not a picture this project takes; the message says what is wrong with them."""


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
    """

    image_id: str
    labels_id: str
    pixels: Pixels
    boxes: tuple[Box, ...]
    source_size: tuple[int, int]
    notes: tuple[str, ...] = ()
    captured_at: datetime | None = None

    @property
    def size(self) -> tuple[int, int]:
        """``(width, height)`` in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]


def open_jpeg(data: bytes) -> Photo:
    """Decode a JPEG fully and set it upright, in RGB.

    Grey and CMYK pictures and embedded colour profiles are converted to sRGB.

    Raises:
        ImageError: empty, not a JPEG, truncated, damaged, or over the limits of bytes and pixels.
    """
    if not data:
        raise ImageError("the file is empty")
    if len(data) > MAX_JPEG_BYTES:
        raise ImageError(f"the file has {len(data):,} bytes; at most {MAX_JPEG_BYTES:,} are taken")
    if not data.startswith(b"\xff\xd8\xff"):
        raise ImageError(f"not a JPEG: it starts with {data[:4].hex(' ')}, a JPEG with ff d8 ff")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our own pixel limit is checked below, before any decoding
            image = Image.open(io.BytesIO(data), formats=("JPEG",))
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ImageError(f"the picture has {width}x{height} pixels; at most {MAX_PIXELS:,} are taken")
        exif = image.getexif()
        orientation = int(exif.get(_ORIENTATION, 1) or 1)
        captured = exif.get_ifd(_EXIF_FOLDER).get(_DATE_TIME_ORIGINAL) or exif.get(_DATE_TIME)
        image.load()
        upright = ImageOps.exif_transpose(_to_srgb(image))
    except ImageError:
        raise
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, TypeError) as error:
        raise ImageError(f"the JPEG cannot be decoded: {error}") from None
    pixels = np.asarray(upright)
    return Photo(pixels, orientation if 1 <= orientation <= 8 else 1, parse_date(captured))


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
    boxes: list[Box] = []
    notes: list[str] = []
    size = working_size(*photo.size)
    annotations = labels.boxes if labels else ()
    for annotation in annotations:
        upright = _turn(annotation, photo, labels.size) if labels else annotation
        box, note = fit_box(upright, photo.size, size)
        if box:
            boxes.append(box)
        if note:
            notes.append(note)
    return Frame(
        image_id=image_id(jpeg),
        labels_id=labels_id(annotations),
        pixels=resize(photo.pixels, size),
        boxes=tuple(sorted(boxes)),
        source_size=photo.size,
        notes=tuple(notes),
        captured_at=photo.captured_at,
    )


def resize(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize to ``(width, height)`` with Pillow's LANCZOS filter."""
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def _to_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if profile and image.mode in ("RGB", "CMYK"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            exif = image.getexif()
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            return image.convert("RGB")  # a damaged profile says nothing; the picture still does
        if converted is not None:
            converted.info["exif"] = exif.tobytes()
            return converted
    return image.convert("RGB")


def _turn(annotation: Annotation, photo: Photo, annotated: tuple[int, int] | None) -> Annotation:
    """Carry a box from the stored raster to the upright picture, where the annotated size says it needs that."""
    width, height = stored = photo.size[::-1]
    if photo.orientation not in _TURNED_BY_A_QUARTER or annotated != stored or width == height:
        return annotation
    x, y, w, h = annotation.x, annotation.y, annotation.width, annotation.height
    turned = {
        5: (y, x, h, w),
        6: (height - y - h, x, h, w),
        7: (height - y - h, width - x - w, h, w),
        8: (y, width - x - w, h, w),
    }[photo.orientation]
    return Annotation(*turned, annotation.label)
