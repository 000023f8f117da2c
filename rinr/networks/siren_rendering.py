"""Rendering sine networks: whole rows in blocks that stay in a cache, of one network or of many small ones.

On a grid the first layer is a product of two sides: ``sin(a x + b y + c)`` is ``sin(a x) cos(b y + c) + cos(a x)
sin(b y + c)``, whose sines are as many as columns and rows, not as pixels.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rinr.codec.quantize import step_sizes
from rinr.networks.family import Arrays
from rinr.networks.rows import Rows
from rinr.networks.sine_layers import split_layers
from rinr.networks.siren_coding import OUTPUTS, Shape

# Activations of so many floats, a layer, are worked on at once: on a CPU they should stay in its cache.
_BLOCK = {"cpu": 1 << 17, "cuda": 1 << 28}
_POINTS = {"cpu": 1 << 12, "cuda": 1 << 20}


class SirenStack:
    """Networks of one shape on a device: their weights stay small integers, and become floats when evaluated."""

    def __init__(self, arrays: Arrays, device: str, share: float = 1.0) -> None:
        width, layers = arrays["shape"][0].tolist()
        self.shape = Shape(width, layers)
        self.weights = Rows(arrays["weights"], device, share)
        self.steps = step_sizes(torch.from_numpy(arrays["steps"]).to(device))

    @torch.no_grad()
    def render(self, chosen: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """See :class:`rinr.networks.family.Stack`."""
        device, columns, rows = self.weights.device.type, x.shape[1], y.shape[1]
        values = torch.zeros(len(chosen), OUTPUTS, rows, columns, device=self.weights.device)
        if not self.shape.width or not values.numel():
            return values
        # Whole rows at once, as many as stay in the cache, of as many networks.
        height = max(1, min(rows, _POINTS[device] // columns))
        for part in self._blocks(len(chosen), height * columns):
            first, *others = self._layers(chosen[part])
            across = first[:, :, :1] * (x if len(x) == 1 else x[part])[:, None]
            down = torch.addcmul(first[:, :, 2:], first[:, :, 1:2], (y if len(y) == 1 else y[part])[:, None])
            across_sines, across_cosines = across.sin()[:, :, None], across.cos()[:, :, None]
            down_sines, down_cosines = down.sin()[..., None], down.cos()[..., None]
            for top in range(0, rows, height):
                some = slice(top, top + height)
                hidden = across_sines * down_cosines[:, :, some]
                hidden.addcmul_(across_cosines, down_sines[:, :, some])
                values[part, :, some] = _after_first(others, hidden.flatten(2)).unflatten(2, (-1, columns))
        return values

    @torch.no_grad()
    def render_points(self, chosen: Tensor, points: Tensor) -> Tensor:
        """See :class:`rinr.networks.family.Stack`."""
        values = torch.zeros(len(chosen), OUTPUTS, points.shape[2], device=points.device)
        if not self.shape.width or not values.numel():
            return values
        count = _POINTS[points.device.type]
        for part in self._blocks(len(chosen), min(count, points.shape[2])):
            first, *others = self._layers(chosen[part])
            for start in range(0, points.shape[2], count):
                some = points[part, :, start : start + count]
                hidden = _sine_(torch.baddbmm(first[:, :, 2:], first[:, :, :2], some))
                values[part, :, start : start + count] = _after_first(others, hidden)
        return values

    def _layers(self, chosen: Tensor) -> list[Tensor]:
        layers = split_layers(self.weights.take(chosen), self.shape.sizes)
        return [layer * self.steps[chosen, index, None, None] for index, layer in enumerate(layers)]

    def _blocks(self, networks: int, points: int) -> list[slice]:
        count = max(1, _BLOCK[self.weights.device.type] // (points * self.shape.width))
        return [slice(first, first + count) for first in range(0, networks, count)]


def _after_first(layers: Sequence[Tensor], hidden: Tensor) -> Tensor:
    """``[n, 3, points]`` from what leaves the first layer, ``[n, width, points]``."""
    for layer in layers[:-1]:
        hidden = _sine_(torch.baddbmm(layer[:, :, -1:], layer[:, :, :-1], hidden))
    return torch.baddbmm(layers[-1][:, :, -1:], layers[-1][:, :, :-1], hidden)


def _sine_(angles: Tensor) -> Tensor:
    """Sines in place. On a CPU NumPy's take half as long as torch's, and are as exact."""
    if angles.device.type == "cpu":
        np.sin(angles.numpy(), out=angles.numpy())
        return angles
    return angles.sin_()
