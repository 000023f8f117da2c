# mypy: ignore-errors
"""The device job: verify what was delivered, train on it while it is decoded, test on own pictures, report.

It needs no server. What it leaves in the device's home folder:

- ``model.safetensors``: the trained detector's weights;
- ``curve.png``: loss and precision;
- ``report.json``: :class:`device.report.DeviceReport`, written last, so that it vouches for the other two.

The result follows from the received frames, the device's own pictures, the settings and the seed; on a CPU to the
last bit, for one number of threads. A job whose report stands there already is not done again.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import safetensors.torch

from device.curve import draw_curve
from device.report import Comparison, DeviceReport, Refused, parse_report, write_report
from rinr import accelerator
from rinr.codec.bytestream import PayloadError
from rinr.folders import spread
from rinr.frames import Frame, ImageError, check_jpeg, working_frame
from rinr.shard import ShardRow
from rinr.training.dataset import JpegDataset, RinrDataset, canvas_size
from rinr.training.detector import new_detector
from rinr.training.evaluate import Precision, evaluate
from rinr.training.train import TrainingSettings, train
from rinr.version import __version__
from storage.credentials import Secrets, environment
from storage.devices import DeviceError, DeviceStorage
from storage.fleet import Device
from storage.folder import Folder
from storage.inbox import Inbox
from storage.intake.device_labels import LabelFileError, UnsettledError, labels_of
from storage.shards.faults import ShardError

MODEL, CURVE, REPORT = "model.safetensors", "curve.png", "report.json"

_MAX_REPORT_BYTES = 16 * 1024 * 1024

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


class DeviceJobError(RuntimeError):
    """A job that cannot be done; the message says why and what to do."""


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
        if self.own_pictures < 1:
            raise ValueError(f"own_pictures is {self.own_pictures}, expected at least 1")


def run(job: DeviceJob, progress: Progress | None = None) -> DeviceReport:
    """Do a device job, or return the report of the same job done before.

    Shards that fail verification are refused with their reason in the report; the others are trained on.

    Raises:
        DeviceJobError: nothing to train on, or a setting that cannot be used.
        storage.inbox.InboxError: the inbox cannot be read.
        rinr.training.train.TrainingError: the loss is no longer a finite number.
    """
    tell = progress or (lambda what, done, total: None)
    try:
        torch_device = accelerator.torch_device(job.torch_device)
    except ValueError as error:
        raise DeviceJobError(f"{error}") from None
    received = _receive(job, tell)
    size = canvas_size([(row.frame.width, row.frame.height) for row in received.rows], job.longest_side)
    own, notes = _own_pictures(job, received.rows, size, torch_device)

    key = _key(job, torch_device, received, own, notes)
    finished = _finished(job, key)
    if finished:
        return finished

    dataset = RinrDataset(received.rows, size=size, device=torch_device)
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
    assert decoded is not None  # that there are objects to learn was checked on receipt

    # One entry alone: safetensors writes several in an order that differs from run to run.
    metadata = {"architecture": "rinr-detector-1"}
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in detector.state_dict().items()}
    model = safetensors.torch.save(weights, metadata)
    report = DeviceReport(
        key=key,
        device=job.device.name,
        torch_device=torch_device,
        epochs=job.training.epochs,
        seed=job.training.seed,
        frames=len(dataset),
        objects=decoded.objects,
        shard_bytes=received.shard_bytes,
        payload_bytes=sum(row.frame.bytes_total for row in received.rows),
        training_size=size,
        load_seconds=dataset.load_seconds,
        decode_seconds=sum(epoch.decode_seconds for epoch in epochs),
        train_seconds=sum(epoch.step_seconds for epoch in epochs),
        evaluate_seconds=evaluate_seconds,
        losses=tuple(epoch.loss for epoch in epochs),
        decoded=decoded,
        own=own_result,
        notes=notes,
        refused=received.refused,
        model_sha256=hashlib.sha256(model).hexdigest(),
    )
    _write(job, {MODEL: model, CURVE: draw_curve(report), REPORT: write_report(report)})
    return report


@dataclass(frozen=True)
class _Received:
    """What the inbox holds: the newest row of each image, the bytes of the shards taken, the shards refused."""

    rows: tuple[ShardRow, ...]
    shard_bytes: int
    refused: tuple[Refused, ...]


def _receive(job: DeviceJob, tell: Progress) -> _Received:
    inbox = Inbox(job.device.inbox, job.device.inbox_options, job.secrets)
    shards = inbox.shards()
    taken = []
    refused = []
    for done, shard in enumerate(shards):
        tell("verifying shards", done, len(shards))
        try:
            manifest = inbox.manifest(shard)
            rows = inbox.read(manifest, device=job.device.name)
            RinrDataset(rows)  # every network is parsed: one damaged at its source must not stop the others
        except (ShardError, PayloadError) as error:
            refused.append(Refused(shard, str(error)))
        else:
            taken.append((manifest, rows))
    taken.sort(key=lambda one: (one[0].sequence, one[0].shard))
    # A corrected label or a newer encoding makes a new row of the same image: the newest counts.
    newest = {row.image_id: row for _, rows in taken for row in rows}
    if not newest:
        why = "; ".join(f"{one.shard}: {one.reason}" for one in refused)
        state = (
            f"every shard in {job.device.inbox} was refused ({why}); have them sent again"
            if refused
            else f"the inbox {job.device.inbox} is empty; deliver to it first"
        )
        raise DeviceJobError(f"nothing to train {job.device.name} on: {state}")
    if not any(row.frame.boxes for row in newest.values()):
        raise DeviceJobError(
            f"nothing to train {job.device.name} on: none of the {len(newest)} frames in {job.device.inbox} "
            "has a labelled object; put an annotations.json (COCO detection format) beside the JPEGs they come from "
            "and ingest again"
        )
    ordered = tuple(newest[image_id] for image_id in sorted(newest))
    return _Received(ordered, sum(manifest.bytes for manifest, _ in taken), tuple(refused))


def _own_pictures(
    job: DeviceJob, received: Sequence[ShardRow], size: tuple[int, int], torch_device: str
) -> tuple[JpegDataset, tuple[str, ...]]:
    """The device's own labelled pictures, less those that were trained on, and what a reader has to know of them."""
    notes: list[str] = []
    trained_on = {row.image_id for row in received}

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

    own = JpegDataset(frames(), size=size, device=torch_device)
    if not any(own.boxes):
        notes.append("The device has no labelled pictures of its own to test on, so precision on them is not known.")
    return own, tuple(notes)


def _comparison(
    pictures: RinrDataset | JpegDataset, before: Precision | None, after: Precision | None
) -> Comparison | None:
    if before is None or after is None:
        return None
    return Comparison(len(pictures), sum(map(len, pictures.boxes)), before, after)


def _key(job: DeviceJob, torch_device: str, received: _Received, own: JpegDataset, notes: tuple[str, ...]) -> str:
    """SHA-256 of all that the report follows from, times of day and folders aside."""
    document = {
        "version": __version__,
        "device": job.device.name,
        "torch_device": torch_device,
        "training": asdict(job.training),
        "longest_side": job.longest_side,
        "received": [(row.image_id, row.labels_id, row.encoding_id) for row in received.rows],
        "shard_bytes": received.shard_bytes,
        "refused": [asdict(one) for one in received.refused],
        "own": list(zip(own.image_ids, own.labels_ids, strict=True)),
        "notes": notes,
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _finished(job: DeviceJob, key: str) -> DeviceReport | None:
    """The report of this very job, where it stands in the home folder with the model it vouches for."""
    home = Folder(job.device.home)
    try:
        report = parse_report(home.read(REPORT, _MAX_REPORT_BYTES))
        model = (Path(job.device.home) / MODEL).read_bytes()
    except (OSError, ValueError):
        return None
    sound = hashlib.sha256(model).hexdigest() == report.model_sha256 and home.exists(CURVE)
    return report if report.key == key and sound else None


def _write(job: DeviceJob, files: dict[str, bytes]) -> None:
    home = Folder(job.device.home)
    try:
        for name, data in files.items():
            home.write(name, data)
    except OSError as error:
        raise DeviceJobError(
            f"{job.device.home} cannot be written: {error.strerror or error}; "
            f"check `home` of {job.device.name} in the fleet file"
        ) from error
