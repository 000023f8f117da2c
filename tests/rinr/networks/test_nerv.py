import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from rinr.codec.bytestream import PayloadError
from rinr.codec.quantize import step_sizes
from rinr.networks import nerv_coding, nerv_fitting, nerv_layers
from rinr.networks.coordinates import centres
from rinr.networks.family import Describing, Timed
from rinr.networks.nerv import NERV
from rinr.networks.nerv_coding import NervNetwork, NervShape
from rinr.networks.payload import Member, read_networks, write_networks
from rinr.networks.settings import NervSettings
from tests.conftest import picture

SHAPE = NervShape(channels=(4, 5, 6), strides=(3, 2), stem=7, levels=5)
SETTINGS = NervSettings(SHAPE, bits=8, passes=40, batch=1, learning_rate=1e-2)
# Not what the strides divide: the network's own grid is 36x24.
SIZE = 32, 20


def clip(count=4, size=SIZE):
    """Frames of a picture that moves."""
    wide = torch.tensor(picture(0, size[0] + 2 * count, size[1])) / 255
    return [wide[:, 2 * index : 2 * index + size[0]] for index in range(count)]


def at(size=SIZE):
    return centres(size[0])[None] * 2 - 1, centres(size[1])[None] * 2 - 1


def drawn(shape=SHAPE, size=SIZE, frames=4, bits=8, seed=0):
    rng = np.random.default_rng(seed)
    top = 2 ** (bits - 1) - 1
    weights = np.clip(np.round(rng.laplace(0, top / 6, shape.parameters(size))), -top, top).astype(np.int32)
    steps = tuple(rng.integers(148, 164, len(shape.tensors(size))).tolist())
    return NervNetwork(shape, size, frames, bits, steps, weights)


def stack_of(*networks):
    return NERV.stack(NERV.arrays(networks), "cpu")


def frame_of(network, time):
    return stack_of(network).render_at(torch.tensor([0]), torch.tensor([float(time)]), *at(network.size))[0]


def frame_by_hand(network, time):
    """A frame ``[3, height, width]`` in double precision, from its integers and the paper's description."""
    shape, position, parts = network.shape, 0, []
    (width, height), stride = network.size, math.prod(network.shape.strides)
    columns, rows = math.ceil(width / stride), math.ceil(height / stride)
    outputs = [(shape.stem, 2 * shape.levels), (shape.channels[0] * rows * columns, shape.stem)]
    outputs += [
        (s * s * b, a, 3, 3) for a, b, s in zip(shape.channels, shape.channels[1:], shape.strides, strict=False)
    ]
    for index, weight in enumerate([*outputs, (3, shape.channels[-1], 1, 1)]):
        for step, each in zip(network.steps[2 * index : 2 * index + 2], (weight, weight[:1]), strict=True):
            count = math.prod(each)
            integers = torch.tensor(network.weights[position : position + count]).double().view(each)
            parts.append(integers * float(step_sizes(torch.tensor(step))))
            position += count
    assert position == len(network.weights)
    place = time / network.frames
    code = [f(1.25**level * math.pi * place) for level in range(shape.levels) for f in (math.sin, math.cos)]
    values = torch.tensor(code, dtype=torch.float64)
    for _ in range(2):
        weight, bias, *parts = parts
        values = functional.gelu(weight @ values + bias)
    values = values.view(1, -1, rows, columns)
    for s in shape.strides:
        weight, bias, *parts = parts
        values = functional.conv2d(values, weight, bias, padding=1)
        _, channels, rows, columns = values.shape
        # What a pixel shuffle is: s * s channels become the pixels of a square of side s.
        values = values.view(channels // (s * s), s, s, rows, columns).permute(0, 3, 1, 4, 2)
        values = functional.gelu(values.reshape(1, -1, rows * s, columns * s))
    weight, bias = parts
    values = torch.sigmoid(2 * functional.conv2d(values, weight, bias))
    return values[0, :, :height, :width]


def equal(one, other):
    same = (one.shape, one.size, one.frames, one.bits, one.steps)
    return same == (other.shape, other.size, other.frames, other.bits, other.steps) and np.array_equal(
        one.weights, other.weights
    )


@pytest.mark.parametrize("time", [0, 1, 3, 1.5])
@pytest.mark.parametrize("size", [SIZE, (36, 24), (5, 40)])
def test_frames_are_those_of_the_papers_description(time, size):
    network = drawn(size=size)
    assert (frame_of(network, time) - frame_by_hand(network, time)).abs().max() < 1e-5


def test_between_pixels_a_frame_is_sampled_bilinearly_and_beyond_them_goes_on():
    network = drawn()
    frame, stack = frame_of(network, 2), stack_of(network)
    # In pixels: on a centre, between two, between four, and at the left edge.
    places = [((3.5, 4.5), frame[:, 4, 3]), ((4.0, 4.5), frame[:, 4, 3:5].mean(1))]
    places += [((4.0, 5.0), frame[:, 4:6, 3:5].mean((1, 2))), ((0.0, 4.5), frame[:, 4, 0])]
    points = torch.tensor([[x / SIZE[0] * 2 - 1, y / SIZE[1] * 2 - 1] for (x, y), _ in places]).T[None]
    given = stack.render_points_at(torch.tensor([0]), torch.tensor([2.0]), points)[0]
    assert torch.allclose(given, torch.stack([value for _, value in places], dim=1), atol=1e-5)


def test_a_grid_and_its_points_are_alike():
    stack, times = stack_of(drawn(seed=1), drawn(seed=2)), torch.tensor([3.0, 0.0, 3.0])
    x, y = torch.rand(3, 6) * 2 - 1, torch.rand(3, 4) * 2 - 1
    chosen = torch.tensor([1, 0, 0])
    grid = stack.render_at(chosen, times, x, y)
    points = torch.stack([x[:, None].expand(-1, 4, -1), y[:, :, None].expand(-1, -1, 6)], dim=1).flatten(2)
    assert torch.allclose(stack.render_points_at(chosen, times, points), grid.flatten(2), atol=1e-6)
    assert isinstance(stack, Timed)


def test_a_frame_is_evaluated_once_a_call_and_alone(monkeypatch):
    network, calls = drawn(), []
    real = stack_of(network)._frame
    stack = stack_of(network)
    monkeypatch.setattr(stack, "_frame", lambda *given: calls.append(given[2]) or real(*given))
    many = stack.render_at(torch.zeros(4, dtype=torch.long), torch.tensor([1.0, 2.0, 1.0, 1.0]), *at())
    assert calls == [1.0, 2.0]
    assert torch.equal(many[0], many[2])
    assert torch.equal(many[1], frame_of(network, 2))


def test_without_a_time_it_is_the_first_frame():
    network = drawn()
    stack, chosen = stack_of(network), torch.tensor([0])
    assert torch.equal(stack.render(chosen, *at())[0], frame_of(network, 0))
    points = torch.tensor([[[0.2], [-0.3]]])
    first = stack.render_points_at(chosen, torch.zeros(1), points)
    assert torch.equal(stack.render_points(chosen, points), first)


def psnr(network, frames):
    errors = [float((frame_of(network, i).permute(1, 2, 0) - frame).square().mean()) for i, frame in enumerate(frames)]
    return -10 * math.log10(sum(errors) / len(errors))


def test_a_longer_fit_is_better_and_better_than_one_colour():
    frames = clip()
    one_colour = -10 * math.log10(float(torch.stack(frames).var(dim=(0, 1, 2), correction=0).mean()))
    fits = [psnr(NERV.fit_clip(frames, replace(SETTINGS, passes=passes)), frames) for passes in (2, 10, 40)]
    assert fits == sorted(fits)
    assert fits[-1] > one_colour + 3


def test_a_fit_is_reproducible_and_tells_its_work():
    frames, done = clip(3), []
    settings = replace(SETTINGS, passes=5, batch=2)
    first = NERV.fit_clip(frames, settings, done.append)
    assert equal(first, NERV.fit_clip(frames, settings))
    assert sum(done) == NERV.work(settings) * len(frames)
    assert (first.frames, first.size, first.bits) == (3, SIZE, 8)


def test_pictures_are_clips_of_one():
    frames = clip(2)
    few = replace(SETTINGS, passes=5)
    for network, frame in zip(NERV.fit(frames, few), frames, strict=True):
        assert equal(network, NERV.fit_clip([frame], few))


def test_a_fit_is_adam_under_that_rate():
    frames = clip(2)
    settings = replace(SETTINGS, passes=3, batch=2, bits=16)
    flat = nerv_fitting.initialize(SHAPE, SIZE).requires_grad_()
    first = second = 0
    code = nerv_layers.positional_code(torch.arange(2), 2, SHAPE)
    for step in range(3):
        given = nerv_layers.evaluate(nerv_layers.unflatten(flat, SHAPE, SIZE), code, SHAPE, SIZE)
        error = (given[:, :, : SIZE[1], : SIZE[0]].permute(0, 2, 3, 1) - torch.stack(frames)).square().mean()
        (slope,) = torch.autograd.grad(error, flat)
        first, second = 0.5 * first + 0.5 * slope, 0.999 * second + 0.001 * slope**2
        moved = first / (1 - 0.5 ** (step + 1)) / ((second / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8)
        flat = (flat - 1e-2 * nerv_fitting.rate_at(step, 3) * moved).detach().requires_grad_()
    network = NERV.fit_clip(frames, settings)
    steps = step_sizes(torch.tensor(network.steps))
    fitted = torch.cat([torch.tensor(t) * step for t, step in zip(network.tensors, steps, strict=True)])
    assert torch.allclose(fitted, flat.detach(), atol=1e-4)


def test_the_rate_is_warmed_up_and_falls_to_nothing():
    rates = [nerv_fitting.rate_at(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[20] == 1
    assert rates[60] == pytest.approx(0.5)
    assert rates[-1] < 1e-3


def test_frames_of_two_sizes_are_no_clip():
    with pytest.raises(ValueError, match="one size, not 2"):
        NERV.fit_clip([torch.zeros(4, 6, 3), torch.zeros(4, 5, 3)], SETTINGS)
    with pytest.raises(ValueError, match="one size, not 0"):
        NERV.fit_clip([], SETTINGS)


def test_a_fit_that_diverges_starts_again_slower_and_is_refused_in_the_end(monkeypatch, caplog):
    rates = []

    def diverging(frames, size, settings, on_work):
        rates.append(settings.learning_rate)
        return torch.full((SHAPE.parameters(size),), float("nan"))

    monkeypatch.setattr(nerv_fitting, "_descend", diverging)
    with pytest.raises(FloatingPointError, match="learning rate"):
        NERV.fit_clip(clip(2), SETTINGS)
    assert rates == [1e-2, 2.5e-3, 6.25e-4, 1.5625e-4]
    assert "starts again" in caplog.text


@pytest.mark.parametrize("bits", [2, 4, 8, 12])
def test_networks_come_back(bits):
    sizes = [SIZE, (5, 40), SIZE]
    networks = [drawn(size=size, bits=bits, seed=seed) for seed, size in enumerate(sizes)]
    back = NERV.read(NERV.write(networks), sizes)
    assert all(map(equal, networks, back))
    assert np.abs(NERV.arrays([networks[0]])["weights"].astype(int) - networks[0].weights).max() == 0


def test_they_travel_in_payloads():
    network = drawn()
    (member,) = read_networks(write_networks([Member(NERV, network)]), [SIZE])
    assert member.family is NERV
    assert equal(member.network, network)


def test_a_body_costs_what_it_says():
    network = drawn()
    body = NERV.write([network])
    header = NERV.describe_body(body, [network])["header_bytes"]
    assert abs(len(body) - header - NERV.ideal_bits([network])[0] / 8) < 8
    described = NERV.describe(network)
    assert isinstance(NERV, Describing)
    assert sum(each["weights"] for each in described["tensors"]) == described["weights"] == len(network.weights)


def test_multiplications_are_those_of_its_layers():
    # 6x4 cells; blocks of 3 and 2; what a convolution of 3x3 costs is 9 times inputs times outputs at each place.
    expected = 10 * 7 + 7 * 4 * 24 + 9 * 4 * 45 * 24 + 9 * 5 * 24 * 24 * 9 + 3 * 6 * 36 * 24
    expected += 256 * (7 + 4 * 24 + 45 * 24 + 24 * 24 * 9 + 3 * 36 * 24)  # for each number that a layer puts out
    assert SHAPE.multiplications(SIZE) == expected
    assert drawn().multiplications == math.ceil(expected / (32 * 20))
    assert SHAPE.activations(SIZE) == 6 * 36 * 24


def header(bits=8, frames=4, base=80, levels=5, stem=7, blocks=((3, 5), (2, 6)), first=4):
    pairs = [value for pair in blocks for value in pair]
    return bytes([bits, frames, base, levels, stem, len(blocks), first, *pairs])


def test_the_header_is_as_written_here():
    assert NERV.write([drawn()]).startswith(header())


def test_many_small_regions_cannot_ask_for_more_than_payloads_may():
    # Of one pixel each, with a grid of 2048x2048: cheap in products, dear in activations.
    shape = NervShape((1,) * 5, (8, 8, 8, 4), 1, 1)
    networks = [Member(NERV, drawn(shape, (1, 1), 1, 8, seed)) for seed in range(17)]
    with pytest.raises(PayloadError, match="multiplications, expected at most"):
        read_networks(write_networks(networks), [(1, 1)] * 17)


@pytest.mark.parametrize(
    ("data", "size", "says"),
    [
        (b"", SIZE, "truncated at bits"),
        (header(bits=1), SIZE, "bits is 1"),
        (header(frames=0), SIZE, "frames is 0"),
        (header(base=63), SIZE, "base is 63"),
        (header(levels=0), SIZE, "levels is 0"),
        (header(levels=120), SIZE, "levels is 120"),
        (header(stem=0), SIZE, "stem is 0"),
        (header(blocks=((1, 1),) * 9), SIZE, "blocks is 9"),
        (header(blocks=((9, 1),)), SIZE, "stride is 9"),
        (header(blocks=((2, 0),)), SIZE, "channels is 0"),
        (header(stem=100, blocks=()), (4096, 1024), "weights, expected at most 4,194,304"),
        (header(blocks=((8, 1),) * 8), (1, 1), "outputs, expected at most 16,777,216"),
        (header(), SIZE, "truncated at step"),
        (header() + bytes([160, 129]), SIZE, "model is 129"),
        (NERV.write([drawn()]) + b"tail", SIZE, "nerv: the coded weights"),
    ],
)
def test_a_lie_is_refused_by_the_name_of_its_field(data, size, says):
    with pytest.raises(PayloadError, match=says):
        NERV.read(data, [size])


def test_what_no_reader_takes_is_not_written():
    wide = drawn(shape=NervShape((1, 1), (2,), 1, 120), size=(4, 4))
    with pytest.raises(ValueError, match="levels is 120"):
        NERV.write([wide])
    with pytest.raises(ValueError, match="equal shapes"):
        NERV.write([drawn(), drawn(frames=5)])


def test_mutated_bodies_decode_or_name_a_field():
    data = NERV.write([drawn(seed=seed) for seed in range(2)])
    rng = np.random.default_rng(0)
    taken = 0
    for _ in range(150):
        changed = bytearray(data[: rng.integers(1, len(data) + 1)])
        changed[rng.integers(len(changed))] ^= 1 << int(rng.integers(8))
        try:
            networks = NERV.read(bytes(changed), [SIZE] * 2)
        except PayloadError:
            continue
        taken += 1
        assert sum(len(network.weights) for network in networks) <= nerv_coding.MAX_WEIGHTS
        assert torch.isfinite(frame_of(networks[0], 1)).all()
    assert taken < 150
