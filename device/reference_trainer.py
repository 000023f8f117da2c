"""The reference trainer: the project's own detector, with checkpoints, so that a kill costs little.

- A checkpoint is written every ``KEEP_EVERY`` steps and at each epoch's end. Killed at any moment, the training goes on
  at the last one, and on a CPU ends with the same bytes. A checkpoint of another job is discarded, a damaged one is
  ignored, and where there is no space for one the training goes on without; the last two are noted.
- Where the loss is no longer a number, the training begins again at half the learning rate, once, and it is noted. It
  begins at its start and not at a checkpoint, so that the model does not depend on where one happens to lie.
"""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from device.exercise import Examined, Exercise, Learned
from device.home import write_durably
from rinr.training.checkpoint import CheckpointError, read_checkpoint, write_checkpoint
from rinr.training.detector import Detector, new_detector
from rinr.training.evaluate import Detect, Precision, detecting, find
from rinr.training.model import read_model, write_model
from rinr.training.train import DivergedError, Epoch, StateError, TrainingState, train

CHECKPOINT = "checkpoint.safetensors"
KEEP_EVERY = 100
"""Steps between checkpoints within an epoch."""

MAX_EXAMINED = 5
"""How often precision is measured on the way, evenly over the epochs."""


def train_reference(exercise: Exercise) -> Learned:
    """Train the reference detector.

    Raises:
        rinr.training.model.ModelError: the model to start from cannot be used.
        rinr.training.train.TrainingError: the loss is no longer a number at half the learning rate either, or there is
            no memory for a single picture.
    """
    checkpoints = _Checkpoints(exercise.folder / CHECKPOINT, exercise.key)
    state = checkpoints.last()
    whole, half = exercise.settings.learning_rate, exercise.settings.learning_rate / 2
    begun_with = write_model(_begin(exercise))
    notes: list[str] = []
    if state is None or state.learning_rate != half:
        try:
            return _learned(exercise, begun_with, whole, checkpoints, state, notes)
        except DivergedError:
            state = None
    notes.append(f"The loss was no longer a number at a learning rate of {whole:g}: it was halved, and begun again.")
    try:
        return _learned(exercise, begun_with, half, checkpoints, state, notes)
    except DivergedError as error:
        checkpoints.discard()
        raise DivergedError(f"{error}; the model in use stays in use") from None


def _learned(
    exercise: Exercise,
    begun_with: bytes,
    learning_rate: float,
    checkpoints: "_Checkpoints",
    state: TrainingState | None,
    notes: list[str],
) -> Learned:
    settings = replace(exercise.settings, learning_rate=learning_rate)
    detector = _begin(exercise)
    marks = _marks(settings.epochs)

    def examine(epoch: int) -> Precision | None:
        if epoch not in marks or not len(exercise.held_out):
            return None
        return find(detecting(detector), exercise.held_out, settings.batch_size).precision

    def training(state: TrainingState | None) -> list[Epoch]:
        return train(
            detector,
            exercise.pictures,
            settings,
            lambda done, total: exercise.progress("training", done, total),
            keep=checkpoints.keep,
            keep_every=KEEP_EVERY,
            resume=state,
            examine=examine,
        )

    try:
        epochs = training(state)
    except StateError:
        checkpoints.notes.append("The checkpoint was one of another training: it was begun anew.")
        state = None
        epochs = training(None)
    least = min(epoch.at_once for epoch in epochs)
    if least < settings.batch_size:
        notes.append(
            f"The accelerator ran out of memory: the {settings.batch_size} pictures of a step went through it "
            f"{least} at once."
        )
    return Learned(
        weights=write_model(detector),
        losses=tuple(epoch.loss for epoch in epochs),
        load=_load,
        begun_with=begun_with,
        examined=tuple(
            Examined(number, epoch.precision) for number, epoch in enumerate(epochs, 1) if epoch.precision is not None
        ),
        resumed_at=state.step if state else 0,
        decode_seconds=sum(epoch.decode_seconds for epoch in epochs),
        train_seconds=sum(epoch.step_seconds for epoch in epochs),
        notes=(*notes, *checkpoints.notes),
    )


def _begin(exercise: Exercise) -> Detector:
    if exercise.start is None:
        return new_detector(exercise.settings.seed, exercise.torch_device)
    return read_model(exercise.start, exercise.torch_device)


def _load(model: bytes, torch_device: str) -> Detect:
    return detecting(read_model(model, torch_device))


def _marks(epochs: int) -> set[int]:
    """The epochs after which precision is measured; not the last, after which it is measured anyway."""
    return {epochs * number // (MAX_EXAMINED + 1) for number in range(1, MAX_EXAMINED + 1)} - {0, epochs}


class _Checkpoints:
    """The one checkpoint of a job, the newest.

    Attributes:
        notes: what a reader has to know.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.notes: list[str] = []
        self._path, self._key = path, key
        self._without = False

    def last(self) -> TrainingState | None:
        """The state to go on from, where there is one of this job."""
        try:
            state = read_checkpoint(self._path.read_bytes(), self._key)
        except FileNotFoundError:
            return None
        except (OSError, CheckpointError) as error:
            self.notes.append(f"The checkpoint could not be used, and the training was begun anew: {error}.")
            state = None
        if state is None:
            self.discard()
        return state

    def keep(self, state: TrainingState) -> None:
        """Write a state; where it cannot be written, go on and note it once."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(self._path, write_checkpoint(state, self._key))
        except OSError as error:
            if not self._without:
                reason = error.strerror or error
                self.notes.append(
                    f"No checkpoint could be written at step {state.step:,}, and training went on: {reason}."
                )
            self._without = True

    def discard(self) -> None:
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
