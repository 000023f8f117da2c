"""What a trainer is given and what it gives back: the contract between the device job and whoever trains.

A trainer is a function of one :class:`Exercise` that returns one :class:`Learned`. The reference detector has one
(``device/reference_trainer.py``); a device may name another (``device/trainer.py``), for example::

    def train(exercise: Exercise) -> Learned:
        model = MyDetector()
        if exercise.start:
            model.load_state_dict(safetensors.torch.load(exercise.start))
        losses = []
        for epoch in range(exercise.settings.epochs):
            for batch in exercise.pictures.batches(8, seed=exercise.settings.seed, epoch=epoch, augment=True):
                ...
            exercise.progress("training", epoch + 1, exercise.settings.epochs)
        return Learned(safetensors.torch.save(model.state_dict()), tuple(losses), load=my_loader)
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from device.home import Progress
from rinr.training.evaluate import Detect, Precision
from rinr.training.pictures import Pictures
from rinr.training.train import TrainingSettings


@dataclass(frozen=True)
class Exercise:
    """What a trainer is given.

    Attributes:
        pictures: to train on: received frames, decoded batch by batch, and own JPEGs.
        held_out: to look at on the way, never to train on; there may be none of them.
        settings: epochs, batch size, learning rate, seed. The same settings and pictures are to give the same model.
        start: the file of the model to start from, once written by this trainer; ``None``: start from the seed.
        torch_device: ``cpu``, ``cuda``, ...; where the pictures' batches lie.
        folder: of the trainer's own, for checkpoints. After a kill it is as it was left and the job is begun again
            with the same key; once the job is done it is emptied.
        key: of the job: a checkpoint that was written under another one is of another job.
        progress: to be told what is done, how much of it, and how much there is.
    """

    pictures: Pictures
    held_out: Pictures
    settings: TrainingSettings
    start: bytes | None
    torch_device: str
    folder: Path
    key: str
    progress: Progress


@dataclass(frozen=True)
class Examined:
    """Precision on held-out pictures on the way.

    Attributes:
        epoch: after which, from 1.
        precision: of the detector as it was then.
    """

    epoch: int
    precision: Precision


@dataclass(frozen=True)
class Learned:
    """What a trainer gives back.

    Attributes:
        weights: the model as a safetensors file. What is tested and kept is this file, not what made it.
        losses: mean training loss of each epoch; at least one.
        load: makes of a model's file and a torch device a function that detects: from pictures float32
            ``[batch, 3, height, width]`` in 0..1 to one :class:`rinr.training.detector.Detections` each. The file may
            be ``weights``, or an older one by the same trainer. It raises ``ValueError`` for one that it cannot use.
        begun_with: the file of the model that the training began with, to be compared with; ``None``: with nothing.
        examined: precision on the way, for the curve; at most twenty.
        resumed_at: the step at which it went on from a checkpoint; 0 where it began.
        decode_seconds: decoding and augmenting pictures in the loop; 0 where that is not known.
        train_seconds: the rest of the training; 0: as long as the trainer took, less that.
        notes: what a reader has to know, in sentences.
    """

    weights: bytes
    losses: tuple[float, ...]
    load: Callable[[bytes, str], Detect]
    begun_with: bytes | None = None
    examined: tuple[Examined, ...] = ()
    resumed_at: int = 0
    decode_seconds: float = 0.0
    train_seconds: float = 0.0
    notes: tuple[str, ...] = ()
