import math
from dataclasses import replace

import pytest
import torch

from rinr.codec.symbols import LEVELS
from rinr.networks.cosine_rates import (
    CHROMAS,
    DENSITIES,
    SLOPES,
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


def magnitudes(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(shape, generator=generator) ** 6 * 40).long()


def test_contexts_are_the_weighed_sum_of_neighbours_worked_out_by_hand():
    (tile,) = known = torch.tensor([[[5, 3, 0, 1], [2, 0, 4, 0], [0, 1, 0, 0]]])
    found = contexts(known)[0]

    def at(u: int, v: int) -> int:
        return int(tile[u, v]) if u >= 0 and v >= 0 else 0

    for u in range(3):
        for v in range(4):
            before = [at(i, u + v - 1 - i) for i in range(3) if 0 <= u + v - 1 - i < 4]
            wave = sum(before) * math.isqrt(1024**2 // len(before)) // 256 if before else 0
            near = 6 * (at(u - 1, v) + at(u, v - 1)) + 3 * at(u - 1, v - 1) + 4 * (at(u - 2, v) + at(u, v - 2))
            assert found[u, v] == (near + wave) * 64


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 5), (9, 4), (32, 32)])
def test_a_decoder_that_knows_only_lower_waves_finds_the_same_contexts(shape):
    rows, columns = shape
    tiles = magnitudes(1, 6, rows, columns)
    whole = contexts(tiles)
    padded = torch.zeros(6, rows + 2, columns + 2, dtype=torch.int64)
    weights = wave_weights(rows, columns, tiles.device).tolist()
    before = torch.zeros(6, dtype=torch.int64)
    for wave in range(rows + columns - 1):
        u = torch.arange(max(wave - columns + 1, 0), min(wave, rows - 1) + 1)
        v = wave - u
        assert torch.equal(wave_contexts(padded, before, u, v), whole[:, u, v])
        padded[:, u + 2, v + 2] = tiles[:, u, v]
        before = weighed_wave(tiles[:, u, v], weights[wave + 1])


def test_priors_are_powers_of_frequency():
    classes = torch.arange(-40, 30)
    rates = Rates(density=20, chroma=2, slope=3)
    luma, chroma = prior(classes, torch.tensor([[0], [1]]), rates)
    for index, c in enumerate(classes.tolist()):
        slope = 2.5 if c > 0 else 2.0  # octaves an octave; a class is a quarter of an octave
        expected = 4096 * 2 ** (20 / 2 - 9 - slope * c / 4)
        assert luma[index] == pytest.approx(min(expected, 2**40), rel=1e-3, abs=1)
        assert chroma[index] == pytest.approx(min(expected * 2**-1.5, 2**40), rel=1e-3, abs=1)


def test_classes_are_quarters_of_octaves_above_a_tiles_lowest_frequency():
    # 4 tiles of 32 pixels: wave u of a tile has u half periods in 32 pixels.
    classes = frequency_classes(20, 20, (4, 128), (4, 128), 32)
    for u in range(20):
        for v in range(20):
            relative = math.hypot(u or 0.5, v or 0.5)
            assert abs(int(classes[u, v]) - math.floor(4 * math.log2(relative) + 1e-9)) <= 1
    # The transform of the tiles' constants: wave i of the whole side has i half periods in 128 pixels.
    coarse = frequency_classes(4, 4, (1, 128), (1, 128), 32)
    assert int(coarse[2, 2]) == math.floor(4 * math.log2(math.hypot(2, 2) / 4))


def test_levels_are_quarters_of_octaves():
    for level in range(1, LEVELS):
        start = 4096 * 2 ** (level / 4 - 10)
        assert int(level_of(torch.tensor([math.ceil(start)]))) >= level
        assert int(level_of(torch.tensor([math.floor(start * 0.999) - 1]))) < level


def test_a_tally_costs_what_its_weights_cost_and_chosen_rates_are_a_valley():
    tiles = magnitudes(2, 3, 5, 8, 8)
    classes = frequency_classes(8, 8, (5, 80), (1, 16), 16)
    chroma = torch.tensor([0, 1, 1])[:, None, None, None]
    there = torch.rand(8, 8, generator=torch.Generator().manual_seed(3)) < 0.8
    tally = Tally.of(classes, chroma, contexts(tiles), tiles, there)
    assert int(tally.count.sum()) == int(there.sum()) * 15

    from rinr.codec.symbols import code_lengths

    rates = Rates(16, 3, 2)
    level = level_of(prior(classes, chroma, rates) + contexts(tiles))
    by_hand = (torch.from_numpy(code_lengths())[level, tiles.clamp(max=32)] * there).sum()
    assert int(tally.costs(rates)) / 65_536 == pytest.approx(float(by_hand), rel=1e-4)

    best = choose_rates(tally)
    for field, count in (("density", DENSITIES), ("chroma", CHROMAS), ("slope", SLOPES)):
        for way in (-1, 1):
            if 0 <= getattr(best, field) + way < count:
                assert tally.costs(replace(best, **{field: getattr(best, field) + way})) >= tally.costs(best)
