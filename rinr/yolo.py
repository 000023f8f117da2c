"""YOLO labels: one text file a picture, one box a line, in fractions of the upright picture.

A line is ``class cx cy width height``: the class as an index into a list of names, the centre and the size as
fractions of the picture's width and height.
"""

import math
import re
from collections.abc import Sequence

from rinr.boxes import Annotation
from rinr.labels import MAX_BOXES_PER_IMAGE, ImageLabels, LabelError, label_name

MAX_YOLO_BYTES = 1024 * 1024
MAX_LINE_BYTES = 1_000
MAX_CLASSES = 10_000

_FIELDS = ("class", "cx", "cy", "width", "height", "confidence")
# Not all that `float` reads: it takes `nan`, `1_0` and other scripts' digits.
_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_LOWEST, _HIGHEST = -0.5, 1.5


def parse_yolo(data: bytes, classes: Sequence[str], size: tuple[int, int]) -> ImageLabels:
    """Read one picture's boxes. An empty file says that there are none.

    A sixth column, the confidence that detectors write, is passed over. Fractions from -0.5 to 1.5 are read: a box
    that reaches beyond the picture is clipped later, with a note.

    Args:
        data: the text file's bytes, at most ``MAX_YOLO_BYTES``.
        classes: names by index.
        size: ``(width, height)`` of the upright picture, in pixels.

    Raises:
        LabelError: naming the line and the field.
    """
    boxes: list[Annotation] = []
    for number, line in enumerate(_lines(data, "the label file"), 1):
        where = f"line {number}"
        words = line.split()
        if not words:
            continue
        if len(words) > len(_FIELDS) or len(line) > MAX_LINE_BYTES:
            raise LabelError(
                f"{where} has {len(words):,} columns in {len(line):,} bytes; expected `class cx cy width height`: "
                "segmentation polygons are not read, export boxes"
            )
        if len(words) < 5:
            missing = ", ".join(_FIELDS[len(words) : 5])
            raise LabelError(f"{where} lacks {missing}; expected `class cx cy width height`")
        if len(boxes) == MAX_BOXES_PER_IMAGE:
            raise LabelError(f"{where}: more than {MAX_BOXES_PER_IMAGE:,} boxes for one image")
        label = _class(words[0], classes, where)
        cx, cy, width, height = (
            _fraction(word, f"{where}: {field}") for word, field in zip(words[1:5], _FIELDS[1:5], strict=True)
        )
        if len(words) == 6:
            _number(words[5], f"{where}: confidence")
        boxes.append(
            Annotation(
                (cx - width / 2) * size[0], (cy - height / 2) * size[1], width * size[0], height * size[1], label
            )
        )
    return ImageLabels("", size, None, tuple(sorted(boxes)))


def parse_classes(data: bytes) -> tuple[str, ...]:
    """Read the names of classes, one a line, the first of index 0.

    Raises:
        LabelError: naming the line.
    """
    lines = _lines(data.removeprefix(b"\xef\xbb\xbf"), "the list of classes")
    while lines and not lines[-1].strip():
        lines.pop()
    if len(lines) > MAX_CLASSES:
        raise LabelError(f"the list of classes has {len(lines):,} lines; at most {MAX_CLASSES:,} are read")
    names: list[str] = []
    for number, line in enumerate(lines, 1):
        where = f"line {number} of the list of classes"
        try:
            names.append(label_name(line.decode().strip(), where))
        except UnicodeDecodeError:
            raise LabelError(f"{where} is not UTF-8") from None
    return tuple(names)


def _lines(data: bytes, what: str) -> list[bytes]:
    if len(data) > MAX_YOLO_BYTES:
        raise LabelError(f"{what} has {len(data):,} bytes; at most {MAX_YOLO_BYTES:,} are read")
    return data.splitlines()


def _class(word: bytes, classes: Sequence[str], where: str) -> str:
    if not word.isdigit() or len(word) > 6:
        raise LabelError(f"{where}: class is {_spoken(word)}, expected the index of a class, from 0")
    index = int(word)
    if index >= len(classes):
        raise LabelError(f"{where}: class is {index}, but the list of classes has {len(classes)} names, from 0")
    return classes[index]


def _fraction(word: bytes, where: str) -> float:
    value = _number(word, where)
    if not _LOWEST <= value <= _HIGHEST:
        raise LabelError(
            f"{where} is {_spoken(word)}, expected a fraction of the picture from {_LOWEST} to {_HIGHEST}, no pixels"
        )
    return value


def _number(word: bytes, where: str) -> float:
    value = float(word) if len(word) <= 40 and _NUMBER.fullmatch(word) else math.nan
    if not math.isfinite(value):
        raise LabelError(f"{where} is {_spoken(word)}, expected a finite number")
    return value


def _spoken(word: bytes) -> str:
    return repr(word[:40].decode("utf-8", "replace"))
