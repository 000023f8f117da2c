"""Coordinates: pixel centres on the square from -1 to 1, and the way from a box to the pixels it covers."""

from typing import NamedTuple

import torch
from torch import Tensor


def grid(width: int, height: int, device: str | torch.device = "cpu") -> Tensor:
    """Centres of all pixels in rows, ``[1, height * width, 2]``: x and y from -1 to 1."""
    x = (torch.arange(width, device=device) + 0.5) / width * 2 - 1
    y = (torch.arange(height, device=device) + 0.5) / height * 2 - 1
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([columns, rows], dim=-1).reshape(1, -1, 2)


class Covered(NamedTuple):
    """Pixels of an output picture that boxes cover, padded to the largest box.

    Attributes:
        pixel: ``[boxes, pixels]``, index into the picture's rows; meaningless where not ``inside``.
        inside: ``[boxes, pixels]``, false where padding.
        coordinates: ``[boxes, pixels, 2]``, within the box, -1 to 1.
    """

    pixel: Tensor
    inside: Tensor
    coordinates: Tensor


def covered_pixels(boxes: Tensor, frame: Tensor, size: tuple[int, int]) -> Covered:
    """Which pixels of a picture lie in boxes, and where in them.

    A pixel belongs to a box when its centre does.

    Args:
        boxes: ``[boxes, 4]``, x, y, width, height in pixels of the working frame, float64.
        frame: ``[boxes, 2]``, width and height of the box's working frame, float64.
        size: ``(width, height)`` of the output picture, which shows the whole frame.
    """
    scale = torch.tensor(size, dtype=torch.float64, device=boxes.device) / frame
    start = torch.ceil(boxes[:, :2] * scale - 0.5).long()
    stop = torch.ceil((boxes[:, :2] + boxes[:, 2:]) * scale - 0.5).long()
    extent = stop - start
    count = extent[:, 0] * extent[:, 1]
    order = torch.arange(int(count.max()) if len(boxes) else 0, device=boxes.device)[None]
    columns = extent[:, :1].clamp(min=1)
    x, y = start[:, :1] + order % columns, start[:, 1:] + order // columns
    inside = order < count[:, None]
    centre = (torch.stack([x, y], dim=-1) + 0.5) / scale[:, None]
    within = (centre - boxes[:, None, :2]) / boxes[:, None, 2:] * 2 - 1
    return Covered(y * size[0] + x, inside, within.clamp(-1, 1).to(torch.float32))
