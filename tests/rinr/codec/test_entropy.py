import numpy as np
import pytest

from rinr.codec import entropy
from rinr.codec.quantize import largest


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
