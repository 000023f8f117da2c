"""The engine that fits many sine networks of one shape at once: stacked parameters, Adam, batched matrix products.

One step, for every network of the group at once::

    parameters / steps --round--> integers * steps --forward--> values --- targets --> slope
        ^                                                                                 |
        +--- Adam <--- straight through the rounding, plus the price of bits <--- backward+

Rounding is part of the fit: forwards a network is what its integers decode to, backwards rounding counts as the
identity, and the step of each layer is learned with the weights (Esser et al., "Learned Step Size Quantization", ICLR
2020). What a layer's integers cost is the code length of a two-sided geometric distribution of their mean magnitude,
which is how the coder codes them.

Nothing here mixes one image with another, and the order in which pixels are visited depends on their number alone, so
that a network comes out the same, bit for bit, whatever it was grouped with. Images that finish early leave the group.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from rinr.codec.quantize import snap
from rinr.networks.settings import Schedule
from rinr.networks.sine_layers import SineNetworks, Sizes

_BETAS, _EPSILON = (0.9, 0.99), 1e-12
_SHUFFLE_SEED = 2408_05617
_CHECK_EVERY = 25
_STEP_RATE = 0.02
_TAIL = 0.2
_SMALLEST_MEAN = 1e-3
_LN2 = math.log(2)


@dataclass(frozen=True)
class Pictures:
    """What a group of networks is fitted to, padded to one pixel count; all on one device.

    Attributes:
        coordinates: ``[n, 2, pixels]``.
        targets: ``[n, 3, pixels]``.
        weights: ``[n, pixels]``, zero where a pixel is padding, otherwise one.
        scale: ``[n]``, how large one unit of the targets is, in full range.
        price: ``[n]``, of a bit, in mean squared error of full range.
    """

    coordinates: Tensor
    targets: Tensor
    weights: Tensor
    scale: Tensor
    price: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, chosen: Tensor) -> "Pictures":
        fields = (self.coordinates, self.targets, self.weights, self.scale, self.price)
        return Pictures(*(field[chosen] for field in fields))


@dataclass(frozen=True)
class Start:
    """Where networks of a shape start.

    Attributes:
        sizes: ``(inputs, outputs)`` of each layer.
        parameters: ``[n, parameters]``.
        speed: ``[parameters]``, the share of the learning rate that each one has.
        priced: ``[parameters]``, one where a parameter's bits are priced, otherwise zero.
        phases: ``[parameters]``, one where a parameter is a phase, which whole turns do not change, otherwise zero.
        steps: ``[layers]``, quantization steps; ``None`` to fit without rounding.
        tops: ``[parameters]``, the largest magnitudes of integers.
    """

    sizes: Sizes
    parameters: Tensor
    speed: Tensor
    priced: Tensor
    phases: Tensor
    steps: Tensor | None
    tops: Tensor


@dataclass(frozen=True)
class Fitted:
    """Fitted networks.

    Attributes:
        parameters: ``[n, parameters]``; where rounded, integers, to be multiplied by their layers' steps.
        octaves: ``[n, layers]``, binary logarithms of the steps; the last layer's times the picture's scale.
        error: ``[n]``, mean squared error over the last step's pixels in full range; not finite where a fit diverged.
        reasons: why each one stopped: ``steps``, ``enough`` or ``time``.
    """

    parameters: Tensor
    octaves: Tensor
    error: Tensor
    reasons: tuple[str, ...]


def fit(start: Start, pictures: Pictures, schedule: Schedule, on_work: Callable[[int], None] | None = None) -> Fitted:
    """Minimize each network's mean squared error plus the price of its bits.

    Args:
        start: where all of them start.
        pictures: what they are fitted to.
        schedule: how long and how fast.
        on_work: told the number of image-steps just done, now and then.
    """
    group = _Group(start, pictures, schedule)
    finished: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
    reasons = ["steps"] * len(pictures)
    began = time.monotonic()
    for step in range(schedule.steps):
        if (step + 1) % _CHECK_EVERY and step + 1 < schedule.steps:
            group.step()
            continue
        error = group.step()
        if on_work:
            on_work(len(group.members) * (step % _CHECK_EVERY + 1))
        for member in group.skip_to_the_end(error):
            reasons[member] = "enough"
        # Networks that are no longer finite have nothing to gain from more steps.
        done = (group.progress >= schedule.steps) | ~torch.isfinite(error)
        if schedule.max_seconds is not None and time.monotonic() - began > schedule.max_seconds:
            for member in group.members[~done].tolist():
                reasons[member] = "time"
            done = torch.ones_like(done)
        if bool(done.any()):
            values = group.parameters_in_steps()[done], group.snapped()[done], error[done]
            finished.update(zip(group.members[done].tolist(), zip(*values, strict=True), strict=True))
            if on_work:
                on_work(int(done.sum()) * (schedule.steps - step - 1))
            if bool(done.all()):
                break
            group.keep(~done)
    parameters, octaves, errors = zip(*(finished[index] for index in range(len(pictures))), strict=True)
    return Fitted(torch.stack(parameters), torch.stack(octaves), torch.stack(errors), tuple(reasons))


class _Group:
    """Networks being fitted: parameters, what Adam remembers of them, and buffers."""

    def __init__(self, start: Start, pictures: Pictures, schedule: Schedule) -> None:
        n, device = len(pictures), pictures.targets.device
        self.start, self.pictures, self.schedule = start, pictures, schedule
        self.rounding = start.steps is not None
        counts = torch.tensor([(inputs + 1) * outputs for inputs, outputs in start.sizes], device=device)
        self.layer_of = torch.repeat_interleave(torch.arange(len(counts), device=device), counts)
        self.bounds = [0, *counts.cumsum(0).tolist()]
        self.priced = torch.stack([start.priced[a:b].sum() for a, b in pairwise(self.bounds)])
        self.members = torch.arange(n, device=device)
        self.taken = 0
        self.progress = torch.zeros(n, device=device)
        self.parameters = start.parameters.clone()
        self.octaves = torch.zeros(n, len(counts), device=device)
        if start.steps is not None:
            self.octaves += torch.log2(start.steps)
        self.memory = [torch.zeros_like(p) for p in (self.parameters, self.octaves) for _ in range(2)]
        self.shuffles = torch.Generator().manual_seed(_SHUFFLE_SEED)
        self.order, self.position = torch.empty(0, dtype=torch.long, device=device), 0
        self._make_buffers()

    def _make_buffers(self) -> None:
        pictures, device = self.pictures, self.members.device
        pixels = pictures.targets.shape[2]
        self.batch = min(pixels, self.schedule.pixels)
        self.networks = SineNetworks(self.start.sizes, len(pictures), self.batch, device)
        # Mean over a picture's own pixels: padding neither counts nor dilutes.
        seen = pictures.weights.sum(dim=1).clamp(min=1) * (self.batch / pixels)
        self.per_value = (2 / (3 * seen))[:, None, None]
        self.price = (pictures.price / pictures.scale.square())[:, None]
        self.loudness = torch.zeros_like(self.octaves)
        self.loudness[:, -1] = torch.log2(pictures.scale)
        self.sums = torch.empty(3, *self.parameters.shape, device=device)
        self.work = [torch.empty_like(p) for p in (self.parameters, self.octaves)]

    def keep(self, some: Tensor) -> None:
        """Go on with some of the networks as if nothing had happened."""
        self.members, self.progress, self.pictures = self.members[some], self.progress[some], self.pictures[some]
        self.parameters, self.octaves = self.parameters[some], self.octaves[some]
        self.memory = [tensor[some] for tensor in self.memory]
        self._make_buffers()

    def snapped(self) -> Tensor:
        """The steps' binary logarithms as the coder can write them; the last layer's times the picture's scale."""
        return snap(self.octaves + self.loudness)

    def parameters_in_steps(self) -> Tensor:
        """What is written: integers where parameters are rounded, otherwise the parameters as they are."""
        if not self.rounding:
            return self.parameters.clone()
        steps = torch.exp2(self.snapped() - self.loudness)[:, self.layer_of]
        return (self.parameters / steps).round_().clamp_(-self.start.tops, self.start.tops)

    def step(self) -> Tensor:
        """One step of every network; mean squared errors ``[n]`` over its pixels, in full range, before the step."""
        coordinates, targets, weights = self._next_batch()
        if self.rounding:
            steps = torch.exp2(self.snapped() - self.loudness)[:, self.layer_of]
            ideal = self.parameters / steps
            # What no integer reaches is drawn back, or rounding would no longer be nearly the identity.
            ideal.clamp_(-self.start.tops, self.start.tops)
            torch.mul(ideal, steps, out=self.parameters)
            integers = ideal.round()
            used = integers * steps
        else:
            used = self.parameters
        slope = self.networks.forward(used, coordinates).sub_(targets).mul_(weights)
        error = slope.square().sum(dim=(1, 2)) * self.per_value[:, 0, 0] / 2 * self.pictures.scale.square()
        gradient = self.networks.backward(slope.mul_(self.per_value))
        self.taken += 1
        rate = self._rate()
        if self.rounding:
            gradient_of_steps = self._price_bits(gradient, steps, ideal, integers)
            self._adam(self.octaves, gradient_of_steps, self.memory[2:], self.work[1], rate * _STEP_RATE)
        self._adam(
            self.parameters,
            gradient,
            self.memory[:2],
            self.work[0],
            rate * self.start.speed * self.schedule.learning_rate,
        )
        # Whole turns cost bits and change nothing.
        torch.mul(self.parameters, self.start.phases, out=self.work[0]).div_(math.tau).round_().mul_(math.tau)
        self.parameters.sub_(self.work[0])
        self.progress += 1
        return error

    def skip_to_the_end(self, error: Tensor) -> list[int]:
        """Let networks that are good enough go to the end of the schedule, where the rate falls; which ones."""
        if self.schedule.enough_db is None:
            return []
        tail = self.schedule.steps * (1 - _TAIL)
        skip = (error <= 10 ** (-self.schedule.enough_db / 10)) & (self.progress < tail)
        self.progress[skip] = tail
        return [int(member) for member in self.members[skip]]

    def _rate(self) -> Tensor:
        """The learning rate's share of the first, ``[n, 1]``; each network has its own place in the schedule."""
        if not self.schedule.decay:
            return torch.ones_like(self.progress)[:, None]
        return (0.5 + 0.5 * torch.cos(self.progress * (math.pi / self.schedule.steps)))[:, None]

    def _price_bits(self, gradient: Tensor, steps: Tensor, ideal: Tensor, integers: Tensor) -> Tensor:
        """Add what bits cost to the parameters' gradient, in place; the gradient ``[n, layers]`` of the octaves.

        Of ``k`` integers with mean magnitude ``m`` the best two-sided geometric distribution has the ratio
        ``r = (sqrt(1 + m^2) - 1) / m``, and ``-log2 r`` is what one more unit of magnitude costs.
        """
        magnitudes, moved, changed = self.sums
        torch.abs(integers, out=magnitudes).mul_(self.start.priced)
        torch.abs(ideal, out=moved).mul_(self.start.priced)
        torch.sub(integers, ideal, out=changed).mul_(gradient).mul_(steps)
        totals = torch.stack([self.sums[:, :, a:b].sum(dim=2) for a, b in pairwise(self.bounds)], dim=2)
        mean = totals[0] / self.priced + _SMALLEST_MEAN
        ratio = ((mean.square() + 1).sqrt() - 1) / mean
        unit = -torch.log2(ratio) * self.price
        gradient.add_(unit[:, self.layer_of] * torch.sign(ideal) * self.start.priced / steps)
        return (totals[2] - unit * totals[1]) * _LN2

    def _adam(self, values: Tensor, gradient: Tensor, memory: list[Tensor], work: Tensor, rate: Tensor) -> None:
        """One step of Adam (Kingma and Ba, 2015, algorithm 1), in place."""
        first, second = memory
        beta1, beta2 = _BETAS
        first.lerp_(gradient, 1 - beta1)
        second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        torch.sqrt(second, out=work).div_(math.sqrt(1 - beta2**self.taken)).add_(_EPSILON)
        values.sub_(torch.div(first, work, out=work).mul_(rate / (1 - beta1**self.taken)))

    def _next_batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """All pixels each time, or slices of a new seeded shuffle for each pass over them."""
        pictures, pixels = self.pictures, self.pictures.targets.shape[2]
        if pixels <= self.batch:
            return pictures.coordinates, pictures.targets, pictures.weights[:, None]
        if self.position + self.batch > len(self.order):
            self.order = torch.randperm(pixels, generator=self.shuffles).to(self.members.device)
            self.position = 0
        chosen = self.order[self.position : self.position + self.batch]
        self.position += self.batch
        return pictures.coordinates[:, :, chosen], pictures.targets[:, :, chosen], pictures.weights[:, None, chosen]
