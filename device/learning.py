"""Learning: a trainer is given the pictures, and what it made is tested beside the model that is in use."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from device.curve import draw_curve
from device.drawing import as_jpeg, draw_detections, sheet
from device.exercise import Exercise, Learned
from device.home import Progress
from device.lesson import Lesson
from device.own_pictures import OwnPictures
from device.page import draw_page
from device.promotion import judge
from device.report import MAX_NOTE, MAX_NOTES, Comparison, DeviceReport
from device.results import CURVE, PAGE, SHEET
from device.trainer import Trainer
from device.unfinished import Beginning
from rinr.training.dataset import RinrDataset
from rinr.training.detector import Detections
from rinr.training.evaluate import Detect, Findings, Precision, find
from rinr.training.jpegs import JpegDataset
from rinr.training.mixture import Together
from rinr.training.patches import Patched
from rinr.training.sizes import by_size
from rinr.training.train import TrainingError, TrainingSettings
from rinr.version import __version__
from storage.places.device_paths import safe_spelling

_NOTHING = Precision(0.0, 0.0)
_TOLD = 150  # characters of an error


@dataclass(frozen=True)
class Plan:
    """What is to be learned, and how.

    Attributes:
        device: its name.
        settings: of the training.
        trainer: who trains.
        goes_on: whether it starts from the model in use, where there is one.
        margin: of the promotion.
        lesson: what was received.
        own: the device's own pictures.
    """

    device: str
    settings: TrainingSettings
    trainer: Trainer
    goes_on: bool
    margin: float
    lesson: Lesson
    own: OwnPictures


@dataclass(frozen=True)
class Result:
    """What was learned.

    Attributes:
        model: its file.
        report: of the job, as if nothing had been refused.
        files: to stand beside the report, by name.
    """

    model: bytes
    report: DeviceReport
    files: Mapping[str, bytes]


def job_key(plan: Plan) -> str:
    """SHA-256 of all that the result follows from: times of day, folders and the model that was in use aside.

    That one stands in the report. Were it in the key, each job that is done would be another one.
    """
    dataset, own = plan.lesson.dataset, plan.own
    on_cpu = dataset.device.type == "cpu"
    document = {
        "version": __version__,
        "torch": torch.__version__,
        "device": plan.device,
        "torch_device": str(dataset.device),
        "threads": torch.get_num_threads() if on_cpu else None,  # sums are split over them
        "training": asdict(plan.settings),
        "size": dataset.size,
        "trainer": [plan.trainer.name, plan.trainer.architecture, plan.trainer.source],
        "goes_on": plan.goes_on,
        "margin": plan.margin,
        "received": [manifest.sha256 for manifest in plan.lesson.shards],
        "trained": list(zip(own.training.image_ids, own.training.labels_ids, strict=True)),
        "held out": list(zip(own.held_out.image_ids, own.held_out.labels_ids, strict=True)),
        "notes": own.notes,
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def learn(plan: Plan, key: str, beginning: Beginning, tell: Progress) -> Result:
    """Train, test and judge. Nothing is written but what the trainer keeps in its folder.

    Args:
        plan: what to do.
        key: of the job.
        beginning: where it began, perhaps before it was killed.
        tell: is told what is done.

    Raises:
        TrainingError: the training failed.
    """
    dataset, own, trainer = plan.lesson.dataset, plan.own, plan.trainer
    torch_device, held_out = str(dataset.device), own.held_out
    start = beginning.model if plan.goes_on else None
    began = time.perf_counter()
    learned = trainer.train(
        Exercise(
            pictures=Together([Patched(dataset, own.training), own.training]) if len(own.training) else dataset,
            held_out=held_out,
            settings=plan.settings,
            start=start,
            torch_device=torch_device,
            folder=beginning.folder,
            key=hashlib.sha256(f"{key} {beginning.model_sha256}".encode()).hexdigest(),
            progress=tell,
        )
    )
    train_seconds = learned.train_seconds or time.perf_counter() - began - learned.decode_seconds

    tell("testing", 0, 1)
    began = time.perf_counter()
    tests = _Tests(dataset, held_out, plan.settings.batch_size)
    notes = [*plan.lesson.notes, *own.notes, *dataset.notes, *beginning.notes, *learned.notes]
    load = _loader(trainer, learned, torch_device)
    after = tests.of(load, learned.weights, "the model that it made")
    before = tests.of(load, learned.begun_with, "the model that it began with") if learned.begun_with else None
    compared: Precision | None = None
    if beginning.model and beginning.model == learned.begun_with and before:
        compared = before.deciding.precision
    elif beginning.model:
        try:
            compared = tests.of(load, beginning.model, "the model in use").deciding.precision
        except TrainingError as error:
            notes.append(f"The model in use could not be tested, and is replaced: {error}.")
    new = after.deciding.precision
    assert new is not None  # that there are objects to learn was checked before
    verdict = judge(new, compared, plan.margin, "held-out own pictures" if tests.has_own else "received frames")
    decoded = _comparison(dataset, before.decoded if before else None, after.decoded)
    assert decoded is not None
    model_sha256 = hashlib.sha256(learned.weights).hexdigest()
    report = DeviceReport(
        key=key,
        device=plan.device,
        generation=0,
        taken=0,
        torch_device=torch_device,
        epochs=len(learned.losses),
        seed=plan.settings.seed,
        frames=len(dataset),
        objects=decoded.objects,
        shard_bytes=sum(manifest.bytes for manifest in plan.lesson.shards),
        payload_bytes=_payload_bytes(plan.lesson),
        training_size=dataset.size,
        load_seconds=dataset.load_seconds,
        decode_seconds=float(learned.decode_seconds),
        train_seconds=float(train_seconds),
        evaluate_seconds=time.perf_counter() - began,
        losses=tuple(map(float, learned.losses)),
        decoded=decoded,
        own=_comparison(held_out, before.own if before else None, after.own) if tests.has_own else None,
        notes=_told(notes),
        refused=(),
        model_sha256=model_sha256,
        trainer=trainer.name,
        own_frames=len(own.training),
        started_from=beginning.model_sha256 if start else None,
        resumed_at=int(learned.resumed_at),
        promoted=verdict.promoted,
        verdict=verdict.why,
        compared=compared,
        in_use_sha256=model_sha256 if verdict.promoted else beginning.model_sha256 or "",
        examined=learned.examined,
        sizes=by_size(after.deciding.found, after.deciding.truths),
    )
    pictures = draw_detections(held_out if tests.has_own else dataset, after.deciding)
    page = draw_page(report, [as_jpeg(picture) for picture in pictures])
    files = {CURVE: draw_curve(report), SHEET: as_jpeg(sheet(pictures)), PAGE: page}
    return Result(learned.weights, report, files)


def _payload_bytes(lesson: Lesson) -> int:
    """Bytes of the frames' payloads and of what they share."""
    return sum(row.frame.bytes_total for row in lesson.rows) + sum(len(part.payload) for part in lesson.parts)


@dataclass(frozen=True)
class _Tested:
    """What one model found in received frames, and in own pictures where objects are labelled in any."""

    decoded: Findings
    own: Findings | None

    @property
    def deciding(self) -> Findings:
        """The findings that a promotion is decided by."""
        return self.own or self.decoded


class _Tests:
    """The pictures that models are tested on."""

    def __init__(self, decoded: RinrDataset, own: JpegDataset, batch_size: int) -> None:
        self.has_own = any(own.boxes)
        self._decoded, self._own, self._batch_size = decoded, own, batch_size

    def of(self, load: Callable[[bytes], Detect], model: bytes, what: str) -> _Tested:
        """Test a model's file.

        Raises:
            TrainingError: it cannot be loaded, or does not detect.
        """
        try:
            detect = load(model)
            own = find(detect, self._own, self._batch_size) if self.has_own else None
            return _Tested(find(detect, self._decoded, self._batch_size), own)
        except torch.OutOfMemoryError:
            raise TrainingError("the accelerator has no memory to test on a single picture: use smaller ones") from None
        except Exception as error:  # a user's code raises what it likes
            told = f"{type(error).__name__}: {str(error)[:_TOLD]}"
            raise TrainingError(f"{what} could not be tested: {told}") from error


def _loader(trainer: Trainer, learned: Learned, torch_device: str) -> Callable[[bytes], Detect]:
    """Makes of a model's file a function whose answers are checked."""

    def load(model: bytes) -> Detect:
        detect = learned.load(model, torch_device)

        def checked(images: Tensor) -> Sequence[Detections]:
            found = detect(images)
            if len(found) != len(images) or not all(isinstance(one, Detections) for one in found):
                raise TypeError(
                    f"the trainer {trainer.name} answered {len(images)} pictures with something else than as many "
                    "rinr.training.detector.Detections"
                )
            return found

        return checked

    return load


def _comparison(
    pictures: RinrDataset | JpegDataset, before: Findings | None, after: Findings | None
) -> Comparison | None:
    precision = after.precision if after else None
    if precision is None:
        return None
    earlier = before.precision if before else None
    return Comparison(len(pictures), sum(map(len, pictures.boxes)), earlier or _NOTHING, precision)


def _told(notes: list[str]) -> tuple[str, ...]:
    if len(notes) > MAX_NOTES:
        notes = [*notes[: MAX_NOTES - 1], f"There are {len(notes) - MAX_NOTES + 1:,} notes more."]
    return tuple(safe_spelling(note)[:MAX_NOTE] for note in notes)
