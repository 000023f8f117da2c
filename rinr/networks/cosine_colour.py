"""Colour axes of ``cosine`` networks: luma and two of chroma, or the same turned towards a picture's principal axes."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_AXES = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]], dtype=torch.float64)
_AXES /= _AXES.norm(dim=1, keepdim=True)
NO_TURNS = (128, 128, 128)
_SUBSAMPLED = 7  # of the pixels that colour axes are fitted to, one in so many


def colour_axes(turns: Sequence[int] | None) -> Tensor:
    """Orthonormal colour axes, rows of ``[3, 3]``, float64: luma and two of chroma, turned.

    Args:
        turns: of the plane of the axes (0, 1), then (0, 2), then (1, 2), in 256ths of half a turn around 128.
    """
    axes = _AXES.clone()
    for turn, (first, second) in zip(turns or NO_TURNS, ((0, 1), (0, 2), (1, 2)), strict=True):
        angle = (turn - 128) * math.pi / 256
        a, b = axes[first].clone(), axes[second].clone()
        axes[first], axes[second] = a * math.cos(angle) + b * math.sin(angle), b * math.cos(angle) - a * math.sin(angle)
    return axes


def fitted_turns(pixels: Tensor) -> tuple[int, int, int]:
    """The turns that bring colour axes near the principal ones of a picture ``[height, width, 3]``."""
    flat = pixels.reshape(-1, 3)[::_SUBSAMPLED].double()
    flat = flat - flat.mean(dim=0)
    _, vectors = torch.linalg.eigh((flat.T @ flat).cpu())
    principal = vectors.T.flip(0) @ _AXES.T  # rows: wanted axes in terms of the standing ones
    # Givens turns: the first two bring luma onto the first axis, the third turns chroma in its plane.
    first = principal[0] * (1 if principal[0, 0] >= 0 else -1)
    one = math.atan2(float(first[1]), float(first[0]))
    two = math.atan2(float(first[2]), math.hypot(float(first[0]), float(first[1])))
    codes = [_turn(one), _turn(two), 128]
    partial = colour_axes((codes[0], codes[1], 128)) @ _AXES.T
    plane = partial[1:] @ principal[1]
    three = math.atan2(float(plane[1]), float(plane[0]))
    three = (three + math.pi / 2) % math.pi - math.pi / 2  # an axis has no direction
    return codes[0], codes[1], _turn(three)


def _turn(angle: float) -> int:
    return min(max(round(angle * 256 / math.pi) + 128, 0), 255)
