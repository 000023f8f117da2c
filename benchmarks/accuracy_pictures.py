"""Pictures as the experiment trains on them: decoded once, on the canvas, whatever they came as.

All arms then share every line of the training: the order, the augmentation, and its arithmetic. What a device saves by
decoding in its loop is measured elsewhere; here it is what was lost before that counts.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from rinr.decoder import decode
from rinr.frames import Frame
from rinr.shard import ShardRow
from rinr.training.augment import augmented
from rinr.training.dataset import Batch, JpegDataset, RinrDataset, Target
from rinr.training.detector import OBJECT

BLURRED_SHARE, STRONGEST_BLUR = 0.5, 4.0
"""What ``blurred`` does: of this share of pictures the sides are divided by 1 to so much, and multiplied again."""

_AT_ONCE = 16


@dataclass(frozen=True, eq=False)
class Canvases:
    """Pictures with their boxes, in memory.

    Attributes:
        pictures: uint8 ``[pictures, 3, height, width]``.
        boxes: for each ``[objects, 4]``, ``x0, y0, x1, y1`` in pixels of the canvas.
        blurred: whether to blur some in training.
    """

    pictures: Tensor
    boxes: list[Tensor]
    blurred: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """``(width, height)`` of the canvas in pixels."""
        return self.pictures.shape[3], self.pictures.shape[2]

    @property
    def device(self) -> torch.device:
        """Where the pictures are."""
        return self.pictures.device

    def __len__(self) -> int:
        return len(self.pictures)

    def batches(
        self, batch_size: int, *, seed: int | None = None, epoch: int = 0, augment: bool = False, start: int = 0
    ) -> Iterator[Batch]:
        """One pass; order and augmentation follow from ``seed`` and ``epoch`` alone, the same for as many pictures."""
        order = torch.arange(len(self))
        if seed is not None:
            order = torch.randperm(len(self), generator=torch.Generator().manual_seed((seed << 20) + epoch))
        for number, chosen in enumerate(order.split(batch_size)):
            if number < start:
                continue
            images, boxes = self.pictures[chosen].float() / 255, [self.boxes[place] for place in chosen.tolist()]
            if augment:
                chance = torch.Generator().manual_seed(hash_of(seed or 0, epoch, number))
                images, boxes = augmented(images, boxes, chance)
                if self.blurred:
                    images = _blurred(images, chance)
            yield Batch(images, [_target(*pair) for pair in zip(chosen.tolist(), boxes, strict=True)])


def captured(frames: Iterable[Frame], size: tuple[int, int], device: str) -> Canvases:
    """Working frames of captured JPEGs, shrunk to the canvas."""
    dataset = JpegDataset(frames, size=size)
    return _canvases(dataset.batches(_AT_ONCE), device)


def decoded(rows: Sequence[ShardRow], truth: Canvases, device: str, *, full: bool = False) -> Canvases:
    """Payloads decoded straight at the size of the canvas, with the boxes of the same captured pictures.

    Args:
        full: decode at the working size and shrink, as is done with JPEGs.
    """
    if full:
        frames = (Frame(row.image_id, "", decode(row.frame), (), (row.frame.width, row.frame.height)) for row in rows)
        pictures = captured(frames, truth.size, device).pictures
    else:
        pictures = _canvases(RinrDataset(rows, size=truth.size).batches(_AT_ONCE), device).pictures
    return Canvases(pictures, truth.boxes)


def together(parts: Sequence[Canvases]) -> Canvases:
    """All pictures as one."""
    return Canvases(torch.cat([part.pictures for part in parts]), [boxes for part in parts for boxes in part.boxes])


def blurred(pictures: Canvases) -> Canvases:
    """The same, some of them blurred in training."""
    return replace(pictures, blurred=True)


def hash_of(seed: int, epoch: int, batch: int) -> int:
    """A seed for a batch's augmentation."""
    return (seed << 40) + (epoch << 20) + batch


def _canvases(batches: Iterable[Batch], device: str) -> Canvases:
    pictures, boxes = [], []
    for batch in batches:
        pictures.append((batch.images * 255).round().to(torch.uint8))
        boxes += [target["boxes"].to(device) for target in batch.targets]
    return Canvases(torch.cat(pictures).to(device), boxes)


def _blurred(images: Tensor, chance: torch.Generator) -> Tensor:
    height, width = images.shape[2:]
    out = images.clone()
    for place in range(len(images)):
        share, strength = torch.rand(2, generator=chance).tolist()
        if share < BLURRED_SHARE:
            by = STRONGEST_BLUR**strength
            small = functional.interpolate(
                images[place : place + 1], size=(round(height / by), round(width / by)), mode="area"
            )
            out[place] = functional.interpolate(small, size=(height, width), mode="bilinear", align_corners=False)[0]
    return out


def _target(index: int, boxes: Tensor) -> Target:
    return {
        "boxes": boxes,
        "labels": torch.full((len(boxes),), OBJECT, dtype=torch.int64, device=boxes.device),
        "image_id": torch.tensor(index, device=boxes.device),
    }
