"""How fast a camera moves, measured apart from any encoder: by phase correlation of neighbouring frames."""

import math
from itertools import pairwise
from statistics import median

import numpy as np
import numpy.typing as npt

from benchmarks.clip_sequences import Sequence as Run

SLOW = 0.005
"""Of the frame's width a frame: cameras below it hover, or move slowly."""


def camera_speed(run: Run) -> float:
    """Median shift from one frame to the next, as a part of the frame's width."""
    width = run.frames[0].size[0]
    luma = [frame.pixels.mean(axis=2) for frame in run.frames]
    return median(_shift(one, other) for one, other in pairwise(luma)) / width


def _shift(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Length in pixels of the shift at which two pictures of one size correlate best, to a fraction of a pixel."""
    window = np.outer(np.hanning(one.shape[0]), np.hanning(one.shape[1]))
    first, second = (np.fft.rfft2((picture - picture.mean()) * window) for picture in (one, other))
    cross = first * second.conj()
    surface = np.fft.irfft2(cross / np.maximum(np.abs(cross), 1e-9), s=one.shape)
    peak = np.unravel_index(int(surface.argmax()), surface.shape)
    return math.hypot(_refined(surface, peak, 0), _refined(surface, peak, 1))


def _refined(surface: npt.NDArray[np.float64], peak: tuple[np.intp, ...], axis: int) -> float:
    """The peak's place along an axis, signed, by the parabola through its neighbours."""
    length = surface.shape[axis]

    def value(step: int) -> float:
        at = list(peak)
        at[axis] = np.intp((at[axis] + step) % length)
        return float(surface[tuple(at)])

    below, here, above = value(-1), value(0), value(1)
    bent = below - 2 * here + above
    place = int(peak[axis]) + (0.5 * (below - above) / bent if bent else 0.0)
    return place - length if place > length / 2 else place
