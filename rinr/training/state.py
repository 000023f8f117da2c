"""How far a training is: what has to be known between two steps to go on as if nothing had happened."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from rinr.training.evaluate import Precision


@dataclass(frozen=True)
class Epoch:
    """One pass over the pictures.

    Attributes:
        loss: mean over its steps.
        decode_seconds: wall time of decoding and augmenting its batches.
        step_seconds: wall time of the rest: forward, backward, update.
        at_once: pictures that went through the accelerator together at its end; fewer than a step has where memory
            ran out.
        precision: measured after it, where it was.
    """

    loss: float
    decode_seconds: float
    step_seconds: float
    at_once: int = 0
    precision: Precision | None = None


@dataclass(frozen=True)
class TrainingState:
    """A training between two steps. No random state is in it: order and augmentation follow from seed and place.

    Attributes:
        step: steps done, over all epochs; with the number of pictures it says in which epoch and batch.
        learning_rate: the settings'.
        at_once: as of :class:`Epoch`.
        epochs: that are finished.
        loss_sum: over the steps of the epoch that is not.
        decode_seconds: of the same.
        step_seconds: of the same.
        weights: the detector's, by name, on the CPU.
        means: AdamW's running means of the gradients, by the weights' names; none before the first step.
        squares: likewise of their squares.
    """

    step: int
    learning_rate: float
    at_once: int
    epochs: tuple[Epoch, ...]
    loss_sum: float
    decode_seconds: float
    step_seconds: float
    weights: Mapping[str, Tensor]
    means: Mapping[str, Tensor]
    squares: Mapping[str, Tensor]
