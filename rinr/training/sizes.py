"""What a detector finds, misses and imagines, by the size of the objects: which of them it is good for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rinr.training.detector import Detections

SIZES = ("small", "medium", "large")
"""COCO's: up to 32x32 pixels of the canvas, up to 96x96, and above."""

SHOWN_SCORE = 0.3
"""From which score on a detection counts as said: one that somebody would be shown."""

_OVERLAP = 0.5


@dataclass(frozen=True)
class SizeRow:
    """What became of the objects of one size.

    Attributes:
        size: one of ``SIZES``.
        objects: labelled ones.
        found_as: how many of them were found as ``small``, ``medium`` and ``large``.
        missed: the others.
        imagined: detections of this size in whose place there is no such object.
    """

    size: str
    objects: int
    found_as: tuple[int, int, int]
    missed: int
    imagined: int


def by_size(found: Sequence[Detections], truths: Sequence[Tensor]) -> tuple[SizeRow, ...]:
    """A row a size, over all pictures.

    A detection of ``SHOWN_SCORE`` or more finds the object that it overlaps most, by half or more of their union, and
    that none of a higher score has found.

    Args:
        found: one a picture, best first.
        truths: for each picture ``[objects, 4]``, ``x0, y0, x1, y1`` in the same pixels.
    """
    found_as = [[0] * len(SIZES) for _ in SIZES]
    objects, imagined = [0] * len(SIZES), [0] * len(SIZES)
    for one, boxes in zip(found, truths, strict=True):
        said = one.boxes[one.scores >= SHOWN_SCORE]
        for size in _sizes(boxes):
            objects[size] += 1
        said_sizes, true_sizes = _sizes(said), _sizes(boxes)
        matched = dict(_matches(said, boxes))
        for place, size in enumerate(said_sizes):
            if place in matched:
                found_as[true_sizes[matched[place]]][size] += 1
            else:
                imagined[size] += 1
    return tuple(
        SizeRow(name, objects[size], _three(found_as[size]), objects[size] - sum(found_as[size]), imagined[size])
        for size, name in enumerate(SIZES)
    )


def _matches(said: Tensor, boxes: Tensor) -> Iterator[tuple[int, int]]:
    """Places of detections, and of the objects that they find."""
    if not len(said) or not len(boxes):
        return
    overlaps = _overlaps(said.double(), boxes.double())
    for place in range(len(said)):
        best = int(overlaps[place].argmax())
        if overlaps[place, best] >= _OVERLAP:
            overlaps[:, best] = -1
            yield place, best


def _overlaps(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union ``[a, b]``."""
    inner = torch.minimum(a[:, None, 2:], b[None, :, 2:]) - torch.maximum(a[:, None, :2], b[None, :, :2])
    area = inner.clamp(min=0).prod(-1)
    union = (a[:, 2:] - a[:, :2]).prod(-1)[:, None] + (b[:, 2:] - b[:, :2]).prod(-1)[None] - area
    return area / union.clamp(min=1e-9)


def _sizes(boxes: Tensor) -> list[int]:
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(-1).tolist()
    return [0 if area < 32**2 else 1 if area < 96**2 else 2 for area in areas]


def _three(counts: Sequence[int]) -> tuple[int, int, int]:
    small, medium, large = counts
    return small, medium, large
