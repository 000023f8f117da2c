from dataclasses import replace

import numpy as np
import pytest
import torch

from rinr.codec.bytestream import PayloadError
from rinr.codec.entropy import GeometricEncoder
from rinr.codec.quantize import step_sizes
from rinr.networks import siren, siren_coding
from rinr.networks.coordinates import centres
from rinr.networks.settings import Schedule, SirenSettings
from rinr.networks.siren import SIREN
from rinr.networks.siren_coding import EMPTY, Shape, SirenNetwork, ideal_bits, in_order
from rinr.presets import PAPER
from tests.conftest import picture

ROUNDED_AFTER = SirenSettings(Shape(10, 3), omega=8, bits=8, schedule=Schedule(200, 1e-2, True, 512))
PRICED = SirenSettings(
    Shape(10, 4), omega=8, bits=12, schedule=Schedule(200, 1e-2, True, 512), first_omega=12, price=1e-7
)


def pictures(count, width=40, height=30):
    return [torch.tensor(picture(seed, width, height)) / 255 for seed in range(count)]


def render(network, width, height):
    at = centres(width)[None] * 2 - 1, centres(height)[None] * 2 - 1
    return SIREN.stack(SIREN.arrays([network]), "cpu").render(torch.tensor([0]), *at)[0].permute(1, 2, 0).numpy()


def render_by_hand(network, width, height):
    """A network evaluated in NumPy, in double precision, from its integers: ``[height, width, 3]``."""
    x, y = np.meshgrid((np.arange(width) + 0.5) / width * 2 - 1, (np.arange(height) + 0.5) / height * 2 - 1)
    values, position = np.stack([x, y], axis=-1), 0
    steps = step_sizes(torch.tensor(network.steps)).double().numpy()
    for index, (inputs, outputs) in enumerate(network.shape.sizes):
        count = (inputs + 1) * outputs
        matrix = network.weights[position : position + count].reshape(outputs, inputs + 1) * steps[index]
        values = values @ matrix[:, :-1].T + matrix[:, -1]
        if index < network.shape.layers - 1:
            values = np.sin(values)
        position += count
    return values


def equal(one, other):
    return (one.shape, one.bits, one.steps) == (other.shape, other.bits, other.steps) and np.array_equal(
        one.weights, other.weights
    )


def drawn(shape, bits=12, seed=0, size=6.0):
    rng = np.random.default_rng(seed)
    weights = np.round(rng.laplace(0, size, shape.parameters)).astype(np.int32)
    return in_order(SirenNetwork(shape, bits, (160,) * shape.layers, weights))


def test_the_papers_background_has_6667_weights():
    assert str(PAPER.background.shape) == "28x10"
    assert PAPER.background.shape.parameters == 6_667


@pytest.mark.parametrize("settings", [ROUNDED_AFTER, PRICED])
def test_a_network_is_decoded_as_numpy_computes_it(settings):
    networks = SIREN.fit(pictures(3), settings)
    for network in SIREN.read(SIREN.write(networks), [(40, 30)] * 3):
        for size in ((40, 30), (33, 21)):
            assert np.abs(render(network, *size) - render_by_hand(network, *size)).max() < 1e-4


def test_a_fit_reaches_the_picture():
    (wanted,) = pictures(1)
    for settings in (ROUNDED_AFTER, PRICED):
        (network,) = SIREN.fit([wanted], settings)
        decoded = render_by_hand(network, 40, 30)
        assert float(((decoded - wanted.numpy()) ** 2).mean()) < 0.1 * float(wanted.std()) ** 2


def test_the_network_in_the_fit_is_the_one_that_is_decoded(monkeypatch):
    # All pixels each step and a rate of nearly zero at the end: the last step's error is that of what is written.
    errors = []
    real = siren.fit

    def remembering(*arguments):
        fitted = real(*arguments)
        errors.extend(fitted.error.tolist())
        return fitted

    monkeypatch.setattr(siren, "fit", remembering)
    settings = replace(PRICED, schedule=Schedule(400, 1e-2, True, 1 << 20))
    wanted = pictures(3)
    networks = SIREN.read(SIREN.write(SIREN.fit(wanted, settings)), [(40, 30)] * 3)
    for picture_, network, error in zip(wanted, networks, errors, strict=True):
        decoded = ((render_by_hand(network, 40, 30) - picture_.numpy()) ** 2).mean()
        assert decoded == pytest.approx(error, rel=0.01)


@pytest.mark.parametrize("settings", [ROUNDED_AFTER, PRICED])
def test_bytes_do_not_depend_on_what_a_picture_was_grouped_with(settings):
    settings = replace(settings, schedule=replace(settings.schedule, steps=60, pixels=256))
    wanted = [*pictures(7), *pictures(2, 25, 20), *pictures(2, 7, 5)]
    wanted += [torch.tensor(picture(seed, 5 + seed, 3 + seed)) / 255 for seed in range(21)]
    alone = [SIREN.write(SIREN.fit([one], settings)) for one in wanted]
    for size in (7, 32):
        together = [n for i in range(0, 32, size) for n in SIREN.fit(wanted[i : i + size], settings)]
        assert [SIREN.write([network]) for network in together] == alone
    assert [SIREN.write([network]) for network in SIREN.fit(wanted[::-1], settings)] == alone[::-1]


@pytest.mark.parametrize("settings", [ROUNDED_AFTER, PRICED])
def test_bytes_do_not_depend_on_the_number_of_threads(settings):
    wanted = pictures(3, 64, 48)
    one = SIREN.write(SIREN.fit(wanted, settings))
    torch.set_num_threads(2)
    try:
        assert SIREN.write(SIREN.fit(wanted, settings)) == one
    finally:
        torch.set_num_threads(1)


def test_a_stack_renders_as_its_networks_do():
    networks = SIREN.fit(pictures(5), ROUNDED_AFTER)
    chosen = torch.tensor([4, 0, 2])
    x, y = (torch.rand(3, count, generator=torch.Generator().manual_seed(count)) * 2 - 1 for count in (33, 21))
    together = SIREN.stack(SIREN.arrays(networks), "cpu").render(chosen, x, y)
    assert together.shape == (3, 3, 21, 33)
    for row, index in enumerate(chosen.tolist()):
        alone = SIREN.stack(SIREN.arrays([networks[index]]), "cpu").render(
            torch.tensor([0]), x[row : row + 1], y[row : row + 1]
        )
        assert torch.allclose(together[row], alone[0], atol=1e-5)  # far below an 8-bit step


@pytest.mark.parametrize("bits", [4, 8, 12, 16])
def test_more_bits_are_more_exact_and_cost_more(bits):
    (network,) = SIREN.fit(pictures(1), replace(ROUNDED_AFTER, bits=bits))
    assert len(SIREN.write([network])) < ROUNDED_AFTER.shape.parameters * (bits + 1) / 8 + 20


@pytest.mark.parametrize("bits", [4, 8, 12, 13, 16])
def test_networks_come_back(bits):
    size = 2.0 ** (bits - 6)
    shapes = [Shape(10, 3), Shape(10, 3), EMPTY, Shape(1, 2), EMPTY, EMPTY, Shape(10, 3)]
    networks = [drawn(shape, bits, seed, size) for seed, shape in enumerate(shapes)]
    networks = [
        replace(n, weights=np.clip(n.weights, -7 if bits == 4 else -99, 7 if bits == 4 else 99)) for n in networks
    ]
    networks = [in_order(n) for n in networks]
    back = SIREN.read(SIREN.write(networks), [(1, 1)] * len(networks))
    assert all(map(equal, networks, back))


def test_the_order_of_hidden_outputs_changes_nothing_and_costs_less():
    rng = np.random.default_rng(3)
    shape = Shape(16, 4)
    network = SirenNetwork(shape, 12, (160,) * 4, rng.integers(-9, 10, shape.parameters).astype(np.int32))
    ordered = in_order(network)
    assert np.abs(render_by_hand(ordered, 9, 7) - render_by_hand(network, 9, 7)).max() < 1e-9
    assert equal(in_order(ordered), ordered)
    assert all((np.diff(layer[:, -1]) >= 0).all() and layer[0, -1] >= 0 for layer in ordered.layers[:-1])


@pytest.mark.parametrize("shape", [Shape(6, 3), Shape(20, 4), Shape(24, 5)])
def test_a_stream_costs_what_the_estimate_says(shape):
    for seed, size in enumerate((0.3, 2.0, 8.0, 60.0)):
        network = drawn(shape, seed=seed, size=size)
        estimate = sum(ideal_bits(network)) / 8
        assert estimate - 1 <= len(SIREN.write([network])) <= estimate * 1.01 + 8
        assert len(ideal_bits(network)) == 1 + shape.layers


def test_headers_are_small():
    # Shape and steps: at most 4 bytes a network among others; 12 for one alone, with the body's own and its end.
    (network,) = SIREN.fit(pictures(1), PRICED)
    head = ideal_bits(network)[0] / 8
    assert 1 + head + 4 <= 12
    ten = len(SIREN.write([network] * 10)) - 1
    assert ten / 10 <= sum(ideal_bits(network)[1:]) / 8 + 4
    assert len(SIREN.write([siren.empty(12)])) <= 3


@pytest.mark.parametrize("value", [0.0, 1.0, 0.5])
@pytest.mark.parametrize("settings", [ROUNDED_AFTER, PRICED])
def test_pictures_of_one_colour(value, settings):
    (network,) = SIREN.fit([torch.full((9, 7, 3), value)], settings)
    assert np.abs(render(network, 7, 9) - value).max() < 1 / 255


def test_a_residual_not_worth_its_bits_gets_no_network():
    faint, strong = torch.full((20, 20, 3), 1e-4), pictures(1, 20, 20)[0] - 0.5
    nothing, something = SIREN.fit([faint, strong], PRICED)
    assert nothing.shape == EMPTY
    assert something.shape == PRICED.shape
    assert not render(nothing, 20, 20).any()
    assert len(SIREN.write([something, nothing])) <= len(SIREN.write([something])) + 2


def test_a_picture_that_counts_less_gets_fewer_bytes():
    wanted = pictures(2)
    whole, part = SIREN.fit(wanted, PRICED, shares=[1.0, 0.05])
    assert equal(whole, SIREN.fit(wanted, PRICED)[0])
    assert equal(part, SIREN.fit(wanted[1:], replace(PRICED, price=PRICED.price / 0.05))[0])
    assert len(SIREN.write([part])) < 0.8 * len(SIREN.write(SIREN.fit(wanted[1:], PRICED)))


def test_a_network_says_why_its_fit_stopped():
    wanted = pictures(2)
    for change, reason in (({}, "steps"), ({"enough_db": 5.0}, "enough"), ({"max_seconds": 0.0}, "time")):
        settings = replace(PRICED, schedule=replace(PRICED.schedule, **change))
        networks = SIREN.fit(wanted, settings)
        assert [network.stopped for network in networks] == [reason] * 2
        assert {network.stopped for network in SIREN.read(SIREN.write(networks), [(1, 1)] * 2)} == {None}


def test_a_fit_that_diverges_at_every_rate_is_refused():
    broken = torch.full((9, 7, 3), float("nan"))
    with pytest.raises(FloatingPointError, match="learning rate"):
        SIREN.fit([broken], ROUNDED_AFTER)


def test_a_network_that_diverges_starts_again_alone_says_so_and_leaves_the_others(monkeypatch, caplog):
    wanted = pictures(3)
    expected = SIREN.fit(wanted, PRICED)
    real, calls = siren.fit, []

    def failing_once(start, pictures_, schedule, on_work=None):
        fitted = real(start, pictures_, schedule, on_work)
        calls.append((len(pictures_), schedule.learning_rate))
        if len(calls) == 1:
            fitted.error[1] = float("nan")
        return fitted

    monkeypatch.setattr(siren, "fit", failing_once)
    networks = SIREN.fit(wanted, PRICED)
    assert calls == [(3, 1e-2), (1, 2.5e-3)]
    assert equal(networks[0], expected[0])
    assert equal(networks[2], expected[2])
    assert not equal(networks[1], expected[1])
    assert "1 fits diverged" in caplog.text


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA"), RuntimeError("DefaultCPUAllocator: out of memory")])
def test_out_of_memory_halves_the_group_and_goes_on(monkeypatch, error, caplog):
    wanted = pictures(5)
    expected = SIREN.fit(wanted, PRICED)
    real, sizes = siren._fit_group, []

    def small_memory(some, *arguments):
        sizes.append(len(some))
        if len(some) > 2:
            raise error
        return real(some, *arguments)

    monkeypatch.setattr(siren, "_fit_group", small_memory)
    assert all(map(equal, SIREN.fit(wanted, PRICED), expected))
    assert sizes == [5, 2, 3, 1, 2]
    assert "halving" in caplog.text


def test_other_errors_are_not_taken_for_a_lack_of_memory(monkeypatch):
    def broken(*_):
        raise RuntimeError("something else")

    monkeypatch.setattr(siren, "_fit_group", broken)
    with pytest.raises(RuntimeError, match="something else"):
        SIREN.fit(pictures(2), PRICED)


def body(*fields, bits=12):
    coder = GeometricEncoder()
    for value, width in fields:
        coder.flat(np.array([value], dtype=np.int32), width)
    return bytes([bits]) + coder.finish()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "truncated at bits"),
        (bytes([1]), "bits is 1"),
        (bytes([17]), "bits is 17"),
        (body((10, 8), (0, 5)), "layers is 1"),
        (body((255, 8), (31, 5)), "more than 524288 weights"),
        (SIREN.write([drawn(Shape(4, 3))]) + b"a longer tail", "left over"),
    ],
)
def test_a_lie_is_refused_by_the_name_of_its_field(data, says):
    with pytest.raises(PayloadError, match=says):
        SIREN.read(data, [(9, 9)])


def test_integers_beyond_their_bits_are_refused():
    too_large = drawn(Shape(4, 3), bits=12, size=40.0)
    data = bytearray(SIREN.write([too_large]))
    data[0] = 4
    with pytest.raises(PayloadError, match="weight is"):
        SIREN.read(bytes(data), [(9, 9)])


def test_networks_of_unequal_bits_do_not_share_a_body():
    with pytest.raises(ValueError, match="equal bits"):
        SIREN.write([drawn(Shape(4, 3), bits=8), drawn(Shape(4, 3), bits=12)])


def test_mutated_bodies_decode_or_name_a_field():
    data = SIREN.write([drawn(Shape(6, 3), seed=seed) for seed in range(3)])
    rng = np.random.default_rng(0)
    for _ in range(200):
        changed = bytearray(data[: rng.integers(1, len(data) + 1)])
        changed[rng.integers(len(changed))] ^= 1 << int(rng.integers(8))
        try:
            networks = SIREN.read(bytes(changed), [(9, 9)] * 3)
        except PayloadError:
            continue
        assert sum(n.shape.parameters for n in networks) <= siren_coding.MAX_WEIGHTS
