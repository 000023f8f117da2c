"""Augmentation of a batch on the accelerator: mirrored, scaled, moved and lit otherwise, boxes along with it."""

import math

import torch
from torch import Tensor
from torch.nn import functional

MAX_ZOOM = 1.3
"""A picture is scaled by a factor between this and its inverse, each as likely as the other."""

MAX_MOVE = 0.2
"""A picture is moved by at most this share of the canvas, each way."""

LIGHT = 0.2
"""Contrast, brightness and each colour's strength vary by at most this share."""

KEPT_SHARE = 0.4
"""A box is dropped where less than this share of its area stays on the canvas: too little is left to recognise."""


def augmented(images: Tensor, boxes: list[Tensor], chance: torch.Generator) -> tuple[Tensor, list[Tensor]]:
    """Another look at every picture of a batch.

    Args:
        images: float32 ``[batch, 3, height, width]`` in 0..1.
        boxes: for each picture ``[objects, 4]``, ``x0, y0, x1, y1`` in pixels.
        chance: on the CPU, so that the same seed gives the same pictures on every accelerator.

    Returns:
        Pictures of the same shape in 0..1, and the boxes that are left, clipped to the canvas.
    """
    count, _, height, width = images.shape
    mirror = torch.where(torch.rand(count, generator=chance) < 0.5, -1.0, 1.0)
    zoom = (_between(-1, 1, count, chance) * math.log(MAX_ZOOM)).exp()
    move = _between(-MAX_MOVE, MAX_MOVE, (count, 2), chance)
    # In grid_sample's coordinates, -1 to 1 over the canvas: output = input * scale + 2 * move, so the grid,
    # which says for each output where it comes from, is the inverse.
    scale = torch.stack([mirror * zoom, zoom], dim=1)
    inverse = torch.zeros(count, 2, 3)
    inverse[:, 0, 0], inverse[:, 1, 1] = 1 / scale[:, 0], 1 / scale[:, 1]
    inverse[:, :, 2] = -2 * move / scale
    grid = functional.affine_grid(inverse.to(images), list(images.shape), align_corners=False)
    # What comes in from outside is grey (0 here). Mirrored pixels would show objects that no box tells of.
    moved = functional.grid_sample(images - 0.5, grid, padding_mode="zeros", align_corners=False)

    contrast = 1 + _between(-LIGHT, LIGHT, (count, 3, 1, 1), chance) / 2
    contrast = contrast * (1 + _between(-LIGHT, LIGHT, (count, 1, 1, 1), chance))
    brightness = _between(-LIGHT, LIGHT, (count, 1, 1, 1), chance)
    lit = (moved * contrast.to(images) + 0.5 + brightness.to(images)).clamp(0, 1)

    size = torch.tensor([width, height])
    return lit, [
        _follow(of_image, scale[place].to(of_image), move[place].to(of_image), size.to(of_image))
        for place, of_image in enumerate(boxes)
    ]


def _follow(boxes: Tensor, scale: Tensor, move: Tensor, size: Tensor) -> Tensor:
    """Boxes ``[objects, 4]`` scaled about the canvas's centre and moved; those that left the canvas are dropped."""
    corners = (boxes.reshape(-1, 2, 2) - size / 2) * scale + size / 2 + move * size
    whole = torch.cat([corners.amin(dim=1), corners.amax(dim=1)], dim=1)
    clipped = whole.clamp(min=0).minimum(size.repeat(2))
    area = (whole[:, 2:] - whole[:, :2]).prod(1)
    kept = (clipped[:, 2:] - clipped[:, :2]).prod(1)
    return clipped[(kept >= KEPT_SHARE * area) & (kept > 0)]


def _between(low: float, high: float, shape: int | tuple[int, ...], chance: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=chance) * (high - low) + low
