"""Turned views: where each pixel of a picture lies in its frame, and which pixels the boxes of the frame cover."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from rinr.overlay import parts_of


def frame_points(views: Tensor, width: int, height: int) -> tuple[Tensor, Tensor]:
    """Where the pixel centres of pictures lie in their frames.

    Args:
        views: ``[n, 2, 3]`` float64, from parts of the picture's sides to parts of the frame's.
        width: of the pictures, in pixels.
        height: likewise.

    Returns:
        ``[n, 2, height * width]`` float32, x and y from -1 to 1 and beyond, row by row; and ``[n, height, width]``,
        whether each lies in the frame.
    """
    u, v = ((torch.arange(size, device=views.device) + 0.5).double() / size for size in (width, height))
    places = _through(views, u.expand(len(views), -1), v.expand(len(views), -1))
    inside = ((places >= 0) & (places < 1)).all(dim=1)
    return (places * 2 - 1).float().flatten(2), inside


@dataclass(frozen=True)
class Outlines:
    """Boxes of like sides in turned pictures, each within the upright rectangle around it, padded to the largest.

    Attributes:
        boxes: ``[n]``, which of all.
        pixel: ``[n, rows, columns]``, pixels of the rectangle: ``row * width + column``.
        inside: likewise, whether the pixel's centre lies in the box.
        places: ``[n, 2, rows, columns]`` float32, where in the box, x and y from -1 to 1.
    """

    boxes: Tensor
    pixel: Tensor
    inside: Tensor
    places: Tensor


def box_outlines(boxes: Tensor, views: Tensor, width: int, height: int) -> Iterator[Outlines]:
    """The pixels that boxes cover in turned pictures.

    Args:
        boxes: ``[boxes, 4]`` float64, x, y, width and height as parts of the frame's sides.
        views: ``[boxes, 2, 3]`` float64, of the picture of each.
        width: of the pictures, in pixels.
        height: likewise.
    """
    sides = torch.tensor([width, height], dtype=torch.float64, device=views.device)
    ends = torch.stack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1)
    corners = torch.stack([ends[:, [0, 1, 0, 1], 0], ends[:, [0, 0, 1, 1], 1]], dim=1) - views[:, :, 2:]
    shown = torch.linalg.solve(views[:, :, :2], corners) * sides[:, None]
    start = torch.minimum((shown.amin(dim=2) - 0.5).floor().clamp(min=0), sides).long()
    stop = torch.minimum((shown.amax(dim=2) + 0.5).ceil().clamp(min=0), sides).long()
    count = stop - start
    seen = torch.nonzero((count > 0).all(dim=1)).flatten()
    if not len(seen):
        return
    for part in parts_of(count[seen, 0], count[seen, 1]):
        own = seen[part]
        columns, rows = (
            start[own, side, None] + torch.arange(int(count[own, side].max()), device=views.device) for side in (0, 1)
        )
        places = _through(views[own], (columns + 0.5) / width, (rows + 0.5) / height)
        places = (places - boxes[own, :2, None, None]) / boxes[own, 2:, None, None]
        inside = ((places >= 0) & (places < 1)).all(dim=1)
        inside &= (columns < stop[own, :1])[:, None] & (rows < stop[own, 1:])[:, :, None]
        pixel = torch.where(inside, rows[:, :, None] * width + columns[:, None], 0)
        yield Outlines(own, pixel, inside, (places * 2 - 1).clamp(-1, 1).float())


def _through(views: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Views ``[n, 2, 3]`` of grids ``u [n, columns]`` and ``v [n, rows]``: ``[n, 2, rows, columns]``."""
    across, down, start = (views[:, :, place, None, None] for place in range(3))
    return across * u.double()[:, None, None] + down * v.double()[:, None, :, None] + start
