"""The device job: receive what the inbox holds, train on it while it is decoded, test on own pictures, report.

It needs no server. What it leaves in the device's home folder, besides what it received:

- ``model.safetensors``: the trained detector's weights;
- ``curve.png``: loss and precision;
- ``report.json``: :class:`device.report.DeviceReport`, written last, so that it vouches for the other two.

The result follows from the received shards, the device's own pictures, the settings and the seed; on a CPU to the
last bit, for one number of threads. A job whose report stands there already is not done again. The fog node is told
twice: what is stored, and then what was learned of it.
"""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import safetensors.torch

from device.acknowledging import acknowledge
from device.curve import draw_curve
from device.home import Progress, alone, unusable
from device.received import discard, look
from device.receiving import ContactError, ReceiveReport, after_reading, receive
from device.report import (
    MAX_EPOCHS,
    MAX_NOTE,
    MAX_NOTES,
    MAX_REFUSED,
    Comparison,
    DeviceReport,
    parse_report,
    write_report,
)
from rinr import accelerator
from rinr.codec.bytestream import PayloadError
from rinr.folders import spread
from rinr.frames import Frame, ImageError, check_jpeg, working_frame
from rinr.shard import ShardRow
from rinr.training.canvas import canvas_size
from rinr.training.dataset import RinrDataset
from rinr.training.detector import new_detector
from rinr.training.evaluate import Precision, evaluate
from rinr.training.jpegs import JpegDataset
from rinr.training.train import TrainingSettings, train
from rinr.version import __version__
from storage.credentials import Secrets, environment
from storage.devices import DeviceError, DeviceStorage
from storage.fleet import Device
from storage.folder import Folder
from storage.intake.device_labels import LabelFileError, UnsettledError, labels_of
from storage.outbox import OutboxError
from storage.places.device_paths import safe_spelling
from storage.shards.acknowledgement import MAX_REASON, MAX_REPORT_BYTES, RefusedShard
from storage.shards.faults import Fault, ShardError
from storage.shards.manifest import Manifest

MODEL, CURVE, REPORT = "model.safetensors", "curve.png", "report.json"

_TOLD = 5  # refused shards in one message


class DeviceJobError(RuntimeError):
    """A job that cannot be done; the message says why and what to do."""


class NothingToTrainError(DeviceJobError):
    """There is nothing to train on, or nothing yet."""


@dataclass(frozen=True)
class DeviceJob:
    """One device's training job.

    Attributes:
        device: whose: its inbox, its storage with its own JPEGs and labels, its home for model and report.
        training: epochs, batch size, learning rate, seed.
        longest_side: of the pictures trained on, at most, in pixels, 32 to 2048.
        torch_device: ``cpu``, ``cuda``, ...; ``auto`` takes a CUDA device where there is one.
        own_pictures: how many of its own JPEGs it is tested on at most, spread evenly over all.
        secrets: gives the secrets that the device's options refer to.
    """

    device: Device
    training: TrainingSettings = field(default_factory=TrainingSettings)
    longest_side: int = 320
    torch_device: str = "auto"
    own_pictures: int = 500
    secrets: Secrets = environment

    def __post_init__(self) -> None:
        if not 32 <= self.longest_side <= 2048:
            raise ValueError(f"longest_side is {self.longest_side}, expected 32 to 2048 pixels")
        if self.training.epochs > MAX_EPOCHS:
            raise ValueError(f"epochs is {self.training.epochs:,}, expected at most {MAX_EPOCHS:,}")
        if self.own_pictures < 1:
            raise ValueError(f"own_pictures is {self.own_pictures}, expected at least 1")


def run(job: DeviceJob, progress: Progress | None = None) -> DeviceReport:
    """Do a device job, or return the report of the same job done before.

    Shards that fail verification are refused with their reason in the report; the others are trained on.

    Raises:
        DeviceJobError: nothing to train on, or a setting that cannot be used.
        device.receiving.ContactError: the inbox cannot be read, or there is no space for what it holds.
        device.home.HomeError: the home cannot be used.
        storage.outbox.OutboxError: the outbox cannot be written.
        storage.shards.faults.KeyringError: the device's keys cannot be used.
        rinr.training.train.TrainingError: the loss is no longer a finite number.
    """
    tell = progress or _silent
    _torch_device(job)  # before anything is fetched
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


def finished_report(device: Device) -> DeviceReport | None:
    """The report of the device's last job, where it stands in the home folder with the model it vouches for."""
    home = Folder(device.home)
    try:
        report = parse_report(home.read(REPORT, MAX_REPORT_BYTES))
        model = (Path(device.home) / MODEL).read_bytes()
    except (OSError, ValueError):
        return None
    sound = hashlib.sha256(model).hexdigest() == report.model_sha256 and home.exists(CURVE)
    return report if sound else None


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
    torch_device = _torch_device(job)
    lesson, found = _lesson(job, torch_device, found, tell)
    own, notes = _own_pictures(job, lesson, torch_device)

    key = _key(job, torch_device, lesson, own, notes)
    report = finished_report(job.device)
    if report is None or report.key != key:
        model, report = _learn(job, key, lesson, own, notes, found, tell)
        _write(job, {MODEL: model, CURVE: draw_curve(report), REPORT: write_report(report)})
    as_found = replace(report, generation=found.generation, taken=found.taken, refused=found.refused[:MAX_REFUSED])
    if as_found != report:
        _write(job, {REPORT: write_report(as_found)})
    acknowledge(job.device, found, write_report(as_found), job.secrets)
    return as_found


@dataclass(frozen=True)
class _Lesson:
    """What is trained on.

    Attributes:
        shards: that are used, in their order.
        rows: the newest of each image.
        dataset: of the rows, on the torch device.
    """

    shards: tuple[Manifest, ...]
    rows: tuple[ShardRow, ...]
    dataset: RinrDataset


def _lesson(job: DeviceJob, torch_device: str, found: ReceiveReport, tell: Progress) -> tuple[_Lesson, ReceiveReport]:
    """Read what is stored, and what was found with the shards that turn out to be of no use."""
    received = look(job.device)
    shards: dict[Manifest, list[ShardRow]] = {}
    refused: list[RefusedShard] = []
    for done, manifest in enumerate(received.shards.values()):
        tell("verifying shards", done, len(received.shards))
        try:
            shards[manifest] = received.rows(manifest)
        except (ShardError, FileNotFoundError) as error:
            fault = error.fault if isinstance(error, ShardError) else Fault.MISSING
            if fault is not Fault.MALFORMED:
                received = discard(received, manifest)  # the disk has damaged it: it is wanted once more
            refused.append(_refused(manifest, fault, str(error)))
        except OSError as error:
            raise unusable(job.device, error) from error
    try:
        lesson = _as_lesson(job, torch_device, shards)
    except PayloadError:  # one that was damaged before it was signed must not stop the others
        for manifest, rows in list(shards.items()):
            try:
                RinrDataset(rows)
            except PayloadError as error:
                del shards[manifest]
                refused.append(_refused(manifest, Fault.MALFORMED, str(error)))
        lesson = _as_lesson(job, torch_device, shards)
    found = after_reading(found, received, refused)
    if lesson is None:
        raise NothingToTrainError(_nothing(job.device, shards, found))
    return lesson, found


def _as_lesson(job: DeviceJob, torch_device: str, shards: Mapping[Manifest, Sequence[ShardRow]]) -> _Lesson | None:
    """``None`` where there is nothing to learn from."""
    # A corrected label makes a new row of the same image: the newest counts.
    newest = {row.image_id: row for rows in shards.values() for row in rows}
    rows = tuple(newest[image_id] for image_id in sorted(newest))
    if not any(row.frame.boxes for row in rows):
        return None
    size = canvas_size([(row.frame.width, row.frame.height) for row in rows], job.longest_side)
    return _Lesson(tuple(shards), rows, RinrDataset(rows, size=size, device=torch_device))


def _nothing(device: Device, shards: Mapping[Manifest, Sequence[ShardRow]], found: ReceiveReport) -> str:
    frames = len({row.image_id for rows in shards.values() for row in rows})
    if frames:
        why = (
            f"none of the {frames:,} frames received has a labelled object; put an annotations.json (COCO detection "
            "format) beside the JPEGs they come from and ingest again"
        )
    elif found.refused:
        told = "; ".join(f"{one.name}: {one.reason}" for one in found.refused[:_TOLD])
        more = f"; and {len(found.refused) - _TOLD:,} more" if len(found.refused) > _TOLD else ""
        why = f"every shard in {device.inbox} was refused ({told}{more}); the fog node was told"
    else:
        why = f"the inbox {device.inbox} is empty; deliver to it first"
    return f"nothing to train {device.name} on: {why}"


def _refused(manifest: Manifest, fault: Fault, reason: str) -> RefusedShard:
    return RefusedShard(manifest.name, fault, safe_spelling(reason)[:MAX_REASON])


def _learn(
    job: DeviceJob,
    key: str,
    lesson: _Lesson,
    own: JpegDataset,
    notes: tuple[str, ...],
    found: ReceiveReport,
    tell: Progress,
) -> tuple[bytes, DeviceReport]:
    """Train a new detector: its weights as a file, and the report."""
    dataset = lesson.dataset
    torch_device = str(dataset.device)
    detector = new_detector(job.training.seed, torch_device)
    tell("testing the untrained detector", 0, 1)
    began = time.perf_counter()
    tested: tuple[RinrDataset | JpegDataset, ...] = (dataset, own)
    before = [evaluate(detector, pictures.batches(job.training.batch_size)) for pictures in tested]
    evaluate_seconds = time.perf_counter() - began

    epochs = train(detector, dataset, job.training, lambda done, total: tell("training", done, total))

    tell("testing the trained detector", 0, 1)
    began = time.perf_counter()
    after = [evaluate(detector, pictures.batches(job.training.batch_size)) for pictures in tested]
    evaluate_seconds += time.perf_counter() - began
    decoded, own_result = (_comparison(*compared) for compared in zip(tested, before, after, strict=True))
    assert decoded is not None  # that there are objects to learn was checked before

    # One entry alone: safetensors writes several in an order that differs from run to run.
    metadata = {"architecture": "rinr-detector-1"}
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in detector.state_dict().items()}
    model = safetensors.torch.save(weights, metadata)
    return model, DeviceReport(
        key=key,
        device=job.device.name,
        generation=found.generation,
        taken=found.taken,
        torch_device=torch_device,
        epochs=job.training.epochs,
        seed=job.training.seed,
        frames=len(dataset),
        objects=decoded.objects,
        shard_bytes=sum(manifest.bytes for manifest in lesson.shards),
        payload_bytes=sum(row.frame.bytes_total for row in lesson.rows),
        training_size=dataset.size,
        load_seconds=dataset.load_seconds,
        decode_seconds=sum(epoch.decode_seconds for epoch in epochs),
        train_seconds=sum(epoch.step_seconds for epoch in epochs),
        evaluate_seconds=evaluate_seconds,
        losses=tuple(epoch.loss for epoch in epochs),
        decoded=decoded,
        own=own_result,
        notes=notes,
        refused=found.refused[:MAX_REFUSED],
        model_sha256=hashlib.sha256(model).hexdigest(),
    )


def _own_pictures(job: DeviceJob, lesson: _Lesson, torch_device: str) -> tuple[JpegDataset, tuple[str, ...]]:
    """The device's own labelled pictures, less those that were trained on, and what a reader has to know of them."""
    notes: list[str] = []
    trained_on = set(lesson.dataset.image_ids)

    def frames() -> Iterator[Frame]:
        storage = DeviceStorage(job.device, job.secrets)
        try:
            listing = storage.list()
            files = sorted(listing.jpegs, key=lambda file: file.path)
            labels = labels_of(storage, listing)
            labels.prepare([file.path for file in files])
            labelled = [file for file in files if labels.has(file.path)]
        except (DeviceError, UnsettledError, LabelFileError) as error:
            notes.append(f"The device's own pictures cannot be used: {error}.")
            return
        if len(labelled) > job.own_pictures:
            notes.append(f"Tested on {job.own_pictures:,} of the device's {len(labelled):,} labelled pictures.")
            labelled = spread(labelled, job.own_pictures)
        for file in labelled:
            try:
                jpeg = storage.read(file.path)
                upright = check_jpeg(jpeg).size if labels.needs_size else None
                frame = working_frame(jpeg, labels.read(file.path, upright))
            except (DeviceError, ImageError, UnsettledError, LabelFileError) as error:
                notes.append(f"The device's own {file.path!r} was passed over: {error}.")
                continue
            if frame.image_id in trained_on:
                notes.append(f"The device's own {file.path!r} was received as well, so it is no test.")
                continue
            yield frame

    own = JpegDataset(frames(), size=lesson.dataset.size, device=torch_device)
    if not any(own.boxes):
        notes.append("The device has no labelled pictures of its own to test on, so precision on them is not known.")
    if len(notes) > MAX_NOTES:
        notes[MAX_NOTES - 1 :] = [f"There are {len(notes) - MAX_NOTES + 1:,} notes more."]
    return own, tuple(safe_spelling(note)[:MAX_NOTE] for note in notes)


def _comparison(
    pictures: RinrDataset | JpegDataset, before: Precision | None, after: Precision | None
) -> Comparison | None:
    if before is None or after is None:
        return None
    return Comparison(len(pictures), sum(map(len, pictures.boxes)), before, after)


def _key(job: DeviceJob, torch_device: str, lesson: _Lesson, own: JpegDataset, notes: tuple[str, ...]) -> str:
    """SHA-256 of all that the result follows from, times of day and folders aside."""
    document = {
        "version": __version__,
        "device": job.device.name,
        "torch_device": torch_device,
        "training": asdict(job.training),
        "longest_side": job.longest_side,
        "received": [manifest.sha256 for manifest in lesson.shards],
        "own": list(zip(own.image_ids, own.labels_ids, strict=True)),
        "notes": notes,
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _write(job: DeviceJob, files: dict[str, bytes]) -> None:
    home = Folder(job.device.home)
    try:
        for name, data in files.items():
            home.write(name, data)
    except OSError as error:
        raise unusable(job.device, error) from error
