"""Uniform quantization of stacked tensors, with steps from a table that a payload names in one byte.

A tensor's step is ``2 ** ((code - 200) / 8)``: eight steps an octave, from 2**-25 to 2**6.9, so that rounding up to
the next step of the table costs at most 9 % of the range.
"""

import torch
from torch import Tensor

from rinr.codec.bits import largest

_STEPS = torch.exp2((torch.arange(256, dtype=torch.float64) - 200) / 8).to(torch.float32)


def quantize(tensor: Tensor, bits: int, every: int = 1) -> tuple[Tensor, Tensor]:
    """Round a stack of tensors to integers, each with the smallest step of the table that covers it.

    Args:
        tensor: ``[images, ...]``, float32.
        bits: 2 to 16.
        every: only codes that this divides are used.

    Returns:
        Integers ``[images, ...]`` as int32 within ``±largest(bits)``, and the steps' codes ``[images]`` as uint8.

    Raises:
        ValueError: a value is not finite, or too large for the table.
    """
    flat = tensor.reshape(len(tensor), -1)
    peak = flat.abs().amax(dim=1)
    if not bool(torch.isfinite(peak).all()):
        raise ValueError("cannot quantize weights that are not finite")
    top = largest(bits)
    steps = _STEPS.to(tensor.device)
    codes = -(-torch.searchsorted(steps, peak / top) // every) * every
    if int(codes.max()) > 255:
        raise ValueError(f"cannot quantize a weight of {float(peak.max()):g}: the largest step is {float(steps[-1]):g}")
    integers = torch.round(flat / steps[codes][:, None]).clamp_(-top, top)
    return integers.to(torch.int32).reshape(tensor.shape), codes.to(torch.uint8)


def step_sizes(codes: Tensor) -> Tensor:
    """The steps that codes ``[images]`` name, float32."""
    return _STEPS.to(codes.device)[codes.long()]


def snap(octaves: Tensor) -> Tensor:
    """The nearest binary logarithms of steps that rate-aware fits use: every second entry of the table.

    A step a quarter of an octave apart is within 9 % of any, where what rounding and bits cost together is flat.
    """
    return (octaves * 4).round_().div_(4).clamp_(-25, 6.75)


def codes_of(octaves: Tensor) -> Tensor:
    """The codes, uint8, of steps with these binary logarithms, which are in the table."""
    return (octaves * 8 + 200).round().to(torch.uint8)
