import itertools

import numpy as np
import pytest

from rinr.codec import entropy
from rinr.codec.bits import largest
from rinr.codec.bytestream import PayloadError


def drawn(kind: str, bits: int, count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    top = largest(bits)
    values = {
        "gaussian": rng.normal(0, top / 4, count),
        "laplacian": rng.laplace(0, top / 12, count),
        "flat": rng.uniform(-top - 0.49, top + 0.49, count),
        "zero": np.zeros(count),
        "edge": np.full(count, -top),
    }[kind]
    return np.clip(np.round(values), -top, top).astype(np.int32)


@pytest.mark.parametrize("bits", [2, 4, 7, 8, 9, 12, 16])
@pytest.mark.parametrize("count", [0, 1, 2, 50, 900])
def test_integers_come_back(bits, count):
    tensors = [drawn(kind, bits, count, 3) for kind in ("gaussian", "laplacian", "flat", "zero", "edge")]
    models = [entropy.choose_model(tensor, bits) for tensor in tensors]
    data = entropy.encode(tensors, bits, models)
    for before, after in zip(tensors, entropy.decode(data, [count] * 5, bits, models), strict=True):
        assert np.array_equal(before, after)


@pytest.mark.parametrize("kind", ["gaussian", "laplacian", "flat"])
def test_a_stream_costs_little_over_the_entropy_of_its_source(kind):
    tensor = drawn(kind, 8, 20_000, 5)
    model = entropy.choose_model(tensor, 8)
    data = entropy.encode([tensor], 8, [model])
    assert 8 * len(data) <= entropy.ideal_bits(tensor, 8, model) * 1.001 + 64
    # Against the empirical entropy, computed here: no model of one byte can beat it by much, a good one comes close.
    _, counts = np.unique(tensor, return_counts=True)
    bits = -(counts * np.log2(counts / counts.sum())).sum()
    assert 8 * len(data) <= bits * 1.03 + 64


def test_the_chosen_model_is_the_cheapest():
    tensor = drawn("laplacian", 8, 300, 7)
    costs = [entropy.ideal_bits(tensor, 8, model) for model in range(entropy.MODELS)]
    assert entropy.choose_model(tensor, 8) == int(np.argmin(costs))


def test_models_are_integers_alone_and_pinned():
    # Worked out apart with Python's integers; a changed table would break every stored payload.
    one = 1 << 30
    ratio = one - (one >> 1)  # code 4: half at each step
    assert entropy._frequencies(3, 4).tolist() == [131072, 262144, 524288, 1 << 20, 524288, 262144, 131072]
    square = ratio * ratio >> 30
    gaussian = [1 << 20]
    for power in range(3):
        gaussian.append(gaussian[-1] * (ratio * square**power // one**power) >> 30)
    assert entropy._frequencies(3, 68).tolist() == gaussian[:0:-1] + gaussian
    assert all(entropy._frequencies(127, model).min() >= 1 for model in range(entropy.MODELS))


MEANS = (0, 30, 256, 1_000, 9_000, 400_000)


@pytest.mark.parametrize("mean", MEANS)
def test_geometric_symbols_come_back_and_cost_what_the_meter_says(mean):
    rng = np.random.default_rng(mean)
    values = np.clip(np.round(rng.laplace(0, mean / 256 + 0.1, 800)), -2048, 2048).astype(np.int32)
    flat = rng.integers(0, 8, 800).astype(np.int32)
    encoder, meter = entropy.GeometricEncoder(), entropy.GeometricMeter()
    for coder in (encoder, meter):
        coder.signed(values, mean)
        for value in np.abs(values[:50]).tolist():
            coder.unsigned(value, mean)
        coder.flat(flat, 3)
    data = encoder.finish()
    assert meter.bits / 8 - 1 <= len(data) <= meter.bits / 8 * 1.002 + 5
    decoder = entropy.GeometricDecoder(data)
    assert np.array_equal(decoder.signed(np.zeros_like(values), mean), values)
    assert [decoder.unsigned(0, mean) for _ in range(50)] == np.abs(values[:50]).tolist()
    assert np.array_equal(decoder.flat(np.zeros_like(values), 3), flat)
    decoder.expect_end()


@pytest.mark.parametrize("magnitude", [0.2, 1.0, 6.0, 40.0])
def test_the_model_of_the_right_mean_is_close_to_the_entropy_of_its_source(magnitude):
    # A two-sided geometric source of this mean, whose entropy is computed here.
    ratio = (np.sqrt(1 + magnitude**2) - 1) / magnitude
    entropy_bits = -np.log2((1 - ratio) / (1 + ratio)) - magnitude * np.log2(ratio)
    rng = np.random.default_rng(1)
    values = (rng.geometric(1 - ratio, 40_000) - rng.geometric(1 - ratio, 40_000)).astype(np.int32)
    meter = entropy.GeometricMeter()
    meter.signed(values, round(256 * magnitude))
    assert meter.bits / len(values) == pytest.approx(entropy_bits, rel=0.01, abs=0.05)
    for wrong in (0.3, 3.0):
        other = entropy.GeometricMeter()
        other.signed(values, round(256 * magnitude * wrong))
        assert other.bits >= meter.bits


def test_geometric_models_are_chosen_by_integers_alone_and_pinned():
    # Expected magnitudes of codes 1 to 6 by Python's fractions; a changed bound would break every stored payload.
    from fractions import Fraction

    one = Fraction(1 << 30)
    eighths = [Fraction(x) for x in (1 << 30, 902_905_651, 759_250_125, 638_450_708)]
    ratios = [1 - eighths[code % 4] / one / (1 << (code // 4)) for code in range(1, 7)]
    means = [256 * 2 * r / (1 - r * r) for r in ratios]
    bounds = [float(low + high) / 2 for low, high in itertools.pairwise(means)]
    assert [abs(ours - theirs) <= 1.5 for ours, theirs in zip(entropy._SIGNED_BOUNDS, bounds, strict=False)] == [
        True
    ] * 5


def test_a_stream_with_more_in_it_than_was_taken_is_refused():
    encoder = entropy.GeometricEncoder()
    encoder.flat(np.arange(64, dtype=np.int32), 8)
    decoder = entropy.GeometricDecoder(encoder.finish())
    decoder.flat(np.zeros(8, dtype=np.int32), 8)
    with pytest.raises(PayloadError, match="left over"):
        decoder.expect_end()
