"""The canvas of a clip: all its frames brought together by their camera's motion, and their mean there: the mosaic."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from rinr.camera_motion import Motion, sampled, window
from rinr.codec.clip import MAX_SHIFT, MAX_ZOOM, SHIFT_UNIT, ZOOM_UNIT
from rinr.codec.frame import MAX_FRAME_PIXELS, MAX_SIDE

MOST_LARGER = 4.0
"""How many times a frame's pixels a canvas has at most."""

Size = tuple[int, int]


@dataclass(frozen=True)
class Canvas:
    """Where frames lie on a canvas, in the numbers that payloads say it with.

    Attributes:
        size: ``(width, height)`` of the canvas, in pixels.
        zooms: one a frame, see :class:`rinr.codec.clip.ClipPlace`.
        shifts: likewise.
    """

    size: Size
    zooms: tuple[tuple[int, int], ...]
    shifts: tuple[tuple[int, int], ...]

    @property
    def motions(self) -> list[Motion]:
        """Of the frames on the canvas, as a decoder has them."""
        return [motion_of(zoom, shift) for zoom, shift in zip(self.zooms, self.shifts, strict=True)]


def canvas_of(motions: Sequence[Motion], frame: Size) -> Canvas | None:
    """A canvas around frames of one ``(width, height)``, their motions being in any one reference.

    Returns:
        ``None`` where it would be too large, or a motion is beyond what a payload may say.
    """
    reaches = [motion.reach(frame) for motion in motions]
    left, top = (min(reach[side] for reach in reaches) for side in (0, 1))
    right, bottom = (max(reach[side] for reach in reaches) for side in (2, 3))
    # What is left of a frame's quantized place may lie a little beyond.
    width, height = (max(math.ceil(stop - start - 1e-3), 1) for start, stop in ((left, right), (top, bottom)))
    most = min(MOST_LARGER * frame[0] * frame[1], MAX_FRAME_PIXELS)
    if max(width, height) > MAX_SIDE or width * height > most:
        return None
    centred = Motion((1.0, 1.0), (-(left + right) / 2, -(top + bottom) / 2))
    placed = [quantized(centred.after(motion)) for motion in motions]
    if not all(placed):
        return None
    there = [each for each in placed if each]
    return Canvas((width, height), tuple(zoom for zoom, _ in there), tuple(shift for _, shift in there))


def quantized(motion: Motion) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Zoom and shift as payloads say them; ``None``: they cannot."""
    across, down = (round((scale - 1) * ZOOM_UNIT) for scale in motion.scale)
    right, lower = (round(shift * SHIFT_UNIT) for shift in motion.shift)
    if max(abs(across), abs(down)) > MAX_ZOOM or max(abs(right), abs(lower)) > MAX_SHIFT:
        return None
    return (across, down), (right, lower)


def motion_of(zoom: tuple[int, int], shift: tuple[int, int]) -> Motion:
    """What :func:`quantized` numbers mean."""
    return Motion((1 + zoom[0] / ZOOM_UNIT, 1 + zoom[1] / ZOOM_UNIT), (shift[0] / SHIFT_UNIT, shift[1] / SHIFT_UNIT))


def mosaic(
    frames: Sequence[Tensor], motions: Sequence[Motion], size: Size, counts: Sequence[Tensor | None]
) -> tuple[Tensor, Tensor]:
    """The mean of frames on a canvas, holes filled smoothly, so that they cost few bits.

    Args:
        frames: ``[channels, height, width]`` each.
        motions: of each on the canvas.
        size: ``(width, height)`` of the canvas.
        counts: ``[height, width]``, how much each pixel of a frame counts, from 0 to 1; ``None``: all alike.

    Returns:
        ``[channels, height, width]``, and ``[height, width]``: how many frames stand there, by their counts.
    """
    width, height = size
    channels = len(frames[0])
    total = torch.zeros(channels + 1, height, width, device=frames[0].device)
    for frame, motion, count in zip(frames, motions, counts, strict=True):
        weight = torch.ones_like(frame[:1]) if count is None else count.to(frame)[None]
        stacked = torch.cat([frame * weight, weight])[None]
        own = frame.shape[2], frame.shape[1]
        left, top, right, bottom = motion.reach(own)
        columns, rows = _within(left, right, width), _within(top, bottom, height)
        shape = rows.stop - rows.start, columns.stop - columns.start
        if min(shape) <= 0:
            continue
        values, inside = sampled(stacked, _seen_from(motion.inverse(), own, size, columns, rows), shape)
        total[:, rows, columns] += values[0] * inside
    weight = total[channels]
    return filled(total[:channels], weight), weight


def filled(total: Tensor, weight: Tensor) -> Tensor:
    """Weighted sums ``[channels, height, width]`` over their weights ``[height, width]``; where these are zero
    the mean of what is around, found at lower and lower resolutions (Gortler et al., 1996: push and pull)."""
    levels = [(total[None], weight[None, None])]
    while not bool((levels[-1][1] > _HARDLY).all()) and max(levels[-1][1].shape[2:]) > 1:
        levels.append((_halved(levels[-1][0]), _halved(levels[-1][1])))
    sums, weights = levels.pop()
    picture = sums / weights.clamp(min=_HARDLY)
    for sums, weights in reversed(levels):
        shape = weights.shape[2:]
        larger = functional.interpolate(picture, scale_factor=2, mode="bilinear")[:, :, : shape[0], : shape[1]]
        own = sums / weights.clamp(min=_HARDLY)
        picture = torch.where(weights > _HARDLY, own, larger)
    return picture[0]


_HARDLY = 1e-3


def _halved(picture: Tensor) -> Tensor:
    rows, columns = picture.shape[2:]
    return functional.avg_pool2d(functional.pad(picture, (0, columns % 2, 0, rows % 2)), 2)


def _within(start: float, stop: float, length: int) -> slice:
    """Pixels of a canvas's side that lie between two places, from its centre."""
    return slice(max(math.floor(start + length / 2), 0), min(math.ceil(stop + length / 2), length))


def _seen_from(
    inverse: Motion, frame: Size, canvas: Size, columns: slice, rows: slice
) -> tuple[float, float, float, float]:
    """From points of a part of the canvas to points of a frame: see :func:`rinr.camera_motion.sampled`."""
    across, right, down, lower = window(inverse, canvas, frame)
    (wide, x), (high, y) = (
        ((part.stop - part.start) / whole, (part.start + part.stop) / whole - 1)
        for part, whole in ((columns, canvas[0]), (rows, canvas[1]))
    )
    return across * wide, across * x + right, down * high, down * y + lower
