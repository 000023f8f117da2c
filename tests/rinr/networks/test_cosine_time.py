"""Cosines in time beside sums over planes by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from rinr.codec.bytestream import PayloadError
from rinr.networks.cosine_time import COSINE_TIME, MAX_FRAMES, CanvasFit, temporal
from rinr.networks.payload import Member, read_networks, write_networks
from rinr.networks.settings import CosineTimeSettings
from tests.conftest import picture
from tests.rinr import by_hand

SETTINGS = CosineTimeSettings((12, 40), (16,), 0.12, 12, 0.1, 2)


def film(count, width=48, height=40):
    """A picture that brightens, with a square that moves."""
    ground = torch.from_numpy(picture(1, width, height)).permute(2, 0, 1).float() / 255
    frames = [ground * (0.6 + 0.3 * index / count) for index in range(count)]
    for index, frame in enumerate(frames):
        frame[:, 8:16, 2 * index : 2 * index + 8] = 0.9
    return torch.stack(frames)


@pytest.fixture(scope="module")
def network():
    return COSINE_TIME.fit_canvas(film(6), SETTINGS)


def at(network, time, x, y):
    """``[..., 3]`` at points from 0 to 1 along the sides: planes summed by their waves."""
    total = np.array(network.offset) / 255
    for frequency, plane in enumerate(network.planes):
        wave = math.cos(math.pi * frequency * (time + 0.5) / network.frames)
        total = total + math.sqrt((2 if frequency else 1) / network.frames) * wave * by_hand.cosine(plane, x, y)
    return total


def grid(columns, rows):
    x, y = (np.arange(columns) + 0.5) / columns, (np.arange(rows) + 0.5) / rows
    return (x, y), tuple(torch.tensor(2 * side - 1, dtype=torch.float32)[None] for side in (x, y))


@pytest.mark.parametrize("tile", [16, 8])  # in one product, tile by tile
def test_a_frame_is_the_sum_of_its_planes(tile):
    network = COSINE_TIME.fit_canvas(film(6), replace(SETTINGS, tiles=(tile,)))
    stack = COSINE_TIME.stack(COSINE_TIME.arrays([network, network]), "cpu")
    (x, y), points = grid(30, 22)
    shown = stack.render_at(torch.tensor([0, 1, 0]), torch.tensor([4.0, 0.0, 2.0]), *points)
    for mine, time in zip(shown, (4, 0, 2), strict=True):
        expected = at(network, time, *np.meshgrid(x, y)).transpose(2, 0, 1)
        assert np.abs(mine.numpy() - expected).max() < 1e-4


def test_single_points_are_those_of_the_grid(network):
    stack = COSINE_TIME.stack(COSINE_TIME.arrays([network]), "cpu")
    (x, y), points = grid(9, 7)
    whole = stack.render_at(torch.tensor([0]), torch.tensor([3.0]), *points)
    scattered = torch.tensor(np.stack(np.meshgrid(2 * x - 1, 2 * y - 1)), dtype=torch.float32).flatten(1)[None]
    single = stack.render_points_at(torch.tensor([0]), torch.tensor([3.0]), scattered)
    assert torch.allclose(single, whole.flatten(2), atol=1e-5)


def test_times_after_the_last_are_the_last_and_without_any_it_is_the_first(network):
    stack = COSINE_TIME.stack(COSINE_TIME.arrays([network]), "cpu")
    _, points = grid(20, 20)
    one = torch.tensor([0])

    def shown(time):
        return stack.render_at(one, torch.tensor([time]), *points)

    assert torch.equal(shown(99.0), shown(5.0))
    assert not torch.equal(shown(4.0), shown(5.0))
    assert torch.equal(stack.render(one, *points), shown(0.0))


@pytest.mark.parametrize("count", [1, 2, 9, MAX_FRAMES])
def test_a_network_comes_back(count):
    network = COSINE_TIME.fit_canvas(film(count)[..., :32, :32], replace(SETTINGS, steps=(60,)))
    data = write_networks([Member(COSINE_TIME, network)])
    (member,) = read_networks(data, [(32, 32)])
    again = member.network
    assert (again.frames, again.offset, len(again.planes)) == (count, network.offset, len(network.planes))
    for one, other in zip(network.planes, again.planes, strict=True):
        assert np.array_equal(one.coarse, other.coarse)
        assert np.array_equal(one.fine, other.fine)
    assert write_networks([member]) == data


def test_the_transform_is_orthonormal():
    for count in (1, 2, 7, 32):
        waves = temporal(count)
        assert torch.allclose(waves @ waves.T, torch.eye(count), atol=1e-5)


def test_a_finer_step_comes_nearer_and_costs_more():
    frames = film(6)
    (_, _), points = grid(48, 40)
    found = []
    for step in (12, 40, 160):
        network = COSINE_TIME.fit_canvas(frames, replace(SETTINGS, steps=(step,)))
        stack = COSINE_TIME.stack(COSINE_TIME.arrays([network]), "cpu")
        shown = stack.render_at(torch.zeros(6, dtype=torch.long), torch.arange(6.0), *points)
        found.append((float((shown - frames).square().mean()), -len(COSINE_TIME.write([network]))))
    assert found == sorted(found)
    assert found[0][0] < 1e-3


def test_what_stands_still_has_one_plane():
    frames = film(1).repeat(8, 1, 1, 1)
    assert len(COSINE_TIME.fit_canvas(frames, SETTINGS).planes) == 1


def test_a_quick_fit_is_near_a_full_one_whatever_step_came_before():
    fit = CanvasFit(film(6), replace(SETTINGS, tiles=(12, 16)))
    full = fit.network(40, 2)
    quick, again = fit.network(40, 1), CanvasFit(film(6), replace(SETTINGS, tiles=(fit.tile,))).network(40, 1)
    sizes = [len(COSINE_TIME.write([each])) for each in (full, quick, again)]
    assert sizes[1] == sizes[2]
    assert abs(sizes[0] - sizes[1]) < 0.15 * sizes[0]


def test_the_same_frames_give_the_same_bytes(network):
    assert COSINE_TIME.write([COSINE_TIME.fit_canvas(film(6), SETTINGS)]) == COSINE_TIME.write([network])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda data: b"\0" + data[1:], "frames is 0"),
        (lambda data: bytes([MAX_FRAMES + 1]) + data[1:], "frames is 65"),
        (lambda data: data[:1] + b"\0" + data[2:], "planes is 0"),
        (lambda data: data[:1] + b"\x07" + data[2:], "planes is 7"),
        (lambda data: data[:3], "truncated at offset"),
        (lambda data: data[:5] + b"\xff\x7f" + data[6:], "truncated at band"),
    ],
)
def test_a_body_that_lies_is_refused_by_the_name_of_its_field(network, change, says):
    data = COSINE_TIME.write([network])
    with pytest.raises(PayloadError, match=says):
        COSINE_TIME.read(change(data), [(48, 40)])


def test_planes_of_different_layouts_are_refused(network):
    other = COSINE_TIME.fit_canvas(film(6), replace(SETTINGS, steps=(14,)))
    mixed = replace(network, planes=(network.planes[0], *other.planes[1:]))
    with pytest.raises(PayloadError, match="different layouts"):
        COSINE_TIME.read(COSINE_TIME.write([mixed]), [(48, 40)])


def test_more_weights_than_a_payload_may_ask_for_are_refused(network):
    with pytest.raises(PayloadError, match="weights"):
        COSINE_TIME.read(COSINE_TIME.write([network]), [(4096, 1024)])


def test_more_weights_than_a_payload_holds_are_not_written(network):
    large = replace(network.planes[0], fine=np.broadcast_to(np.int32(0), (3, 64, 64, 32, 32)))
    with pytest.raises(ValueError, match="25,165,824 weights in a clip"):
        COSINE_TIME.write([replace(network, frames=2, planes=(large, large))])


def test_one_body_holds_one_network(network):
    with pytest.raises(PayloadError, match="2 networks in one body"):
        COSINE_TIME.read(COSINE_TIME.write([network]), [(48, 40), (48, 40)])


@pytest.mark.parametrize("frames", [torch.zeros(0, 3, 8, 8), torch.zeros(MAX_FRAMES + 1, 3, 8, 8)])
def test_too_few_or_too_many_frames_are_refused(frames):
    with pytest.raises(ValueError, match="frames in one network"):
        COSINE_TIME.fit_canvas(frames, SETTINGS)


def test_values_that_are_not_finite_are_refused():
    frames = film(3)
    frames[1, 0, 3, 3] = math.nan
    with pytest.raises(FloatingPointError, match="not finite"):
        COSINE_TIME.fit_canvas(frames, SETTINGS)
