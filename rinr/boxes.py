"""Labelled boxes: one definition of the convention, and of how a box follows its frame when that is scaled.

A box is ``x, y, width, height`` in pixels from the top left corner (COCO's convention). Pixel ``i`` covers the
interval ``[i, i + 1)``, so a box of one pixel has width 1.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Annotation:
    """A labelled box as it was annotated: fractional pixels of the captured picture."""

    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True, order=True)
class Box:
    """A labelled box of whole pixels that lies wholly inside its frame."""

    x: int
    y: int
    width: int
    height: int
    label: str

    @property
    def area(self) -> int:
        """Pixels inside."""
        return self.width * self.height

    def contains(self, other: "Box") -> bool:
        """Whether no pixel of another box lies outside."""
        return (
            self.x <= other.x
            and self.y <= other.y
            and other.x + other.width <= self.x + self.width
            and other.y + other.height <= self.y + self.height
        )

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to index an array ``[height, width, ...]``."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)


def fit_box(annotation: Annotation, source: tuple[int, int], frame: tuple[int, int]) -> tuple[Box | None, str | None]:
    """Scale one annotation from the captured picture to the working frame.

    Floor at the top left, ceil at the bottom right, clipped to the frame.

    Args:
        annotation: the box in pixels of the captured picture.
        source: ``(width, height)`` of the captured picture, in pixels.
        frame: ``(width, height)`` of the working frame, in pixels.

    Returns:
        The box, and a note where it was changed by more than rounding; ``None`` and the reason where nothing of it
        lies inside the picture.
    """
    a = annotation
    name = f"box {a.label!r} at ({a.x:g}, {a.y:g}) of {a.width:g}x{a.height:g} px"
    if not all(map(math.isfinite, (a.x, a.y, a.width, a.height))):
        return None, f"{name} refused: its numbers are not finite"
    if a.width <= 0 or a.height <= 0:
        return None, f"{name} refused: it has no area"
    source_width, source_height = source
    left, right = max(a.x, 0.0), min(a.x + a.width, float(source_width))
    top, bottom = max(a.y, 0.0), min(a.y + a.height, float(source_height))
    if left >= right or top >= bottom:
        return None, f"{name} refused: it lies outside the picture of {source_width}x{source_height} px"
    overhang = max(left - a.x, a.x + a.width - right, top - a.y, a.y + a.height - bottom)
    note = f"{name} clipped to the picture of {source_width}x{source_height} px" if overhang > 1 else None
    scale_x, scale_y = frame[0] / source_width, frame[1] / source_height
    x0, y0 = _floor(left * scale_x), _floor(top * scale_y)
    x1, y1 = min(_ceil(right * scale_x), frame[0]), min(_ceil(bottom * scale_y), frame[1])
    x0, y0 = min(x0, frame[0] - 1), min(y0, frame[1] - 1)
    return Box(x0, y0, max(x1 - x0, 1), max(y1 - y0, 1), a.label), note


# A product such as 100 * (640 / 1280) can miss the whole number it stands for by one rounding error: a box must not
# grow by a pixel for that.
_ROUNDING = 1e-6


def _floor(value: float) -> int:
    return math.floor(value + _ROUNDING)


def _ceil(value: float) -> int:
    return math.ceil(value - _ROUNDING)
