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


def covered(boxes: Tensor, frame: Tensor, size: int, crop: tuple[float, ...] = (0.0, 1.0)) -> Covered:
    """Which columns (or rows) of a picture lie in boxes, and where in them.

    A pixel belongs to a box when its centre does.

    Args:
        boxes: ``[boxes, 2]``, start and length in pixels of the working frame, float64.
        frame: ``[boxes]``, length of the box's working frame, float64.
        size: length of the output picture in pixels.
        crop: start and stop of what the output picture shows, as parts of the frame.
    """
    scale = size / ((crop[1] - crop[0]) * frame)  # output pixels a pixel of the working frame
    offset = crop[0] * frame
    start = torch.ceil((boxes[:, 0] - offset) * scale - 0.5).clamp(0, size).long()
    stop = torch.ceil((boxes.sum(dim=1) - offset) * scale - 0.5).clamp(0, size).long()
    count = stop - start
    index = start[:, None] + torch.arange(int(count.max()) if len(boxes) else 0, device=boxes.device)
    inside = index < stop[:, None]
    centre = (index + 0.5) / scale[:, None] + offset[:, None]
    place = (centre - boxes[:, :1]) / boxes[:, 1:] * 2 - 1
    return Covered(start, count, index, inside, place.clamp(-1, 1).to(torch.float32))
