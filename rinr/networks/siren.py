"""SIREN: a multi-layer perceptron with sine activations from pixel coordinates to colour, one for each picture.

Sitzmann et al., "Implicit Neural Representations with Periodic Activation Functions" (NeurIPS 2020), as used by
Residual-INR (arXiv 2408.05617, section 4) for backgrounds ("Res-Rapid-INR") and object residuals.

Written ``width x layers``: 28x10 is ten linear layers, the last one to RGB included, nine of them 28 wide; it has
6,667 weights. The layers' frequencies are folded into the weights. How networks are fitted stands in
:mod:`rinr.networks.fitting`, how they are written in :mod:`rinr.networks.siren_coding`, how they are rendered in
:mod:`rinr.networks.siren_rendering`.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rinr.codec.bits import largest
from rinr.codec.quantize import codes_of, quantize, step_sizes
from rinr.networks.coordinates import grid
from rinr.networks.family import Arrays, OnWork
from rinr.networks.fitting import Fitted, Pictures, Start, fit
from rinr.networks.settings import SirenSettings
from rinr.networks.sine_layers import split_layers
from rinr.networks.siren_coding import (
    COLOUR_BITS,
    EMPTY,
    INPUTS,
    OUTPUTS,
    SirenNetwork,
    body_bits,
    ideal_bits,
    in_order,
    read,
    write,
)
from rinr.networks.siren_rendering import SirenStack

_INIT_SEED = 28_10
_RETRIES = 3
_SMALLEST_SPREAD = 1e-2
_SMALLEST_GROUP = 64
# The quantization steps that fits end with lie around these: first layer, hidden ones, last in spreads of the picture.
_FIRST_STEPS = (2**-4.5, 2**-3.5, 2**-5.5)
# Activations of so many floats, a layer, are fitted at once: on a CPU they should stay in its cache.
_BLOCK = {"cpu": 1 << 17, "cuda": 1 << 28}
# An empty network in a body of several costs a flag or its width.
_EMPTY_BITS = 9

log = logging.getLogger(__name__)


class SirenFamily:
    """The family ``siren``: see :class:`rinr.networks.family.Family`."""

    name = "siren"
    code = 2

    def work(self, settings: SirenSettings) -> int:
        """Image-steps of one picture's fit."""
        return settings.schedule.steps

    def fit(
        self,
        pictures: Sequence[Tensor],
        settings: SirenSettings,
        on_work: OnWork | None = None,
        *,
        shares: Sequence[float] | None = None,
    ) -> list[SirenNetwork]:
        """Fit and quantize one network a picture; pictures of any sizes, grouped by their pixel count.

        Args:
            pictures: ``[height, width, 3]`` each, float32.
            settings: of all of them.
            on_work: told how many image-steps were just done.
            shares: how much each picture's error counts, 1 without them. A box that holds a tenth of its frame's object
                pixels has a tenth of the say in its object PSNR, so a bit is ten times as dear there.

        Raises:
            FloatingPointError: a fit diverged at smaller learning rates as well.
        """
        prices = [settings.price / share for share in shares or [1.0] * len(pictures)]
        networks: dict[int, SirenNetwork] = {}
        groups: dict[int, list[int]] = {}
        for index, picture in enumerate(pictures):
            groups.setdefault(_padded(picture.shape[0] * picture.shape[1]), []).append(index)
        for count, members in sorted(groups.items()):
            device = pictures[members[0]].device.type
            a_step = min(count, settings.schedule.pixels) * settings.shape.width
            size = max(1, _BLOCK[device] // a_step)
            for first in range(0, len(members), size):
                some = members[first : first + size]
                fitted = _fit_in_memory([(pictures[i], prices[i]) for i in some], count, settings, on_work)
                networks.update(zip(some, fitted, strict=True))
        return [networks[index] for index in range(len(pictures))]

    def write(self, networks: Sequence[SirenNetwork]) -> bytes:
        """Entropy code several networks into one body."""
        return write(networks)

    def read(self, data: bytes, sizes: Sequence[tuple[int, int]]) -> list[SirenNetwork]:
        """Entropy decode a body of several networks."""
        return read(data, len(sizes))

    def arrays(self, networks: Sequence[SirenNetwork]) -> Arrays:
        """Shape ``[n, 2]`` uint8, weights ``[n, parameters]`` int8 or int16, codes of steps ``[n, layers]`` uint8."""
        shape, small = networks[0].group
        return {
            "shape": np.tile(np.array([shape.width, shape.layers], dtype=np.uint8), (len(networks), 1)),
            "weights": np.stack([network.weights for network in networks]).astype(np.int8 if small else np.int16),
            "steps": np.array([network.steps for network in networks], dtype=np.uint8).reshape(len(networks), -1),
        }

    def stack(self, arrays: Arrays, device: str, share: float = 1.0) -> SirenStack:
        """Put networks of one shape on a device."""
        return SirenStack(arrays, device, share)

    def describe(self, network: SirenNetwork) -> dict[str, Any]:
        """See :class:`rinr.networks.family.Describing`."""
        counts = [(inputs + 1) * outputs for inputs, outputs in network.shape.sizes]
        steps = step_sizes(torch.tensor(network.steps, dtype=torch.long)).tolist()
        return {
            "brief": str(network.shape),
            "shape": str(network.shape),
            "weights": network.shape.parameters,
            "layers": [
                {"weights": count, "step": float(f"{step:.4g}"), "ideal_bytes": round(bits / 8, 1)}
                for count, step, bits in zip(counts, steps, ideal_bits(network)[1:], strict=True)
            ],
        }

    def describe_body(self, body: bytes, networks: Sequence[SirenNetwork]) -> dict[str, Any]:
        """See :class:`rinr.networks.family.Describing`."""
        return {"bits": networks[0].bits, "header_bytes": 1}

    def ideal_bits(self, networks: Sequence[SirenNetwork]) -> list[float]:
        """See :class:`rinr.networks.family.Describing`."""
        return body_bits(networks)


SIREN = SirenFamily()


def initialize(settings: SirenSettings) -> Tensor:
    """The seeded start of one network, ``[parameters]``, equal for all networks of a shape.

    Weights are uniform within ``omega / inputs`` in the first layer and ``sqrt(6 / inputs)`` in the others (Sitzmann et
    al., section 3.2); of the last layer, which has no sine, within ``sqrt(6 / inputs) / omega``. Biases are phases,
    uniform over a whole turn: larger ones would be the same sines, and cost more bits.
    """
    generator = torch.Generator().manual_seed(_INIT_SEED)
    layers = []
    for index, (inputs, outputs) in enumerate(settings.shape.sizes):
        last = index == settings.shape.layers - 1
        bound = (settings.first_omega or settings.omega) / inputs if index == 0 else math.sqrt(6 / inputs)
        weight = (torch.rand(outputs, inputs, generator=generator) * 2 - 1) * (
            bound / settings.omega if last else bound
        )
        bias = (torch.rand(outputs, 1, generator=generator) * 2 - 1) * (0 if last else math.pi)
        layers.append(torch.cat([weight, bias], dim=1).flatten())
    return torch.cat(layers)


def _padded(pixels: int) -> int:
    """The pixel count to which a picture is padded: a power of two or one and a half of it, so that groups form."""
    power = max(1 << max(pixels - 1, 0).bit_length(), _SMALLEST_GROUP)
    return power * 3 // 4 if pixels <= power * 3 // 4 else power


def _fit_in_memory(
    pictures: Sequence[tuple[Tensor, float]], count: int, settings: SirenSettings, on_work: OnWork | None
) -> list[SirenNetwork]:
    """Fit pictures of up to ``count`` pixels together, each with its price of a bit; by halves if memory runs out."""
    try:
        return _fit_group(pictures, count, settings, on_work)
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if len(pictures) == 1 or not _out_of_memory(error):
            raise
        log.warning("out of memory with %d pictures of %d pixels: halving the group", len(pictures), count)
    half = len(pictures) // 2
    return [
        network
        for part in (pictures[:half], pictures[half:])
        for network in _fit_in_memory(part, count, settings, on_work)
    ]


def _out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error) or "can't allocate" in str(error)


def _fit_group(
    pictures: Sequence[tuple[Tensor, float]], count: int, settings: SirenSettings, on_work: OnWork | None
) -> list[SirenNetwork]:
    padded = _pad(pictures, count)
    start = _start(padded, settings)
    fitted = fit(start, padded, settings.schedule, on_work)
    rate = settings.schedule.learning_rate
    for _ in range(_RETRIES):
        bad = torch.nonzero(~torch.isfinite(fitted.error)).flatten()
        if not len(bad):
            break
        rate /= 4
        log.warning("%d fits diverged: they start again at a learning rate of %g", len(bad), rate)
        schedule = replace(settings.schedule, learning_rate=rate)
        again = fit(replace(start, parameters=start.parameters[bad]), padded[bad], schedule)
        fitted = _replaced(fitted, bad, again)
    if not bool(torch.isfinite(fitted.error).all()):
        raise FloatingPointError(f"a fit diverged, last at learning rate {rate:g}: choose a smaller one")
    if not settings.price:
        return _rounded(fitted, padded, settings)
    networks = []
    for index, codes in enumerate(codes_of(fitted.octaves).tolist()):
        weights = fitted.parameters[index].cpu().numpy().astype(np.int32)
        reason = fitted.reasons[index]
        network = in_order(SirenNetwork(settings.shape, settings.bits, tuple(codes), weights, reason))
        picture, price = pictures[index]
        blank = float(picture.square().mean()) + price * _EMPTY_BITS
        cost = float(fitted.error[index]) + price * sum(ideal_bits(network))
        networks.append(network if cost < blank else replace(empty(settings.bits), stopped=reason))
    return networks


def empty(bits: int) -> SirenNetwork:
    """The network that is zero everywhere."""
    return SirenNetwork(EMPTY, bits, (), np.zeros(0, dtype=np.int32))


def _pad(pictures: Sequence[tuple[Tensor, float]], count: int) -> Pictures:
    """Pictures in units of their own spread, padded to ``count`` pixels."""
    n, device = len(pictures), pictures[0][0].device
    coordinates = torch.zeros(n, INPUTS, count, device=device)
    targets = torch.zeros(n, OUTPUTS, count, device=device)
    weights = torch.zeros(n, count, device=device)
    spreads = torch.empty(n, device=device)
    prices = torch.tensor([price for _, price in pictures], device=device)
    for index, (picture, _) in enumerate(pictures):
        height, width, _ = picture.shape
        pixels = picture.reshape(-1, OUTPUTS).T
        spread = (pixels - pixels.mean(dim=1, keepdim=True)).square().mean().sqrt()
        spreads[index] = spread.clamp(min=_SMALLEST_SPREAD)
        coordinates[index, :, : height * width] = grid(width, height, device)[0].T
        targets[index, :, : height * width] = pixels / spreads[index]
        weights[index, : height * width] = 1
    return Pictures(coordinates, targets, weights, spreads, prices)


def _start(pictures: Pictures, settings: SirenSettings) -> Start:
    """All networks of a shape start alike, but for the mean colour."""
    sizes, device = settings.shape.sizes, pictures.targets.device
    parameters = initialize(settings).to(device).repeat(len(pictures), 1)
    # Each layer learns as if its frequency stood before its weights, as Sitzmann et al. have it.
    omegas = [settings.first_omega or settings.omega, *[settings.omega] * (len(sizes) - 2), 1.0]
    speed, priced = torch.empty_like(parameters[0]), torch.empty_like(parameters[0])
    for tensor, omega in zip(split_layers(speed[None], sizes), omegas, strict=True):
        tensor.fill_(omega)
    for tensor in split_layers(priced[None], sizes):
        tensor[:, :, :-1] = 1
        # Ordered biases cost little more where they are larger.
        tensor[:, :, -1] = 0
    means = pictures.targets.sum(dim=2) / pictures.weights.sum(dim=1, keepdim=True)
    split_layers(parameters, sizes)[-1][:, :, -1] = means
    tops = torch.full_like(speed, largest(settings.bits))
    split_layers(tops[None], sizes)[-1][:, :, -1] = largest(max(settings.bits, COLOUR_BITS))
    first, hidden, last = _FIRST_STEPS
    steps = torch.tensor([first, *[hidden] * (len(sizes) - 2), last], device=device) if settings.price else None
    return Start(sizes, parameters, speed, priced, _phases(priced, settings), steps, tops)


def _phases(priced: Tensor, settings: SirenSettings) -> Tensor:
    """One for the hidden layers' biases, otherwise zero."""
    phases = 1 - priced
    split_layers(phases[None], settings.shape.sizes)[-1].zero_()
    return phases


def _replaced(fitted: Fitted, places: Tensor, others: Fitted) -> Fitted:
    parameters, octaves, error = fitted.parameters.clone(), fitted.octaves.clone(), fitted.error.clone()
    parameters[places], octaves[places], error[places] = others.parameters, others.octaves, others.error
    return Fitted(parameters, octaves, error, fitted.reasons)


def _rounded(fitted: Fitted, pictures: Pictures, settings: SirenSettings) -> list[SirenNetwork]:
    """Networks that were fitted without rounding, rounded to their bits with the smallest steps that cover them."""
    layers = split_layers(fitted.parameters, settings.shape.sizes)
    layers[-1] = layers[-1] * pictures.scale[:, None, None]
    # The steps of narrow integers are written in pairs of codes.
    rounded = [quantize(layer, settings.bits, every=2 if settings.bits <= 12 else 1) for layer in layers]
    weights = torch.cat([integers.flatten(1) for integers, _ in rounded], dim=1).cpu().numpy()
    codes = torch.stack([code for _, code in rounded], dim=1).cpu().tolist()
    return [
        in_order(SirenNetwork(settings.shape, settings.bits, tuple(steps), integers, reason))
        for steps, integers, reason in zip(codes, weights, fitted.reasons, strict=True)
    ]
