"""Labels: COCO detection files read with bounds, and the canonical form that names a set of labels.

Nothing here trusts its input: sizes, counts and numbers are checked, and a message names the field at fault.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rinr.boxes import Annotation

MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_IMAGES = 200_000
MAX_BOXES_PER_IMAGE = 4_096
MAX_LABEL_BYTES = 100


class LabelError(ValueError):
    """An annotation file that cannot be read; the message names the field and what was expected."""


@dataclass(frozen=True)
class ImageLabels:
    """What an annotation file says of one image.

    Attributes:
        file_name: as written in the file; never to be used as a path without a check.
        size: ``(width, height)`` in pixels as annotated, where the file says it.
        captured_at: COCO's ``date_captured``, where it is a date; naive dates are taken as UTC.
        boxes: in pixels of the captured picture, in canonical order.
    """

    file_name: str
    size: tuple[int, int] | None
    captured_at: datetime | None
    boxes: tuple[Annotation, ...]


def parse_coco(data: bytes) -> dict[str, ImageLabels]:
    """Read a COCO detection file into one entry a file name.

    Args:
        data: the bytes of the JSON file, at most ``MAX_FILE_BYTES``.

    Raises:
        LabelError: not JSON, not COCO detection format, or over a limit.
    """
    if len(data) > MAX_FILE_BYTES:
        raise LabelError(f"the annotation file has {len(data):,} bytes; at most {MAX_FILE_BYTES:,} are read")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise LabelError(f"the annotation file is not JSON: {error}") from None
    images = _list(document, "images", MAX_IMAGES)
    annotations = _list(document, "annotations", MAX_IMAGES * 8, default=[])
    categories = _list(document, "categories", 10_000, default=[])

    names: dict[int, str] = {}
    for index, category in enumerate(categories):
        where = f"categories[{index}]"
        names[_integer(category, "id", where)] = _label(category, where)
    boxes: dict[int, list[Annotation]] = {}
    for index, annotation in enumerate(annotations):
        where = f"annotations[{index}]"
        category_id = _integer(annotation, "category_id", where)
        if category_id not in names:
            raise LabelError(f"{where}.category_id is {category_id}, which stands in no category")
        x, y, width, height = _bbox(annotation, where)
        of_image = boxes.setdefault(_integer(annotation, "image_id", where), [])
        of_image.append(Annotation(x, y, width, height, names[category_id]))
        if len(of_image) > MAX_BOXES_PER_IMAGE:
            raise LabelError(f"{where}: more than {MAX_BOXES_PER_IMAGE:,} boxes for one image")

    labels: dict[str, ImageLabels] = {}
    for index, image in enumerate(images):
        where = f"images[{index}]"
        file_name = _string(image, "file_name", where)
        if file_name in labels:
            raise LabelError(f"{where}.file_name {file_name!r} stands twice in the annotation file")
        labels[file_name] = ImageLabels(
            file_name=file_name,
            size=_size(image),
            captured_at=parse_date(image.get("date_captured")),
            boxes=tuple(sorted(boxes.get(_integer(image, "id", where), ()))),
        )
    return labels


def canonical_labels(boxes: Iterable[Annotation]) -> bytes:
    """The one spelling of a set of boxes: sorted, no spaces, UTF-8. Two equal sets have equal bytes."""
    rows = [[b.x, b.y, b.width, b.height, b.label] for b in sorted(boxes)]
    return json.dumps(rows, separators=(",", ":"), ensure_ascii=False, allow_nan=True).encode()


def boxes_from_canonical(data: bytes) -> tuple[Annotation, ...]:
    """The inverse of :func:`canonical_labels`, for bytes that this project wrote."""
    return tuple(Annotation(*row) for row in json.loads(data))


def labels_id(boxes: Iterable[Annotation]) -> str:
    """SHA-256 of the canonical labels, in hexadecimal: a corrected label makes a new id."""
    return hashlib.sha256(canonical_labels(boxes)).hexdigest()


def image_id(jpeg: bytes) -> str:
    """SHA-256 of the captured JPEG's bytes, in hexadecimal."""
    return hashlib.sha256(jpeg).hexdigest()


def parse_date(value: Any) -> datetime | None:
    """A date as COCO, EXIF or ISO 8601 write it; ``None`` where it is none."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    for form in ("%Y-%m-%d %H:%M:%S", "%Y:%m:%d %H:%M:%S"):
        try:
            return datetime.strptime(value, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _list(document: Any, field: str, limit: int, default: list[Any] | None = None) -> list[Any]:
    if not isinstance(document, dict):
        raise LabelError("the annotation file is not a JSON object with `images` and `annotations`")
    value = document.get(field, default)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise LabelError(f"`{field}` is missing or not a list of objects (COCO detection format)")
    if len(value) > limit:
        raise LabelError(f"`{field}` has {len(value):,} entries; at most {limit:,} are read")
    return value


def _integer(record: dict[str, Any], field: str, where: str) -> int:
    value = record.get(field)
    if not isinstance(value, int) or isinstance(value, bool):
        raise LabelError(f"{where}.{field} is {str(value)[:40]!r}, expected a whole number")
    return value


def _string(record: dict[str, Any], field: str, where: str) -> str:
    value = record.get(field)
    if not isinstance(value, str) or not value:
        raise LabelError(f"{where}.{field} is missing or not text")
    return value


def _label(category: dict[str, Any], where: str) -> str:
    name = _string(category, "name", where)
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        raise LabelError(f"{where}.name is not valid text") from None
    if len(encoded) > MAX_LABEL_BYTES or not name.isprintable():
        raise LabelError(f"{where}.name must be printable and at most {MAX_LABEL_BYTES} bytes of UTF-8")
    return name


def _bbox(annotation: dict[str, Any], where: str) -> tuple[float, float, float, float]:
    value = annotation.get("bbox")
    if (
        not isinstance(value, list)
        or len(value) != 4
        or not all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < 1e9 for v in value)
    ):
        raise LabelError(f"{where}.bbox is {str(value)[:60]!r}, expected [x, y, width, height] in pixels")
    x, y, width, height = map(float, value)
    return x, y, width, height


def _size(image: dict[str, Any]) -> tuple[int, int] | None:
    width, height = image.get("width"), image.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None
