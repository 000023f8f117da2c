"""Coordinates: pixel centres from -1 to 1, and the way from a box to the pixels it covers."""

from dataclasses import dataclass

import torch
from torch import Tensor

Window = tuple[float, float, float, float]
"""A part of a frame: left, top, right, bottom as parts of its sides, 0 to 1."""


def centres(count: int, start: float = 0.0, stop: float = 1.0, device: str | torch.device = "cpu") -> Tensor:
    """Centres of so many pixels that share the stretch from ``start`` to ``stop``, ``[count]``, float32."""
    return (torch.arange(count, device=device) + 0.5) * ((stop - start) / count) + start


def grid(width: int, height: int, device: str | torch.device = "cpu") -> Tensor:
    """Centres of all pixels in rows, ``[1, height * width, 2]``: x and y from -1 to 1."""
    x, y = (centres(count, device=device) * 2 - 1 for count in (width, height))
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([columns, rows], dim=-1).reshape(1, -1, 2)


@dataclass(frozen=True)
class Axis:
    """Where the columns (or rows) of output pictures lie along a side of their frames.

    Attributes:
        start: ``[n | 1]`` float64, what lies at the picture's edge, as a part of the frame's side.
        scale: ``[n | 1]`` float64, how much of the frame's side the picture spans; negative: mirrored.
        size: of the picture, in pixels.
    """

    start: Tensor
    scale: Tensor
    size: int

    def places(self) -> Tensor:
        """Pixel centres, -1 to 1 along the frame's side and beyond: ``[n | 1, size]``, float32."""
        step, start = (self.scale / self.size).float(), self.start.float()
        index = torch.arange(self.size, device=step.device) + 0.5
        return (index * step[:, None] + start[:, None]) * 2 - 1

    def some(self, chosen: Tensor) -> "Axis":
        """Those of some of the pictures."""
        if len(self.start) == 1:
            return self
        return Axis(self.start[chosen], self.scale[chosen], self.size)

    def split(self, count: int, parts: int) -> "list[Axis]":
        """One for so many pictures after another."""
        if len(self.start) == 1:
            return [self] * parts
        pairs = zip(self.start.split(count), self.scale.split(count), strict=True)
        return [Axis(start, scale, self.size) for start, scale in pairs]

    def inside(self) -> Tensor:
        """First pixel whose centre lies in the frame, and the first behind it that does not: ``[n | 1, 2]``."""
        whole = torch.tensor([[0.0, 1.0]], dtype=torch.float64, device=self.start.device)
        return torch.stack(_bounds(whole, torch.ones_like(self.start), self), dim=1)


@dataclass(frozen=True)
class Covered:
    """Columns (or rows) of an output picture that boxes cover, padded to the widest box.

    Attributes:
        start: ``[boxes]``, the first one.
        count: ``[boxes]``, how many.
        index: ``[boxes, columns]``, the column; meaningless where not ``inside``.
        inside: ``[boxes, columns]``, false where padding.
        place: ``[boxes, columns]``, the column's centre within the box, -1 to 1.
    """

    start: Tensor
    count: Tensor
    index: Tensor
    inside: Tensor
    place: Tensor

    def some(self, chosen: Tensor) -> "Covered":
        """Some of the boxes, padded to their widest."""
        count = self.count[chosen]
        widest = int(count.max()) if len(chosen) else 0
        return Covered(
            self.start[chosen], count, *(each[chosen, :widest] for each in (self.index, self.inside, self.place))
        )


def covered(boxes: Tensor, frame: Tensor, axis: Axis) -> Covered:
    """Which columns (or rows) of a picture lie in boxes, and where in them.

    A pixel belongs to a box when its centre does; of the box's edges, the one at its start is part of it.

    Args:
        boxes: ``[boxes, 2]``, start and length in pixels of the working frame, float64.
        frame: ``[boxes]``, length of the box's working frame, float64.
        axis: of the picture in which each box is looked for, or of all of them.
    """
    start, stop = _bounds(boxes, frame, axis)
    count = stop - start
    index = start[:, None] + torch.arange(int(count.max()) if len(boxes) else 0, device=boxes.device)
    inside = index < stop[:, None]
    centre = (index + 0.5) * (axis.scale * frame / axis.size)[:, None] + (axis.start * frame)[:, None]
    place = (centre - boxes[:, :1]) / boxes[:, 1:] * 2 - 1
    return Covered(start, count, index, inside, place.clamp(-1, 1).to(torch.float32))


def _bounds(boxes: Tensor, frame: Tensor, axis: Axis) -> tuple[Tensor, Tensor]:
    """The first pixel in each box, and the first behind it."""
    scale = axis.size / (axis.scale * frame)  # output pixels a pixel of the working frame
    near, far = ((edge - axis.start * frame) * scale - 0.5 for edge in (boxes[:, 0], boxes.sum(dim=1)))
    # Mirrored, what was the first edge is the last, and a centre on it is still inside.
    start = torch.where(scale > 0, near.ceil(), far.floor() + 1).clamp(0, axis.size).long()
    stop = torch.where(scale > 0, far.ceil(), near.floor() + 1).clamp(0, axis.size).long()
    return start, torch.maximum(start, stop)
