"""SIREN: a multi-layer perceptron with sine activations from pixel coordinates to colour, one for each picture.

Sitzmann et al., "Implicit Neural Representations with Periodic Activation Functions" (NeurIPS 2020), as used by
Residual-INR (arXiv 2408.05617, section 4) for backgrounds ("Res-Rapid-INR") and object residuals.

Written ``width x layers``: 28x10 is ten linear layers, the last one to RGB included, nine of them 28 wide; it has
6,667 weights. Parameters of many networks are held stacked, one tensor a layer: ``[n, inputs + 1, outputs]``, whose
last row is the bias.

A network payload's body (see :mod:`rinr.codec.payload`)::

    width u8 | layers u8 | bits u8 | for each layer: step u8, model u8 | coded weights, layer after layer

Steps are named as in :mod:`rinr.codec.quantize`, models as in :mod:`rinr.codec.entropy`; the layers' frequencies are
folded into the weights.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from rinr.codec import entropy
from rinr.codec.payload import seal, unseal
from rinr.codec.quantize import MAX_BITS, MIN_BITS, quantize, step_sizes
from rinr.networks.coordinates import grid
from rinr.networks.family import OnWork
from rinr.networks.fitting import Schedule, fit

MAX_WIDTH, MAX_LAYERS = 255, 32
INPUTS, OUTPUTS = 2, 3
_INIT_SEED = 28_10
_RETRIES = 3
_SMALLEST_SPREAD = 1e-3
_SMALLEST_GROUP = 64
# Activations of so many floats, a layer, are worked on at once: on a CPU they should stay in its cache.
_BLOCK = {"cpu": 1 << 17, "cuda": 1 << 28}
_DECODE_POINTS = {"cpu": 1 << 12, "cuda": 1 << 20}


@dataclass(frozen=True, order=True)
class Shape:
    """A network's shape: ``layers`` linear layers, all but the last ``width`` wide."""

    width: int
    layers: int

    def __str__(self) -> str:
        return f"{self.width}x{self.layers}"

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """``(inputs, outputs)`` of each layer."""
        widths = [INPUTS, *[self.width] * (self.layers - 1), OUTPUTS]
        return tuple(pairwise(widths))

    @property
    def parameters(self) -> int:
        """Weights and biases of one network."""
        return sum((inputs + 1) * outputs for inputs, outputs in self.sizes)


@dataclass(frozen=True)
class SirenSettings:
    """Settings of a SIREN fit.

    Attributes:
        shape: width and layers.
        omega: frequency of every sine layer (the paper's w0).
        bits: of the quantized weights, 2 to 16.
        schedule: how long and how fast to fit.
    """

    shape: Shape
    omega: float
    bits: int
    schedule: Schedule
    family: str = "siren"


@dataclass(frozen=True)
class SirenNetwork:
    """One network after entropy decoding.

    Attributes:
        shape: width and layers.
        bits: of the weights.
        steps: the layers' step codes.
        weights: integers of all layers, flat.
    """

    shape: Shape
    bits: int
    steps: tuple[int, ...]
    weights: np.ndarray

    @property
    def group(self) -> tuple[Shape, bool]:
        """Shape, and whether the weights fit in a byte."""
        return self.shape, self.bits <= 8


class SirenStack:
    """Networks of one shape on a device: their weights stay small integers, and become floats when evaluated."""

    def __init__(self, networks: Sequence[SirenNetwork], device: str) -> None:
        self.shape, small = networks[0].group
        kind = np.int8 if small else np.int16
        flat = torch.from_numpy(np.stack([network.weights for network in networks]).astype(kind)).to(device)
        self.steps = step_sizes(torch.tensor([network.steps for network in networks], device=device))
        counts = [(inputs + 1) * outputs for inputs, outputs in self.shape.sizes]
        self.layers = [
            layer.reshape(len(networks), inputs + 1, outputs).contiguous()
            for layer, (inputs, outputs) in zip(flat.split(counts, dim=1), self.shape.sizes, strict=True)
        ]

    @torch.no_grad()
    def evaluate(self, chosen: Tensor, coordinates: Tensor) -> Tensor:
        """See :class:`rinr.networks.family.Stack`."""
        device = coordinates.device
        points = coordinates.shape[1]
        values = torch.empty(len(chosen), points, OUTPUTS, device=device)
        width = min(points, _DECODE_POINTS[device.type])
        images = max(1, _BLOCK[device.type] // (max(width, 1) * self.shape.width))
        for first in range(0, len(chosen), images):
            some = chosen[first : first + images]
            layers = [layer[some] * self.steps[some, index, None, None] for index, layer in enumerate(self.layers)]
            of_some = coordinates if len(coordinates) == 1 else coordinates[first : first + images]
            for start in range(0, points, max(width, 1)):
                part = slice(start, start + width)
                values[first : first + images, part] = forward(layers, of_some[:, part])
        return values


class SirenFamily:
    """The family ``siren``: see :class:`rinr.networks.family.Family`."""

    name = "siren"
    code = 1

    def work(self, settings: SirenSettings) -> int:
        """Image-steps of one picture's fit."""
        return settings.schedule.steps

    def fit(self, pictures: Sequence[Tensor], settings: SirenSettings, on_work: OnWork | None = None) -> list[bytes]:
        """Fit, quantize and code one network a picture; pictures of any sizes, grouped by their pixel count."""
        payloads: dict[int, bytes] = {}
        groups: dict[int, list[int]] = {}
        for index, picture in enumerate(pictures):
            groups.setdefault(_padded(picture.shape[0] * picture.shape[1]), []).append(index)
        for count, members in sorted(groups.items()):
            device = pictures[members[0]].device.type
            a_step = min(count, settings.schedule.pixels) * settings.shape.width
            size = max(1, _BLOCK[device] // a_step)
            for first in range(0, len(members), size):
                some = members[first : first + size]
                layers = _fit_group([pictures[i] for i in some], count, settings, on_work)
                payloads.update(zip(some, _write(layers, settings), strict=True))
        return [payloads[index] for index in range(len(pictures))]

    def parse(self, payload: bytes) -> SirenNetwork:
        """Entropy decode one network payload."""
        _, reader = unseal(payload)
        shape = Shape(reader.u8("width", low=1), reader.u8("layers", low=2, high=MAX_LAYERS))
        bits = reader.u8("bits", low=MIN_BITS, high=MAX_BITS)
        steps, models = [], []
        for _ in shape.sizes:
            steps.append(reader.u8("step"))
            models.append(reader.u8("model", high=entropy.MODELS - 1))
        counts = [(inputs + 1) * outputs for inputs, outputs in shape.sizes]
        coded = reader.take(reader.end - reader.position, "coded weights")
        weights = entropy.decode(coded, counts, bits, models)
        return SirenNetwork(shape, bits, tuple(steps), np.concatenate(weights))

    def stack(self, networks: Sequence[SirenNetwork], device: str) -> SirenStack:
        """Put networks of one group on a device."""
        return SirenStack(networks, device)


SIREN = SirenFamily()


def initialize(settings: SirenSettings) -> list[Tensor]:
    """The seeded start of one network, ``[1, inputs + 1, outputs]`` a layer, equal for all networks of a shape.

    Weights are uniform within ``1 / inputs`` in the first layer and ``sqrt(6 / inputs) / omega`` in the others
    (Sitzmann et al., section 3.2), biases within ``1 / sqrt(inputs)``.
    """
    generator = torch.Generator().manual_seed(_INIT_SEED)
    layers = []
    for index, (inputs, outputs) in enumerate(settings.shape.sizes):
        bound = 1 / inputs if index == 0 else math.sqrt(6 / inputs) / settings.omega
        weight = (torch.rand(1, inputs, outputs, generator=generator) * 2 - 1) * bound
        bias = (torch.rand(1, 1, outputs, generator=generator) * 2 - 1) / math.sqrt(inputs)
        layers.append(torch.cat([weight, bias], dim=1))
    return layers


def forward(layers: Sequence[Tensor], coordinates: Tensor, omega: float = 1.0) -> Tensor:
    """Evaluate stacked networks.

    Args:
        layers: ``[n, inputs + 1, outputs]`` each.
        coordinates: ``[n | 1, points, 2]``, within -1 to 1.
        omega: the sine layers' frequency; 1 where it is folded into the weights.

    Returns:
        ``[n, points, 3]``.
    """
    hidden = coordinates.expand(len(layers[0]), -1, -1)
    for layer in layers[:-1]:
        hidden = torch.baddbmm(layer[:, -1:], hidden, layer[:, :-1], beta=omega, alpha=omega).sin()
    return torch.baddbmm(layers[-1][:, -1:], hidden, layers[-1][:, :-1])


def _padded(pixels: int) -> int:
    """The pixel count to which a picture is padded: a power of two or one and a half of it, so that groups form."""
    power = max(1 << max(pixels - 1, 0).bit_length(), _SMALLEST_GROUP)
    return power * 3 // 4 if pixels <= power * 3 // 4 else power


def _fit_group(pictures: Sequence[Tensor], count: int, settings: SirenSettings, on_work: OnWork | None) -> list[Tensor]:
    """Fit pictures of up to ``count`` pixels together; layers with frequencies and value ranges folded in."""
    device = pictures[0].device
    coordinates = torch.zeros(len(pictures), count, INPUTS, device=device)
    targets = torch.zeros(len(pictures), count, OUTPUTS, device=device)
    weights = torch.zeros(len(pictures), count, device=device)
    # Fits see every picture with mean 0 and spread 1; the last layer takes the picture's own back in.
    means, spreads = [], []
    for index, picture in enumerate(pictures):
        height, width, _ = picture.shape
        pixels = picture.reshape(-1, OUTPUTS)
        means.append(pixels.mean(dim=0, keepdim=True))
        spreads.append((pixels - means[-1]).square().mean().sqrt().clamp(min=_SMALLEST_SPREAD))
        coordinates[index, : height * width] = grid(width, height, device)[0]
        targets[index, : height * width] = (pixels - means[-1]) / spreads[-1]
        weights[index, : height * width] = 1
    layers = _fit_finite(coordinates, targets, weights, settings, on_work)
    layers = [layer * settings.omega for layer in layers[:-1]] + [layers[-1] * torch.stack(spreads)[:, None, None]]
    layers[-1][:, -1:] += torch.stack(means)
    return layers


def _fit_finite(
    coordinates: Tensor, targets: Tensor, weights: Tensor, settings: SirenSettings, on_work: OnWork | None
) -> list[Tensor]:
    """Fit; a network that diverges starts again, alone, at a quarter of the learning rate."""
    start = [layer.to(targets.device).repeat(len(targets), 1, 1) for layer in initialize(settings)]

    def network(layers: Sequence[Tensor], at: Tensor) -> Tensor:
        return forward(layers, at, settings.omega)

    rate = settings.schedule.learning_rate
    layers, loss = fit(start, network, coordinates, targets, weights, settings.schedule, on_work)
    for _ in range(_RETRIES):
        bad = torch.nonzero(~torch.isfinite(loss)).flatten()
        if not len(bad):
            return layers
        rate /= 4
        schedule = replace(settings.schedule, learning_rate=rate)
        again, loss[bad] = fit(
            [layer[bad] for layer in start], network, coordinates[bad], targets[bad], weights[bad], schedule
        )
        for layer, new in zip(layers, again, strict=True):
            layer[bad] = new
    if not bool(torch.isfinite(loss).all()):
        raise FloatingPointError(f"a fit diverged, last at learning rate {rate:g}: choose a smaller one")
    return layers


def _write(layers: Sequence[Tensor], settings: SirenSettings) -> list[bytes]:
    """Quantize and code the networks of a group, one payload each."""
    quantized = [quantize(layer, settings.bits) for layer in layers]
    integers = [q.reshape(len(q), -1).cpu().numpy() for q, _ in quantized]
    codes = torch.stack([code for _, code in quantized], dim=1).cpu().tolist()
    payloads = []
    for index, steps in enumerate(codes):
        tensors = [layer[index] for layer in integers]
        models = [entropy.choose_model(tensor, settings.bits) for tensor in tensors]
        header = bytes([settings.shape.width, settings.shape.layers, settings.bits])
        pairs = bytes(byte for pair in zip(steps, models, strict=True) for byte in pair)
        payloads.append(seal(SIREN.code, header + pairs + entropy.encode(tensors, settings.bits, models)))
    return payloads
