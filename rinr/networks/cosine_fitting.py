"""Fitting ``cosine`` networks: rate-distortion optimized rounding of what is linear.

Weights are rounded, sweep by sweep, to what costs least in squared error plus lambda times code length. Without overlap
the features are orthonormal, and the first sweep starts at the least-squares fit; each further one takes a step along
the gradient first (iterative thresholding; Daubechies, Defrise and De Mol, 2004).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rinr.codec.symbols import ESCAPE, MAX_MAGNITUDE, code_lengths
from rinr.networks.cosine_basis import synthesis, tiles, transform
from rinr.networks.cosine_coding import OVERLAPS, TILES, CosineNetwork, Integers, Layout, trimmed, waves_of
from rinr.networks.cosine_colour import colour_axes, fitted_turns
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
from rinr.networks.settings import CosineSettings

_WORTH_NOTHING = 0.5
"""Magnitudes, in steps, that no rounding makes anything of but zero."""


def fit(picture: Tensor, settings: CosineSettings) -> CosineNetwork:
    """Fit one picture with each tile size, and keep the network that costs least."""
    pixels = picture.to(torch.float32) * 255
    if not bool(torch.isfinite(pixels).all()):
        raise FloatingPointError("a picture to fit holds values that are not finite: no network has them")
    height, width, _ = picture.shape
    mean = pixels.mean(dim=(0, 1)) if settings.offset else torch.zeros(3)
    red, green, blue = (int(level) for level in mean.round().clamp(0, 255))
    pixels = pixels - torch.tensor([red, green, blue], device=pixels.device)
    axes = fitted_turns(pixels) if settings.axes else None
    channels = pixels.reshape(-1, 3) @ colour_axes(axes).T.to(pixels)
    target = channels.T.reshape(3, height, width) / 2 ** (settings.step_code / 16)
    overlap = OVERLAPS.index(settings.overlap)
    fits = []
    sides = distinct(settings.tiles, (width, height))
    for tile in sides:
        layout = Layout(settings.step_code, TILES.index(tile), overlap, axes, settings.offset)
        fits.append((*fit_plane(target, layout, settings, cost=len(sides) > 1), layout))
    _, coarse, fine, layout = min(fits, key=lambda each: each[0])
    return CosineNetwork((width, height), layout, (red, green, blue), coarse, fine)


def fit_plane(
    target: Tensor, layout: Layout, settings: CosineSettings, *, cost: bool = False
) -> tuple[float, Integers, Integers]:
    """Fit weights of one layout.

    Args:
        target: ``[3, height, width]``, in steps, by colour axis.
        layout: step, tiling and overlap.
        settings: what to trade, how often to sweep.
        cost: whether to work out what they cost.

    Returns:
        Squared error in steps plus lambda times code length, or zero; coarse and fine weights as
        :class:`rinr.networks.cosine_coding.CosineNetwork` has them.
    """
    one = _Fit(target, (target.shape[2], target.shape[1]), layout, settings)
    weights = one.run()
    return one.cost(*weights) if cost else 0.0, *_whole(weights)


def analysed(target: Tensor, layout: Layout, settings: CosineSettings) -> list[Tensor]:
    """Coarse and fine weights that a fit of a picture starts from, in whatever unit the picture has."""
    return _Fit(target, (target.shape[2], target.shape[1]), layout, settings).analyse(target)


def round_once(
    wanted: Sequence[Tensor], size: tuple[int, int], layout: Layout, settings: CosineSettings
) -> tuple[Integers, Integers]:
    """The first sweep of :func:`fit_plane` alone, for which weights do: those of :func:`analysed`, in steps."""
    one = _Fit(wanted[0].new_empty(0), size, layout, settings)
    return _whole(one.swept(wanted, [_dead_zone(weights) for weights in wanted], START)[0])


def _whole(weights: Sequence[Tensor]) -> tuple[Integers, Integers]:
    low, high = (each.to(torch.int32).cpu().numpy() for each in weights)
    return low, trimmed(high)


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
                if not any(bool(weights.any()) for weights in known):
                    break
                gradient = self.analyse(self.target - self.synthesize(*known))
                wanted = [now + step for now, step in zip(known, gradient, strict=True)]
            known, rates = self.swept(wanted, known, rates)
        return known[0], known[1]

    def swept(self, wanted: Sequence[Tensor], known: Sequence[Tensor], rates: Rates) -> tuple[list[Tensor], Rates]:
        """Weights rounded once, and the rates under which they were."""
        if max(float(weights.abs().max()) for weights in wanted) < _WORTH_NOTHING:
            return [torch.zeros_like(weights) for weights in wanted], rates
        rates = choose_rates(self.tally(*known), rates)
        rounded = [
            self.rounded(weights, before, kind, rates)
            for weights, before, kind in zip(wanted, known, (self.coarse, self.fine), strict=True)
        ]
        return rounded, rates

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


def distinct(sides: Sequence[int], size: tuple[int, int]) -> list[int]:
    """Tile sizes that cut a region differently; of those that cut it alike the last, which crowds of boxes share."""
    return list({tuple(tiles(length, side) for length in size): side for side in sides}.values())


def _dead_zone(weights: Tensor) -> Tensor:
    return (weights.abs() + 0.35).floor().clamp(max=MAX_MAGNITUDE).copysign(weights)
