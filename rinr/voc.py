"""Pascal VOC labels: one XML file a picture, boxes as their corner pixels.

Corners are counted from 1 and both belong to the box: ``xmin = xmax = 1`` is the picture's first column. In this
project's convention (see :mod:`rinr.boxes`) that is ``x = xmin - 1`` and ``width = xmax - xmin + 1``.
"""

import math
import re
from xml.parsers import expat

from rinr.boxes import Annotation
from rinr.labels import MAX_BOXES_PER_IMAGE, ImageLabels, LabelError, label_name

MAX_VOC_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_ELEMENTS = 100_000

_MAX_COORDINATE = 1e9
_MAX_SIDE = 1_000_000
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_FILE_NAME = ("annotation", "filename")
_OBJECT = ("annotation", "object")
_SIZE = {("annotation", "size", side): f"size/{side}" for side in ("width", "height")}
_FIELDS: dict[tuple[str, ...], str] = {
    (*_OBJECT, "name"): "name",
    **{(*_OBJECT, "bndbox", corner): f"bndbox/{corner}" for corner in ("xmin", "ymin", "xmax", "ymax")},
}


def parse_voc(data: bytes) -> ImageLabels:
    """Read one picture's boxes, in pixels of the picture as annotated.

    Parts of objects, poses, difficult and truncated marks are passed over.

    Args:
        data: the XML file's bytes, at most ``MAX_VOC_BYTES``.

    Raises:
        LabelError: not XML, with a document type or entities, over a limit, or naming the object and the field.
    """
    if len(data) > MAX_VOC_BYTES:
        raise LabelError(f"the label file has {len(data):,} bytes; at most {MAX_VOC_BYTES:,} are read")
    reader = _Reader()
    try:
        reader.parser.Parse(data, True)
    except LabelError:
        raise
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise LabelError(f"the label file is not XML: {error}") from None
    boxes = (_annotation(fields, f"object {number}") for number, fields in enumerate(reader.objects, 1))
    return ImageLabels(reader.file_name, _size(reader.size), None, tuple(sorted(boxes)))


class _Reader:
    """Collects the few texts that matter while expat goes through a file."""

    def __init__(self) -> None:
        self.objects: list[dict[str, str]] = []
        self.size: dict[str, str] = {}
        self.file_name = ""
        self._path: list[str] = []
        self._text: list[str] | None = None
        self._elements = 0
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        # Entities, the way to make a small file large or to read others, can be declared there alone.
        self.parser.StartDoctypeDeclHandler = _refuse_doctype

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        self._path.append(tag)
        if len(self._path) > MAX_DEPTH:
            raise LabelError(f"elements stand more than {MAX_DEPTH} deep in one another")
        if self._elements > MAX_ELEMENTS:
            raise LabelError(f"the label file has more than {MAX_ELEMENTS:,} elements")
        if self._path[0] != "annotation":
            raise LabelError(f"the label file's root is {tag[:40]!r}, expected `annotation` (Pascal VOC)")
        path = tuple(self._path)
        if path == _OBJECT:
            if len(self.objects) == MAX_BOXES_PER_IMAGE:
                raise LabelError(f"more than {MAX_BOXES_PER_IMAGE:,} objects in one image")
            self.objects.append({})
        elif path in _FIELDS or path in _SIZE or path == _FILE_NAME:
            self._text = []

    def _end(self, tag: str) -> None:
        path = tuple(self._path)
        text = "".join(self._text or ()).strip()
        if path in _FIELDS:
            _set(self.objects[-1], _FIELDS[path], text, f"object {len(self.objects)}: ")
        elif path in _SIZE:
            _set(self.size, _SIZE[path], text, "")
        elif path == _FILE_NAME:
            self.file_name = text[:1_000]
        else:
            self._path.pop()
            return
        self._text = None
        self._path.pop()

    def _characters(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)


def _refuse_doctype(*_: object) -> None:
    raise LabelError("the label file has a document type (<!DOCTYPE>), which is not read; remove it")


def _set(fields: dict[str, str], field: str, text: str, where: str) -> None:
    if field in fields:
        raise LabelError(f"{where}{field} stands twice")
    fields[field] = text


def _annotation(fields: dict[str, str], where: str) -> Annotation:
    if "name" not in fields:
        raise LabelError(f"{where}: name is missing")
    left, top, right, bottom = (
        _number(fields, f"bndbox/{corner}", where) for corner in ("xmin", "ymin", "xmax", "ymax")
    )
    return Annotation(
        left - 1, top - 1, right - left + 1, bottom - top + 1, label_name(fields["name"], f"{where}: name")
    )


def _number(fields: dict[str, str], field: str, where: str) -> float:
    if field not in fields:
        raise LabelError(f"{where}: {field} is missing")
    text = fields[field]
    value = float(text) if len(text) <= 40 and _NUMBER.fullmatch(text) else math.nan
    if not abs(value) < _MAX_COORDINATE:
        raise LabelError(f"{where}: {field} is {text[:40]!r}, expected a number of pixels")
    return value


def _size(fields: dict[str, str]) -> tuple[int, int] | None:
    """The annotated size; none where it is missing or 0, as some tools leave it."""
    if len(fields) < 2:
        return None
    width, height = (_number(fields, f"size/{side}", "the picture") for side in ("width", "height"))
    return (int(width), int(height)) if 1 <= width <= _MAX_SIDE and 1 <= height <= _MAX_SIDE else None
