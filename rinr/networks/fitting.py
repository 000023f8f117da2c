"""The engine that fits many networks of one shape at once: stacked parameters, Adam, batched matrix products.

Nothing here mixes one image with another, and the order in which pixels are visited depends on their number alone, so
that a network comes out the same, bit for bit, whatever it was grouped with.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Forward = Callable[[Sequence[Tensor], Tensor], Tensor]
"""``(parameters, coordinates [n | 1, pixels, 2]) -> values [n, pixels, 3]``."""

_BETAS, _EPSILON = (0.9, 0.99), 1e-8
_SHUFFLE_SEED = 2408_05617
_REPORT_EVERY = 25


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to fit.

    Attributes:
        steps: Adam steps.
        learning_rate: of the first step.
        decay: whether the rate falls to zero along a cosine (otherwise it stays).
        pixels: random pixels a step; all of them where there are no more.
    """

    steps: int
    learning_rate: float
    decay: bool
    pixels: int


def fit(
    parameters: Sequence[Tensor],
    forward: Forward,
    coordinates: Tensor,
    targets: Tensor,
    weights: Tensor,
    schedule: Schedule,
    on_work: Callable[[int], None] | None = None,
) -> tuple[list[Tensor], Tensor]:
    """Minimize each network's weighted mean squared error.

    Args:
        parameters: stacked, ``[n, ...]`` each; not changed.
        forward: the networks.
        coordinates: ``[n | 1, pixels, 2]``.
        targets: ``[n, pixels, 3]``.
        weights: ``[n, pixels]``, zero where a pixel is padding.
        on_work: told the number of image-steps just done, now and then.

    Returns:
        The fitted parameters, and the last step's losses ``[n]``, which are not finite where a fit diverged.
    """
    values = [p.detach().clone().requires_grad_() for p in parameters]
    first = [torch.zeros_like(p) for p in parameters]
    second = [torch.zeros_like(p) for p in parameters]
    batches = _batches(coordinates, targets, weights, schedule.pixels)
    loss = torch.zeros(len(targets), device=targets.device)
    for step in range(schedule.steps):
        at, wanted, weight = next(batches)
        error = (forward(values, at) - wanted).square().sum(dim=2) * weight
        loss = error.sum(dim=1) / weight.sum(dim=1).clamp(min=1)
        gradients = torch.autograd.grad(loss.sum(), values)
        rate = schedule.learning_rate
        if schedule.decay:
            rate *= 0.5 * (1 + math.cos(math.pi * step / schedule.steps))
        _adam(values, gradients, first, second, rate, step + 1)
        if on_work and ((step + 1) % _REPORT_EVERY == 0 or step + 1 == schedule.steps):
            on_work(len(targets) * (step % _REPORT_EVERY + 1))
    return [p.detach() for p in values], loss.detach()


@torch.no_grad()
def _adam(
    values: Sequence[Tensor],
    gradients: Sequence[Tensor],
    first: Sequence[Tensor],
    second: Sequence[Tensor],
    rate: float,
    step: int,
) -> None:
    """One step of Adam (Kingma and Ba, 2015, algorithm 1) on all tensors, in place."""
    beta1, beta2 = _BETAS
    scale = rate / (1 - beta1**step)
    root = math.sqrt(1 - beta2**step)
    for value, gradient, m, v in zip(values, gradients, first, second, strict=True):
        m.lerp_(gradient, 1 - beta1)
        v.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        value.addcdiv_(m, v.sqrt().div_(root).add_(_EPSILON), value=-scale)


def _batches(
    coordinates: Tensor, targets: Tensor, weights: Tensor, pixels: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """All pixels each time, or slices of a new seeded shuffle for each pass over them."""
    count = targets.shape[1]
    if count <= pixels:
        while True:
            yield coordinates, targets, weights
    generator = torch.Generator().manual_seed(_SHUFFLE_SEED)
    while True:
        order = torch.randperm(count, generator=generator).to(targets.device)
        for start in range(0, count - pixels + 1, pixels):
            chosen = order[start : start + pixels]
            yield coordinates[:, chosen], targets[:, chosen], weights[:, chosen]
