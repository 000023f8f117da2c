"""The canvas on which pictures of any size are put for training.

They are scaled to fit with their aspect kept, at the top left, grey where no picture lies ("letterboxed"). A stretched
picture would fill the canvas, but an upright and a lying picture of one object would then look like two; and with the
aspect kept a box has the same overlap with another on the canvas as in the captured picture, so that precision can be
measured here.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rinr.training.detector import STRIDE

GREY = 0.5
"""The canvas where no picture lies, in 0..1: what the detector reads as zero."""


def canvas_size(sizes: Sequence[tuple[int, int]], longest: int = 320) -> tuple[int, int]:
    """``(width, height)`` of the smallest canvas that holds every picture, their longest sides at most ``longest``.

    Args:
        sizes: ``(width, height)`` of the pictures, in pixels.
        longest: pixels.
    """
    scales = [min(1.0, longest / max(size)) for size in sizes]
    width, height = (
        max(max(round(size[side] * scale), 1) for size, scale in zip(sizes, scales, strict=True)) for side in (0, 1)
    )
    return -(-width // STRIDE) * STRIDE, -(-height // STRIDE) * STRIDE


def fit(size: tuple[int, int], canvas: tuple[int, int]) -> tuple[int, int]:
    """``(width, height)`` of a picture on a canvas: as large as fits, aspect kept to the pixel."""
    scale = min(canvas[0] / size[0], canvas[1] / size[1])
    return (
        min(max(round(size[0] * scale), 1), canvas[0]),
        min(max(round(size[1] * scale), 1), canvas[1]),
    )


def fit_all(sizes: npt.NDArray[np.int32], canvas: tuple[int, int]) -> npt.NDArray[np.int32]:
    """:func:`fit` of many pictures, ``[pictures, 2]`` to ``[pictures, 2]``."""
    different, which = np.unique(sizes, axis=0, return_inverse=True)
    fitted = [fit((width, height), canvas) for width, height in different.tolist()]
    return np.array(fitted, dtype=np.int32).reshape(-1, 2)[which.reshape(-1)]


def checked(size: tuple[int, int]) -> tuple[int, int]:
    """The size of a canvas.

    Raises:
        ValueError: sides that are no multiples of the stride.
    """
    if min(size) < STRIDE or size[0] % STRIDE or size[1] % STRIDE:
        raise ValueError(f"training size {size[0]}x{size[1]}: both sides must be multiples of {STRIDE} pixels")
    return size
