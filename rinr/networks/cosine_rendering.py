"""Rendering ``cosine`` networks: two matrix products a tile, at any size and crop."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from rinr.networks.cosine_basis import edges, features, reached, transform
from rinr.networks.cosine_coding import OVERLAPS, CosineNetwork, step_size
from rinr.networks.cosine_colour import NO_TURNS, colour_axes
from rinr.networks.family import Arrays
from rinr.networks.rows import Rows

_Counts = npt.NDArray[np.int64]

# From so many tiles on, products tile by tile take less than one with all features, most of which are zero.
_MANY_TILES = 24
# Worked on at once at single points.
_POINT_FLOATS = 1 << 20


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

    dear = False

    def __init__(self, arrays: Arrays, device: str, share: float = 1.0) -> None:
        self._lay_out(arrays, arrays["fine"].shape[2:], device)
        self.coarse, self.fine = Rows(arrays["coarse"], device, share), Rows(arrays["fine"], device, share)

    def _lay_out(self, arrays: Arrays, tiles: Sequence[int], device: str) -> None:
        """Take in all but the weights, of networks of so many tiles down, rows, tiles across, columns."""
        self.device, sizes = torch.device(device), arrays["size"].tolist()
        self.down, self.rows, self.across, self.columns = tiles
        self.overlap = OVERLAPS[int(arrays["overlap"][0])]
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
        self.alike = all(size == sizes[0] for size in sizes)
        # Of each side the last places that all pictures shared, and the features there: mostly those of the next call.
        self._last: dict[int, tuple[Tensor, _Side]] = {}

    @torch.no_grad()
    def render(self, chosen: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """See :class:`rinr.networks.family.Stack`."""
        return self._rendered(chosen, None, x, y)

    @torch.no_grad()
    def render_into(
        self,
        pictures: Sequence[Tensor],
        chosen: Tensor,
        x: Sequence[Tensor],
        y: Sequence[Tensor],
        *,
        times: Tensor | None = None,
        add: bool = False,
    ) -> None:
        """See :class:`rinr.networks.family.InPlace`."""
        self._tile_by_tile(pictures, chosen, times, x, y, add=add)

    @torch.no_grad()
    def render_points(self, chosen: Tensor, points: Tensor) -> Tensor:
        """See :class:`rinr.networks.family.Stack`: points are brought together that the same tiles reach."""
        return self._rendered_points(chosen, None, points)

    def _rendered(self, chosen: Tensor, times: Tensor | None, x: Tensor, y: Tensor) -> Tensor:
        if self.device.type == "cpu" and self.down * self.across >= _MANY_TILES:
            pictures = torch.empty(len(chosen), 3, y.shape[1], x.shape[1])
            self._tile_by_tile(pictures.unbind(), chosen, times, x.unbind(), y.unbind(), add=False)
            return pictures
        (widths, heights), (wide, high) = (each[chosen, None] for each in self.sides), (b[chosen] for b in self.borders)
        across = features((x + 1) / 2 * widths, wide, self.columns, self.overlap)[:, None]
        down = features((y + 1) / 2 * heights, high, self.rows, self.overlap)[:, None]
        return down @ (self._weights(chosen, *self._taken(chosen, times)) @ across.transpose(2, 3))

    def _rendered_points(self, chosen: Tensor, times: Tensor | None, points: Tensor) -> Tensor:
        values = points.new_empty(len(chosen), 3, points.shape[2])
        for index, (own, at) in enumerate(zip(values, points.clamp(-1, 1), strict=True)):
            some = slice(index, index + 1)
            own.copy_(self._at_points(chosen[some], None if times is None else times[some], at))
        return values

    def _taken(self, chosen: Tensor, times: Tensor | None) -> tuple[Tensor, Tensor]:
        """Coarse and fine weights of networks ``chosen [n]``, as :func:`arrays` has them."""
        return self.coarse.take(chosen), self.fine.take(chosen)

    def _weights(self, chosen: Tensor, coarse: Tensor, fine: Tensor) -> Tensor:
        """By colour, the mean colour among them: ``[n, 3, down * rows, across * columns]``."""
        weights, device = fine.to(torch.float32, copy=True), str(self.device)
        low = transform(self.down, device).T @ coarse.to(torch.float32) @ transform(self.across, device)
        weights[:, :, :, 0, :, 0] = low + self.offset[chosen]
        # Colours are mixed among the weights, of which there are fewer than pixels.
        mixed = torch.bmm(self.axes[chosen], weights.flatten(2))
        return mixed.unflatten(2, (self.down * self.rows, self.across * self.columns))

    def _tile_by_tile(
        self,
        pictures: Sequence[Tensor],
        chosen: Tensor,
        times: Tensor | None,
        x: Sequence[Tensor],
        y: Sequence[Tensor],
        *,
        add: bool,
    ) -> None:
        """The same products without the zeros: few tiles reach a point, and few waves are in use."""
        coarse, fine = self._taken(chosen, times)
        across, down, used = self._side(0, chosen, x), self._side(1, chosen, y), _used(fine.numpy())
        for place, (picture, weights, *counts) in enumerate(
            zip(pictures, self._weights(chosen, coarse, fine), *used, strict=True)
        ):
            self._products(picture, weights, across[place % len(across)], down[place % len(down)], *counts, add=add)

    def _products(
        self,
        picture: Tensor,
        weights: Tensor,
        across: "_Side",
        down: "_Side",
        high: _Counts,
        wide: _Counts,
        *,
        add: bool,
    ) -> None:
        """One network, of which ``high [down]`` rows and ``wide [across]`` columns of each tile are used."""
        # Rows that are not used are left out of both products, and lie one after another in between.
        used = np.flatnonzero(np.arange(self.rows) < high[:, None])
        starts, counts = [0, *np.cumsum(high).tolist()], wide.tolist()
        weights = weights.index_select(1, torch.from_numpy(used)).flatten(0, 1)
        between = weights.new_empty(len(weights), picture.shape[2])
        for points, tile, both in across.runs:
            last = self.columns + counts[tile + 1] if both else counts[tile]
            some = slice(tile * self.columns, tile * self.columns + last)
            torch.mm(weights[:, some], across.values[points, :last].T, out=between[:, points])
        between = between.unflatten(0, (3, -1))
        for points, tile, both in down.runs:
            values = down.values[points, : starts[tile + 1] - starts[tile]]
            if both:
                beside = down.values[points, self.rows : self.rows + starts[tile + 2] - starts[tile + 1]]
                values = torch.cat([values, beside], dim=1)
            some = slice(starts[tile], starts[tile + 1 + both])
            rows = picture[:, points]
            torch.baddbmm(rows, values.expand(3, -1, -1), between[:, some], beta=int(add), out=rows)

    def _side(self, side: int, chosen: Tensor, places: Sequence[Tensor]) -> "list[_Side]":
        """The features at each picture's places along a side, -1 to 1, or at those of all."""
        if len(places) == 1 and self.alike:
            last = self._last.get(side)
            if last is None or not torch.equal(last[0], places[0]):
                last = self._last[side] = places[0], self._features(side, chosen[:1], places)[0]
            return [last[1]]
        return self._features(side, chosen, [places[0]] * len(chosen) if len(places) == 1 else places)

    def _features(self, side: int, chosen: Tensor, places: Sequence[Tensor]) -> "list[_Side]":
        """Likewise of each network at places of its own."""
        counts = [len(each) for each in places]
        networks = chosen.repeat_interleave(torch.tensor(counts))
        at = (torch.cat([*places]) + 1) / 2 * self.sides[side][networks]
        borders = self.borders[side][:1] if self.alike else self.borders[side][networks]
        waves = (self.columns, self.rows)[side]
        found = reached(at, borders, waves, self.overlap)
        runs = zip(found.tile.split(counts), found.both.split(counts), found.values.split(counts), strict=True)
        return [_Side(*each) for each in runs]

    def _at_points(self, network: Tensor, time: Tensor | None, at: Tensor) -> Tensor:
        """One network at points ``[2, count]``: ``[3, count]``."""
        x, y = (
            reached((place + 1) / 2 * lengths[network], borders[network], waves, self.overlap)
            for place, lengths, borders, waves in zip(
                at, self.sides, self.borders, (self.columns, self.rows), strict=True
            )
        )
        # Tiles behind the last ones are zero, so that every point has two each way.
        (weights,) = self._weights(network, *self._taken(network, time))
        tiles = weights.unflatten(2, (self.across, -1)).unflatten(1, (self.down, -1))
        wide, high = x.values.shape[1] // self.columns, y.values.shape[1] // self.rows
        tiles = functional.pad(tiles, (0, 0, 0, wide - 1, 0, 0, 0, high - 1))
        blocks = tiles.unfold(1, high, 1).unfold(3, wide, 1)  # [3, down, rows, across, columns, high, wide]
        blocks = blocks.permute(1, 3, 0, 5, 2, 6, 4).flatten(2, 4).flatten(3).flatten(0, 1)
        # Points of one block follow one another, in as many rows as there are blocks, padded to the longest.
        block = y.tile * self.across + x.tile
        order = torch.argsort(block, stable=True)
        sizes = torch.bincount(block, minlength=len(blocks))
        column = torch.arange(int(sizes.max()), device=at.device)
        inside = column < sizes[:, None]
        index = torch.zeros_like(inside, dtype=torch.long)
        index[inside] = order
        values = at.new_empty(3, at.shape[1])
        some = max(_POINT_FLOATS // (index.shape[1] * blocks.shape[1]), 1)
        for own, some_blocks, here in zip(index.split(some), blocks.split(some), inside.split(some), strict=True):
            across, down = x.values[own.flatten()], y.values[own.flatten()]
            products = torch.bmm(across.unflatten(0, own.shape), some_blocks.transpose(1, 2))
            sums = products.unflatten(2, (3, -1)).mul_(down.unflatten(0, own.shape)[:, :, None]).sum(dim=3)
            values[:, own[here]] = sums[here].T
        return values


@dataclass(frozen=True)
class _Side:
    """Points along a side; see :class:`rinr.networks.cosine_basis.Reached`."""

    tile: Tensor
    both: Tensor
    values: Tensor

    @cached_property
    def runs(self) -> list[tuple[slice, int, bool]]:
        """Points that the same tiles reach, the first of these, and whether the next one reaches them, too."""
        kinds, sizes = torch.unique_consecutive(2 * self.tile + self.both, return_counts=True)
        stops = sizes.cumsum(0).tolist()
        return [
            (slice(start, stop), kind // 2, bool(kind % 2))
            for start, stop, kind in zip([0, *stops], stops, kinds.tolist(), strict=False)
        ]


def _used(fine: npt.NDArray[Any]) -> tuple[_Counts, _Counts]:
    """How many of each tile's rows, and columns, of ``[n, 3, down, rows, across, columns]`` hold all that is not zero:
    ``[n, down]`` and ``[n, across]``."""
    integers = np.issubdtype(fine.dtype, np.integer)  # whose bits take less to look through
    there: Any = np.bitwise_or.reduce(fine, axis=1) != 0 if integers else fine.any(axis=1)
    there[:, :, 0, :, 0] = True  # the constants
    return _last(there.any(axis=(3, 4))), _last(there.any(axis=(1, 2)))


def _last(there: npt.NDArray[np.bool_]) -> _Counts:
    """How many of the last axis reach to its last true one."""
    return there.shape[-1] - there[..., ::-1].argmax(axis=-1)
