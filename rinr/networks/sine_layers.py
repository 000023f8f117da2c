"""Sine networks forwards and backwards by hand: batched matrix products into buffers that are allocated once.

Parameters of ``n`` networks of one shape are one tensor ``[n, parameters]``: layer after layer, each ``[outputs, inputs
+ 1]`` in rows with the bias last. Activations are ``[n, features, pixels]`` with a row of ones below, so that one
product gives weights and bias, forwards and backwards. A general automatic differentiation spends most of its time on
networks so small in allocations and dispatch; written out, a step is a dozen products.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

Sizes = Sequence[tuple[int, int]]
"""``(inputs, outputs)`` of each layer."""


def split_layers(flat: Tensor, sizes: Sizes) -> list[Tensor]:
    """Views of stacked parameters ``[n, parameters]``, ``[n, outputs, inputs + 1]`` a layer."""
    parts = flat.split([(inputs + 1) * outputs for inputs, outputs in sizes], dim=1)
    return [part.unflatten(1, (outputs, inputs + 1)) for part, (inputs, outputs) in zip(parts, sizes, strict=True)]


class SineNetworks:
    """Buffers for ``n`` networks at ``pixels`` points each, and the two passes through them."""

    def __init__(self, sizes: Sizes, n: int, pixels: int, device: torch.device) -> None:
        self.sizes = sizes
        # What goes into each layer, with a last row of ones; what comes out before its sine; how the loss changes with
        # what goes in.
        self._inputs = [torch.ones(n, inputs + 1, pixels, device=device) for inputs, _ in sizes]
        self._sums = [torch.empty(n, outputs, pixels, device=device) for _, outputs in sizes]
        self._slopes = [torch.empty(n, inputs, pixels, device=device) for inputs, _ in sizes]
        self._gradient = torch.empty(n, sum((i + 1) * o for i, o in sizes), device=device)
        self._by_layer = [torch.empty(n, outputs, inputs + 1, device=device) for inputs, outputs in sizes]

    def forward(self, parameters: Tensor, coordinates: Tensor) -> Tensor:
        """Values ``[n, 3, pixels]`` (a buffer: overwritten by the next call) at coordinates ``[n, 2, pixels]``."""
        self._layers = split_layers(parameters, self.sizes)
        self._inputs[0][:, :-1].copy_(coordinates)
        last = len(self.sizes) - 1
        for index, layer in enumerate(self._layers):
            torch.bmm(layer, self._inputs[index], out=self._sums[index])
            if index < last:
                torch.sin(self._sums[index], out=self._inputs[index + 1][:, :-1])
        return self._sums[-1]

    def backward(self, slope: Tensor) -> Tensor:
        """The loss's gradient ``[n, parameters]`` (a buffer), from its slope ``[n, 3, pixels]`` in the last values."""
        for index in range(len(self.sizes) - 1, -1, -1):
            torch.bmm(slope, self._inputs[index].transpose(1, 2), out=self._by_layer[index])
            if index:
                torch.bmm(self._layers[index][:, :, :-1].transpose(1, 2), slope, out=self._slopes[index])
                slope = self._sums[index - 1].cos_().mul_(self._slopes[index])
        return torch.cat([layer.flatten(1) for layer in self._by_layer], dim=1, out=self._gradient)
