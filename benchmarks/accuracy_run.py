"""One run of the experiment: a detector pre-trained on JPEGs, fine-tuned on what an arm sends, tested on JPEGs.

Runs of one seed are paired: the same pre-trained weights, the same order of pictures, the same augmentation. What is
done is a file, the weights of a pre-training or the scores of a run, under a name that holds a hash of all it depends
on, so that a run that was cut off goes on where it was.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from benchmarks.accuracy_arms import CAPTURED, NOTHING, Arm
from benchmarks.accuracy_encodings import Encodings, Pause, Sent, bare, key
from benchmarks.accuracy_pictures import Canvases, Remedies, captured, decoded, together
from benchmarks.accuracy_split import NewSequence
from rinr.files import write_whole
from rinr.folders import LabelledFolder, spread
from rinr.training.detector import Detections, Detector, detect, new_detector
from rinr.training.evaluate import mean_average_precision
from rinr.training.train import TrainingSettings, train

_KEPT_DETECTIONS = 20  # a picture, in a result file
_TEST_BATCH = 16


@dataclass(frozen=True)
class Settings:
    """What all runs of an experiment share.

    Attributes:
        canvas: ``(width, height)`` of the training size, in pixels.
        pre_frames: of each folder of the pre-training, at most.
        train_frames: of each new sequence, at most.
        test_frames: likewise.
        pre_epochs: of the pre-training.
        epochs: of the fine-tuning.
        batch_size: of both.
        pre_rate: highest learning rate of the pre-training.
        rate: of the fine-tuning.
        version: of what a run does; raised where code changes that, so that old results are not taken for new ones.
    """

    canvas: tuple[int, int] = (416, 240)
    pre_frames: int = 24
    train_frames: int = 16
    test_frames: int = 20
    pre_epochs: int = 20
    epochs: int = 20
    batch_size: int = 4
    pre_rate: float = 2e-3
    rate: float = 1e-3
    version: int = 3


@dataclass(frozen=True)
class Result:
    """Scores of one run, 0 to 1.

    Attributes:
        arm: its name.
        seed: of order and augmentation, and of the pre-trained weights.
        bytes_a_frame: mean of the training frames, by sequence.
        map50: by sequence.
        map50_95: by sequence.
        pooled50: of all test pictures at once.
        pooled50_95: likewise.
        presets: with which the frames were sent, by sequence.
        losses: mean of each epoch.
        seconds: wall time of fine-tuning and test.
        found: by sequence and test picture, the best detections as ``x0, y0, x1, y1, score``.
    """

    arm: str
    seed: int
    bytes_a_frame: dict[str, float]
    map50: dict[str, float]
    map50_95: dict[str, float]
    pooled50: float
    pooled50_95: float
    presets: dict[str, str]
    losses: list[float]
    seconds: float
    found: dict[str, list[list[list[float]]]]


class Experiment:
    """Runs by arm and seed, made where they are missing.

    Args:
        sequences: the new ones.
        others: folders of the pre-training.
        settings: of all runs.
        work: the folder for files.
        device: the torch device that trains.
        say: told what is being done.
        pause: see :data:`Pause`.
    """

    def __init__(
        self,
        sequences: Sequence[NewSequence],
        others: Sequence[LabelledFolder],
        settings: Settings,
        work: Path,
        device: str,
        say: Callable[[str], None],
        pause: Pause,
    ) -> None:
        self.sequences, self.others, self.settings = sequences, others, settings
        self.work, self.device, self.say, self.pause = work, device, say, pause
        self.encodings = Encodings(work / "encodings", say, pause)
        self._captured: dict[str, Canvases] = {}

    def done(self, arm: Arm, seed: int) -> bool:
        """Whether a run's result is there."""
        return self._path(arm, seed).exists()

    def result(self, arm: Arm, seed: int) -> Result:
        """A run's result; what is missing for it is made.

        Raises:
            rinr.training.train.TrainingError: the loss is no number any more.
        """
        path = self._path(arm, seed)
        if not path.exists():
            write_whole(path, json.dumps(asdict(self._run(arm, seed))).encode())
        return Result(**json.loads(path.read_bytes()))

    def bytes_a_frame(self, arm: Arm) -> dict[str, float]:
        """By sequence, of what an arm sends; what is missing is encoded."""
        if arm.base == NOTHING:
            return {sequence.name: 0.0 for sequence in self.sequences}
        if arm.base == CAPTURED:
            return {sequence.name: sequence.captured_bytes() for sequence in self.sequences}
        return {sequence.name: self._sent(arm, sequence).bytes_a_frame for sequence in self.sequences}

    def _run(self, arm: Arm, seed: int) -> Result:
        detector, losses = self._pre_trained(seed), []
        sizes = self.bytes_a_frame(arm)
        pictures = None if arm.base == NOTHING else self._pictures(arm)
        began = time.perf_counter()
        if pictures:
            self.say(f"fine-tuning {arm.name}, seed {seed}, on {len(pictures)} pictures")
            # As many steps as without the pictures that are mixed in.
            epochs = max(round(self.settings.epochs * self._new_count / len(pictures)), 1)
            losses = self._train(detector, pictures, epochs, self.settings.rate, seed)
        found = {sequence.name: self._found(detector, sequence) for sequence in self.sequences}
        truths = {sequence.name: self._test(sequence).boxes for sequence in self.sequences}
        scores = {name: mean_average_precision(found[name], truths[name]) for name in found}
        pooled = mean_average_precision([d for f in found.values() for d in f], [t for b in truths.values() for t in b])
        assert pooled
        return Result(
            arm=arm.name,
            seed=seed,
            bytes_a_frame=sizes,
            map50={name: score.map50 for name, score in scores.items() if score},
            map50_95={name: score.map50_95 for name, score in scores.items() if score},
            pooled50=pooled.map50,
            pooled50_95=pooled.map50_95,
            presets={s.name: self._sent(arm, s).preset for s in self.sequences} if _sends_payloads(arm) else {},
            losses=losses,
            seconds=time.perf_counter() - began,
            found={name: [_rows(one) for one in of_sequence] for name, of_sequence in found.items()},
        )

    def _pre_trained(self, seed: int) -> Detector:
        path = self.work / "detectors" / f"seed{seed}-{self._pre_key}.safetensors"
        detector = new_detector(seed, self.device)
        if not path.exists():
            self.say(f"pre-training, seed {seed}, on {len(self._old)} pictures")
            self._train(detector, self._old, self.settings.pre_epochs, self.settings.pre_rate, seed)
            write_whole(path, safetensors.torch.save(detector.state_dict()))
        detector.load_state_dict(safetensors.torch.load(path.read_bytes()))
        return detector

    def _train(self, detector: Detector, pictures: Canvases, epochs: int, rate: float, seed: int) -> list[float]:
        settings = TrainingSettings(epochs=epochs, batch_size=self.settings.batch_size, learning_rate=rate, seed=seed)
        history = train(detector, pictures, settings, progress=lambda done, total: self.pause())
        return [epoch.loss for epoch in history]

    def _found(self, detector: Detector, sequence: NewSequence) -> list[Detections]:
        detector.eval()
        return [one for batch in self._test(sequence).batches(_TEST_BATCH) for one in detect(detector, batch.images)]

    def _pictures(self, arm: Arm) -> Canvases:
        parts = [self._of_sequence(arm, sequence) for sequence in self.sequences]
        backgrounds = None
        if "dropped" in arm.changes:
            backgrounds = torch.cat([self._backgrounds(arm, sequence) for sequence in self.sequences])
        if "mixed" in arm.changes:
            parts.append(self._old)
            if backgrounds is not None:
                backgrounds = torch.cat([backgrounds, self._old.pictures])
        return together(
            parts,
            Remedies("blurred" in arm.changes, backgrounds, self._old.sources() if "patched" in arm.changes else ()),
        )

    def _of_sequence(self, arm: Arm, sequence: NewSequence) -> Canvases:
        truth = self._canvases(f"{sequence.name} train", lambda: sequence.frames(sequence.train))
        if arm.base == CAPTURED:
            return truth
        sent = self._sent(arm, sequence)
        return decoded(sent.rows, truth, self.device, parts=sent.parts, full="full" in arm.changes)

    def _backgrounds(self, arm: Arm, sequence: NewSequence) -> Tensor:
        """What the arm sends without its objects, ``[pictures, 3, height, width]``."""
        sent = self._sent(arm, sequence)
        rows = [bare(row) for row in sent.rows]
        truth = self._canvases(f"{sequence.name} train", lambda: sequence.frames(sequence.train))
        return decoded(rows, truth, self.device, parts=sent.parts, full="full" in arm.changes).pictures

    def _test(self, sequence: NewSequence) -> Canvases:
        return self._canvases(f"{sequence.name} test", lambda: sequence.frames(sequence.test))

    def _canvases(self, name: str, frames: Callable[[], Any]) -> Canvases:
        if name not in self._captured:
            self._captured[name] = captured(frames(), self.settings.canvas, self.device)
        return self._captured[name]

    def _sent(self, arm: Arm, sequence: NewSequence) -> Sent:
        return self.encodings.sent(
            arm.sent, sequence.name, lambda: list(sequence.frames(sequence.train)), self._ids[sequence.name]
        )

    @cached_property
    def _old(self) -> Canvases:
        return captured(self._old_frames(), self.settings.canvas, self.device)

    def _old_frames(self) -> Any:
        for folder in self.others:
            for file in spread(folder.files, self.settings.pre_frames):
                frame = folder.frame(file)
                if frame.boxes:
                    yield frame

    @cached_property
    def _new_count(self) -> int:
        return sum(len(sequence.train) for sequence in self.sequences)

    @cached_property
    def _ids(self) -> dict[str, list[str]]:
        return {s.name: ["".join(s.folder.ids(file)) for file in s.train] for s in self.sequences}

    @cached_property
    def _pre_key(self) -> str:
        old = [[folder.ids(file) for file in spread(folder.files, self.settings.pre_frames)] for folder in self.others]
        own = replace(self.settings, train_frames=0, test_frames=0, epochs=0, rate=0)
        return _hash([asdict(own), old])

    def _path(self, arm: Arm, seed: int) -> Path:
        sent = [key(arm.sent, self._ids[s.name]) for s in self.sequences] if _sends_payloads(arm) else []
        new = [[s.name, self._ids[s.name], [s.folder.ids(file) for file in s.test]] for s in self.sequences]
        name = _hash([self._pre_key, asdict(self.settings), arm.name, seed, sent, new])
        slug = "".join(c if c.isalnum() or c in "-@" else "_" for c in arm.name)
        return self.work / "results" / f"{slug}-seed{seed}-{name}.json"


def _sends_payloads(arm: Arm) -> bool:
    return arm.base not in (CAPTURED, NOTHING)


def _rows(one: Detections) -> list[list[float]]:
    rows = zip(one.boxes[:_KEPT_DETECTIONS].tolist(), one.scores[:_KEPT_DETECTIONS].tolist(), strict=True)
    return [[*(round(value, 1) for value in box), round(score, 4)] for box, score in rows]


def _hash(asked: Any) -> str:
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]
