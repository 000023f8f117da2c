"""Windowed cosines: the fixed features of the family ``cosine``, and the matrices that take pictures to them and back.

A side of a region is cut into tiles, even to the pixel. Along a tile that reaches from 0 to 1, feature ``k`` is
``cos(pi k t)``; cosines are even around a tile's border, so they carry on beyond it, and a raised sine over ``overlap``
of a tile on either side of each inner border fades one tile into the next. Windows add up to one everywhere. Without
overlap this is the orthonormal discrete cosine transform of type II (Ahmed, Natarajan and Rao, 1974), evaluated between
its samples as well; with overlap it is a lapped one (Tran, Liang and Tu, 2003, "Lapped transform via time-domain pre-
and post-filtering").
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


def tiles(length: int, tile: int) -> int:
    """How many tiles of about this many pixels a side of ``length`` pixels is cut into."""
    return max(1, (2 * length + tile) // (2 * tile))


@lru_cache(maxsize=1024)
def edges(length: int, count: int, device: str = "cpu") -> Tensor:
    """Where tiles begin and end, in pixels, rounded to whole ones: ``[count + 1]``, float32."""
    whole = [(2 * index * length + count) // (2 * count) for index in range(count + 1)]
    return torch.tensor(whole, dtype=torch.float32, device=device)


def features(at: Tensor, borders: Tensor, waves: int, overlap: float) -> Tensor:
    """The features at points of a side, of unit norm over the pixels of a tile.

    Args:
        at: ``[..., points]``, in pixels from the side's start.
        borders: ``[..., count + 1]``, see :func:`edges`.
        waves: cosines a tile.
        overlap: of a tile on either side of an inner border, 0 to 0.5.

    Returns:
        ``[..., points, count * waves]``, tile by tile.
    """
    start, stop, at = borders[..., None, :-1], borders[..., None, 1:], at[..., None]
    width, count = stop - start, borders.shape[-1] - 1
    cosines = torch.cos((math.pi * (at - start) / width)[..., None] * torch.arange(waves, device=at.device))
    cosines[..., 0] = math.sqrt(0.5)
    window = torch.sqrt(2 / width)
    if count > 1:
        if overlap:
            # Every border fades over the same stretch, so that what one tile loses its neighbour gains.
            stretch = overlap * (borders[..., None, -1:] - borders[..., None, :1]) / count
            fades = 0.5 + 0.5 * torch.sin(math.pi / 2 * ((at - start) / stretch).clamp(-1, 1))
            fades = torch.cat([torch.ones_like(fades[..., :1]), fades[..., 1:]], dim=-1)
            shares = fades - torch.cat([fades[..., 1:], torch.zeros_like(fades[..., :1])], dim=-1)
        else:
            first, last = torch.arange(count, device=at.device) == 0, torch.arange(count, device=at.device) == count - 1
            shares = (((at >= start) | first) & ((at < stop) | last)).to(at.dtype)
        window = window * shares
    return (cosines * window[..., None]).flatten(-2)


@dataclass(frozen=True)
class Reached:
    """The tiles that reach points: one, and beside an inner border its neighbour as well.

    Attributes:
        tile: ``[points]``, the one, or the first of both.
        both: ``[points]``, whether the next one reaches the point, too.
        values: ``[points, 2 * waves]``, the features of that tile and of the next one, as :func:`features` has them;
            zero where only one reaches. Without overlap ``[points, waves]``.
    """

    tile: Tensor
    both: Tensor
    values: Tensor


def reached(at: Tensor, borders: Tensor, waves: int, overlap: float) -> Reached:
    """The features that are not zero, which is all that a point takes of a network.

    Args:
        at: ``[points]``, in pixels from the side's start, within the side.
        borders: ``[points | 1, count + 1]``, of the side on which each point lies.
        waves: cosines a tile.
        overlap: of a tile on either side of an inner border, below 0.25, so that no more than two tiles reach a point.
    """
    count = borders.shape[1] - 1
    tile = torch.zeros(len(at), dtype=torch.long, device=at.device)
    if count > 1:
        tile = torch.searchsorted(borders[:, 1:-1].expand(len(at), -1).contiguous(), at[:, None], right=True)[:, 0]
    if count == 1 or not overlap:
        return Reached(tile, torch.zeros_like(tile, dtype=torch.bool), _cosines(at, borders, tile, waves).flatten(1))
    stretch = overlap * (borders[:, -1] - borders[:, 0]) / count
    tile = (tile - (at - _of(borders, tile) < stretch).long()).clamp(min=0)
    # Every border fades over the same stretch, so that what one tile loses its neighbour gains.
    border = _of(borders, tile + 1)
    both = (at > border - stretch) & (tile < count - 1)
    fade = 0.5 + 0.5 * torch.sin(math.pi / 2 * ((at - border) / stretch).clamp(-1, 1))
    gained = torch.where(both, fade, 0)
    values = torch.stack([_cosines(at, borders, tile, waves), _cosines(at, borders, tile + both.long(), waves)], dim=1)
    values *= torch.stack([1 - gained, gained], dim=1)[:, :, None]
    return Reached(tile, both, values.flatten(1))


def _of(borders: Tensor, index: Tensor) -> Tensor:
    """Border ``index [points]`` of each point's side."""
    return borders[0, index] if len(borders) == 1 else borders.gather(1, index[:, None])[:, 0]


def _cosines(at: Tensor, borders: Tensor, tile: Tensor, waves: int) -> Tensor:
    """Features of one tile a point, before any fades: ``[points, waves]``."""
    start = _of(borders, tile)
    width = _of(borders, tile + 1) - start
    values = torch.cos((math.pi * (at - start) / width)[:, None] * torch.arange(waves, device=at.device))
    values[:, 0] = math.sqrt(0.5)
    return values * torch.sqrt(2 / width)[:, None]


@lru_cache(maxsize=64)
def synthesis(length: int, count: int, waves: int, overlap: float, device: str = "cpu") -> Tensor:
    """Features at the pixel centres of a side: ``[length, count * waves]``, float32."""
    at = torch.arange(length, dtype=torch.float64) + 0.5
    return features(at, edges(length, count).double(), waves, overlap).to(torch.float32).to(device)


@lru_cache(maxsize=64)
def transform(count: int, device: str = "cpu") -> Tensor:
    """The orthonormal cosine transform of ``count`` numbers, ``[count, count]``, float32: rows are waves."""
    return synthesis(count, 1, count, 0.0, device).T.contiguous()
