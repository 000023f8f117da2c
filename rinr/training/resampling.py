"""Pictures that are held as pixels, shown through views: bilinear, at once for all of one size."""

import torch
from torch import Tensor
from torch.nn import functional


def look_at(pictures: Tensor, views: Tensor, canvas: tuple[int, int], fill: float) -> Tensor:
    """Pictures as views show them.

    Args:
        pictures: float32 ``[n, 3, height, width]``.
        views: ``[n, 2, 3]``, from parts of the canvas's sides to parts of the picture's.
        canvas: ``(width, height)`` of what is returned, in pixels.
        fill: the colour of what lies outside a picture.

    Returns:
        ``[n, 3, height, width]``.
    """
    # grid_sample's coordinates run from -1 to 1 over both: g = 2 p - 1.
    linear = views[:, :, :2]
    shifted = views[:, :, 2] * 2 + linear.sum(dim=2) - 1
    grid = functional.affine_grid(
        torch.cat([linear, shifted[:, :, None]], dim=2).to(pictures),
        [len(pictures), 3, canvas[1], canvas[0]],
        align_corners=False,
    )
    # Around the pictures it reads zeros. Mirrored pixels would show objects that no box tells of.
    return functional.grid_sample(pictures - fill, grid, padding_mode="zeros", align_corners=False).add_(fill)
