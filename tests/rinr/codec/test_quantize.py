import pytest
import torch

from rinr.codec.bits import largest
from rinr.codec.quantize import codes_of, quantize, snap, step_sizes


@pytest.mark.parametrize("bits", [2, 5, 8, 16])
def test_rounding_is_within_half_a_step_and_the_step_is_the_smallest_that_covers(bits):
    generator = torch.Generator().manual_seed(1)
    tensor = torch.randn(5, 7, 3, generator=generator) * torch.tensor([1e-2, 0.1, 1, 3, 20])[:, None, None]
    integers, codes = quantize(tensor, bits)
    steps = step_sizes(codes)
    assert int(integers.abs().max()) <= largest(bits)
    error = (integers * steps[:, None, None] - tensor).abs().amax(dim=(1, 2))
    assert bool((error <= steps * 0.5001).all())
    peaks = tensor.abs().amax(dim=(1, 2))
    assert bool((steps * largest(bits) >= peaks * 0.9999).all())
    assert bool((steps * largest(bits) <= peaks * 2 ** (1 / 8) * 1.0001).all())


def test_each_image_has_its_own_step():
    tensor = torch.randn(3, 10, generator=torch.Generator().manual_seed(2))
    together, codes = quantize(tensor, 8)
    for index in range(3):
        alone, code = quantize(tensor[index : index + 1], 8)
        assert torch.equal(alone[0], together[index])
        assert code[0] == codes[index]


def test_zeros_stay_zero():
    integers, _ = quantize(torch.zeros(2, 4), 8)
    assert not integers.any()


@pytest.mark.parametrize(
    ("value", "bits", "says"),
    [
        (float("nan"), 8, "not finite"),
        (float("inf"), 8, "not finite"),
        (1e9, 8, "largest step"),
        (1.0, 17, "bits is 17"),
    ],
)
def test_what_cannot_be_quantized_is_refused(value, bits, says):
    with pytest.raises(ValueError, match=says):
        quantize(torch.tensor([[value, 1.0]]), bits)


def test_only_the_codes_asked_for_are_used():
    tensor = torch.randn(40, 9, generator=torch.Generator().manual_seed(3))
    integers, codes = quantize(tensor, 8, every=2)
    assert not (codes % 2).any()
    assert int(integers.abs().max()) <= largest(8)
    _, free = quantize(tensor, 8)
    assert bool(((codes.int() - free.int()) >= 0).all())
    assert bool(((codes.int() - free.int()) <= 1).all())


def test_snapped_steps_are_in_the_table_and_near():
    octaves = torch.linspace(-24, 6, 301)
    snapped = snap(octaves)
    assert float((snapped - octaves).abs().max()) <= 0.125 + 1e-6
    codes = codes_of(snapped)
    assert not (codes % 2).any()
    assert torch.allclose(step_sizes(codes), torch.exp2(snapped))
    assert torch.equal(snap(torch.tensor([-99.0, 99.0])), torch.tensor([-25.0, 6.75]))
