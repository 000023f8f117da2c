"""Training a detector on decoded frames: AdamW with a warm-up and cosine decay, seeded, a few epochs.

A training can be cut off between any two steps and gone on with: what it needs for that is a :class:`TrainingState`.
The rate of a step follows from its number, order and augmentation from the seed and the place of a picture, so that on
a CPU the weights in the end are the same bytes, however often it was cut off.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rinr.training.detector import detection_loss
from rinr.training.evaluate import Precision
from rinr.training.memory import fewer, make_room
from rinr.training.pictures import Batch, Pictures
from rinr.training.state import Epoch, TrainingState

__all__ = ["DivergedError", "Epoch", "StateError", "TrainingError", "TrainingSettings", "TrainingState", "train"]


class TrainingError(RuntimeError):
    """Training that cannot go on; the message says where and what to change."""


class StateError(TrainingError):
    """A state that a training cannot go on from: it is one of other pictures, settings or another detector."""


class DivergedError(TrainingError):
    """The loss is no longer a finite number: a lower learning rate may do."""


@dataclass(frozen=True)
class TrainingSettings:
    """What a training run depends on besides its frames.

    Attributes:
        epochs: passes over all frames.
        batch_size: pictures a step.
        learning_rate: the highest, after the warm-up.
        weight_decay: AdamW's.
        seed: of the order and the augmentation.
    """

    epochs: int = 20
    batch_size: int = 4
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"training setting {name} is {getattr(self, name)}, expected more than 0")
        if not 0 <= self.seed < 1 << 32:
            raise ValueError(f"training setting seed is {self.seed}, expected 0 to {(1 << 32) - 1}")


_WARM_UP = 0.1
_MAX_GRADIENT = 10.0


def train(
    detector: nn.Module,
    pictures: Pictures,
    settings: TrainingSettings,
    progress: Callable[[int, int], None] | None = None,
    *,
    keep: Callable[[TrainingState], None] | None = None,
    keep_every: int = 100,
    resume: TrainingState | None = None,
    examine: Callable[[int], Precision | None] | None = None,
) -> list[Epoch]:
    """Train in place, on the pictures' torch device, and return what each epoch did.

    Where the accelerator runs out of memory, a step's pictures go through it in parts whose gradients are added up,
    from that step on; the loss of a part counts by its share of the pictures.

    Args:
        detector: on the pictures' torch device.
        progress: called with epochs done and epochs in all.
        keep: called with the state every ``keep_every`` steps and at each epoch's end.
        keep_every: steps.
        resume: a state that ``keep`` was given, by a training of the same pictures and settings.
        examine: called with the number of each epoch that is finished; what it returns stands in :class:`Epoch`.

    Raises:
        DivergedError: the loss is no longer a finite number; the detector is then of no use.
        TrainingError: the accelerator has no memory for a single picture.
        StateError: the state to go on from is not one of this detector, these pictures and settings; nothing is done.
    """
    run = _Run(detector, pictures, settings)
    if resume:
        run.restore(resume)
    detector.train()
    batches: Iterator[Batch] | None = None
    while run.step < run.steps:
        batches = batches or run.batches()
        if not run.try_step(batches):
            batches = None
            continue
        done, rest = divmod(run.step, run.steps_an_epoch)
        if not rest:
            batches = None
            run.end_epoch(examine(done) if examine else None)
            detector.train()
        if keep and (not rest or run.step % keep_every == 0):
            keep(run.state())
        if progress and not rest:
            progress(done, settings.epochs)
    return run.epochs


class _Run:
    """A training as it goes."""

    def __init__(self, detector: nn.Module, pictures: Pictures, settings: TrainingSettings) -> None:
        self.steps_an_epoch = -(-len(pictures) // settings.batch_size)
        self.steps = settings.epochs * self.steps_an_epoch
        self.step = 0
        self.epochs: list[Epoch] = []
        self._detector, self._pictures, self._settings = detector, pictures, settings
        self._names = [name for name, _ in detector.named_parameters()]
        self._optimizer = torch.optim.AdamW(
            detector.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )
        self._at_once = settings.batch_size
        self._loss_sum = self._decode_seconds = self._step_seconds = 0.0

    def batches(self) -> Iterator[Batch]:
        """What is left of this epoch, as many pictures a batch as go through the accelerator at once."""
        epoch, batch = divmod(self.step, self.steps_an_epoch)
        start = batch * (self._settings.batch_size // self._at_once)
        return iter(
            self._pictures.batches(self._at_once, seed=self._settings.seed, epoch=epoch, augment=True, start=start)
        )

    def try_step(self, batches: Iterator[Batch]) -> bool:
        """Do a step, or see that the next attempt needs less memory."""
        try:
            loss = self._gradients(batches)
        except torch.OutOfMemoryError:
            loss = None
        if loss is None:
            if self._at_once == 1:
                raise TrainingError(
                    "the accelerator has no memory for a single picture: train on smaller pictures, or on the CPU"
                )
            self._at_once = fewer(self._at_once)
            self._optimizer.zero_grad()
            make_room(self._pictures.device)
            return False
        self._update()
        self._loss_sum += loss
        self.step += 1
        return True

    def end_epoch(self, precision: Precision | None) -> None:
        mean = self._loss_sum / self.steps_an_epoch
        self.epochs.append(Epoch(mean, self._decode_seconds, self._step_seconds, self._at_once, precision))
        self._loss_sum = self._decode_seconds = self._step_seconds = 0.0

    def state(self) -> TrainingState:
        kept = self._optimizer.state_dict()["state"]

        def moments(name: str) -> dict[str, Tensor]:
            return {of: _kept(kept[place][name]) for place, of in enumerate(self._names) if place in kept}

        return TrainingState(
            step=self.step,
            learning_rate=self._settings.learning_rate,
            at_once=self._at_once,
            epochs=tuple(self.epochs),
            loss_sum=self._loss_sum,
            decode_seconds=self._decode_seconds,
            step_seconds=self._step_seconds,
            weights={name: _kept(tensor) for name, tensor in self._detector.state_dict().items()},
            means=moments("exp_avg"),
            squares=moments("exp_avg_sq"),
        )

    def restore(self, state: TrainingState) -> None:
        if (
            not 0 <= state.step <= self.steps
            or len(state.epochs) != state.step // self.steps_an_epoch
            or state.at_once < 1
            or self._settings.batch_size % state.at_once
            or state.learning_rate != self._settings.learning_rate
        ):
            raise StateError("the state to go on from is one of other pictures or other settings")
        _check_shapes(state.weights, self._detector.state_dict())
        for moments in (state.means, state.squares):
            _check_shapes(moments, dict(self._detector.named_parameters()) if state.step else {})
        self._detector.load_state_dict(dict(state.weights))
        if state.step:
            moments_of = {
                place: {
                    "step": torch.tensor(float(state.step)),
                    "exp_avg": state.means[name].clone(),
                    "exp_avg_sq": state.squares[name].clone(),
                }
                for place, name in enumerate(self._names)
            }
            groups = self._optimizer.state_dict()["param_groups"]
            self._optimizer.load_state_dict({"state": moments_of, "param_groups": groups})
        self.step, self.epochs, self._at_once = state.step, list(state.epochs), state.at_once
        self._loss_sum = state.loss_sum
        self._decode_seconds, self._step_seconds = state.decode_seconds, state.step_seconds

    def _gradients(self, batches: Iterator[Batch]) -> float:
        """Loss of a step, its gradients added up over the parts that it goes through the accelerator in."""
        place = self.step % self.steps_an_epoch * self._settings.batch_size
        pictures = min(self._settings.batch_size, len(self._pictures) - place)
        total, done = 0.0, 0
        while done < pictures:
            before = time.perf_counter()
            batch = next(batches)
            _wait(self._pictures.device)
            decoded = time.perf_counter()
            loss = detection_loss(self._detector(batch.images), [target["boxes"] for target in batch.targets])
            if len(batch.images) < pictures:
                loss = loss * (len(batch.images) / pictures)
            value = loss.item()
            if not math.isfinite(value):
                epoch, number = divmod(self.step, self.steps_an_epoch)
                raise DivergedError(
                    f"the loss is {value} in epoch {epoch + 1}, batch {number + 1}: "
                    f"train with a learning rate below {self._settings.learning_rate:g}"
                )
            loss.backward()
            _wait(self._pictures.device)
            self._decode_seconds += decoded - before
            self._step_seconds += time.perf_counter() - decoded
            total, done = total + value, done + len(batch.images)
        return total

    def _update(self) -> None:
        before = time.perf_counter()
        torch.nn.utils.clip_grad_norm_(self._detector.parameters(), _MAX_GRADIENT)
        for group in self._optimizer.param_groups:
            group["lr"] = self._settings.learning_rate * _rate(self.step, self.steps)
        self._optimizer.step()
        self._optimizer.zero_grad()
        _wait(self._pictures.device)
        self._step_seconds += time.perf_counter() - before


def _rate(step: int, steps: int) -> float:
    """The learning rate's share at a step: up in a straight line, then down a cosine."""
    warm_up = max(round(steps * _WARM_UP), 1)
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(steps - warm_up, 1)))


def _kept(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True).contiguous()


def _check_shapes(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    if {name: tuple(tensor.shape) for name, tensor in found.items()} != {
        name: tuple(tensor.shape) for name, tensor in expected.items()
    }:
        raise StateError("the state to go on from is one of another detector")


def _wait(device: torch.device) -> None:
    """Let queued work finish, so that a clock read afterwards tells whose time it was."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
