"""Moving pictures, made here: what a camera sees as it moves over a scene."""

import numpy as np

from rinr.boxes import Annotation
from rinr.frames import Frame, working_frame
from rinr.labels import ImageLabels
from tests.conftest import jpeg


def scene(seed=0, width=160, height=120):
    """A picture with structure at all scales, ``[height, width, 3]``."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for cells in (3, 6, 12, 24):
        coarse = rng.normal(size=(cells, cells, 3)) * 60 / cells**0.5
        y, x = np.meshgrid(*(np.linspace(0, cells - 1, side) for side in (height, width)), indexing="ij")
        total += bilinear(coarse, x, y)
    return (total + 128).clip(0, 255)


def bilinear(picture, x, y):
    """A picture at places in pixels, its first one at zero; the edge is repeated."""
    x, y = (places.clip(0, side - 1.001) for places, side in zip((x, y), picture.shape[1::-1], strict=True))
    left, low = x.astype(int), y.astype(int)
    across, down = (x - left)[..., None], (y - low)[..., None]
    above, below = (picture[r, left] * (1 - across) + picture[r, left + 1] * across for r in (low, low + 1))
    return above * (1 - down) + below * down


def seen(wide, size, centre, zoom=1.0):
    """What a camera of ``(width, height)`` sees of a scene: ``centre`` in its pixels, ``zoom`` of them a pixel."""
    (width, height), (right, lower) = size, centre
    x, y = np.meshgrid((np.arange(width) + 0.5 - width / 2) * zoom, (np.arange(height) + 0.5 - height / 2) * zoom)
    return bilinear(wide, x + right - 0.5, y + lower - 0.5)


def frame_of(pixels, name, boxes=()) -> Frame:
    data = jpeg(pixels.round().clip(0, 255).astype(np.uint8), quality=95)
    height, width = pixels.shape[:2]
    return working_frame(data, ImageLabels(name, (width, height), None, tuple(sorted(boxes))))


def pan(count=6, seed=0, step=3, noise=2.0):
    """Frames of 64x48 that a camera sees as it moves right, with a square that moves down."""
    wide, rng, frames = scene(seed), np.random.default_rng(seed + 1), []
    for index in range(count):
        pixels = wide[30:78, 10 + step * index : 74 + step * index].copy()
        pixels[10 + index : 18 + index, 20:28] = (200, 30, 30)
        pixels = pixels + rng.normal(size=pixels.shape) * noise
        frames.append(frame_of(pixels, f"{index}.jpg", (Annotation(18, 8 + index, 12, 12, "square"),)))
    return frames
