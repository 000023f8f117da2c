"""How large a quantized weight of a ``cosine`` network is expected to be: the context under which it is coded.

Everything here is integer arithmetic, so that two machines never disagree.

The expectation has two parts. The *prior* falls with frequency like a power: :class:`Rates` say how high it starts and
how steeply it falls. The *neighbours* are weights of the same tile at lower frequencies, which are coded before it: in
wave order, all weights of ``u + v = 0``, then all of ``u + v = 1``, and so on, so that one wave of all tiles of all
networks is coded in one go. The sum is cut into levels of a quarter of an octave, and each level has its own model
(:mod:`rinr.codec.symbols`).
"""

from dataclasses import dataclass, replace
from functools import cache, lru_cache
from math import isqrt
from typing import Any

import torch
from torch import Tensor

from rinr.codec.symbols import ESCAPE, LEVELS, code_lengths

DENSITIES, CHROMAS, SLOPES = 32, 8, 8
_ONE = 4096  # an expected magnitude of one
# Weights of neighbours in 64ths, fitted on photographs: (u-1, v) and (u, v-1); (u-1, v-1); (u-2, v) and (u, v-2); the
# wave before, whose sum is divided by the square root of its length.
_NEAR, _CORNER, _FAR, _WAVE = 6, 3, 4, 4
LARGEST_NEIGHBOUR = 31
_UNIT = _ONE // 64
_LOWEST_LEVEL = -10  # octaves
_COARSE_SLOPE = 8  # sixteenths of an octave a quarter of an octave of frequency: two octaves an octave


@dataclass(frozen=True)
class Rates:
    """The prior of a body's weights.

    Attributes:
        density: the expected magnitude of luma at a tile's lowest frequency is ``2 ** (density / 2 - 9)``.
        chroma: how far chroma lies below, in steps of three quarters of an octave.
        slope: above a tile's lowest frequency it falls by ``1 + slope / 2`` octaves an octave.
    """

    density: int
    chroma: int
    slope: int


START = Rates(density=18, chroma=2, slope=4)


def prior(classes: Tensor, chroma: Tensor, rates: Rates) -> Tensor:
    """Expected magnitudes by frequency alone, in 4096ths, int64.

    Args:
        classes: see :func:`frequency_classes`; any shape that broadcasts.
        chroma: 1 where a weight is of a chroma channel, 0 where of luma; likewise.
        rates: whole numbers, or tensors of them that broadcast as well.
    """
    falls = classes * torch.where(
        classes > 0, 4 + 2 * torch.as_tensor(rates.slope, device=classes.device), _COARSE_SLOPE
    )
    sixteenths = 8 * rates.density - 9 * 16 - 12 * chroma * rates.chroma - falls
    return _powers(classes.device)[sixteenths.clamp(_TABLE_START, -_TABLE_START - 1) - _TABLE_START]


@lru_cache(maxsize=64)
def frequency_classes(rows: int, columns: int, down: tuple[int, int], across: tuple[int, int], tile: int) -> Tensor:
    """Quarters of an octave by which each weight's frequency lies above a tile's lowest one, ``[rows, columns]``.

    Args:
        rows: waves down.
        columns: waves across.
        down: tiles and pixels of the region's height: wave ``u`` has ``u * tiles / pixels`` half periods a pixel.
        across: likewise for its width.
        tile: pixels of a tile's side; the lowest frequency has one half period in so many.
    """
    # Squares of frequencies relative to the lowest one, in units of 2 ** -16; the constant counts as half a wave.
    u = torch.tensor([(max(2 * i, 1) * down[0] * tile * 128) // down[1] for i in range(rows)])
    v = torch.tensor([(max(2 * i, 1) * across[0] * tile * 128) // across[1] for i in range(columns)])
    square = u[:, None].square() + v[None].square()
    return torch.searchsorted(_octaves(), square, right=True) - 1 - _CLASS_RANGE


def contexts(magnitudes: Tensor) -> Tensor:
    """What their neighbours add to the expectations of tiles' weights, in 4096ths: ``[..., rows, columns]``, int64."""
    rows, columns = magnitudes.shape[-2:]
    known = magnitudes.clamp(max=LARGEST_NEIGHBOUR)
    padded = torch.nn.functional.pad(known, (2, 0, 2, 0))

    def at(up: int, left: int) -> Tensor:
        return padded[..., 2 - up : 2 - up + rows, 2 - left : 2 - left + columns]

    wave = (torch.arange(rows, device=known.device)[:, None] + torch.arange(columns, device=known.device)).flatten()
    sums = known.new_zeros((*known.shape[:-2], rows + columns)).index_add_(-1, wave + 1, known.flatten(-2))
    before = (sums * wave_weights(rows, columns, known.device) >> 8)[..., wave].unflatten(-1, (rows, columns))
    return (_NEAR * (at(1, 0) + at(0, 1)) + _CORNER * at(1, 1) + _FAR * (at(2, 0) + at(0, 2)) + before) * _UNIT


def wave_contexts(padded: Tensor, before: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """The same for one wave of tiles of which all lower waves are known, ``[tiles, weights]``.

    Args:
        padded: ``[tiles, rows + 2, columns + 2]``, magnitudes with two rows and columns of zeros before them.
        before: ``[tiles]``, the weighed sum of the wave before.
        u: ``[weights]``, rows of the wave's weights.
        v: ``[weights]``, their columns.
    """

    def at(up: int, left: int) -> Tensor:
        # Clamped after it is picked: whole tiles in every wave would be a square of the work.
        return padded[:, u + 2 - up, v + 2 - left].clamp(max=LARGEST_NEIGHBOUR).long()

    near = _NEAR * (at(1, 0) + at(0, 1)) + _CORNER * at(1, 1)
    return (near + _FAR * (at(2, 0) + at(0, 2)) + before[:, None]) * _UNIT


def choose_rates(tally: "Tally", start: Rates = START) -> Rates:
    """The rates under which tallied weights cost the fewest bits.

    From ``start``, one number after another, each the best there is, until none changes.
    """
    best = start
    while True:
        before = best
        for field, count in (("density", DENSITIES), ("chroma", CHROMAS), ("slope", SLOPES)):
            numbers: dict[str, Any] = {**vars(best), field: torch.arange(count)[:, None]}
            best = replace(best, **{field: int(tally.costs(Rates(**numbers)).argmin())})
        if best == before:
            return best


@dataclass(frozen=True)
class Tally:
    """How often each kind of weight stands there: what rates are chosen by. Most weights are zero among zeros.

    Attributes:
        classes: ``[kinds]``, as for :func:`prior`.
        chroma: ``[kinds]``, likewise.
        context: ``[kinds]``, see :func:`contexts`.
        magnitude: ``[kinds]``, at most ``ESCAPE``.
        count: ``[kinds]``.
    """

    classes: Tensor
    chroma: Tensor
    context: Tensor
    magnitude: Tensor
    count: Tensor

    @staticmethod
    def of(classes: Tensor, chroma: Tensor, context: Tensor, magnitude: Tensor, valid: Tensor) -> "Tally":
        """Tally weights, given in tensors that broadcast; ``valid`` says which of them there are."""
        kind = (classes + 2 * _CLASS_RANGE) * 2 + chroma
        key = (kind << 22) + ((context // _UNIT) << 6) + magnitude.clamp(max=ESCAPE)
        kinds, count = torch.unique(key[valid.expand_as(key)].cpu(), return_counts=True)
        kind = kinds >> 22
        return Tally((kind >> 1) - 2 * _CLASS_RANGE, kind & 1, (kinds >> 6 & 0xFFFF) * _UNIT, kinds & 63, count)

    def __add__(self, other: "Tally") -> "Tally":
        """Both."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Tally(*(torch.cat(pair) for pair in pairs))

    def costs(self, rates: Rates) -> Tensor:
        """The ideal code length in 65,536ths of a bit, but for what follows escapes.

        Args:
            rates: of which one may be a tensor ``[candidates, 1]``.

        Returns:
            ``[candidates]``, int64; ``[1]`` where all rates are numbers.
        """
        level = level_of(prior(self.classes, self.chroma, rates) + self.context)
        return (_costs()[level, self.magnitude] * self.count).sum(dim=-1).reshape(-1)


def weighed_wave(magnitudes: Tensor, weight: int) -> Tensor:
    """The weighed sum of a wave, ``[tiles]``, from its magnitudes ``[tiles, weights]``."""
    return magnitudes.clamp(max=LARGEST_NEIGHBOUR).sum(dim=1) * weight >> 8


@lru_cache(maxsize=256)
def wave_weights(rows: int, columns: int, device: torch.device) -> Tensor:
    """What the sum of the wave before each wave is weighed by, in 256ths, ``[rows + columns]``."""
    counts = [0] + [min(s, rows - 1) - max(s - columns + 1, 0) + 1 for s in range(rows + columns - 1)]
    return torch.tensor([isqrt((_WAVE * 256) ** 2 // n) if n else 0 for n in counts], device=device)


def level_of(expected: Tensor) -> Tensor:
    """The level of an expected magnitude in 4096ths."""
    return torch.searchsorted(_thresholds(expected.device), expected.contiguous(), right=True)


_TABLE_START = -384
_CLASS_RANGE = 64


def _power(sixteenths: int, one: int) -> int:
    """``one * 2 ** (sixteenths / 16)``, rounded down: roots of integers alone."""
    octaves, part = divmod(sixteenths, 16)
    root = 1 << (part + 16 * 40)
    for _ in range(4):
        root = isqrt(root)
    return one * root >> (40 - octaves) if octaves <= 40 else one * root << (octaves - 40)


@cache
def _powers(device: torch.device) -> Tensor:
    highest = 1 << 40
    table = [min(_power(e, _ONE), highest) for e in range(_TABLE_START, -_TABLE_START)]
    return torch.tensor(table, dtype=torch.int64, device=device)


@cache
def _octaves() -> Tensor:
    """Squares of frequencies that are whole quarters of an octave above or below the lowest, in 65,536ths."""
    return torch.tensor([_power(8 * c, 1 << 16) for c in range(-_CLASS_RANGE, _CLASS_RANGE // 2)], dtype=torch.int64)


@cache
def _thresholds(device: torch.device) -> Tensor:
    """Where each level but the first begins, in 4096ths."""
    table = [_power(4 * level + 16 * _LOWEST_LEVEL, _ONE) for level in range(1, LEVELS)]
    return torch.tensor(table, dtype=torch.int64, device=device)


@cache
def _costs() -> Tensor:
    return (torch.from_numpy(code_lengths()).to(torch.float64) * 65_536).round().to(torch.int64)
