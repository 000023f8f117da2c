"""Training a detector on decoded frames: AdamW with a warm-up and cosine decay, seeded, a few epochs."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from rinr.training.dataset import RinrDataset
from rinr.training.detector import Detector, detection_loss


class TrainingError(RuntimeError):
    """Training that cannot go on; the message says where and what to change."""


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


@dataclass(frozen=True)
class Epoch:
    """One pass over the frames.

    Attributes:
        loss: mean over its batches.
        decode_seconds: wall time of decoding and augmenting its batches.
        step_seconds: wall time of the rest: forward, backward, update.
    """

    loss: float
    decode_seconds: float
    step_seconds: float


_WARM_UP = 0.1
_MAX_GRADIENT = 10.0


def train(
    detector: Detector,
    dataset: RinrDataset,
    settings: TrainingSettings,
    progress: Callable[[int, int], None] | None = None,
) -> list[Epoch]:
    """Train in place, on the dataset's torch device, and return what each epoch did.

    Args:
        detector: on the dataset's torch device.
        progress: called with epochs done and epochs in all.

    Raises:
        TrainingError: the loss is no longer a finite number; the detector is then of no use.
    """
    steps = settings.epochs * -(-len(dataset) // settings.batch_size)
    optimizer = torch.optim.AdamW(detector.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    detector.train()
    epochs = []
    for epoch in range(settings.epochs):
        loss_sum, batches, decoded = 0.0, 0, 0.0
        began = before = time.perf_counter()
        for batch in dataset.batches(settings.batch_size, seed=settings.seed, epoch=epoch, augment=True):
            _wait(dataset.device)
            decoded += time.perf_counter() - before
            loss = detection_loss(detector(batch.images), [target["boxes"] for target in batch.targets])
            value = loss.item()
            if not math.isfinite(value):
                raise TrainingError(
                    f"the loss is {value} in epoch {epoch + 1}, batch {batches + 1}: "
                    f"train with a learning rate below {settings.learning_rate:g}"
                )
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(detector.parameters(), _MAX_GRADIENT)
            optimizer.step()
            schedule.step()
            loss_sum, batches = loss_sum + value, batches + 1
            _wait(dataset.device)
            before = time.perf_counter()
        epochs.append(Epoch(loss_sum / batches, decoded, time.perf_counter() - began - decoded))
        if progress:
            progress(epoch + 1, settings.epochs)
    return epochs


def _rate(step: int, steps: int) -> float:
    """The learning rate's share at a step: up in a straight line, then down a cosine."""
    warm_up = max(round(steps * _WARM_UP), 1)
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(steps - warm_up, 1)))


def _wait(device: torch.device) -> None:
    """Let queued work finish, so that a clock read afterwards tells whose time it was."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
