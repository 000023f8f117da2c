"""Trainers as a user would write them: a small one that works, and some that do not."""

import safetensors.torch
import torch

from device.exercise import Exercise, Learned
from rinr.training.detector import Detections

seen: list[Exercise] = []


def corner(exercise: Exercise) -> Learned:
    """Learns the mean box, and says that it is everywhere."""
    seen.append(exercise)
    (exercise.folder / "mine").write_text(exercise.key)
    batches = exercise.pictures.batches(exercise.settings.batch_size, seed=exercise.settings.seed)
    boxes = torch.cat([target["boxes"] for batch in batches for target in batch.targets])
    before = safetensors.torch.load(exercise.start)["taught"] if exercise.start else torch.zeros(())
    exercise.progress("training", 1, 1)
    weights = safetensors.torch.save({"mean": boxes.mean(dim=0), "taught": before + 1})
    return Learned(weights, (1.0,), load=loaded, notes=("Taught.",))


def loaded(weights: bytes, torch_device: str):
    mean = safetensors.torch.load(weights)["mean"]
    return lambda images: [Detections(mean[None], torch.ones(1)) for _ in images]


def raises(exercise: Exercise) -> Learned:
    raise LookupError("no such layer\nand more")


def text(exercise: Exercise) -> str:
    return "done"


def rubbish(exercise: Exercise) -> Learned:
    return Learned(b"\x80\x04pickled", (1.0,), load=loaded)


def endless(exercise: Exercise) -> Learned:
    weights = safetensors.torch.save({"mean": torch.tensor([torch.nan])})
    return Learned(weights, (1.0,), load=loaded)


def lossless(exercise: Exercise) -> Learned:
    return Learned(safetensors.torch.save({"mean": torch.zeros(4)}), (float("nan"),), load=loaded)


def blind(exercise: Exercise) -> Learned:
    return Learned(safetensors.torch.save({"mean": torch.zeros(4)}), (1.0,), load=lambda *_: lambda images: ["box"])


def unloadable(exercise: Exercise) -> Learned:
    def refuse(weights: bytes, torch_device: str):
        raise ValueError("not mine")

    return Learned(safetensors.torch.save({"mean": torch.zeros(4)}), (1.0,), load=refuse)


def two_arguments(exercise: Exercise, more: int) -> Learned:
    raise AssertionError("never called")


number = 3
