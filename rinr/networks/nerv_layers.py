"""NeRV forwards: from the number of a frame to the frame.

Chen et al., "NeRV: Neural Representations for Videos" (NeurIPS 2021, arXiv 2110.13903), section 3.1: a positional code
of the frame's place in the clip, a perceptron that makes a coarse grid of it, and blocks of a convolution, a pixel
shuffle that enlarges, and an activation (GELU).
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor
from torch.nn.functional import conv2d, gelu, linear, pixel_shuffle

from rinr.networks.nerv_coding import BASE_UNIT, NervShape, Size


def positional_code(times: Tensor, frames: int, shape: NervShape) -> Tensor:
    """Sines and cosines of frames' places in their clip, ``[n, 2 * levels]``, float32 (the paper's equation 1).

    Args:
        times: ``[n]``, numbers of frames; those between are the network's own idea.
        frames: of the clip.
        shape: of the network.
    """
    # Some frequencies are so high that single precision would lose their phase.
    ratios = (shape.base / BASE_UNIT) ** torch.arange(shape.levels, dtype=torch.float64)
    angles = times.double().cpu()[:, None] * (ratios * (math.pi / frames))
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1).float().to(times.device)


def unflatten(flat: Tensor, shape: NervShape, size: Size) -> list[Tensor]:
    """Views of a network's parameters ``[parameters]``: weights and biases, layer after layer."""
    shapes = shape.tensors(size)
    parts = flat.split([math.prod(each) for each in shapes])
    return [part.view(each) for part, each in zip(parts, shapes, strict=True)]


def evaluate(tensors: Sequence[Tensor], code: Tensor, shape: NervShape, size: Size) -> Tensor:
    """Frames, padded at the right and the bottom to what the strides divide.

    Args:
        tensors: as :func:`unflatten` gives them.
        code: ``[n, 2 * levels]``, as :func:`positional_code` gives it.
        shape: of the network.
        size: ``(width, height)`` of a frame in pixels.

    Returns:
        ``[n, 3, rows * stride, columns * stride]`` with ``stride`` the product of all strides, from 0 to 1.
    """
    columns, rows = shape.cells(size)
    hidden = gelu(linear(code, tensors[0], tensors[1]))
    hidden = gelu(linear(hidden, tensors[2], tensors[3])).view(len(code), shape.channels[0], rows, columns)
    for index, stride in enumerate(shape.strides):
        weights, biases = tensors[4 + 2 * index : 6 + 2 * index]
        hidden = gelu(pixel_shuffle(conv2d(hidden, weights, biases, padding=1), stride))
    return (conv2d(hidden, tensors[-2], tensors[-1]).tanh() + 1) / 2


def exact_convolutions() -> AbstractContextManager[None]:
    """A context in which convolutions on an accelerator give the same values every time, in full single precision."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
