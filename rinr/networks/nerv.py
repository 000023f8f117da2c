"""NeRV: a network from the number of a frame to the whole frame, one for each clip.

Chen et al., "NeRV: Neural Representations for Videos" (NeurIPS 2021, arXiv 2110.13903), as used by Residual-INR (arXiv
2408.05617, section 4) for backgrounds of clips ("Res-NeRV"). What a network computes stands in
:mod:`rinr.networks.nerv_layers`, how it is fitted in :mod:`rinr.networks.nerv_fitting`, how it is written in
:mod:`rinr.networks.nerv_coding`, how it is rendered in :mod:`rinr.networks.nerv_rendering`.

Both papers' networks are larger by far than what a clip of small frames is worth; which shape is used here, and why,
stands in :mod:`rinr.presets`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rinr.codec.quantize import step_sizes
from rinr.networks import nerv_coding, nerv_fitting
from rinr.networks.family import Arrays, OnWork
from rinr.networks.nerv_coding import NervNetwork, header_bytes, tensor_bits
from rinr.networks.nerv_rendering import NervStack
from rinr.networks.settings import NervSettings


class NervFamily:
    """The family ``nerv``: see :class:`rinr.networks.family.Family`."""

    name = "nerv"
    code = 7

    def work(self, settings: NervSettings) -> int:
        """Image-steps of one frame's part in a fit."""
        return settings.passes

    def fit_clip(self, frames: Sequence[Tensor], settings: NervSettings, on_work: OnWork | None = None) -> NervNetwork:
        """Fit and quantize one network to all frames of a clip.

        Args:
            frames: ``[height, width, 3]`` each, of one size, float32 from 0 to 1, in order of time.
            settings: of the fit.
            on_work: told how many image-steps were just done: in all ``work(settings)`` a frame.

        Raises:
            ValueError: no frames, or frames of different sizes.
            FloatingPointError: the fit diverged at smaller learning rates as well.
        """
        return nerv_fitting.fit(frames, settings, on_work)

    def fit(
        self,
        pictures: Sequence[Tensor],
        settings: NervSettings,
        on_work: OnWork | None = None,
        *,
        shares: Sequence[float] | None = None,
    ) -> list[NervNetwork]:
        """Fit and quantize one network a picture, each a clip of one; ``shares`` change nothing: bits have no price."""
        return [self.fit_clip([picture], settings, on_work) for picture in pictures]

    def write(self, networks: Sequence[NervNetwork]) -> bytes:
        """Entropy code several networks into one body."""
        return nerv_coding.write(networks)

    def read(self, data: bytes, sizes: Sequence[tuple[int, int]]) -> list[NervNetwork]:
        """Entropy decode a body of several networks."""
        return nerv_coding.read(data, sizes)

    def arrays(self, networks: Sequence[NervNetwork]) -> Arrays:
        """Shape ``[n, ...]`` and frames ``[n]`` int32, weights ``[n, parameters]`` int8 or int16, codes of steps ``[n,
        tensors]`` uint8."""
        shape, size, small = networks[0].group
        blocks = [value for pair in zip(shape.strides, shape.channels[1:], strict=True) for value in pair]
        row = np.array([*size, shape.stem, shape.levels, shape.base, shape.channels[0], *blocks], dtype=np.int32)
        return {
            "shape": np.tile(row, (len(networks), 1)),
            "frames": np.array([network.frames for network in networks], dtype=np.int32),
            "weights": np.stack([network.weights for network in networks]).astype(np.int8 if small else np.int16),
            "steps": np.array([network.steps for network in networks], dtype=np.uint8),
        }

    def stack(self, arrays: Arrays, device: str, share: float = 1.0) -> NervStack:
        """Put networks of one shape and size on a device."""
        return NervStack(arrays, device, share)

    def describe(self, network: NervNetwork) -> dict[str, Any]:
        """See :class:`rinr.networks.family.Describing`."""
        steps = step_sizes(torch.tensor(network.steps, dtype=torch.long)).tolist()
        columns, rows = network.shape.cells(network.size)
        return {
            "brief": f"{network.shape}, {network.frames} frames",
            "shape": str(network.shape),
            "frames": network.frames,
            "grid": [columns, rows],
            "strides": list(network.shape.strides),
            "channels": list(network.shape.channels),
            "weights": len(network.weights),
            "tensors": [
                {"weights": len(tensor), "step": float(f"{step:.4g}"), "ideal_bytes": round(bits / 8, 1)}
                for tensor, step, bits in zip(network.tensors, steps, tensor_bits(network), strict=True)
            ],
        }

    def describe_body(self, body: bytes, networks: Sequence[NervNetwork]) -> dict[str, Any]:
        """See :class:`rinr.networks.family.Describing`."""
        of_others = sum(2 * len(network.steps) for network in networks[1:])
        return {"bits": networks[0].bits, "header_bytes": header_bytes(networks[0]) + of_others}

    def ideal_bits(self, networks: Sequence[NervNetwork]) -> list[float]:
        """See :class:`rinr.networks.family.Describing`."""
        return [sum(tensor_bits(network)) for network in networks]


NERV = NervFamily()
