"""Trainings that are cut off, in this process, and what stands in their way."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from device import reference_trainer
from device.job import run
from device.own_pictures import Share
from device.reference_trainer import CHECKPOINT
from device.results import finished_report
from device.standing import standing
from rinr.training import train as train_module
from rinr.training.detector import detection_loss
from rinr.training.train import DivergedError

pytestmark = pytest.mark.usefixtures("undrawn")

HALF = Share(held_out=0.5)


class KilledError(BaseException):
    """As by SIGKILL: nothing on the way catches it."""


@pytest.fixture
def killed(monkeypatch):
    """Makes the training end before so many more steps."""

    def at(step):
        calls = 0

        def dying(*arguments):
            nonlocal calls
            calls += 1
            if calls == step:
                raise KilledError
            return detection_loss(*arguments)

        monkeypatch.setattr(train_module, "detection_loss", dying)

    return at


@pytest.fixture
def ready(bench, scenes, monkeypatch):
    """A device with three frames and four own pictures, one of them held out; a checkpoint each second step."""
    monkeypatch.setattr(reference_trainer, "KEEP_EVERY", 2)
    bench.deliver(scenes(0, 3))
    bench.capture(scenes(20, 24))
    return bench


def job(bench, **settings):
    made = bench.job(own=HALF, epochs=3, **settings)
    return replace(made, training=replace(made.training, batch_size=2))


def checkpoint(bench) -> Path:
    return bench.home / "training" / "trainer" / CHECKPOINT


def test_killed_at_any_step_it_goes_on_at_the_last_checkpoint_and_ends_with_the_same_bytes(ready, killed):
    whole = run(job(ready))
    model = (ready.home / "model.safetensors").read_bytes()
    assert (whole.frames, whole.own_frames, whole.own.frames, whole.resumed_at) == (3, 3, 1, 0)
    assert not (ready.home / "training").exists()
    for step, resumed in ((2, 0), (4, 3), (6, 4), (9, 8)):  # three steps an epoch
        for name in ("model.safetensors", "report.json"):
            (ready.home / name).unlink()
        killed(step)
        with pytest.raises(KilledError):
            run(job(ready))
        assert standing(ready.device).unfinished
        assert finished_report(ready.device) is None
        killed(0)
        again = run(job(ready))
        assert again.resumed_at == resumed
        assert (ready.home / "model.safetensors").read_bytes() == model
        assert (again.losses, again.own, again.key) == (whole.losses, whole.own, whole.key)
        assert not standing(ready.device).unfinished


def test_killed_after_its_model_was_put_in_use_it_does_not_start_from_that(ready, monkeypatch):
    first = run(job(ready))
    whole = run(job(ready, seed=1, margin=1))
    assert (whole.started_from, whole.promoted) == (first.model_sha256, True)
    for path in ready.home.glob("*.*"):
        path.unlink()
    assert run(job(ready)).model_sha256 == first.model_sha256
    real = Path.replace

    def dying(path, target):
        if Path(target).name == "report.json":
            raise KilledError
        return real(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dying)
        with pytest.raises(KilledError):
            run(job(ready, seed=1, margin=1))
    again = run(job(ready, seed=1, margin=1))
    assert (again.started_from, again.model_sha256) == (first.model_sha256, whole.model_sha256)


def test_a_checkpoint_of_another_job_is_discarded(ready, killed, scenes):
    killed(6)
    with pytest.raises(KilledError):
        run(job(ready))
    assert checkpoint(ready).exists()
    killed(0)
    ready.deliver(scenes(4, 5))
    report = run(job(ready))
    assert (report.resumed_at, report.frames, report.notes) == (0, 4, ())


def test_a_damaged_checkpoint_is_ignored_and_said(ready, killed):
    whole = run(job(ready))
    (ready.home / "model.safetensors").unlink()
    killed(6)
    with pytest.raises(KilledError):
        run(job(ready))
    data = bytearray(checkpoint(ready).read_bytes())
    data[-1] ^= 1
    checkpoint(ready).write_bytes(data)
    killed(0)
    report = run(job(ready))
    assert (report.resumed_at, report.model_sha256) == (0, whole.model_sha256)
    assert "The checkpoint could not be used, and the training was begun anew" in report.notes[0]


def test_a_full_disk_at_a_checkpoint_stops_nothing(ready, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(reference_trainer, "write_durably", full)
    report = run(job(ready))
    (note,) = report.notes
    assert note == "No checkpoint could be written at step 2, and training went on: No space left on device."
    assert report.promoted


def diverging(times):
    """A loss that is no number in the third step, in so many trainings; each has nine steps."""
    calls = 0

    def loss(*arguments):
        nonlocal calls, times
        calls += 1
        if calls % 9 == 3 and times:
            times, calls = times - 1, 0
            return detection_loss(*arguments) * torch.nan
        return detection_loss(*arguments)

    return loss


def test_a_loss_that_is_no_number_halves_the_learning_rate_once(ready, monkeypatch, killed):
    monkeypatch.setattr(train_module, "detection_loss", diverging(1))
    report = run(job(ready))
    assert report.notes == (
        "The loss was no longer a number at a learning rate of 0.002: it was halved, and begun again.",
    )
    killed(0)
    for name in ("model.safetensors", "report.json"):
        (ready.home / name).unlink()
    half = job(ready)
    half = replace(half, training=replace(half.training, learning_rate=0.001))
    assert run(half).model_sha256 == report.model_sha256


def test_a_loss_that_is_no_number_again_is_an_error_and_the_model_in_use_stays(ready, monkeypatch, scenes):
    run(job(ready))
    before = (ready.home / "model.safetensors").read_bytes()
    ready.deliver(scenes(4, 5))
    monkeypatch.setattr(train_module, "detection_loss", diverging(2))
    with pytest.raises(DivergedError, match=r"the loss is nan .*a learning rate below 0.001; the model in use stays"):
        run(job(ready))
    assert (ready.home / "model.safetensors").read_bytes() == before


def test_an_accelerator_that_runs_out_of_memory_is_said(ready, monkeypatch):
    calls = 0

    def once(*arguments):
        nonlocal calls
        calls += 1
        if calls == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return detection_loss(*arguments)

    monkeypatch.setattr(train_module, "detection_loss", once)
    (note,) = run(job(ready)).notes
    assert note == "The accelerator ran out of memory: the 2 pictures of a step went through it 1 at once."
