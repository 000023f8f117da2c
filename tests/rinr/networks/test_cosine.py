import math

import numpy as np
import pytest
import torch

from rinr.codec.bytestream import PayloadError
from rinr.networks import cosine_coding
from rinr.networks.coordinates import centres
from rinr.networks.cosine import COSINE
from rinr.networks.cosine_basis import edges, features, synthesis
from rinr.networks.cosine_coding import OVERLAPS, TILES, CosineNetwork, body_bits
from rinr.networks.cosine_colour import colour_axes
from rinr.networks.settings import CosineSettings
from tests.conftest import picture

SETTINGS = CosineSettings(step=40, tiles=(16, 32), overlap=0.12, waves=16, trade=0.11, sweeps=3, axes=True, offset=True)
EXACT = CosineSettings(step=1, tiles=(16,), overlap=0.0, waves=32, trade=0.0, sweeps=1)


def pictures(count: int, width: int = 48, height: int = 40) -> list[torch.Tensor]:
    return [torch.tensor(picture(seed, width, height)) / 255 for seed in range(count)]


def rendered(network: CosineNetwork, width: int, height: int) -> np.ndarray:
    x, y = ((centres(side) * 2 - 1)[None] for side in (width, height))
    return COSINE.stack(COSINE.arrays([network]), "cpu").render(torch.tensor([0]), x, y)[0].permute(1, 2, 0).numpy()


def evaluate_by_hand(network: CosineNetwork, x: float, y: float) -> np.ndarray:
    """A network at one point, 0 to 1, from its integers: sums over tiles and waves, nothing stacked."""
    width, height = network.size
    down, across = network.coarse.shape[1:]
    overlap = OVERLAPS[network.layout.overlap]

    def border(index: int, count: int, length: int) -> int:
        return math.floor(index * length / count + 0.5)

    def window(t: float, index: int, count: int, length: int) -> float:
        start, stop, t = border(index, count, length), border(index + 1, count, length), t * length
        if not overlap:
            return float(start <= t < stop)
        stretch = overlap * length / count
        left = 1.0 if index == 0 else 0.5 + 0.5 * math.sin(math.pi / 2 * max(-1, min(1, (t - start) / stretch)))
        last = index == count - 1
        right = 1.0 if last else 0.5 + 0.5 * math.sin(math.pi / 2 * max(-1, min(1, (stop - t) / stretch)))
        return left * right

    def cosine(t: float, index: int, count: int, length: int, wave: int) -> float:
        start, stop = border(index, count, length), border(index + 1, count, length)
        shape = math.sqrt(0.5) if wave == 0 else math.cos(math.pi * wave * (t * length - start) / (stop - start))
        return shape * math.sqrt(2 / (stop - start))

    def unit(wave: int, count: int, at: int) -> float:
        return math.sqrt((1 if wave == 0 else 2) / count) * math.cos(math.pi * wave * (at + 0.5) / count)

    value = np.zeros(3)
    for channel in range(3):
        for i in range(down):
            for j in range(across):
                weights = network.fine[channel, i, j].astype(float)
                weights[0, 0] = sum(
                    network.coarse[channel, p, q] * unit(p, down, i) * unit(q, across, j)
                    for p in range(down)
                    for q in range(across)
                )
                shade = window(y, i, down, height) * window(x, j, across, width)
                if shade:
                    value[channel] += shade * sum(
                        weights[u, v] * cosine(y, i, down, height, u) * cosine(x, j, across, width, v)
                        for u in range(weights.shape[0])
                        for v in range(weights.shape[1])
                    )
    step = 2 ** (network.layout.step / 16)
    colours = colour_axes(network.layout.axes).numpy().T @ value * step
    return (colours + np.array(network.offset)) / 255


@pytest.mark.parametrize("overlap", [0.0, 0.12, 0.2])
def test_a_network_is_rendered_as_its_sums_say_at_any_point(overlap):
    settings = CosineSettings(30, (16,), overlap, 8, 0.1, 2, axes=True, offset=True)
    (network,) = COSINE.fit(pictures(1), settings)
    for width, height in ((48, 40), (31, 57)):
        shown = rendered(network, width, height)
        for row, column in ((0, 0), (height // 2, width // 3), (height - 1, width - 1), (height // 3, width // 2)):
            by_hand = evaluate_by_hand(network, (column + 0.5) / width, (row + 0.5) / height)
            assert np.abs(shown[row, column] - by_hand).max() < 1e-4


def test_features_without_overlap_are_orthonormal_and_windows_add_up_to_one():
    for length, count, waves in ((48, 3, 16), (40, 3, 13), (7, 2, 3), (1, 1, 1)):
        basis = synthesis(length, count, waves, 0.0)
        assert torch.allclose(basis.T @ basis, torch.eye(count * waves), atol=1e-5)
    for overlap in (0.0, *OVERLAPS):
        constants = features(torch.linspace(0.01, 79.99, 301), edges(80, 5), 1, overlap) / math.sqrt(1 / 16)
        assert torch.allclose(constants.sum(dim=-1), torch.ones(301), atol=1e-5)


def test_fine_steps_give_the_picture_back():
    (wanted,) = pictures(1, 48, 32)
    (network,) = COSINE.fit([wanted], EXACT)
    error = (torch.tensor(rendered(network, 48, 32)) - wanted) * 255
    # Rounding to a step of one in an orthonormal basis: a mean squared error of a twelfth.
    assert float(error.square().mean()) == pytest.approx(1 / 12, rel=0.3)


def test_a_coarser_step_costs_fewer_bytes_and_a_larger_error():
    (wanted,) = pictures(1, 96, 80)
    results = []
    for step in (10, 40, 160):
        settings = CosineSettings(step, (32,), 0.12, 16, 0.11, 3, axes=True, offset=True)
        (network,) = COSINE.fit([wanted], settings)
        error = torch.tensor(rendered(network, 96, 80)) - wanted
        results.append((len(COSINE.write([network])), -float(error.square().mean())))
    assert results == sorted(results, reverse=True)


def test_sweeps_lower_what_is_minimized():
    (wanted,) = pictures(1, 96, 80)
    costs = []
    for sweeps in (1, 4):
        settings = CosineSettings(60, (32,), 0.12, 16, 0.11, sweeps, offset=True)
        (network,) = COSINE.fit([wanted], settings)
        error = (torch.tensor(rendered(network, 96, 80)) - wanted).double() * 255 / 2 ** (settings.step_code / 16)
        costs.append(float(error.square().sum()) + 0.11 * body_bits([network])[0])
    assert costs[1] < costs[0]


@pytest.mark.parametrize("settings", [SETTINGS, EXACT])
def test_networks_of_any_sizes_come_back_from_one_body(settings):
    sizes = [(48, 40), (1, 1), (7, 5), (64, 1), (33, 90), (16, 16)]
    wanted = [torch.tensor(picture(seed, *size)).float() / 255 for seed, size in enumerate(sizes)]
    networks = COSINE.fit(wanted, CosineSettings(**{**vars(settings), "tiles": (16,), "axes": False}))
    body = COSINE.write(networks)
    for before, after in zip(networks, COSINE.read(body, sizes), strict=True):
        assert (before.size, before.layout, before.offset) == (after.size, after.layout, after.offset)
        assert np.array_equal(before.coarse, after.coarse)
        assert np.array_equal(before.fine, after.fine)


def test_a_payload_does_not_depend_on_what_it_was_grouped_with():
    wanted = [*pictures(7), *pictures(20, 25, 20), *pictures(5, 7, 5)]
    alone = [COSINE.write(COSINE.fit([one], SETTINGS)) for one in wanted]
    for group in (7, 32):
        together = COSINE.fit(wanted[:group], SETTINGS)
        assert [COSINE.write([network]) for network in together] == alone[:group]
    backwards = COSINE.fit(wanted[::-1], SETTINGS)
    assert [COSINE.write([network]) for network in backwards] == alone[::-1]


def test_a_payload_does_not_depend_on_the_number_of_threads():
    wanted = pictures(3, 200, 160)
    one = [COSINE.write([network]) for network in COSINE.fit(wanted, SETTINGS)]
    torch.set_num_threads(2)
    try:
        assert [COSINE.write([network]) for network in COSINE.fit(wanted, SETTINGS)] == one
    finally:
        torch.set_num_threads(1)


def test_a_body_costs_at_most_a_hundredth_and_eight_bytes_over_its_ideal_length_and_its_header():
    for count in (1, 4):
        networks = COSINE.fit(pictures(count, 200, 160), CosineSettings(30, (32,), 0.12, 16, 0.11, 2))
        assert len(COSINE.write(networks)) <= sum(body_bits(networks)) / 8 * 1.01 + 8 + 4


def test_what_says_nothing_costs_next_to_nothing():
    (network,) = COSINE.fit([torch.zeros(40, 48, 3)], CosineSettings(30, (16,), 0.0, 16, 0.1, 1))
    assert len(COSINE.write([network])) <= 4 + 8


def test_colour_axes_follow_the_picture():
    # All pixels lie on one line through colour space: its direction becomes the first axis, the others stay empty.
    along = torch.rand(40, 48, 1, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.2, 0.9, 0.4])
    settings = CosineSettings(4, (16,), 0.0, 16, 0.1, 1, axes=True, offset=True)
    (network,) = COSINE.fit([along], settings)
    assert np.abs(network.fine[0]).sum() > 100 * max(np.abs(network.fine[1:]).sum(), 1)
    assert torch.allclose(colour_axes((3, 200, 90)) @ colour_axes((3, 200, 90)).T, torch.eye(3).double(), atol=1e-12)


@pytest.mark.parametrize(
    ("body", "sizes", "says"),
    [
        (b"", [(8, 8)], "truncated at step"),
        (bytes([40, 1, 3]), [(8, 8)], "truncated at density"),
        (bytes([40, 1 | 1 << 7, 3, 9, 1, 2]), [(8, 8)], "truncated at colour axes"),
        (bytes([40, 1 | 1 << 6, 3, 9, 1, 2, 3]), [(8, 8), (9, 9)], "truncated at offset"),
        (bytes([40, 0, 31, 9]), [(4000, 4000)], "weights in one body, expected at most"),
        (bytes([40, 0, 31, 9]), [(2000, 1000)] * 4000, "weights in one body, expected at most"),
    ],
)
def test_a_lie_is_refused_by_the_name_of_its_field(body, sizes, says):
    with pytest.raises(PayloadError, match=says):
        COSINE.read(body, sizes)


def test_more_weights_than_the_limit_are_refused_before_anything_is_allocated(monkeypatch):
    networks = COSINE.fit(pictures(1), SETTINGS)
    body = COSINE.write(networks)
    monkeypatch.setattr(cosine_coding, "MAX_WEIGHTS", 100)
    with pytest.raises(PayloadError, match="expected at most 100"):
        COSINE.read(body, [(48, 40)])


def test_tiles_and_overlaps_have_names_in_the_format():
    assert len(TILES) == 16
    assert len(OVERLAPS) == 4
