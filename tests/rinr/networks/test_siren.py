import numpy as np
import pytest
import torch

from rinr.codec.bytestream import PayloadError
from rinr.codec.payload import seal
from rinr.codec.quantize import step_sizes
from rinr.networks.coordinates import grid
from rinr.networks.fitting import Schedule, fit
from rinr.networks.siren import SIREN, Shape, SirenSettings
from rinr.presets import PAPER
from tests.conftest import picture

SETTINGS = SirenSettings(Shape(10, 3), omega=8, bits=8, schedule=Schedule(200, 1e-2, True, 512))


def pictures(count, width=40, height=30):
    return [torch.tensor(picture(seed, width, height)) / 255 for seed in range(count)]


def evaluate_by_hand(payload, points):
    """A network evaluated in NumPy, one point after another, from its integers."""
    network = SIREN.parse(payload)
    position = 0
    values = np.array(points, dtype=np.float64)
    steps = step_sizes(torch.tensor(network.steps)).double().numpy()
    for index, (inputs, outputs) in enumerate(network.shape.sizes):
        count = (inputs + 1) * outputs
        matrix = network.weights[position : position + count].reshape(inputs + 1, outputs) * steps[index]
        values = values @ matrix[:-1] + matrix[-1]
        if index < network.shape.layers - 1:
            values = np.sin(values)
        position += count
    return values


def test_the_papers_background_has_6667_weights():
    assert str(PAPER.background.shape) == "28x10"
    assert PAPER.background.shape.parameters == 6_667


def test_a_network_is_decoded_as_numpy_computes_it():
    (payload,) = SIREN.fit(pictures(1), SETTINGS)
    stack = SIREN.stack([SIREN.parse(payload)], "cpu")
    at = grid(40, 30)
    decoded = stack.evaluate(torch.tensor([0]), at)[0].numpy()
    assert np.abs(decoded - evaluate_by_hand(payload, at[0].numpy())).max() < 1e-4


def test_a_fit_reaches_the_picture():
    (wanted,) = pictures(1)
    (payload,) = SIREN.fit([wanted], SETTINGS)
    decoded = evaluate_by_hand(payload, grid(40, 30)[0].numpy()).reshape(30, 40, 3)
    spread = float(wanted.std()) ** 2
    assert float(((decoded - wanted.numpy()) ** 2).mean()) < 0.1 * spread


def test_a_payload_does_not_depend_on_what_it_was_grouped_with():
    wanted = [*pictures(7), *pictures(2, 25, 20), *pictures(2, 7, 5)]
    wanted += [torch.tensor(picture(seed, 5 + seed, 3 + seed)) / 255 for seed in range(6)]
    alone = [SIREN.fit([one], SETTINGS)[0] for one in wanted]
    assert SIREN.fit(wanted, SETTINGS) == alone
    assert SIREN.fit(wanted[::-1], SETTINGS) == alone[::-1]


def test_a_payload_does_not_depend_on_the_number_of_threads():
    wanted = pictures(3, 64, 48)
    one = SIREN.fit(wanted, SETTINGS)
    torch.set_num_threads(2)
    try:
        assert SIREN.fit(wanted, SETTINGS) == one
    finally:
        torch.set_num_threads(1)


def test_decoding_does_not_depend_on_the_stack():
    payloads = SIREN.fit(pictures(5), SETTINGS)
    networks = [SIREN.parse(payload) for payload in payloads]
    together = SIREN.stack(networks, "cpu").evaluate(torch.tensor([4, 0, 2]), grid(33, 21))
    for row, index in zip(together, (4, 0, 2), strict=True):
        alone = SIREN.stack([networks[index]], "cpu").evaluate(torch.tensor([0]), grid(33, 21))
        assert torch.allclose(row, alone[0], atol=1e-5)  # far below an 8-bit step


@pytest.mark.parametrize("bits", [4, 8, 12, 16])
def test_more_bits_are_more_exact_and_cost_more(bits):
    settings = SirenSettings(SETTINGS.shape, SETTINGS.omega, bits, SETTINGS.schedule)
    (payload,) = SIREN.fit(pictures(1), settings)
    assert SIREN.parse(payload).bits == bits
    assert len(payload) < SETTINGS.shape.parameters * bits / 8 + 20


@pytest.mark.parametrize("value", [0.0, 1.0, 0.5])
def test_pictures_of_one_colour(value):
    (payload,) = SIREN.fit([torch.full((9, 7, 3), value)], SETTINGS)
    decoded = evaluate_by_hand(payload, grid(7, 9)[0].numpy())
    assert np.abs(decoded - value).max() < 1 / 255


def test_a_fit_that_diverges_at_every_rate_is_refused():
    hasty = SirenSettings(SETTINGS.shape, SETTINGS.omega, 8, Schedule(60, 1e-2, True, 512))
    broken = torch.full((9, 7, 3), float("nan"))
    with pytest.raises(FloatingPointError, match="learning rate"):
        SIREN.fit([broken], hasty)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (bytes([0, 3, 8]), "width is 0"),
        (bytes([10, 1, 8]), "layers is 1"),
        (bytes([10, 200, 8]), "layers is 200"),
        (bytes([10, 3, 1]), "bits is 1"),
        (bytes([10, 3, 8, 0, 255]), "model is 255"),
        (bytes([10, 3, 8, 0]), "truncated at model"),
    ],
)
def test_a_well_sealed_lie_is_refused_by_the_name_of_its_field(body, says):
    with pytest.raises(PayloadError, match=says):
        SIREN.parse(seal(SIREN.code, body))


def test_adam_is_the_library_s():
    # The engine's own Adam against torch.optim.Adam on one network, in double precision.
    torch.manual_seed(0)
    start = torch.randn(1, 3, 3, dtype=torch.float64)
    at, wanted = grid(5, 4).double(), torch.rand(1, 20, 3, dtype=torch.float64)

    def linear(values, points):
        return points @ values[0][:, :-1] + values[0][:, -1:]

    (ours,), loss = fit([start], linear, at, wanted, torch.ones(1, 20), Schedule(50, 1e-2, False, 1000))
    theirs = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([theirs], lr=1e-2, betas=(0.9, 0.99), eps=1e-8)
    for _ in range(50):
        optimizer.zero_grad()
        (linear([theirs], at) - wanted).square().sum(dim=2).mean().backward()
        optimizer.step()
    assert torch.allclose(ours, theirs.detach(), atol=1e-9)
    assert torch.isfinite(loss).all()


def test_a_network_that_diverges_starts_again_alone_and_leaves_the_others(monkeypatch):
    from rinr.networks import siren

    wanted = pictures(3)
    expected = SIREN.fit(wanted, SETTINGS)
    real_fit, calls = siren.fit, []

    def failing_once(start, network, coordinates, targets, weights, schedule, on_work=None):
        layers, loss = real_fit(start, network, coordinates, targets, weights, schedule, on_work)
        calls.append((len(targets), schedule.learning_rate))
        if len(calls) == 1:
            loss[1] = float("nan")
        return layers, loss

    monkeypatch.setattr(siren, "fit", failing_once)
    payloads = SIREN.fit(wanted, SETTINGS)
    assert calls == [(3, 1e-2), (1, 2.5e-3)]
    assert payloads[0] == expected[0]
    assert payloads[2] == expected[2]
    assert payloads[1] != expected[1]
