"""Cosine networks: one layer of fixed features over tiles, its weights fitted in closed form, quantized and coded.

On each tile of a region ``f(x, y) = sum_uv c_uv cos(pi u x) cos(pi v y)``, faded into its neighbours by windows
(:mod:`rinr.networks.cosine_basis`). Said plainly: this is a windowed discrete cosine transform seen as a coordinate
network. It is linear, and nothing in it is learned by descent. It is here because it was measured: at the same PSNR it
needs fewer bytes than the SIREN of the paper, fits in milliseconds, and decodes with two small matrix products a tile,
at any size and crop, since cosines can be evaluated anywhere (docs/results.md).

A fit is rate-distortion optimized: weights are rounded, sweep by sweep, to what costs least in squared error plus
lambda times code length. Without overlap the features are orthonormal, and the first sweep starts at the least-squares
fit; each further one takes a step along the gradient first (iterative thresholding; Daubechies, Defrise and De Mol,
2004).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rinr.codec.symbols import ESCAPE, MAX_MAGNITUDE, code_lengths
from rinr.networks import cosine_coding
from rinr.networks.cosine_basis import edges, features, synthesis, tiles, transform
from rinr.networks.cosine_coding import OVERLAPS, TILES, CosineNetwork, Layout, trimmed, waves_of
from rinr.networks.cosine_rates import (
    START,
    Rates,
    Tally,
    choose_rates,
    contexts,
    frequency_classes,
    level_of,
    prior,
)
from rinr.networks.family import OnWork

_AXES = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]], dtype=torch.float64)
_AXES /= _AXES.norm(dim=1, keepdim=True)
_SUBSAMPLED = 7  # of the pixels that colour axes are fitted to, one in so many


@dataclass(frozen=True)
class CosineSettings:
    """Settings of a cosine fit.

    Attributes:
        step: of quantization, in 255ths of full scale; rounded to a sixteenth of an octave.
        tiles: sides of tiles in pixels that are tried; the one with the least cost is kept.
        overlap: of a tile on either side of an inner border; one of ``OVERLAPS``.
        waves: cosines a tile and side at most.
        trade: lambda in squared steps a bit: how much squared error a bit is worth.
        sweeps: of rounding.
        axes: whether colour axes are fitted (three bytes a body), or luma and two fixed chroma axes used.
        offset: whether the mean colour is kept apart (three bytes a network): for pixels, not for residuals.
    """

    step: float
    tiles: tuple[int, ...]
    overlap: float
    waves: int
    trade: float
    sweeps: int
    axes: bool = False
    offset: bool = False
    family: str = "cosine"

    @property
    def step_code(self) -> int:
        """The step as payloads name it."""
        return min(max(round(16 * math.log2(self.step)), 0), 255)


class CosineFamily:
    """The family ``cosine``: see :class:`rinr.networks.family.Family`."""

    name = "cosine"
    code = 3

    def work(self, settings: CosineSettings) -> int:
        """Image-steps of one picture's fit: a sweep is one."""
        return settings.sweeps * len(settings.tiles)

    def fit(
        self,
        pictures: Sequence[Tensor],
        settings: CosineSettings,
        on_work: OnWork | None = None,
        *,
        shares: Sequence[float] | None = None,
    ) -> list[CosineNetwork]:
        """Fit and quantize one network a picture; errors are sums over pixels, so ``shares`` change nothing."""
        networks = []
        for picture in pictures:
            networks.append(_fit(picture, settings))
            if on_work:
                on_work(self.work(settings))
        return networks

    def write(self, networks: Sequence[CosineNetwork]) -> bytes:
        """Entropy code networks of one layout into one body."""
        return cosine_coding.write(networks)

    def read(self, data: bytes, sizes: Sequence[tuple[int, int]]) -> list[CosineNetwork]:
        """Entropy decode a body."""
        return cosine_coding.read(data, sizes)

    def stack(self, networks: Sequence[CosineNetwork], device: str) -> "CosineStack":
        """Put networks of one group on a device."""
        return CosineStack(networks, device)

    def describe(self, network: CosineNetwork) -> dict[str, Any]:
        """See :class:`rinr.networks.family.Describing`."""
        layout = network.layout
        step, tile, overlap = float(f"{_step(layout):.4g}"), TILES[layout.tile], OVERLAPS[layout.overlap]
        down, across, rows, columns = network.fine.shape[1:]
        return {
            "brief": f"step {step:g} tile {tile}" + (f" overlap {overlap:g}" if overlap else ""),
            "step": step,
            "tile": tile,
            "overlap": overlap,
            "tiles": [across, down],
            "waves": [columns, rows],
            "weights": int(np.count_nonzero(network.coarse) + np.count_nonzero(network.fine)),
            "offset": list(network.offset) if layout.offset else None,
            "axes": list(layout.axes) if layout.axes else None,
        }

    def describe_body(self, body: bytes, networks: Sequence[CosineNetwork]) -> dict[str, Any]:
        """See :class:`rinr.networks.family.Describing`."""
        layout = networks[0].layout
        header = 4 + 3 * (layout.axes is not None) + 3 * layout.offset * len(networks)
        waves, density = body[2], body[3]
        return {
            "header_bytes": header,
            "waves": waves & 31,
            "rates": {"density": density & 31, "chroma": density >> 5, "slope": waves >> 5},
        }

    def ideal_bits(self, networks: Sequence[CosineNetwork]) -> list[float]:
        """See :class:`rinr.networks.family.Describing`."""
        return cosine_coding.body_bits(networks)


COSINE = CosineFamily()


class CosineStack:
    """Networks with equal numbers of tiles and waves on a device; their weights stay small integers."""

    def __init__(self, networks: Sequence[CosineNetwork], device: str) -> None:
        self.down, self.across, self.rows, self.columns, overlap, large = networks[0].group
        self.overlap = OVERLAPS[overlap]
        kind = np.int16 if large else np.int8
        self.coarse = torch.from_numpy(np.stack([n.coarse for n in networks]).astype(kind)).to(device)
        fine = np.zeros((len(networks), 3, self.down, self.rows, self.across, self.columns), kind)
        for mine, n in zip(fine, networks, strict=True):
            rows, columns = n.fine.shape[3:]
            mine[:, :, :rows, :, :columns] = n.fine.transpose(0, 1, 3, 2, 4)
        self.fine = torch.from_numpy(fine).to(device)
        scales = torch.tensor([_step(n.layout) / 255 for n in networks], dtype=torch.float64)[:, None, None]
        axes = torch.stack([colour_axes(n.layout.axes) for n in networks])
        colours = torch.tensor([n.offset for n in networks], dtype=torch.float64)[:, :, None] / 255
        self.axes = (axes.transpose(1, 2) * scales).float().to(device)  # from weights to colours, [networks, 3, 3]
        self.sides = [torch.tensor([n.size[side] for n in networks], device=device) for side in (0, 1)]
        self.borders = [
            torch.stack([edges(n.size[side], count, device) for n in networks])
            for side, count in ((0, self.across), (1, self.down))
        ]
        # A constant of one has the weight sqrt(pixels) on each tile.
        wide, high = (borders.diff(dim=1).sqrt() for borders in self.borders)
        mean = (axes @ colours / scales).float().to(device)
        self.offset = mean[..., None] * high[:, None, :, None] * wide[:, None, None, :]
        # To leave out what is zero is worth it where one network after another is rendered.
        self.size = networks[0].size if device == "cpu" and len({n.size for n in networks}) == 1 else None
        self.used = [_used(mine) for mine in fine] if self.size else []

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
        weights, device = self.fine[chosen].to(torch.float32), self.fine.device.type
        low = transform(self.down, device).T @ self.coarse[chosen].to(torch.float32) @ transform(self.across, device)
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
        for picture, mine, index in zip(pictures, self._weights(chosen), chosen.tolist(), strict=True):
            rows, columns = self.used[index]
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


def colour_axes(turns: tuple[int, int, int] | None) -> Tensor:
    """Orthonormal colour axes, rows of ``[3, 3]``, float64: luma and two of chroma, turned.

    Args:
        turns: of the plane of the axes (0, 1), then (0, 2), then (1, 2), in 256ths of half a turn around 128.
    """
    axes = _AXES.clone()
    for turn, (first, second) in zip(turns or (128, 128, 128), ((0, 1), (0, 2), (1, 2)), strict=True):
        angle = (turn - 128) * math.pi / 256
        a, b = axes[first].clone(), axes[second].clone()
        axes[first], axes[second] = a * math.cos(angle) + b * math.sin(angle), b * math.cos(angle) - a * math.sin(angle)
    return axes


def _fit(picture: Tensor, settings: CosineSettings) -> CosineNetwork:
    """Fit one picture with each tile size, and keep the network that costs least."""
    pixels = picture.to(torch.float32) * 255
    if not bool(torch.isfinite(pixels).all()):
        raise FloatingPointError("a picture to fit holds values that are not finite: no network has them")
    height, width, _ = picture.shape
    mean = pixels.mean(dim=(0, 1)) if settings.offset else torch.zeros(3)
    red, green, blue = (int(level) for level in mean.round().clamp(0, 255))
    pixels = pixels - torch.tensor([red, green, blue], device=pixels.device)
    axes = _turns(pixels) if settings.axes else None
    channels = pixels.reshape(-1, 3) @ colour_axes(axes).T.to(pixels)
    target = channels.T.reshape(3, height, width) / 2 ** (settings.step_code / 16)
    overlap = OVERLAPS.index(settings.overlap)
    fits = []
    for tile in _distinct(settings.tiles, (width, height)):
        layout = Layout(settings.step_code, TILES.index(tile), overlap, axes, settings.offset)
        one = _Fit(target, (width, height), layout, settings)
        coarse, fine = one.run()
        cost = one.cost(coarse, fine)
        fits.append((cost, layout, coarse, fine))
    _, layout, *weights = min(fits, key=lambda each: each[0])
    low, high = (each.to(torch.int32).cpu().numpy() for each in weights)
    return CosineNetwork((width, height), layout, (red, green, blue), low, trimmed(high))


class _Fit:
    """One picture on one tiling.

    Args:
        target: ``[3, height, width]``, in steps, by colour axis.
        size: ``(width, height)``.
        layout: step, tiling and overlap.
        settings: what to trade, how often to sweep.
    """

    def __init__(self, target: Tensor, size: tuple[int, int], layout: Layout, settings: CosineSettings) -> None:
        self.target, self.settings = target, settings
        device, overlap = target.device, OVERLAPS[layout.overlap]
        self.down, self.across = layout.tiling(size)
        self.rows, self.columns = waves_of(size, layout, settings.waves)
        self.left = synthesis(size[1], self.down, self.rows, overlap, str(device))
        self.right = synthesis(size[0], self.across, self.columns, overlap, str(device))
        self.low_left, self.low_right = transform(self.down, str(device)), transform(self.across, str(device))
        tile, chroma = TILES[layout.tile], (torch.arange(3, device=device) > 0).long()
        fine = frequency_classes(self.rows, self.columns, (self.down, size[1]), (self.across, size[0]), tile)
        coarse = frequency_classes(self.down, self.across, (1, size[1]), (1, size[0]), tile)
        there = torch.ones(self.rows, self.columns, dtype=torch.bool, device=device)
        there[0, 0] = False
        self.fine = fine.to(device), chroma[:, None, None, None, None], there
        self.coarse = coarse.to(device), chroma[:, None, None], torch.ones_like(coarse, dtype=torch.bool, device=device)
        self.bits = torch.from_numpy(code_lengths()).to(device)

    def run(self) -> tuple[Tensor, Tensor]:
        """Coarse weights ``[3, down, across]`` and fine ones ``[3, down, across, rows, columns]``, whole numbers."""
        wanted = self.analyse(self.target)
        known = [_dead_zone(weights) for weights in wanted]
        rates = START
        for sweep in range(self.settings.sweeps):
            if sweep:
                gradient = self.analyse(self.target - self.synthesize(*known))
                wanted = [now + step for now, step in zip(known, gradient, strict=True)]
            rates = choose_rates(self.tally(*known), rates)
            known = [
                self.rounded(weights, before, kind, rates)
                for weights, before, kind in zip(wanted, known, (self.coarse, self.fine), strict=True)
            ]
        return known[0], known[1]

    def cost(self, coarse: Tensor, fine: Tensor) -> float:
        """Squared error in steps plus lambda times code length."""
        error = (self.target - self.synthesize(coarse, fine)).square().sum(dtype=torch.float64)
        tally = self.tally(coarse, fine)
        return float(error) + self.settings.trade * int(tally.costs(choose_rates(tally))) / 65_536

    def analyse(self, picture: Tensor) -> list[Tensor]:
        """Coarse and fine weights of what fits a picture ``[3, height, width]`` best where features are orthonormal."""
        weights = self.left.T @ picture @ self.right
        fine = weights.reshape(3, self.down, self.rows, self.across, self.columns).transpose(2, 3).contiguous()
        coarse = self.low_left @ fine[..., 0, 0] @ self.low_right.T
        fine[..., 0, 0] = 0
        return [coarse, fine]

    def synthesize(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """The picture of weights, ``[3, height, width]``."""
        weights = fine.clone()
        weights[..., 0, 0] = self.low_left.T @ coarse @ self.low_right
        weights = weights.transpose(2, 3).reshape(3, self.down * self.rows, self.across * self.columns)
        return self.left @ weights @ self.right.T

    def tally(self, coarse: Tensor, fine: Tensor) -> Tally:
        """Both kinds of weights, tallied."""
        kinds = ((coarse.abs().long(), *self.coarse), (fine.abs().long(), *self.fine))
        low, high = (
            Tally.of(classes, chroma, contexts(magnitudes), magnitudes, there)
            for magnitudes, classes, chroma, there in kinds
        )
        return low + high

    def rounded(self, weights: Tensor, known: Tensor, kind: tuple[Tensor, Tensor, Tensor], rates: Rates) -> Tensor:
        """Weights rounded to what costs least, in the contexts of what is known so far."""
        classes, chroma, there = kind
        level = level_of(prior(classes, chroma, rates) + contexts(known.abs().long()))
        magnitude = weights.abs()
        nearest = (magnitude + 0.5).floor().clamp(max=MAX_MAGNITUDE)
        chosen, least = nearest, torch.full_like(nearest, math.inf)
        for candidate in (nearest, (nearest - 1).clamp(min=0), torch.zeros_like(nearest)):
            bits = self.bits[level, candidate.clamp(max=ESCAPE).long()]
            cost = (magnitude - candidate).square() + self.settings.trade * bits
            chosen, least = torch.where(cost < least, candidate, chosen), torch.minimum(cost, least)
        return chosen.copysign(weights) * there


def _distinct(sides: Sequence[int], size: tuple[int, int]) -> list[int]:
    """Tile sizes that cut a region differently; of those that cut it alike the last, which crowds of boxes share."""
    return list({tuple(tiles(length, side) for length in size): side for side in sides}.values())


def _dead_zone(weights: Tensor) -> Tensor:
    return (weights.abs() + 0.35).floor().clamp(max=MAX_MAGNITUDE).copysign(weights)


def _step(layout: Layout) -> float:
    """The step in 255ths of full scale."""
    return float(2 ** (layout.step / 16))


def _turns(pixels: Tensor) -> tuple[int, int, int]:
    """The turns that bring colour axes near the principal ones of a picture ``[height, width, 3]``."""
    flat = pixels.reshape(-1, 3)[::_SUBSAMPLED].double()
    flat = flat - flat.mean(dim=0)
    _, vectors = torch.linalg.eigh((flat.T @ flat).cpu())
    principal = vectors.T.flip(0) @ _AXES.T  # rows: wanted axes in terms of the standing ones
    # Givens turns: the first two bring luma onto the first axis, the third turns chroma in its plane.
    first = principal[0] * (1 if principal[0, 0] >= 0 else -1)
    one = math.atan2(float(first[1]), float(first[0]))
    two = math.atan2(float(first[2]), math.hypot(float(first[0]), float(first[1])))
    codes = [_turn(one), _turn(two), 128]
    partial = colour_axes((codes[0], codes[1], 128)) @ _AXES.T
    plane = partial[1:] @ principal[1]
    three = math.atan2(float(plane[1]), float(plane[0]))
    three = (three + math.pi / 2) % math.pi - math.pi / 2  # an axis has no direction
    return codes[0], codes[1], _turn(three)


def _turn(angle: float) -> int:
    return min(max(round(angle * 256 / math.pi) + 128, 0), 255)
