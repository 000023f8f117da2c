"""Fitting a NeRV to the frames of a clip, and rounding it.

As the paper's section 3.2 and its released code have it: Adam over frames in a new order each pass, the rate warmed up
from a tenth over the first fifth of the steps and then falling along a cosine; rounded once the fit is done.
Different: the loss is the mean squared error, which is what PSNR is made of (theirs weighs L1 and SSIM); weights are
neither pruned nor fitted again.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from rinr.codec.quantize import quantize
from rinr.networks.family import OnWork
from rinr.networks.nerv_coding import NervNetwork, NervShape, Size
from rinr.networks.nerv_layers import evaluate, exact_convolutions, positional_code, unflatten
from rinr.networks.settings import NervSettings

_SEED = 21_10
_BETAS, _EPSILON = (0.5, 0.999), 1e-8
_WARM, _COLDEST = 0.2, 0.1
_RETRIES = 3

log = logging.getLogger(__name__)


def fit(frames: Sequence[Tensor], settings: NervSettings, on_work: OnWork | None = None) -> NervNetwork:
    """Fit one network to all frames of a clip.

    Args:
        frames: ``[height, width, 3]`` each, of one size, float32 from 0 to 1, in order of time.
        settings: of the fit.
        on_work: told how many frame-steps were just done.

    Raises:
        ValueError: no frames, or frames of different sizes.
        FloatingPointError: the fit diverged at smaller learning rates as well.
    """
    sizes = {(frame.shape[1], frame.shape[0]) for frame in frames}
    if len(sizes) != 1:
        raise ValueError(f"a clip has frames of one size, not {len(sizes)}")
    (size,) = sizes
    rate = settings.learning_rate
    for _ in range(1 + _RETRIES):
        with exact_convolutions():
            flat = _descend(frames, size, replace(settings, learning_rate=rate), on_work)
        if bool(torch.isfinite(flat).all()):
            return _rounded(flat, len(frames), size, settings)
        rate, on_work = rate / 4, None
        log.warning("a clip's fit diverged: it starts again at a learning rate of %g", rate)
    raise FloatingPointError(f"a clip's fit diverged, last at learning rate {rate * 4:g}: choose a smaller one")


def initialize(shape: NervShape, size: Size) -> Tensor:
    """The seeded start of a network, ``[parameters]``: uniform within ``1 / sqrt(inputs)``, as linear and convolution
    layers of torch start by themselves."""
    generator = torch.Generator().manual_seed(_SEED)
    parts = []
    for shape_of_tensor in shape.tensors(size):
        if len(shape_of_tensor) > 1:
            bound = 1 / math.sqrt(math.prod(shape_of_tensor[1:]))
        parts.append((torch.rand(math.prod(shape_of_tensor), generator=generator) * 2 - 1) * bound)
    return torch.cat(parts)


def rate_at(step: int, steps: int) -> float:
    """The learning rate's share of its largest, at a step of so many."""
    warm = _WARM * steps
    if step < warm:
        return _COLDEST + (1 - _COLDEST) * step / warm
    return 0.5 + 0.5 * math.cos(math.pi * (step - warm) / (steps - warm))


def _descend(frames: Sequence[Tensor], size: Size, settings: NervSettings, on_work: OnWork | None) -> Tensor:
    device, shape = frames[0].device, settings.shape
    flat = initialize(shape, size).to(device).requires_grad_()
    first, second = torch.zeros_like(flat), torch.zeros_like(flat)
    code = positional_code(torch.arange(len(frames), device=device), len(frames), shape)
    shuffles = torch.Generator().manual_seed(_SEED)
    steps, taken = settings.passes * -(-len(frames) // settings.batch), 0
    for _ in range(settings.passes):
        for some in torch.randperm(len(frames), generator=shuffles).split(settings.batch):
            given = evaluate(unflatten(flat, shape, size), code[some.to(device)], shape, size)
            wanted = torch.stack([frames[index] for index in some.tolist()]).permute(0, 3, 1, 2)
            loss = mse_loss(given[:, :, : size[1], : size[0]], wanted)
            (gradient,) = torch.autograd.grad(loss, flat)
            rate = settings.learning_rate * rate_at(taken, steps)
            taken += 1
            with torch.no_grad():
                _adam(flat, gradient, first, second, rate, taken)
            if on_work:
                on_work(len(some))
    return flat.detach()


def _adam(values: Tensor, gradient: Tensor, first: Tensor, second: Tensor, rate: float, step: int) -> None:
    """One step of Adam (Kingma and Ba, 2015, algorithm 1), in place. Torch's own takes seconds to import."""
    beta1, beta2 = _BETAS
    first.lerp_(gradient, 1 - beta1)
    second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    spread = (second / (1 - beta2**step)).sqrt_().add_(_EPSILON)
    values.addcdiv_(first, spread, value=-rate / (1 - beta1**step))


def _rounded(flat: Tensor, frames: int, size: Size, settings: NervSettings) -> NervNetwork:
    rounded = [quantize(tensor[None], settings.bits) for tensor in unflatten(flat, settings.shape, size)]
    weights = torch.cat([integers.flatten() for integers, _ in rounded]).cpu().numpy().astype(np.int32)
    steps = tuple(int(code) for _, codes in rounded for code in codes)
    return NervNetwork(settings.shape, size, frames, settings.bits, steps, weights)
