"""Rendering ``cosine-time`` networks: planes are added up among their weights, of which few are not zero."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from rinr.networks.cosine_colour import NO_TURNS
from rinr.networks.cosine_rendering import CosineStack
from rinr.networks.family import Arrays
from rinr.networks.rows import Rows

if TYPE_CHECKING:
    from rinr.networks.cosine_time import CosineTimeNetwork


def arrays(networks: Sequence["CosineTimeNetwork"]) -> Arrays:
    """Networks of one group as arrays of integers: their weights that are not zero, one after another.

    Returns:
        ``value`` ``[n, weights]`` int16, padded with zeros; ``where`` ``[n, weights]`` int32, its place among coarse
        weights ``[3, down, across]`` and, behind these, fine ones ``[3, down, rows, across, columns]``; ``plane``
        ``[n, weights]`` uint8; ``frames`` uint8 and ``grid`` ``[n, 4]`` int32, which are down, rows, across and
        columns; ``step``, ``overlap``, ``turns``, ``offset`` and ``size`` as ``cosine`` has them.
    """
    down, across, rows, columns, overlap, padded = networks[0].group
    value = np.zeros((len(networks), padded), np.int16)
    where, plane = np.zeros((len(networks), padded), np.int32), np.zeros((len(networks), padded), np.uint8)
    for index, network in enumerate(networks):
        start = 0
        for number, one in enumerate(network.planes):
            fine = np.zeros((3, down, rows, across, columns), np.int32)
            own_rows, own_columns = one.fine.shape[3:]
            fine[:, :, :own_rows, :, :own_columns] = one.fine.transpose(0, 1, 3, 2, 4)
            flat = np.concatenate([one.coarse.reshape(-1), fine.reshape(-1)])
            places = np.flatnonzero(flat)
            some = slice(start, start := start + len(places))
            value[index, some], where[index, some], plane[index, some] = flat[places], places, number
    layouts = [network.planes[0].layout for network in networks]
    return {
        "value": value,
        "where": where,
        "plane": plane,
        "frames": np.array([network.frames for network in networks], dtype=np.uint8),
        "grid": np.tile(np.array([down, rows, across, columns], dtype=np.int32), (len(networks), 1)),
        "step": np.array([layout.step for layout in layouts], dtype=np.uint8),
        "overlap": np.full(len(networks), overlap, dtype=np.uint8),
        "turns": np.array([layout.axes or NO_TURNS for layout in layouts], dtype=np.uint8),
        "offset": np.array([network.offset for network in networks], dtype=np.uint8),
        "size": np.array([network.planes[0].size for network in networks], dtype=np.int32),
    }


class CosineTimeStack(CosineStack):
    """Networks with equal numbers of tiles and waves on a device; see :class:`rinr.networks.family.Timed`."""

    def __init__(self, arrays: Arrays, device: str, share: float = 1.0) -> None:
        self._lay_out(arrays, arrays["grid"][0].tolist(), device)
        self.value, self.where, self.plane = (Rows(arrays[name], device, share) for name in ("value", "where", "plane"))
        self.frames = torch.tensor(arrays["frames"].tolist(), device=device)

    @torch.no_grad()
    def render_at(self, chosen: Tensor, times: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """See :class:`rinr.networks.family.Timed`."""
        return self._rendered(chosen, times, x, y)

    @torch.no_grad()
    def render_points_at(self, chosen: Tensor, times: Tensor, points: Tensor) -> Tensor:
        """See :class:`rinr.networks.family.Timed`."""
        return self._rendered_points(chosen, times, points)

    def _taken(self, chosen: Tensor, times: Tensor | None) -> tuple[Tensor, Tensor]:
        """Weights at some frames, the first without ``times``, those after the last being as the last."""
        frames, plane = self.frames[chosen, None], self.plane.take(chosen)
        times = torch.zeros_like(frames) if times is None else times[:, None].clamp(min=0).minimum(frames - 1)
        at = torch.cos(math.pi * plane * (times + 0.5) / frames) * torch.sqrt(torch.where(plane > 0, 2, 1) / frames)
        coarse, tile = 3 * self.down * self.across, self.rows * self.columns
        weights = torch.zeros(len(chosen), coarse * (1 + tile), device=self.device)
        weights.scatter_add_(1, self.where.take(chosen).long(), self.value.take(chosen) * at.to(torch.float32))
        return (
            weights[:, :coarse].unflatten(1, (3, self.down, self.across)),
            weights[:, coarse:].unflatten(1, (3, self.down, self.rows, self.across, self.columns)),
        )
