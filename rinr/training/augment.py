"""Augmentation as geometry: for every picture one map of its canvas, drawn at random, and other light.

Pictures are functions of coordinates, so to mirror, scale, move or turn one is to ask for it at other coordinates: what
is drawn here is a map, and nothing is resampled. A map takes pixels of the plain canvas to pixels of the one that is
shown; boxes follow it, and *views* (its inverse, with the letterbox in it) say for every pixel where in the frame its
colour is to be had.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rinr.training.chance import Use, uniform

KEPT_SHARE = 0.4
"""A box is dropped where less than this share of its area stays on the canvas: too little is left to recognise."""

Floats = npt.NDArray[np.float64]

_LIMITS = {"mirror": (0.0, 1.0), "zoom": (1.0, 4.0), "move": (0.0, 1.0), "turn": (0.0, 45.0), "light": (0.0, 1.0)}
_DRAWN = 10  # numbers a picture


@dataclass(frozen=True)
class Looks:
    """How each picture of a batch is shown.

    Attributes:
        maps: ``[pictures, 2, 3]``: ``maps @ (x, y, 1)`` is where a point of the plain canvas is shown, both in pixels.
        contrast: ``[pictures, 3]``, factors of each colour's distance from grey.
        brightness: ``[pictures]``, what is added to all colours after that.
    """

    maps: Floats
    contrast: Floats
    brightness: Floats

    def light(self, images: Tensor) -> Tensor:
        """Change ``[pictures, 3, height, width]`` in 0..1 in place to the light drawn, and return them."""
        added = 0.5 * (1 - self.contrast) + self.brightness[:, None]  # contrast is about grey
        factor, addend = (torch.from_numpy(each).to(images)[:, :, None, None] for each in (self.contrast, added))
        return images.mul_(factor).add_(addend).clamp_(0, 1)


@dataclass(frozen=True)
class Augmentation:
    """Between which bounds pictures are shown otherwise; 0 (zoom: 1) leaves one out.

    Attributes:
        mirror: the share of pictures that are mirrored, left to right.
        zoom: a picture is scaled by a factor between this and its inverse, each as likely as the other.
        move: a picture is moved by at most this share of the canvas, each way.
        turn: a picture is turned by at most so many degrees, either way. Turned frames are decoded point by point,
            which takes longer (docs/training.md says how long), so this is 0 by default.
        light: contrast, brightness and each colour's strength vary by at most this share.

    Raises:
        ValueError: a bound that makes no sense; the message names it.
    """

    mirror: float = 0.5
    zoom: float = 1.3
    move: float = 0.2
    turn: float = 0.0
    light: float = 0.2

    def __post_init__(self) -> None:
        for field in fields(self):
            value, (low, high) = getattr(self, field.name), _LIMITS[field.name]
            if not low <= value <= high:
                raise ValueError(f"augmentation {field.name} is {value:g}, expected {low:g} to {high:g}")

    def draw(self, places: Sequence[int], canvas: tuple[int, int], *, seed: int, epoch: int) -> Looks:
        """How to show the pictures at these places in this epoch; what one gets depends on nothing else.

        Args:
            places: of the pictures in their dataset.
            canvas: ``(width, height)`` in pixels.
            seed: of the augmentation.
            epoch: the pass.
        """
        numbers = [uniform(seed, epoch, Use.LOOKS, _DRAWN, place) for place in places]
        drawn = np.array(numbers).reshape(-1, _DRAWN)
        around = drawn * 2 - 1  # from -1 to 1
        mirror = np.where(drawn[:, 0] < self.mirror, -1.0, 1.0)
        zoom = np.exp(around[:, 1] * math.log(self.zoom))
        move = around[:, 2:4] * self.move * canvas
        angle = np.radians(around[:, 4] * self.turn)
        contrast = (1 + around[:, 5:8] * self.light / 2) * (1 + around[:, 8:9] * self.light)
        return Looks(_maps(mirror * zoom, zoom, angle, move, canvas), contrast, around[:, 9] * self.light)


USUAL = Augmentation()
"""What is done unless something else is asked for."""


def plain(count: int) -> Floats:
    """Maps ``[count, 2, 3]`` that show every picture as it is."""
    return np.tile(np.eye(2, 3), (count, 1, 1))


def views(maps: Floats, fitted: npt.NDArray[np.int32], canvas: tuple[int, int]) -> Tensor:
    """From the canvas that is shown back to the frames: what :meth:`rinr.decoder.LoadedFrames.look` takes.

    Args:
        maps: ``[pictures, 2, 3]``, from the plain canvas to the one that is shown, in pixels.
        fitted: ``[pictures, 2]``, width and height of each frame on the plain canvas, in pixels.
        canvas: ``(width, height)`` in pixels.

    Returns:
        float32 ``[pictures, 2, 3]``: from ``(u, v, 1)``, parts of the canvas's sides, to parts of the frame's.
    """
    turned = np.linalg.inv(maps[:, :, :2])
    back = np.concatenate([turned * np.array(canvas), -turned @ maps[:, :, 2:]], axis=2)
    return torch.from_numpy((back / fitted[:, :, None]).astype(np.float32))


def follow(boxes: Floats, maps: Floats, canvas: tuple[int, int]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Where boxes are shown.

    A turned box is not a box. The smallest one around its turned corners is too large, as hardly any object reaches
    its own box's corners; taken is the one around the turned ellipse that the box encloses (Kalra et al., "Towards
    Rotation Invariance in Object Detection", ICCV 2021). Without a turn the two are the same.

    Args:
        boxes: ``[boxes, 4]``, ``x0, y0, x1, y1`` in pixels of the plain canvas.
        maps: ``[boxes, 2, 3]``, each box's.
        canvas: ``(width, height)`` in pixels.

    Returns:
        ``[boxes, 4]``, clipped to the canvas, and ``[boxes]``, which of them have enough left to be kept.
    """
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    moved = (maps[:, :, :2] @ middle[:, :, None])[:, :, 0] + maps[:, :, 2]
    reach = np.sqrt(np.square(maps[:, :, :2] * half[:, None, :]).sum(axis=2))
    shown = np.concatenate([moved - reach, moved + reach], axis=1)
    clipped = np.clip(shown, 0, np.tile(canvas, 2))
    left = (clipped[:, 2:] - clipped[:, :2]).prod(axis=1)
    return clipped, (left > 0) & (left >= KEPT_SHARE * (shown[:, 2:] - shown[:, :2]).prod(axis=1))


def _maps(across: Floats, down: Floats, angle: Floats, move: Floats, canvas: tuple[int, int]) -> Floats:
    """Scaled by ``across`` and ``down`` and turned by ``angle`` about the canvas's centre, then moved."""
    cosine, sine, centre = np.cos(angle), np.sin(angle), np.array(canvas) / 2
    linear = np.stack([np.stack([cosine * across, -sine * down], 1), np.stack([sine * across, cosine * down], 1)], 1)
    return np.concatenate([linear, (centre + move - linear @ centre)[:, :, None]], axis=2)
