"""The device job: receive what the inbox holds, train on it and on own pictures, test, promote or not, report.

It needs no server. What it leaves in the device's home folder, besides what it received, stands in
``device/results.py`` and ``device/models.py``; ``report.json`` is written last, so that it vouches for the rest.

::

    receiving.py ─▶ lesson.py ───────┐
                                     ├─▶ trainer.py ─▶ learning.py ─▶ promotion.py ─▶ results.py
    own_pictures.py ─▶ holding_out.py┘   (reference_trainer.py)  (tested)

The result follows from the received shards, the device's own pictures, the settings, the seed and the model that was in
use; on a CPU to the last bit, for one number of threads. A job whose report stands there already is not done again. A
job that was killed goes on where it was, from the model that was in use when it began. The fog node is told twice: what
is stored, and then what was learned of it.
"""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from device.acknowledging import acknowledge
from device.errors import DeviceJobError, NothingToTrainError
from device.home import Progress, alone, unusable
from device.learning import Plan, job_key, learn
from device.lesson import read_lesson
from device.models import put
from device.own_pictures import Share, own_pictures
from device.receiving import ContactError, ReceiveReport, receive
from device.report import MAX_EPOCHS, MAX_REFUSED, DeviceReport, write_report
from device.results import REPORT, finished_report, write_results
from device.trainer import find_trainer
from device.unfinished import begin, finish
from rinr import accelerator
from rinr.training.train import TrainingSettings
from storage.credentials import Secrets, environment
from storage.fleet import Device
from storage.outbox import OutboxError

__all__ = ["DeviceJob", "DeviceJobError", "NothingToTrainError", "contact", "run", "train_on_received"]


@dataclass(frozen=True)
class DeviceJob:
    """One device's training job.

    Attributes:
        device: whose: its inbox, its storage with its own JPEGs and labels, its home for model and report, its trainer.
        training: epochs, batch size, learning rate, seed.
        longest_side: of the pictures trained on, at most, in pixels, 32 to 2048.
        torch_device: ``cpu``, ``cuda``, ...; ``auto`` takes a CUDA device where there is one.
        own: how its own pictures are used.
        start: ``in use``: from the model in use, where there is one; ``scratch``: from the seed.
        margin: by how much mAP50 of the new model may be below the one in use for it to take its place, -1 to 1.
        secrets: gives the secrets that the device's options refer to.
    """

    device: Device
    training: TrainingSettings = field(default_factory=TrainingSettings)
    longest_side: int = 320
    torch_device: str = "auto"
    own: Share = field(default_factory=Share)
    start: Literal["in use", "scratch"] = "in use"
    margin: float = 0.01
    secrets: Secrets = environment

    def __post_init__(self) -> None:
        if not 32 <= self.longest_side <= 2048:
            raise ValueError(f"longest_side is {self.longest_side}, expected 32 to 2048 pixels")
        if self.training.epochs > MAX_EPOCHS:
            raise ValueError(f"epochs is {self.training.epochs:,}, expected at most {MAX_EPOCHS:,}")
        if self.start not in ("in use", "scratch"):
            raise ValueError(f"start is {self.start!r}, expected 'in use' or 'scratch'")
        if not -1 <= self.margin <= 1:
            raise ValueError(f"margin is {self.margin}, expected -1 to 1")


def run(job: DeviceJob, progress: Progress | None = None) -> DeviceReport:
    """Do a device job, or return the report of the same job done before.

    Shards that fail verification are refused with their reason in the report; the others are trained on.

    Raises:
        DeviceJobError: nothing to train on, or a setting or a trainer that cannot be used.
        device.receiving.ContactError: the inbox cannot be read, or there is no space for what it holds.
        device.home.HomeError: the home cannot be used.
        storage.outbox.OutboxError: the outbox cannot be written.
        storage.shards.faults.KeyringError: the device's keys cannot be used.
        rinr.training.train.TrainingError: the training failed; the model in use stays in use.
    """
    tell = progress or _silent
    _torch_device(job)  # before anything is fetched
    find_trainer(job.device.trainer)
    with alone(job.device, tell):
        return _train(job, _contact(job, tell), tell)


def contact(job: DeviceJob, progress: Progress | None = None) -> ReceiveReport:
    """The first half of :func:`run`: receive, and tell the fog node what is stored."""
    tell = progress or _silent
    with alone(job.device, tell):
        return _contact(job, tell)


def train_on_received(job: DeviceJob, found: ReceiveReport, progress: Progress | None = None) -> DeviceReport:
    """The second half of :func:`run`: train on what is stored, and tell the fog node of it.

    Args:
        job: as given to :func:`contact`.
        found: by that.
        progress: is told what is done.
    """
    tell = progress or _silent
    with alone(job.device, tell):
        return _train(job, found, tell)


def _silent(what: str, done: int, total: int) -> None:
    pass


def _torch_device(job: DeviceJob) -> str:
    try:
        return accelerator.torch_device(job.torch_device)
    except ValueError as error:
        raise DeviceJobError(f"{error}") from None


def _contact(job: DeviceJob, tell: Progress) -> ReceiveReport:
    device = job.device
    try:
        found = receive(device, job.secrets, tell)
    except ContactError as error:
        if error.report.new:
            with suppress(OutboxError):  # what broke the contact off is what has to be told
                acknowledge(device, error.report, secrets=job.secrets)
        raise
    known = finished_report(device)
    fits = known is not None and (known.generation, known.taken) == (found.generation, found.taken)
    acknowledge(device, found, write_report(known) if known and fits else None, job.secrets)
    return found


def _train(job: DeviceJob, found: ReceiveReport, tell: Progress) -> DeviceReport:
    device, home = job.device, Path(job.device.home)
    torch_device = _torch_device(job)
    trainer = find_trainer(device.trainer)
    lesson, found = read_lesson(device, job.longest_side, torch_device, found, tell)
    tell("reading own pictures", 0, 1)
    own = own_pictures(device, job.secrets, job.own, lesson.dataset.image_ids, lesson.dataset.size, torch_device)
    plan = Plan(device.name, job.training, trainer, job.start == "in use", job.margin, lesson, own)
    key = job_key(plan)

    report = finished_report(device)
    if report is None or report.key != key:
        try:
            beginning = begin(home, key, trainer.check)
        except OSError as error:
            raise unusable(device, error) from error
        result = learn(plan, key, beginning, tell)
        report = replace(result.report, generation=found.generation, taken=found.taken)
        try:
            put(home, result.model, trainer.check, promoted=report.promoted)
        except OSError as error:
            raise unusable(device, error) from error
        write_results(device, {**result.files, REPORT: write_report(report)})
    finish(home)
    as_found = replace(report, generation=found.generation, taken=found.taken, refused=found.refused[:MAX_REFUSED])
    if as_found != report:
        write_results(device, {REPORT: write_report(as_found)})
    acknowledge(device, found, write_report(as_found), job.secrets)
    return as_found
