"""New frames over what an earlier clip of their camera shares."""

from collections.abc import Sequence

import torch
from torch import Tensor

from rinr.camera_motion import Brightness, Motion, register, resized
from rinr.clip_backgrounds import Base, OfClips, canvas_picture
from rinr.clip_canvas import motion_of, quantized
from rinr.clips import brightness
from rinr.codec.clip import ClipPlace, part_name
from rinr.frames import Frame
from rinr.weights import read_part

_SCALES = (1.0, 0.85, 1.18)
_LEVEL = 8
_LEAST_SEEN = 0.4
"""Of a frame that must lie on the canvas where it is looked for without knowing anything."""
_LEAST_INSIDE = 0.6
"""Of a frame that must lie on the canvas in the end."""
_LEAST_LIKENESS = 0.7


def extended(frames: Sequence[Frame], motions: Sequence[Motion], payload: bytes, device: str) -> Base | None:
    """Find frames in what an earlier clip shares.

    Args:
        frames: of a run.
        motions: of each in the first one.
        payload: the earlier clip's shared part.
        device: where to look.

    Returns:
        The part with places of as many of the first frames as lie in it; ``None`` where the first one does not.

    Raises:
        PayloadError: the part is damaged.
    """
    shared = read_part(payload)
    if shared.member is None or isinstance(shared.member.family, OfClips):
        return None
    alike = brightness(frames[0], device)
    canvas = Brightness.of(canvas_picture(shared, device), levels=alike.levels)
    name, places = part_name(payload), []
    first: Motion | None = None
    for frame, motion in zip(frames, motions, strict=True):
        own = brightness(frame, device)
        start = _located(own, canvas) if first is None else first.after(motion)
        if start is None:
            break
        found = register(own, canvas, start)
        coded = quantized(found.motion)
        inside = _inside(found.motion, frame.size, canvas.size)
        if coded is None or found.likeness < _LEAST_LIKENESS or inside < _LEAST_INSIDE:
            break
        places.append(ClipPlace(name, 0, *coded))
        # What is known best of the next frames' places is where this one lies.
        first = motion_of(*coded).after(motion.inverse())
    return Base(payload, shared, tuple(places)) if places else None


def _located(frame: Brightness, canvas: Brightness) -> Motion | None:
    """Where a frame lies on a canvas, to a few pixels, by the correlation of coarse pictures at every place."""
    level = _LEVEL if _LEVEL in frame.levels else max(frame.levels)
    (own, counts), (other, _) = frame.levels[level], canvas.levels[level]
    pixel = [side / count for side, count in zip(canvas.size, other.shape[:1:-1], strict=True)]
    best, most = None, _LEAST_LIKENESS
    for scale in _SCALES:
        shape = [max(round(side * scale / each), 2) for side, each in zip(frame.size, pixel, strict=True)]
        small, mask = (resized(each, (shape[1], shape[0]))[0, 0].double() for each in (own, counts))
        likeness = correlations(small, mask, other[0, 0].double())
        top = int(likeness.argmax())
        if float(likeness.flatten()[top]) > most:
            most = float(likeness.flatten()[top])
            row, column = divmod(top, likeness.shape[1])
            left, upper = column - (shape[0] - 1), row - (shape[1] - 1)
            centre = (left + shape[0] / 2 - other.shape[3] / 2, upper + shape[1] / 2 - other.shape[2] / 2)
            best = Motion((scale, scale), (centre[0] * pixel[0], centre[1] * pixel[1]))
    return best


def correlations(picture: Tensor, counts: Tensor, canvas: Tensor) -> Tensor:
    """Correlation of a picture with a canvas at every place where they meet (Padfield, 2012).

    Args:
        picture: ``[rows, columns]``, float64.
        counts: likewise, how much its pixels count.
        canvas: ``[canvas rows, canvas columns]``.

    Returns:
        ``[rows + canvas rows - 1, columns + canvas columns - 1]``, first that at which the picture's last row and
        column meet the canvas's first ones; -1 where too little of the picture meets the canvas.
    """
    shape = [a + b - 1 for a, b in zip(picture.shape, canvas.shape, strict=True)]

    def at_all(one: Tensor, other: Tensor) -> Tensor:
        product = torch.fft.rfft2(one, shape) * torch.fft.rfft2(other, shape).conj()
        return torch.fft.irfft2(product, shape)

    picture, canvas = picture - picture.mean(), canvas - canvas.mean()
    there, weighed = torch.ones_like(canvas), picture * counts
    meeting = at_all(there, counts).clamp(min=1e-6)
    of_canvas, of_picture = at_all(canvas, counts), at_all(there, weighed)
    noise = meeting * (0.5 / 255) ** 2
    power = [
        (squares - sums.square() / meeting).clamp(min=0) + noise
        for squares, sums in (
            (at_all(canvas.square(), counts), of_canvas),
            (at_all(there, picture * weighed), of_picture),
        )
    ]
    both = at_all(canvas, weighed) - of_canvas * of_picture / meeting
    likeness = both / (power[0] * power[1]).sqrt()
    likeness = torch.where(meeting >= _LEAST_SEEN * counts.sum(), likeness, -1.0)
    return likeness.roll([side - 1 for side in picture.shape], (0, 1))


def _inside(motion: Motion, frame: tuple[int, int], canvas: tuple[int, int]) -> float:
    """The part of a frame that lies on the canvas."""
    left, top, right, bottom = motion.reach(frame)
    wide, high = (
        max(min(stop, whole / 2) - max(start, -whole / 2), 0.0) / (stop - start)
        for start, stop, whole in ((left, right, canvas[0]), (top, bottom, canvas[1]))
    )
    return wide * high
