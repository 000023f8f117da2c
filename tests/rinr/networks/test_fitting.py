import itertools

import pytest
import torch

from rinr.networks import fitting
from rinr.networks.coordinates import grid
from rinr.networks.fitting import Pictures, Start, fit
from rinr.networks.settings import Schedule
from rinr.networks.sine_layers import SineNetworks, split_layers

SIZES = ((2, 6), (6, 6), (6, 3))
COUNT = sum((inputs + 1) * outputs for inputs, outputs in SIZES)


def parameters(n=1, dtype=torch.float32):
    return torch.randn(n, COUNT, generator=torch.Generator().manual_seed(1)).to(dtype)


def problem(n=2, width=20, height=15, price=0.0, steps=None):
    generator = torch.Generator().manual_seed(2)
    at = grid(width, height)[0].T.repeat(n, 1, 1)
    pixels = width * height
    targets = torch.sin(at[:, :1] * 3 + torch.arange(n)[:, None, None]) + 0.1 * torch.randn(
        n, 3, pixels, generator=generator
    )
    pictures = Pictures(at, targets, torch.ones(n, pixels), torch.full((n,), 0.5), torch.full((n,), price))
    ones = torch.ones(COUNT)
    start = Start(SIZES, parameters(1).repeat(n, 1), ones, ones, torch.zeros(COUNT), steps, 2047 * ones)
    return start, pictures


def test_both_passes_are_those_of_automatic_differentiation():
    # Against torch's own derivatives of an evaluation written apart.
    values = parameters(3).requires_grad_()
    at, wanted = torch.rand(3, 2, 50) * 2 - 1, torch.rand(3, 3, 50)
    networks = SineNetworks(SIZES, 3, 50, torch.device("cpu"))
    ours = networks.forward(values.detach(), at).clone()
    theirs = evaluate(values, at)
    assert torch.allclose(ours, theirs, atol=1e-5)
    (expected,) = torch.autograd.grad((theirs - wanted).square().sum(), values)
    assert torch.allclose(networks.backward(2 * (ours - wanted)), expected, rtol=1e-4, atol=1e-4)


def evaluate(values, at):
    hidden = at.transpose(1, 2)
    for index, layer in enumerate(split_layers(values, SIZES)):
        hidden = hidden @ layer[:, :, :-1].transpose(1, 2) + layer[:, :, -1][:, None]
        hidden = hidden.sin() if index < 2 else hidden
    return hidden.transpose(1, 2)


def test_without_rounding_a_fit_is_torch_s_adam():
    start, pictures = problem(1)
    fitted = fit(start, pictures, Schedule(40, 1e-2, False, 1000))
    values = start.parameters.clone().requires_grad_()
    optimizer = torch.optim.Adam([values], lr=1e-2, betas=(0.9, 0.99), eps=1e-12)
    for _ in range(40):
        optimizer.zero_grad()
        error = (evaluate(values, pictures.coordinates) - pictures.targets).square().mean()
        error.backward()
        optimizer.step()
    assert torch.allclose(fitted.parameters, values.detach(), atol=2e-3)
    assert float(fitted.error[0]) == pytest.approx(float(error.detach()) * 0.25, rel=1e-2)


def test_padding_does_not_count():
    start, pictures = problem(1)
    padded = Pictures(
        torch.cat([pictures.coordinates, torch.zeros(1, 2, 84)], dim=2),
        torch.cat([pictures.targets, torch.full((1, 3, 84), 9.0)], dim=2),
        torch.cat([pictures.weights, torch.zeros(1, 84)], dim=1),
        pictures.scale,
        pictures.price,
    )
    schedule = Schedule(30, 1e-2, True, 1000)
    assert torch.allclose(fit(start, padded, schedule).parameters, fit(start, pictures, schedule).parameters, atol=1e-4)


def test_a_dearer_bit_leaves_smaller_integers_and_larger_errors():
    steps = torch.tensor([0.05, 0.05, 0.05])
    schedule = Schedule(300, 1e-2, True, 1000)
    fits = [fit(*problem(1, price=price, steps=steps), schedule) for price in (1e-7, 1e-5, 1e-3)]
    sums = [float(one.parameters.abs().sum()) for one in fits]
    errors = [float(one.error[0]) for one in fits]
    assert sums == sorted(sums, reverse=True)
    assert errors == sorted(errors)
    assert all(torch.equal(one.parameters, one.parameters.round()) for one in fits)


def test_the_price_s_slope_is_that_of_the_best_geometric_code():
    # What one more unit of magnitude costs, against a difference of code lengths computed here.
    start, pictures = problem(1, price=1.0, steps=torch.ones(3))
    group = fitting._Group(start, pictures, Schedule(10, 1e-2, True, 1000))
    integers = torch.arange(COUNT).remainder(7).float()[None] + 1
    gradient = torch.zeros_like(integers)
    group._price_bits(gradient, torch.ones_like(integers), integers, integers)

    def bits(mean, count):
        ratio = ((1 + mean**2) ** 0.5 - 1) / mean
        return count * (-torch.log2((1 - ratio) / (1 + ratio)) - mean * torch.log2(ratio))

    for begin, end in itertools.pairwise([0, 18, 60, 81]):
        part = integers[0, begin:end].double()
        slope = (bits(part.mean() + 1e-4, len(part)) - bits(part.mean() - 1e-4, len(part))) / (2e-4 * len(part))
        # A picture's scale of a half: its price in the targets' units is four times as high.
        assert torch.allclose(gradient[0, begin:end].double(), 4 * slope, rtol=1e-2)


def test_a_picture_that_is_good_enough_leaves_early_and_the_others_do_not_notice():
    start, pictures = problem(3)
    targets = pictures.targets.clone()
    targets[1] = 0.3
    mixed = Pictures(pictures.coordinates, targets, pictures.weights, pictures.scale, pictures.price)
    schedule = Schedule(500, 1e-2, True, 1000, enough_db=25)
    done = []
    together = fit(start, mixed, schedule, done.append)
    assert together.reasons == ("steps", "enough", "steps")
    assert sum(done) == 3 * 500
    for index in range(3):
        some = torch.tensor([index])
        one = Start(SIZES, start.parameters[some], *(start.speed, start.priced, start.phases, None, start.tops))
        alone = fit(one, mixed[some], schedule)
        assert torch.equal(alone.parameters[0], together.parameters[index])


def test_a_fit_out_of_time_stops_and_says_so(monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(fitting.time, "monotonic", lambda: float(next(clock)))
    done = []
    fitted = fit(*problem(2), Schedule(1000, 1e-2, True, 1000, max_seconds=3.5), done.append)
    assert fitted.reasons == ("time", "time")
    assert sum(done) == 2 * 1000
    assert torch.isfinite(fitted.error).all()


def test_whole_turns_of_a_phase_are_taken_back():
    start, pictures = problem(1)
    phases = torch.zeros(COUNT)
    phases[2] = 1
    turned = start.parameters.clone()
    turned[:, 2] += 4 * torch.pi
    fitted = fit(
        Start(SIZES, turned, start.speed, start.priced, phases, None, start.tops),
        pictures,
        Schedule(5, 1e-3, True, 999),
    )
    assert abs(float(fitted.parameters[0, 2])) <= torch.pi + 0.1
