"""PSNR: one definition, in one place.

Object PSNR is measured over the union of the boxes, background PSNR outside it; a set's figure is the mean of its
images' values.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from rinr.boxes import Box
from rinr.frames import Pixels

MAX_DB = 100.0
"""Equal pictures have no finite PSNR; they count as this many dB, so that means and JSON stay finite."""


def psnr(reference: Pixels, decoded: Pixels, mask: npt.NDArray[np.bool_] | None = None) -> float | None:
    """Peak signal-to-noise ratio in dB of 8-bit pictures over all three channels, at most ``MAX_DB``.

    Args:
        reference: ``[height, width, 3]``.
        decoded: of the same shape.
        mask: ``[height, width]``, true where pixels count; all count without it.

    Returns:
        ``None`` where no pixel counts.
    """
    squared = _squared_errors(reference, decoded)
    return _decibels(squared if mask is None else squared[mask])


def object_mask(size: tuple[int, int], boxes: Sequence[Box]) -> npt.NDArray[np.bool_]:
    """``[height, width]``, true inside any of the boxes; ``size`` is ``(width, height)``."""
    mask = np.zeros((size[1], size[0]), dtype=bool)
    for box in boxes:
        mask[box.slices] = True
    return mask


def frame_psnr(reference: Pixels, decoded: Pixels, boxes: Sequence[Box]) -> tuple[float | None, float | None]:
    """``(background, object)`` PSNR of one frame in dB; ``None`` where it has no such pixels."""
    mask = object_mask((reference.shape[1], reference.shape[0]), boxes)
    squared = _squared_errors(reference, decoded)
    return _decibels(squared[~mask]), _decibels(squared[mask])


def mean_db(values: Iterable[float | None]) -> float | None:
    """Mean over the images that have a value; ``None`` where none has."""
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None


def _squared_errors(reference: Pixels, decoded: Pixels) -> npt.NDArray[np.int32]:
    """Sums over the channels, ``[height, width]``: whole numbers, so that what is made of them is exact."""
    if reference.shape != decoded.shape:
        raise ValueError(f"PSNR of pictures of {reference.shape} and {decoded.shape}: shapes must be equal")
    error = reference.astype(np.int32)
    error -= decoded
    return np.einsum("hwc,hwc->hw", error, error)


def _decibels(squared: npt.NDArray[np.int32]) -> float | None:
    if squared.size == 0:
        return None
    mse = int(squared.sum(dtype=np.int64)) / (3 * squared.size)
    return MAX_DB if mse == 0 else min(MAX_DB, 10 * math.log10(255**2 / mse))
