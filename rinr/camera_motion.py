"""Camera motion: how one picture lies in another one, upright.

Point ``p`` of a frame, in pixels from its centre, lies at ``scale * p + shift`` from the centre of a reference. It is
found by Gauss-Newton steps on the differences of brightness (Lucas and Kanade, 1981; Bergen et al., 1992), from coarse
pictures to fine ones, with weights that make little of what moves by itself.

There is no turning: a picture that is not turned is rendered with one product a side.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_LUMA = (0.299, 0.587, 0.114)
_LEVELS = (16, 8, 4, 2)
_FEWEST_PIXELS, _MOST_PIXELS = 8, 200
"""Of a side at a level. Finer pictures take most of the time and make the motion no better: what is found at a quarter
of 640 pixels is as good as what is found at half of them."""
_COMPARED = 8  # the level, or that nearest to it, at which likeness is measured
_STEPS = 20
_ENOUGH = 2e-3  # of a level's pixel: steps below it end a level
_SEEN = 0.25  # of a frame that must lie in the reference
_MOST_ZOOM = 1.6


@dataclass(frozen=True)
class Motion:
    """Where a frame lies in a reference.

    Attributes:
        scale: across and down.
        shift: of the frame's centre from the reference's, in the reference's pixels.
    """

    scale: tuple[float, float] = (1.0, 1.0)
    shift: tuple[float, float] = (0.0, 0.0)

    def after(self, first: "Motion") -> "Motion":
        """The motion of a frame that lies, by ``first``, in a frame that lies, by this, in a reference."""
        scale = self.scale[0] * first.scale[0], self.scale[1] * first.scale[1]
        shift = (self.scale[0] * first.shift[0] + self.shift[0], self.scale[1] * first.shift[1] + self.shift[1])
        return Motion(scale, shift)

    def inverse(self) -> "Motion":
        """Where the reference lies in the frame."""
        (across, down), (right, lower) = self.scale, self.shift
        return Motion((1 / across, 1 / down), (-right / across, -lower / down))

    def reach(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of a frame of ``(width, height)``, from the reference's centre."""
        (across, down), (right, lower) = self.scale, self.shift
        half_width, half_height = across * size[0] / 2, down * size[1] / 2
        return right - half_width, lower - half_height, right + half_width, lower + half_height


STILL = Motion()


@dataclass(frozen=True)
class Registered:
    """A motion that was found.

    Attributes:
        motion: of the frame in the reference; none at all where none that was found is better.
        likeness: correlation of the brightness of both where they meet, coarsely, -1 to 1.
    """

    motion: Motion
    likeness: float


@dataclass(frozen=True)
class Brightness:
    """A picture's brightness at several levels.

    Attributes:
        size: ``(width, height)`` of the picture, in pixels.
        levels: pictures ``[1, 1, rows, columns]``, 0 to 1, and how much their pixels count; by level: pixels of a side
            that are one.
    """

    size: tuple[int, int]
    levels: Mapping[int, tuple[Tensor, Tensor]]

    @staticmethod
    def of(picture: Tensor, counts: Tensor | None = None, levels: Iterable[int] = ()) -> "Brightness":
        """Of a picture.

        Args:
            picture: ``[3, height, width]``, 0 to 1.
            counts: ``[height, width]``, where its pixels count, such as outside of what moves by itself; all without.
            levels: those that suit the picture's size without them.
        """
        luma = (picture * picture.new_tensor(_LUMA)[:, None, None]).sum(dim=0)[None, None]
        whole = torch.ones_like(luma) if counts is None else counts.to(luma)[None, None]
        size = luma.shape[3], luma.shape[2]
        shapes = {level: rows_and_columns(size, level) for level in levels or _suitable(size)}
        return Brightness(
            size, {level: (resized(luma, shape), resized(whole, shape)) for level, shape in shapes.items()}
        )

    @property
    def finest(self) -> int:
        """The finest level."""
        return min(self.levels)


def register(frame: Brightness, reference: Brightness, start: Motion = STILL, *, finest: bool = False) -> Registered:
    """Find how a frame lies in a reference, with one zoom for both sides.

    Args:
        frame: its brightness.
        reference: likewise, of any size, at all the frame's levels.
        start: where to start looking; its zooms stay in proportion.
        finest: look at the finest level alone, where ``start`` is close.
    """
    motion: Motion | None = start
    levels = [frame.finest] if finest else sorted(frame.levels, reverse=True)
    for level in levels:
        if motion:
            motion = _settled(frame, reference, level, motion)
    kinds = [start] if motion is None or motion == start else [motion, start]
    coarse = min(levels, key=lambda level: (abs(level - _COMPARED), level))
    measured = [(*_compared(frame, reference, coarse, each), each) for each in kinds]
    error, likeness, best = min(measured, key=lambda each: each[0])
    return Registered(best, likeness if math.isfinite(error) else 0.0)


def sampled(picture: Tensor, at: tuple[float, float, float, float], shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """What a window of a picture shows, interpolated.

    Args:
        picture: ``[1, channels, rows, columns]``.
        at: scale and offset across, scale and offset down, from points of the window to points of the picture, both
            from -1 to 1 from edge to edge.
        shape: rows and columns of the window.

    Returns:
        ``[1, channels, *shape]``, and ``[*shape]`` bool: what lies in the picture; the rest repeats its edge.
    """
    across, down = (
        places(count, picture.device) * scale + offset
        for count, scale, offset in zip(shape[::-1], at[0::2], at[1::2], strict=True)
    )
    grid = torch.stack(torch.meshgrid(across, down, indexing="xy"), dim=-1)
    values = functional.grid_sample(
        picture, grid[None].to(picture.dtype), mode="bilinear", padding_mode="border", align_corners=False
    )
    return values, (grid.abs() <= 1).all(dim=-1)


def resized(picture: Tensor, shape: tuple[int, int]) -> Tensor:
    """``[1, channels, rows, columns]`` at another resolution. The mean of whole pixels would not do: where they do not
    come out even it enlarges, by a hundredth of a small picture."""
    return functional.interpolate(picture, shape, mode="bilinear", antialias=True, align_corners=False)


def rows_and_columns(size: tuple[int, int], level: int) -> tuple[int, int]:
    """Of a picture of ``(width, height)`` at a level."""
    return max(round(size[1] / level), 1), max(round(size[0] / level), 1)


def places(count: int, device: torch.device) -> Tensor:
    """Pixel centres of a side, from -1 to 1 from edge to edge: ``[count]``, float64."""
    return (torch.arange(count, device=device, dtype=torch.float64) * 2 + 1) / count - 1


def window(motion: Motion, frame: tuple[int, int], reference: tuple[int, int]) -> tuple[float, float, float, float]:
    """A motion from points of the frame to points of the reference, both from -1 to 1: see :func:`sampled`.

    Args:
        motion: of the frame in the reference.
        frame: ``(width, height)`` in pixels.
        reference: likewise.
    """
    (across, right), (down, lower) = (
        (scale * own / whole, 2 * shift / whole)
        for scale, shift, own, whole in zip(motion.scale, motion.shift, frame, reference, strict=True)
    )
    return across, right, down, lower


def _suitable(size: tuple[int, int]) -> list[int]:
    """Levels at which a picture of ``(width, height)`` is compared, from coarse to fine; one at least."""
    some = [level for level in _LEVELS if max(size) <= _MOST_PIXELS * level]
    return [level for level in some if min(size) >= _FEWEST_PIXELS * level] or [some[-1] if some else _LEVELS[0]]


def _settled(frame: Brightness, reference: Brightness, level: int, motion: Motion) -> Motion | None:
    """The motion after steps at one level; ``None`` where it runs away."""
    picture, counts = frame.levels[level]
    other, there = reference.levels[level]
    shape = picture.shape[2], picture.shape[3]
    slopes = _slopes(other, reference.size)
    stacked = torch.cat([other, there, *slopes], dim=1)
    x, y = (places(n, other.device) * side / 2 for n, side in zip(shape[::-1], frame.size, strict=True))
    first = motion
    for _ in range(_STEPS):
        values, inside = sampled(stacked, window(motion, frame.size, reference.size), shape)
        seen, known, across, down = values[0].double()
        left = picture[0, 0].double() - seen
        weight = counts[0, 0].double() * known * inside
        if float(weight.sum()) < _SEEN * weight.numel():
            return None
        spread = 1.4826 * left[weight > 0].abs().median() + 1e-3
        weight = weight / (1 + (left / (2 * spread)).square())  # what a Cauchy distribution makes of outliers
        zoom = across * x * motion.scale[0] + down * y[:, None] * motion.scale[1]
        jacobian = torch.stack([across, down, zoom]).flatten(1)
        normal = (jacobian * weight.flatten()) @ jacobian.T
        wanted = (jacobian * weight.flatten()) @ left.flatten()
        normal += torch.diag(normal.diagonal() * 1e-6 + 1e-12)
        right, lower, larger = (float(each) for each in torch.linalg.solve(normal, wanted))
        motion = Motion(
            (motion.scale[0] * (1 + larger), motion.scale[1] * (1 + larger)),
            (motion.shift[0] + right, motion.shift[1] + lower),
        )
        if not _sane(motion, first, frame.size):
            return None
        if max(abs(right), abs(lower), abs(larger) * max(frame.size) / 2) < _ENOUGH * level:
            break
    return motion


def _slopes(picture: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Change of ``[1, 1, rows, columns]`` across and down, a pixel of the full resolution."""
    rows, columns = picture.shape[2:]
    wide = functional.pad(picture, (1, 1, 0, 0), mode="replicate")
    high = functional.pad(picture, (0, 0, 1, 1), mode="replicate")
    across = (wide[..., 2:] - wide[..., :-2]) / 2 * columns / size[0]
    down = (high[..., 2:, :] - high[..., :-2, :]) / 2 * rows / size[1]
    return across, down


def _sane(motion: Motion, first: Motion, size: tuple[int, int]) -> bool:
    numbers = [*motion.scale, *motion.shift]
    if not all(math.isfinite(number) for number in numbers) or min(motion.scale) <= 0:
        return False
    zoomed = abs(math.log(motion.scale[0] / first.scale[0]))
    moved = (abs(a - b) / side for a, b, side in zip(motion.shift, first.shift, size, strict=True))
    return zoomed < math.log(_MOST_ZOOM) and max(moved) < 1


def _compared(frame: Brightness, reference: Brightness, level: int, motion: Motion) -> tuple[float, float]:
    """Mean difference, large ones cut off, and correlation where both pictures meet; infinite where they hardly do."""
    picture, counts = frame.levels[level]
    other, there = reference.levels[level]
    shape = picture.shape[2], picture.shape[3]
    values, inside = sampled(torch.cat([other, there], dim=1), window(motion, frame.size, reference.size), shape)
    seen, known = values[0].double()
    own, weight = picture[0, 0].double(), counts[0, 0].double() * known * inside
    total = weight.sum()
    if float(total) < _SEEN * weight.numel():
        return math.inf, 0.0
    error = float(((own - seen).abs().clamp(max=0.2) * weight).sum() / total)
    a, b = (each - (each * weight).sum() / total for each in (own, seen))
    power = (a.square() * weight).sum(), (b.square() * weight).sum()
    # Half a level of noise in each, so that pictures without any contrast are alike rather than undefined.
    noise = total * (0.5 / 255) ** 2
    likeness = ((a * b * weight).sum() + noise) / ((power[0] + noise) * (power[1] + noise)).sqrt()
    return error, float(likeness)
