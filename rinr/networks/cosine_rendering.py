"""Rendering ``cosine`` networks: two matrix products a tile, at any size and crop."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from rinr.networks.cosine_basis import edges, features, transform
from rinr.networks.cosine_coding import OVERLAPS, CosineNetwork, step_size
from rinr.networks.cosine_colour import NO_TURNS, colour_axes
from rinr.networks.family import Arrays
from rinr.networks.rows import Rows


def arrays(networks: Sequence[CosineNetwork]) -> Arrays:
    """Networks of one group as arrays of integers.

    Returns:
        ``coarse`` ``[n, 3, down, across]`` and ``fine`` ``[n, 3, down, rows, across, columns]``, int8 or int16;
        ``step``, ``overlap`` ``[n]`` and ``turns``, ``offset`` ``[n, 3]``, uint8; ``size`` ``[n, 2]``, int32.
    """
    down, across, rows, columns, overlap, large = networks[0].group
    kind = np.int16 if large else np.int8
    fine = np.zeros((len(networks), 3, down, rows, across, columns), kind)
    for mine, network in zip(fine, networks, strict=True):
        own_rows, own_columns = network.fine.shape[3:]
        mine[:, :, :own_rows, :, :own_columns] = network.fine.transpose(0, 1, 3, 2, 4)
    return {
        "coarse": np.stack([network.coarse for network in networks]).astype(kind),
        "fine": fine,
        "step": np.array([network.layout.step for network in networks], dtype=np.uint8),
        "overlap": np.full(len(networks), overlap, dtype=np.uint8),
        "turns": np.array([network.layout.axes or NO_TURNS for network in networks], dtype=np.uint8),
        "offset": np.array([network.offset for network in networks], dtype=np.uint8),
        "size": np.array([network.size for network in networks], dtype=np.int32),
    }


class CosineStack:
    """Networks with equal numbers of tiles and waves on a device; their weights stay small integers."""

    def __init__(self, arrays: Arrays, device: str, share: float = 1.0) -> None:
        fine, sizes = arrays["fine"], arrays["size"].tolist()
        _, _, self.down, self.rows, self.across, self.columns = fine.shape
        self.overlap = OVERLAPS[int(arrays["overlap"][0])]
        self.coarse, self.fine = Rows(arrays["coarse"], device, share), Rows(fine, device, share)
        scales = torch.tensor([step_size(step) / 255 for step in arrays["step"].tolist()], dtype=torch.float64)
        axes = torch.stack([colour_axes(turns) for turns in arrays["turns"].tolist()])
        colours = torch.from_numpy(arrays["offset"]).double()[:, :, None] / 255
        # From weights to colours, [networks, 3, 3].
        self.axes = (axes.transpose(1, 2) * scales[:, None, None]).float().to(device)
        self.sides = [torch.tensor([size[side] for size in sizes], device=device) for side in (0, 1)]
        self.borders = [
            torch.stack([edges(size[side], count, device) for size in sizes])
            for side, count in ((0, self.across), (1, self.down))
        ]
        # A constant of one has the weight sqrt(pixels) on each tile.
        wide, high = (borders.diff(dim=1).sqrt() for borders in self.borders)
        mean = (axes @ colours / scales[:, None, None]).float().to(device)
        self.offset = mean[..., None] * high[:, None, :, None] * wide[:, None, None, :]
        # To leave out what is zero is worth it where one network after another is rendered.
        alike = all(size == sizes[0] for size in sizes)
        self.size = tuple(sizes[0]) if device == "cpu" and alike else None

    @torch.no_grad()
    def render(self, chosen: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """See :class:`rinr.networks.family.Stack`."""
        if self.size and len(x) == len(y) == 1:
            pictures = torch.empty(len(chosen), 3, y.shape[1], x.shape[1])
            self._tile_by_tile(pictures.unbind(), chosen, x, y, self.size)
            return pictures
        (widths, heights), (wide, high) = (each[chosen, None] for each in self.sides), (b[chosen] for b in self.borders)
        across = features((x + 1) / 2 * widths, wide, self.columns, self.overlap)[:, None]
        down = features((y + 1) / 2 * heights, high, self.rows, self.overlap)[:, None]
        return down @ (self._weights(chosen) @ across.transpose(2, 3))

    @torch.no_grad()
    def render_into(self, pictures: Sequence[Tensor], chosen: Tensor, x: Tensor, y: Tensor) -> None:
        """See :class:`rinr.networks.family.InPlace`."""
        if self.size and len(x) == len(y) == 1:
            self._tile_by_tile(pictures, chosen, x, y, self.size)
        else:
            for picture, rendered in zip(pictures, self.render(chosen, x, y), strict=True):
                picture.copy_(rendered)

    def _weights(self, chosen: Tensor) -> Tensor:
        """By colour, the mean colour among them: ``[n, 3, down * rows, across * columns]``."""
        weights, device = self.fine.take(chosen).to(torch.float32), str(self.fine.device)
        low = (
            transform(self.down, device).T @ self.coarse.take(chosen).to(torch.float32) @ transform(self.across, device)
        )
        weights[:, :, :, 0, :, 0] = low + self.offset[chosen]
        # Colours are mixed among the weights, of which there are fewer than pixels.
        mixed = torch.bmm(self.axes[chosen], weights.flatten(2))
        return mixed.unflatten(2, (self.down * self.rows, self.across * self.columns))

    def _tile_by_tile(
        self, pictures: Sequence[Tensor], chosen: Tensor, x: Tensor, y: Tensor, size: tuple[int, int]
    ) -> None:
        """The same products without the zeros: few tiles reach a point, and few waves are in use."""
        (width, height), overlap = size, self.overlap
        across = _grid(((x + 1) / 2 * width).numpy().tobytes(), width, self.across, self.columns, overlap)
        down = _grid(((y + 1) / 2 * height).numpy().tobytes(), height, self.down, self.rows, overlap)
        fine = self.fine.take(chosen).numpy()
        for picture, mine, integers in zip(pictures, self._weights(chosen), fine, strict=True):
            rows, columns = _used(integers)
            mine = mine.index_select(1, rows.index).index_select(2, columns.index).flatten(0, 1)
            values = across.values.index_select(0, columns.index)
            wide = mine.new_empty(len(mine), x.shape[1])
            for points, first, last in across.runs:
                some = columns.of_tiles(first, last)
                torch.mm(mine[:, some], values[some, points], out=wide[:, points])
            wide, values = wide.unflatten(0, (3, -1)), down.values.index_select(0, rows.index).T.expand(3, -1, -1)
            for points, first, last in down.runs:
                some = rows.of_tiles(first, last)
                torch.bmm(values[:, points, some], wide[:, some], out=picture[:, points])


@dataclass(frozen=True)
class _Grid:
    """Points along a side: the features' values, ``[features, points]``, and runs of points that the same tiles reach,
    each with the first and the last of these tiles."""

    values: Tensor
    runs: tuple[tuple[slice, int, int], ...]


@dataclass(frozen=True)
class _Waves:
    """Which of a side's features are in use, and where each tile's begin among them."""

    index: Tensor
    starts: list[int]

    def of_tiles(self, first: int, last: int) -> slice:
        return slice(self.starts[first], self.starts[last + 1])


def _used(weights: np.ndarray) -> tuple[_Waves, _Waves]:
    """Rows and columns of ``[axes, down, rows, across, columns]`` that are not all zero; constants always are used."""
    there = (weights != 0).any(axis=0)
    there[:, 0, :, 0] = True
    sides = there.any(axis=(2, 3)), there.any(axis=(0, 1))
    rows, columns = (
        _Waves(torch.from_numpy(np.flatnonzero(side)), [0, *np.cumsum(side.sum(axis=1)).tolist()]) for side in sides
    )
    return rows, columns


@lru_cache(maxsize=256)
def _grid(points: bytes, length: int, count: int, waves: int, overlap: float) -> _Grid:
    """A grid of points, in pixels of the side, cut where the tiles that reach its points change."""
    at = torch.from_numpy(np.frombuffer(points, dtype=np.float32).copy())
    values = features(at, edges(length, count), waves, overlap)
    reached = values.unflatten(1, (count, waves)).ne(0).any(dim=2).long()
    first, last = reached.argmax(dim=1), count - 1 - reached.flip(1).argmax(dim=1)
    runs, start = [], 0
    for size in torch.unique_consecutive(first * count + last, return_counts=True)[1].tolist():
        runs.append((slice(start, start + size), int(first[start]), int(last[start])))
        start += size
    return _Grid(values.T.contiguous(), tuple(runs))
