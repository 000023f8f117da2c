"""Labels: COCO detection files read with bounds, and the canonical form that names a set of labels.

Nothing here trusts its input: sizes, counts and numbers are checked, and a message names the field at fault.
"""

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

from rinr.boxes import Annotation

MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_IMAGES = 200_000
MAX_BOXES_PER_IMAGE = 4_096
MAX_LABEL_BYTES = 100

# Objects in memory take up to a hundred times their bytes in a JSON file, so that they are counted before it is read.
# The widest file in COCO's format has 1.8 million objects and, with polygons, a number every seven bytes.
_MAX_OBJECTS = 2_000_000
_MAX_LISTS = 4_000_000
_MAX_VALUES = 10_000_000
_MAX_INTEGER = 2**63  # ids are keys of dictionaries: larger ones can be chosen to collide
_MAX_COORDINATE = 1e9
_NUMBERS = {int, float}
_MAX_SIDE = 1_000_000  # pixels; an annotated size beyond says nothing
_UNREAD = ("segmentation", "keypoints", "coco_url", "flickr_url")


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
    document = _load(data)
    images = _list(document, "images", MAX_IMAGES)
    annotations = _list(document, "annotations", MAX_IMAGES * 8, default=[])
    categories = _list(document, "categories", 10_000, default=[])

    names: dict[int, str] = {}
    for index, category in enumerate(categories):
        where = f"categories[{index}]"
        category_id = _integer(category, "id", where)
        if category_id in names:
            raise LabelError(f"{where}.id {category_id} stands twice in the annotation file")
        names[category_id] = label_name(_string(category, "name", where), f"{where}.name")
    boxes: dict[int, list[Annotation]] = {}
    for index, annotation in enumerate(annotations):
        category_id = annotation.get("category_id")
        name = names.get(category_id) if type(category_id) is int else None
        if name is None:
            where = f"annotations[{index}]"
            category_id = _integer(annotation, "category_id", where)
            raise LabelError(f"{where}.category_id is {category_id}, which stands in no category")
        x, y, width, height = _bbox(annotation, index)
        image_id = annotation.get("image_id")
        of_image = boxes.get(image_id) if type(image_id) is int else None
        if of_image is None:
            of_image = boxes[_integer(annotation, "image_id", f"annotations[{index}]")] = []
        of_image.append(Annotation(x, y, width, height, name))
        if len(of_image) > MAX_BOXES_PER_IMAGE:
            raise LabelError(f"annotations[{index}]: more than {MAX_BOXES_PER_IMAGE:,} boxes for one image")

    labels: dict[str, ImageLabels] = {}
    ids: set[int] = set()
    for index, image in enumerate(images):
        where = f"images[{index}]"
        file_name = _string(image, "file_name", where)
        if file_name in labels:
            raise LabelError(f"{where}.file_name {file_name[:100]!r} stands twice in the annotation file")
        number = _integer(image, "id", where)
        if number in ids:
            raise LabelError(f"{where}.id {number} stands twice in the annotation file")
        ids.add(number)
        of_image = boxes.get(number, [])
        labels[file_name] = ImageLabels(
            file_name=file_name,
            size=_size(image),
            captured_at=parse_date(image.get("date_captured")),
            boxes=tuple(sorted(of_image) if len(of_image) > 1 else of_image),
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


def image_id(data: bytes) -> str:
    """SHA-256 of an uploaded picture's bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def parse_date(value: Any) -> datetime | None:
    """A date as COCO, EXIF or ISO 8601 write it, in UTC; ``None`` where it is none."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    parsed = None
    with suppress(ValueError):
        parsed = datetime.fromisoformat(value)
    for form in ("%Y-%m-%d %H:%M:%S", "%Y:%m:%d %H:%M:%S"):
        if not parsed:
            with suppress(ValueError):
                parsed = datetime.strptime(value, form)
    if not parsed:
        return None
    try:
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except OverflowError:
        return None  # a time zone that leads out of the years 1 to 9999


def label_name(name: str, where: str) -> str:
    """A label, checked: printable text of at most ``MAX_LABEL_BYTES``.

    Raises:
        LabelError: it is none; ``where`` names the field.
    """
    if not name or not _is_text(name) or len(name.encode()) > MAX_LABEL_BYTES or not name.isprintable():
        raise LabelError(f"{where} must be printable text of at most {MAX_LABEL_BYTES} bytes of UTF-8, and not empty")
    return name


def _load(data: bytes) -> Any:
    if len(data) > MAX_FILE_BYTES:
        raise LabelError(f"the annotation file has {len(data):,} bytes; at most {MAX_FILE_BYTES:,} are read")
    for sign, limit, what in (
        (b"{", _MAX_OBJECTS, "objects"),
        (b"[", _MAX_LISTS, "lists"),
        (b",", _MAX_VALUES, "values"),
    ):
        if data.count(sign) > limit:
            raise LabelError(f"the annotation file has more than {limit:,} {what}; split it")
    try:
        return json.loads(data, object_pairs_hook=_record)
    except LabelError:
        raise
    except (ValueError, RecursionError) as error:
        raise LabelError(f"the annotation file is not JSON: {error}") from None
    except MemoryError:
        raise LabelError("the annotation file does not fit into memory; split it") from None


def _record(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """One JSON object, without what is large and not read."""
    record = dict(pairs)
    if len(record) != len(pairs):
        _refuse_twice(pairs)
    for field in _UNREAD:
        record.pop(field, None)
    return record


def _refuse_twice(pairs: list[tuple[str, Any]]) -> NoReturn:
    seen: set[str] = set()
    twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    raise LabelError(f"a JSON object has the field {twice[:60]!r} twice")


def _is_text(text: str) -> bool:
    """Whether it has no lone surrogates, which no file and no table takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


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
    if type(value) is not int or not -_MAX_INTEGER <= value < _MAX_INTEGER:
        raise LabelError(f"{where}.{field} is {_spoken(value)}, expected a whole number of 64 bits")
    return value


def _string(record: dict[str, Any], field: str, where: str) -> str:
    value = record.get(field)
    if not isinstance(value, str) or not value:
        raise LabelError(f"{where}.{field} is missing or not text")
    return value


def _bbox(annotation: dict[str, Any], index: int) -> tuple[float, float, float, float]:
    value = annotation.get("bbox")
    if type(value) is list and len(value) == 4:
        x, y, width, height = value
        # Types first: a boolean is no number here, and text has no order. A NaN is in no range.
        if (
            _NUMBERS.issuperset(map(type, value))
            and -_MAX_COORDINATE < x < _MAX_COORDINATE
            and -_MAX_COORDINATE < y < _MAX_COORDINATE
            and -_MAX_COORDINATE < width < _MAX_COORDINATE
            and -_MAX_COORDINATE < height < _MAX_COORDINATE
        ):
            return float(x), float(y), float(width), float(height)
    raise LabelError(f"annotations[{index}].bbox is {_spoken(value)}, expected [x, y, width, height] in pixels")


def _size(image: dict[str, Any]) -> tuple[int, int] | None:
    width, height = image.get("width"), image.get("height")
    if type(width) is int and type(height) is int and 0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE:
        return width, height
    return None


def _spoken(value: Any) -> str:
    """A value that may be of any size, as a message has it."""
    if isinstance(value, list):
        items = ("a list" if isinstance(item, list) else _spoken(item) for item in value[:5])
        return f"[{', '.join(items)}{', …' if len(value) > 5 else ''}]"[:80]
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, int) and not -_MAX_INTEGER <= value < _MAX_INTEGER:
        return "a number of more than 64 bits"
    return repr(value[:40] if isinstance(value, str) else value)
