import numpy as np
import pytest

from rinr.codec.bytestream import PayloadError
from rinr.codec.symbols import (
    ESCAPE,
    LEVELS,
    MAX_MAGNITUDE,
    SymbolDecoder,
    SymbolEncoder,
    code_lengths,
    ideal_bits,
)


def drawn(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Values as large as their levels say."""
    chance = np.random.default_rng(seed)
    levels = chance.integers(0, LEVELS, count)
    means = 2.0 ** (levels / 4 - 10)
    values = np.rint(chance.laplace(0, np.maximum(means, 1e-3))).astype(np.int32)
    return np.clip(values, -MAX_MAGNITUDE, MAX_MAGNITUDE), levels


def coded(*parts: tuple[np.ndarray, np.ndarray]) -> bytes:
    encoder = SymbolEncoder()
    for values, levels in parts:
        encoder.put(values, levels)
    return encoder.finish()


@pytest.mark.parametrize("seed", range(20))
def test_values_come_back_in_their_order(seed):
    parts = [drawn(seed, count) for count in (1, 0, 300, 17)]
    decoder = SymbolDecoder(coded(*parts), "test")
    for values, levels in parts:
        assert np.array_equal(decoder.take(levels), values)


def test_escaped_magnitudes_come_back():
    values = np.array([ESCAPE - 1, ESCAPE, -ESCAPE, ESCAPE + 1, -ESCAPE - 2, 1000, MAX_MAGNITUDE, -MAX_MAGNITUDE, 0])
    values = values.astype(np.int32)
    levels = np.full(len(values), 60)
    assert np.array_equal(SymbolDecoder(coded((values, levels)), "test").take(levels), values)


@pytest.mark.parametrize("count", [1, 30, 1_000, 20_000])
def test_a_stream_costs_at_most_a_hundredth_and_eight_bytes_over_its_ideal_length(count):
    values, levels = drawn(7, count)
    assert len(coded((values, levels))) <= ideal_bits(values, levels) / 8 * 1.01 + 8


def test_code_lengths_are_those_of_a_distribution():
    # A zero, and twice every other magnitude, for its sign.
    chances = 2.0 ** -code_lengths().astype(float)
    assert np.allclose(chances[:, 0] + 2 * chances[:, 1:].sum(axis=1), 1, atol=1e-5)
    assert np.isfinite(code_lengths()).all()


def test_the_ideal_length_is_the_sum_of_the_models_own():
    assert ideal_bits(np.array([0, -3]), np.array([10, 40])) == pytest.approx(
        float(code_lengths()[10, 0] + code_lengths()[40, 3])
    )


def test_a_higher_level_expects_more():
    expected = (2.0 ** -code_lengths().astype(float)[:, 1:] * 2 * np.arange(1, ESCAPE + 1)).sum(axis=1)
    # Rare large weights among zeros level out the lowest ones.
    assert (np.diff(expected[24:60:2]) > 0).all()


def test_a_damaged_stream_is_refused_or_gives_other_values():
    values, levels = drawn(3, 400)
    data = coded((values, levels))
    for position in range(0, len(data), 3):
        damaged = data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :]
        try:
            other = SymbolDecoder(damaged, "test").take(levels)
        except PayloadError:
            continue
        assert not np.array_equal(other, values)


def test_a_stream_that_ends_before_all_is_read_is_refused():
    with pytest.raises(PayloadError, match="end before all are read"):
        SymbolDecoder(b"", "test").take(np.full(100, 40))
