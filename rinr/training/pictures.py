"""What a detector is trained and tested on: batches of pictures with their truth, and what gives them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

Target = dict[str, Tensor]
"""One picture's truth in torchvision's detection convention: ``boxes`` float32 ``[objects, 4]`` (``x0, y0, x1, y1`` in
pixels of the canvas), ``labels`` int64 ``[objects]`` (from 1: 0 is the background), ``image_id`` int64 scalar, the
picture's place in its dataset."""

Example = tuple[Tensor, Target]
"""One picture ``[3, height, width]`` with its truth, as torchvision's datasets give them."""


@dataclass(frozen=True)
class Batch:
    """Pictures with their truth.

    Attributes:
        images: float32 ``[batch, 3, height, width]`` in 0..1, on the dataset's torch device.
        targets: one a picture.
    """

    images: Tensor
    targets: list[Target]

    def examples(self) -> list[Example]:
        """The pictures one by one, each with its truth; they share the batch's memory."""
        return list(zip(self.images, self.targets, strict=True))

    def normalized(self, mean: Sequence[float], deviation: Sequence[float]) -> Tensor:
        """The pictures less a mean, over a deviation, of each colour: for detectors that do not do so themselves."""
        return (self.images - self.images.new_tensor(mean)[:, None, None]) / self.images.new_tensor(deviation)[
            :, None, None
        ]

    def to(self, device: str | torch.device) -> "Batch":
        """The same batch on another torch device."""
        targets = [{name: value.to(device, non_blocking=True) for name, value in t.items()} for t in self.targets]
        return Batch(self.images.to(device, non_blocking=True), targets)

    def pin_memory(self) -> "Batch":
        """The same batch in memory that a CUDA device reads directly: what ``DataLoader(pin_memory=True)`` calls."""
        targets = [{name: value.pin_memory() for name, value in target.items()} for target in self.targets]
        return Batch(self.images.pin_memory(), targets)


class Pictures(Protocol):
    """A source of batches.

    Attributes:
        size: ``(width, height)`` of its canvas in pixels.
        device: the torch device of its batches.
    """

    size: tuple[int, int]
    device: torch.device

    def __len__(self) -> int:
        """How many pictures there are."""

    def batches(
        self, batch_size: int, *, seed: int | None = None, epoch: int = 0, augment: bool = False, start: int = 0
    ) -> Iterator[Batch]:
        """One pass over all pictures.

        Args:
            batch_size: pictures a batch; the last one may be smaller.
            seed: of order and augmentation, which follow from it, ``epoch`` and a picture's place alone; without it, in
                order.
            epoch: the pass, from 0.
            augment: show the pictures otherwise, boxes along with them.
            start: batches to leave out. The others are what an uninterrupted pass gives from there on.
        """


def collate(examples: Sequence[Example]) -> Batch:
    """Examples as a batch: what to give a ``DataLoader`` as its ``collate_fn``."""
    images, targets = zip(*examples, strict=True)
    return Batch(torch.stack(images), list(targets))
