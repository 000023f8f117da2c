"""How ``cosine`` networks are written.

A body holds networks that share step, tile, overlap and colour axes::

    step u8 | tile (low 4 bits), overlap (2 bits), offsets (1 bit), colour axes (1 bit) u8
    waves (low 5 bits), slope (3 bits) u8 | density (low 5 bits), chroma (3 bits) u8
    colour axes: 3 u8, where there are any | offsets: 3 u8 a network, where there are any
    one stream of symbols (rinr.codec.symbols): coarse weights, then fine ones

Coarse weights are those of the cosine transform of the tiles' constants, one array ``[3, tiles down, tiles across]`` a
network; fine ones are all others, of waves ``u + v`` below ``2 * waves + 1``. Each kind is coded wave by wave
(:mod:`rinr.networks.cosine_rates`); within a wave by level, and within a level by network, channel, tile and row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rinr.codec.bytestream import PayloadError, Reader
from rinr.codec.symbols import SymbolDecoder, SymbolEncoder, ideal_bits
from rinr.networks.cosine_basis import tiles
from rinr.networks.cosine_rates import (
    LARGEST_NEIGHBOUR,
    Rates,
    Tally,
    choose_rates,
    contexts,
    frequency_classes,
    level_of,
    prior,
    wave_contexts,
    wave_weights,
    weighed_wave,
)

TILES = (8, 12, 16, 20, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192)
OVERLAPS = (0.0, 0.06, 0.12, 0.2)
MAX_WAVES = 63
MAX_WEIGHTS = 1 << 25
"""Weights of one body at most, padding included: what bounds the memory that a payload can ask for. Frames of 640x640
pixels, covered four times by as many boxes as there may be, need two thirds of it."""

Integers = npt.NDArray[np.int32]


def step_size(code: int) -> float:
    """The step that a code names, in 255ths of full scale."""
    return float(2 ** (code / 16))


@dataclass(frozen=True)
class Layout:
    """What networks of one body share.

    Attributes:
        step: of quantization, ``2 ** (step / 16)`` 255ths of full scale.
        tile: index into ``TILES``: pixels of a tile's side, about.
        overlap: index into ``OVERLAPS``.
        axes: three turns of the colour axes (:mod:`rinr.networks.cosine_colour`); ``None``: as they are.
        offset: whether networks have an offset.
    """

    step: int
    tile: int
    overlap: int
    axes: tuple[int, int, int] | None
    offset: bool

    @property
    def step_size(self) -> float:
        """The step in 255ths of full scale."""
        return step_size(self.step)

    def tiling(self, size: tuple[int, int]) -> tuple[int, int]:
        """``(down, across)``: tiles of a region of ``(width, height)`` pixels."""
        return tiles(size[1], TILES[self.tile]), tiles(size[0], TILES[self.tile])


@dataclass(frozen=True)
class CosineNetwork:
    """One network: integers, and what says what they mean.

    Attributes:
        size: ``(width, height)`` of the region, in pixels.
        layout: what it shares with others.
        offset: a colour in 255ths that is added everywhere; zero without one.
        coarse: ``[3, tiles down, tiles across]``, int32.
        fine: ``[3, tiles down, tiles across, rows, columns]``, int32, with zeros in place of the constants; rows and
            columns are as many as are needed.
    """

    size: tuple[int, int]
    layout: Layout
    offset: tuple[int, int, int]
    coarse: Integers
    fine: Integers

    @property
    def shared(self) -> Layout:
        """Networks of one layout are written in one body."""
        return self.layout

    @property
    def rendered_waves(self) -> tuple[int, int]:
        """Rows and columns of waves, in fours, so that many networks can be stacked."""
        rows, columns = (-(-side // 4) * 4 for side in self.fine.shape[3:])
        return rows, columns

    @property
    def multiplications(self) -> int:
        """Of an evaluation at one point of the region's own grid.

        Products and features of all tiles of a row and a column are counted, and a cosine as much as twenty
        multiplications: a long thin region takes many a pixel.
        """
        (width, height), (down, across) = self.size, self.fine.shape[1:3]
        rows, columns = self.rendered_waves
        features = down * rows * height + across * columns * width
        return 3 * (down * rows + across * columns) + 20 * features // (width * height)

    @property
    def group(self) -> tuple[int, ...]:
        """Numbers of tiles, of waves in fours, overlap, and whether the weights fit in a byte."""
        largest = max(int(np.abs(self.coarse).max()), int(np.abs(self.fine).max(initial=0)))
        rows, columns = self.rendered_waves
        return (*self.fine.shape[1:3], rows, columns, self.layout.overlap, int(largest > 127))


def waves_of(size: tuple[int, int], layout: Layout, waves: int = MAX_WAVES) -> tuple[int, int]:
    """``(rows, columns)`` of a tile's fine weights: no more than it has pixels, nor than there are waves."""
    down, across = layout.tiling(size)
    return max(min(size[1] // down, waves, 32), 1), max(min(size[0] // across, waves, 32), 1)


def write(networks: Sequence[CosineNetwork]) -> bytes:
    """Write networks that share their layout. The inverse of :func:`read`.

    Raises:
        ValueError: more weights than ``MAX_WEIGHTS``.
    """
    layout, waves = networks[0].layout, _waves(networks)
    if (weights := _padded_weights([network.size for network in networks], layout, 2 * waves + 1)) > MAX_WEIGHTS:
        raise ValueError(f"{weights:,} weights in one body of cosine networks; a payload holds at most {MAX_WEIGHTS:,}")
    coarse, fine = planes_of(networks)
    rates = choose_rates(coarse.tally() + fine.tally())
    head = bytes(
        [
            layout.step,
            layout.tile | layout.overlap << 4 | layout.offset << 6 | (layout.axes is not None) << 7,
            waves | rates.slope << 5,
            rates.density | rates.chroma << 5,
            *(layout.axes or ()),
            *(part for network in networks if layout.offset for part in network.offset),
        ]
    )
    coder = SymbolEncoder()
    for planes in (coarse, fine):
        for values, level in planes.waves_with_levels(rates):
            coder.put(values, level)
    return head + coder.finish()


def read(data: bytes, sizes: Sequence[tuple[int, int]]) -> list[CosineNetwork]:
    """Read networks of regions of ``(width, height)`` pixels. The inverse of :func:`write`.

    Raises:
        PayloadError: malformed, or more weights than ``MAX_WEIGHTS``.
    """
    reader = Reader(data, "cosine")
    step, geometry = reader.u8("step"), reader.u8("tile and overlap")
    waves, slope = _split(reader.u8("waves and slope"), 5)
    density, chroma = _split(reader.u8("density and chroma"), 5)
    axes = tuple(reader.take(3, "colour axes")) if geometry >> 7 else None
    layout = Layout(step, geometry & 15, geometry >> 4 & 3, axes, bool(geometry >> 6 & 1))  # type: ignore[arg-type]
    offsets = [tuple(reader.take(3, "offset")) if layout.offset else (0, 0, 0) for _ in sizes]
    rates, limit = Rates(density, chroma, slope), 2 * waves + 1
    if (weights := _padded_weights(sizes, layout, limit)) > MAX_WEIGHTS:
        raise PayloadError(f"cosine: {weights:,} weights in one body, expected at most {MAX_WEIGHTS:,}")
    shapes = [(*layout.tiling(size), *waves_of(size, layout, limit)) for size in sizes]
    decoder = SymbolDecoder(reader.rest(), "cosine")
    coarse = _planes(_coarse_geometry(sizes, layout), [(1, down, across) for down, across, *_ in shapes], None)
    coarse.decode(rates, decoder)
    lows = coarse.unstacked([(3, down, across) for down, across, *_ in shapes])
    del coarse
    counts = [(down * across, rows, columns) for down, across, rows, columns in shapes]
    fine = _planes(_fine_geometry(sizes, layout), counts, limit)
    fine.decode(rates, decoder)
    highs = fine.unstacked([(3, *shape) for shape in shapes])
    return [
        CosineNetwork(size, layout, offset, low, high)  # type: ignore[arg-type]
        for size, offset, low, high in zip(sizes, offsets, lows, highs, strict=True)
    ]


def _padded_weights(sizes: Sequence[tuple[int, int]], layout: Layout, waves: int) -> int:
    """Weights of the larger one of a body's two arrays, padded to the largest tiles."""
    tilings, sides = [layout.tiling(size) for size in sizes], [waves_of(size, layout, waves) for size in sizes]
    tile = max(rows for rows, _ in sides) * max(columns for _, columns in sides)
    coarse = max(down for down, _ in tilings) * max(across for _, across in tilings) * len(sizes)
    return 3 * max(sum(down * across for down, across in tilings) * tile, coarse)


def trimmed(fine: Integers) -> Integers:
    """Without the rows and columns of zeros at the end."""
    rows, columns = (int(np.flatnonzero(fine.any(axis=(0, 1, 2, axis))).max(initial=0)) + 1 for axis in (4, 3))
    return np.array(fine[..., :rows, :columns], np.int32)  # a copy: what it is taken from may be much larger


def body_bits(networks: Sequence[CosineNetwork]) -> list[float]:
    """The ideal code length of each network's weights in a body of them all, in bits."""
    coarse, fine = planes_of(networks)
    rates = choose_rates(coarse.tally() + fine.tally())
    return [sum(bits) for bits in zip(coarse.bits(rates), fine.bits(rates), strict=True)]


def planes_of(networks: Sequence[CosineNetwork]) -> tuple["Planes", "Planes"]:
    """Coarse and fine weights of networks of one layout, as they are coded."""
    sizes, layout, waves = [network.size for network in networks], networks[0].layout, 2 * _waves(networks) + 1
    lows = [network.coarse for network in networks]
    coarse = _planes(_coarse_geometry(sizes, layout), [(1, *low.shape[1:]) for low in lows], None)
    highs = [network.fine.reshape(-1, *network.fine.shape[3:]) for network in networks]
    counts = [(len(high) // 3, *waves_of(size, layout, waves)) for high, size in zip(highs, sizes, strict=True)]
    fine = _planes(_fine_geometry(sizes, layout), counts, waves)
    return _filled(coarse, lows), _filled(fine, highs)


@dataclass
class Planes:
    """Weights of one kind of several networks, as tiles padded to the largest.

    Attributes:
        weights: ``[tiles, rows, columns]``, int32; a tile is one of one channel of one network.
        classes: ``[networks, rows, columns]``, see :func:`frequency_classes`.
        valid: ``[networks, rows, columns]``: where there is a weight.
        owner: ``[tiles]``, the network.
        chroma: ``[tiles, 1, 1]``, 1 where the tile is of a chroma channel.
    """

    weights: Tensor
    classes: Tensor
    valid: Tensor
    owner: Tensor
    chroma: Tensor

    def expected(self, rates: Rates) -> Tensor:
        """Priors, ``[tiles, rows, columns]``."""
        return prior(self.classes[self.owner], self.chroma, rates)

    def levels(self, rates: Rates) -> Tensor:
        """Levels of all weights, ``[tiles, rows, columns]``."""
        return level_of(self.expected(rates) + contexts(self.weights.abs()))

    def tally(self) -> Tally:
        """The weights, tallied."""
        magnitudes = self.weights.abs()
        return Tally.of(self.classes[self.owner], self.chroma, contexts(magnitudes), magnitudes, self.valid[self.owner])

    def order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Rows and columns of each wave."""
        rows, columns = self.weights.shape[1:]
        for wave in range(rows + columns - 1):
            u = torch.arange(max(wave - columns + 1, 0), min(wave, rows - 1) + 1)
            if self.valid[:, u, wave - u].any():
                yield u, wave - u

    def waves_with_levels(self, rates: Rates) -> Iterator[tuple[Integers, npt.NDArray[np.int64]]]:
        """Values and levels of each wave's weights, in the order in which they are coded."""
        level = self.levels(rates)
        for u, v in self.order():
            valid = self.valid[self.owner][:, u, v]
            values = self.weights[:, u, v][valid]
            yield values.to(torch.int32).numpy(), level[:, u, v][valid].numpy()

    def decode(self, rates: Rates, decoder: SymbolDecoder) -> None:
        """Fill in the weights, wave by wave."""
        count, rows, columns = self.weights.shape
        # Magnitudes as contexts see them fit in a byte; arrays of longer integers would be most of what is allocated.
        padded = torch.zeros(count, rows + 2, columns + 2, dtype=torch.uint8)
        weights = wave_weights(rows, columns, padded.device).tolist()
        before, last = torch.zeros(count, dtype=torch.int64), -1
        for u, v in self.order():
            wave = int(u[0] + v[0])
            there = self.valid[:, u, v]
            some = torch.nonzero(there.any(dim=1)[self.owner]).flatten()  # tiles that have such waves at all
            owner, at = self.owner[some], (some[:, None], u, v)
            if wave != last + 1:
                before = torch.zeros_like(before)
            expected = prior(self.classes[:, u, v][owner], self.chroma[some, :, 0], rates)
            there = there[owner]
            level = level_of(expected + wave_contexts(padded[some], before[some], u, v))[there]
            values = torch.zeros(there.shape, dtype=self.weights.dtype)
            values[there] = torch.from_numpy(decoder.take(level.numpy()))
            self.weights[at] = values
            magnitudes = values.abs().clamp(max=LARGEST_NEIGHBOUR)
            padded[some[:, None], u + 2, v + 2] = magnitudes.to(torch.uint8)
            before = torch.zeros_like(before).index_copy_(0, some, weighed_wave(magnitudes.long(), weights[wave + 1]))
            last = wave

    def bits(self, rates: Rates) -> list[float]:
        """The ideal code length of each network's weights."""
        level, valid = self.levels(rates), self.valid[self.owner]
        return [
            ideal_bits(self.weights[mine][valid[mine]].to(torch.int32).numpy(), level[mine][valid[mine]].numpy())
            for mine in (self.owner == index for index in range(len(self.classes)))
        ]

    def unstacked(self, shapes: Sequence[tuple[int, ...]]) -> list[Integers]:
        """The weights of each network, in the shape of its own: its last two axes are those of tiles; trimmed."""
        arrays, start = [], 0
        for shape in shapes:
            count, (rows, columns) = int(np.prod(shape[:-2])), shape[-2:]
            mine = self.weights[start : start + count, :rows, :columns].numpy().reshape(shape)
            arrays.append(trimmed(mine) if len(shape) > 3 else np.array(mine))
            start += count
        return arrays


Geometry = tuple[tuple[int, int], tuple[int, int], int]
"""Tiles and pixels down and across, and the tile's side: see :func:`frequency_classes`."""


def _coarse_geometry(sizes: Sequence[tuple[int, int]], layout: Layout) -> list[Geometry]:
    return [((1, height), (1, width), TILES[layout.tile]) for width, height in sizes]


def _fine_geometry(sizes: Sequence[tuple[int, int]], layout: Layout) -> list[Geometry]:
    tilings = [layout.tiling(size) for size in sizes]
    return [
        ((down, height), (across, width), TILES[layout.tile])
        for (width, height), (down, across) in zip(sizes, tilings, strict=True)
    ]


def _planes(geometry: Sequence[Geometry], shapes: Sequence[tuple[int, int, int]], waves: int | None) -> Planes:
    """Zeros, the networks' tiles padded and one after another.

    Args:
        geometry: one a network.
        shapes: tiles of a channel, rows, columns; one a network.
        waves: how many are coded, the constant left out; ``None``: all, with the constant.
    """
    counts = [count for count, *_ in shapes]
    rows, columns = max(high for _, high, _ in shapes), max(wide for *_, wide in shapes)
    weights = torch.zeros(3 * sum(counts), rows, columns, dtype=torch.int32)
    valid = torch.zeros(len(shapes), rows, columns, dtype=torch.bool)
    for index, (_, high, wide) in enumerate(shapes):
        valid[index, :high, :wide] = True
    if waves is not None:
        wave = torch.arange(rows)[:, None] + torch.arange(columns)
        valid &= (wave < waves) & (wave >= 1)
    owner = torch.repeat_interleave(torch.arange(len(shapes)), torch.tensor(counts) * 3)
    chroma = torch.cat([(torch.arange(3) > 0).repeat_interleave(count) for count in counts])[:, None, None].long()
    classes = torch.stack([frequency_classes(rows, columns, *each) for each in geometry])
    return Planes(weights, classes, valid, owner, chroma)


def _filled(planes: Planes, parts: Sequence[Integers]) -> Planes:
    """Arrays ``[3 * tiles, rows, columns]`` of the networks put in their places."""
    start = 0
    for part in parts:
        high, wide = (min(side, most) for side, most in zip(part.shape[1:], planes.weights.shape[1:], strict=True))
        planes.weights[start : start + len(part), :high, :wide] = torch.from_numpy(part[:, :high, :wide])
        start += len(part)
    return planes


def _waves(networks: Sequence[CosineNetwork]) -> int:
    """The waves that are coded, as payloads name them."""
    highest = 0
    for network in networks:
        *_, rows, columns = np.nonzero(network.fine)
        highest = max(highest, int((rows + columns).max(initial=0)))
    return (highest + 1) // 2


def _split(byte: int, low: int) -> tuple[int, int]:
    return byte & (1 << low) - 1, byte >> low
