"""Batches to train and to test a detector on: decoded from network weights, or read from JPEGs.

Both datasets put pictures of any size on one canvas of the training size: scaled to fit with their aspect
kept, at the top left, grey where the canvas is not covered ("letterboxed"). A stretched picture would fill
the canvas, but an upright and a lying picture of one object would then look like two; and with the aspect
kept a box has the same overlap with another on the canvas as in the captured picture, so that precision can
be measured here.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from rinr.boxes import Box
from rinr.decoder import load
from rinr.frames import Frame, resize
from rinr.shard import ShardRow, from_table
from rinr.training.augment import augmented
from rinr.training.detector import OBJECT, STRIDE

GREY = 0.5
"""The canvas where no picture lies, in 0..1: what the detector reads as zero."""

Target = dict[str, Tensor]
"""One picture's truth in torchvision's detection convention: ``boxes`` float32 ``[objects, 4]`` (``x0, y0,
x1, y1`` in pixels of the canvas), ``labels`` int64 ``[objects]`` (all ``OBJECT``), ``image_id`` int64 scalar,
the picture's place in its dataset."""


@dataclass(frozen=True)
class Batch:
    """Pictures with their truth.

    Attributes:
        images: float32 ``[batch, 3, height, width]`` in 0..1, on the dataset's torch device.
        targets: one a picture.
    """

    images: Tensor
    targets: list[Target]


class RinrDataset:
    """Encoded frames as a dataset: entropy decoding once, here; pixels in every batch, on the accelerator.

    No picture file is ever written, and no decoded picture outlives its batch::

        dataset = RinrDataset("shard.parquet", device="cuda")
        for epoch in range(20):
            for batch in dataset.batches(8, seed=0, epoch=epoch, augment=True):
                loss = detection_loss(detector(batch.images), [target["boxes"] for target in batch.targets])

    Args:
        source: shard rows, an Arrow table with the columns of :data:`rinr.shard.SHARD`, or the path of such a
            Parquet file.
        size: ``(width, height)`` of the canvas in pixels, multiples of ``STRIDE``; by default what
            :func:`canvas_size` chooses for the frames.
        device: the torch device that holds the weights and decodes.

    Raises:
        ValueError: no rows, a missing column, or sides that are no multiples of the stride.
        rinr.codec.bytestream.PayloadError: a payload that cannot be decoded.

    Attributes:
        size: ``(width, height)`` of the canvas in pixels.
        image_ids: of the rows, in their order.
        boxes: of each row, in pixels of its working frame.
        load_seconds: wall time of the entropy decoding.
    """

    def __init__(
        self,
        source: Sequence[ShardRow] | pa.Table | str | Path,
        *,
        size: tuple[int, int] | None = None,
        device: str = "cpu",
    ) -> None:
        rows = _rows(source)
        if not rows:
            raise ValueError("no encoded frames to train on: the shard has no rows")
        self.image_ids = tuple(row.image_id for row in rows)
        self.boxes = tuple(row.frame.boxes for row in rows)
        self.device = torch.device(device)
        self._sizes = [(row.frame.width, row.frame.height) for row in rows]
        self.size = _checked(size) if size else canvas_size(self._sizes)
        began = time.perf_counter()
        self._loaded = load([row.frame for row in rows], device)
        self.load_seconds = time.perf_counter() - began

    def __len__(self) -> int:
        return len(self._sizes)

    def batches(
        self, batch_size: int, *, seed: int | None = None, epoch: int = 0, augment: bool = False
    ) -> Iterator[Batch]:
        """One pass over all frames, decoded batch by batch.

        Args:
            batch_size: pictures a batch; the last one may be smaller.
            seed: of order and augmentation, which follow from it and ``epoch`` alone; without it, in order.
            epoch: the pass, from 0.
            augment: mirror, scale, move and light the pictures, boxes with them.
        """
        chance = torch.Generator().manual_seed(((seed or 0) << 20) + epoch)
        order = torch.randperm(len(self), generator=chance).tolist() if seed is not None else list(range(len(self)))
        for start in range(0, len(order), batch_size):
            batch = self._decode(order[start : start + batch_size])
            if augment:
                images, boxes = augmented(batch.images, [target["boxes"] for target in batch.targets], chance)
                targets = [_retarget(*pair) for pair in zip(batch.targets, boxes, strict=True)]
                batch = Batch(images, targets)
            yield batch

    def _decode(self, indices: list[int]) -> Batch:
        images = _canvas(len(indices), self.size, self.device)
        fitted = [fit(self._sizes[index], self.size) for index in indices]
        sizes = sorted(set(fitted))
        for width, height in sizes:
            if len(sizes) == 1:  # as in most shards: no copy is needed
                self._loaded.render(indices, width, height, out=images[:, :, :height, :width])
                break
            places = [place for place, size in enumerate(fitted) if size == (width, height)]
            decoded = self._loaded.render([indices[place] for place in places], width, height)
            images[places, :, :height, :width] = decoded
        targets = [
            _target(index, self.boxes[index], self._sizes[index], size, self.device)
            for index, size in zip(indices, fitted, strict=True)
        ]
        return Batch(images, targets)


class JpegDataset:
    """Working frames of JPEGs as a dataset of the same batches; for a device's own pictures in evaluation.

    Args:
        frames: in the order of the batches; taken one by one, each kept at the training size, in 8 bits.
        size: ``(width, height)`` of the canvas in pixels, multiples of ``STRIDE``.
        device: the torch device of the batches.

    Attributes:
        size: as given.
        image_ids: of the frames, in their order.
        labels_ids: likewise.
        boxes: of each frame, in pixels of its working frame.
    """

    def __init__(self, frames: Iterable[Frame], *, size: tuple[int, int], device: str = "cpu") -> None:
        self.size = _checked(size)
        self.device = torch.device(device)
        self._pictures: list[Tensor] = []
        self._targets: list[Target] = []
        image_ids, labels_ids, boxes = [], [], []
        for frame in frames:
            fitted = fit(frame.size, self.size)
            self._targets.append(_target(len(self), frame.boxes, frame.size, fitted, self.device))
            self._pictures.append(torch.from_numpy(resize(frame.pixels, fitted).copy()))
            image_ids.append(frame.image_id)
            labels_ids.append(frame.labels_id)
            boxes.append(frame.boxes)
        self.image_ids, self.labels_ids, self.boxes = tuple(image_ids), tuple(labels_ids), tuple(boxes)

    def __len__(self) -> int:
        return len(self._pictures)

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """One pass over all pictures in their order."""
        for start in range(0, len(self), batch_size):
            pictures = self._pictures[start : start + batch_size]
            images = _canvas(len(pictures), self.size, self.device)
            for place, picture in enumerate(pictures):
                height, width = picture.shape[:2]
                images[place, :, :height, :width] = picture.to(self.device).permute(2, 0, 1) / 255
            yield Batch(images, self._targets[start : start + batch_size])


def canvas_size(sizes: Sequence[tuple[int, int]], longest: int = 320) -> tuple[int, int]:
    """``(width, height)`` of the smallest canvas that holds every picture, their longest sides at most ``longest``.

    Args:
        sizes: ``(width, height)`` of the pictures, in pixels.
        longest: pixels.
    """
    scales = [min(1.0, longest / max(size)) for size in sizes]
    width, height = (
        max(max(round(size[side] * scale), 1) for size, scale in zip(sizes, scales, strict=True)) for side in (0, 1)
    )
    return -(-width // STRIDE) * STRIDE, -(-height // STRIDE) * STRIDE


def fit(size: tuple[int, int], canvas: tuple[int, int]) -> tuple[int, int]:
    """``(width, height)`` of a picture on a canvas: as large as fits, aspect kept to the pixel."""
    scale = min(canvas[0] / size[0], canvas[1] / size[1])
    return (
        min(max(round(size[0] * scale), 1), canvas[0]),
        min(max(round(size[1] * scale), 1), canvas[1]),
    )


def _rows(source: Sequence[ShardRow] | pa.Table | str | Path) -> Sequence[ShardRow]:
    if isinstance(source, str | Path):
        source = pq.read_table(source)
    return from_table(source) if isinstance(source, pa.Table) else source


def _checked(size: tuple[int, int]) -> tuple[int, int]:
    if min(size) < STRIDE or size[0] % STRIDE or size[1] % STRIDE:
        raise ValueError(f"training size {size[0]}x{size[1]}: both sides must be multiples of {STRIDE} pixels")
    return size


def _canvas(count: int, size: tuple[int, int], device: torch.device) -> Tensor:
    return torch.full((count, 3, size[1], size[0]), GREY, device=device)


def _target(
    index: int, boxes: Sequence[Box], size: tuple[int, int], fitted: tuple[int, int], device: torch.device
) -> Target:
    scale_x, scale_y = fitted[0] / size[0], fitted[1] / size[1]
    corners = [(b.x * scale_x, b.y * scale_y, (b.x + b.width) * scale_x, (b.y + b.height) * scale_y) for b in boxes]
    return {
        "boxes": torch.tensor(corners, dtype=torch.float32, device=device).reshape(-1, 4),
        "labels": torch.full((len(boxes),), OBJECT, dtype=torch.int64, device=device),
        "image_id": torch.tensor(index, device=device),
    }


def _retarget(target: Target, boxes: Tensor) -> Target:
    """The same picture's truth with other boxes."""
    labels = torch.full((len(boxes),), OBJECT, dtype=torch.int64, device=boxes.device)
    return {"boxes": boxes, "labels": labels, "image_id": target["image_id"]}
