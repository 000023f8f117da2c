"""Batches decoded from network weights on the accelerator, to train and to test a detector on."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from rinr.decoder import load
from rinr.shard import ShardRow, from_table
from rinr.training.augment import USUAL, Augmentation, views
from rinr.training.canvas import GREY, canvas_size, checked
from rinr.training.classes import Unknown
from rinr.training.indexed import IndexedPictures
from rinr.training.order import Places
from rinr.training.pictures import Batch
from rinr.training.resampling import look_at
from rinr.training.truth import truth_of


class RinrDataset(IndexedPictures):
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
            :func:`rinr.training.canvas.canvas_size` chooses for the frames.
        device: the torch device that holds the weights and decodes.
        classes: names in the order of their numbers from 1; without them all objects are of one class.
        unknown: ``"refuse"`` objects whose label is not among the classes, or ``"drop"`` them.
        augmentation: how ``augment`` shows them.
        window: batches within which frames that are decoded together are put together; 1: none.

    Raises:
        ValueError: no rows, a missing column, a label that is not among the classes, or sides that are no multiples of
            the stride.
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
        classes: Sequence[str] | None = None,
        unknown: Unknown = "refuse",
        augmentation: Augmentation = USUAL,
        window: int = 1,
    ) -> None:
        rows = _rows(source)
        if not rows:
            raise ValueError("no encoded frames to train on: the shard has no rows")
        self.image_ids = tuple(row.image_id for row in rows)
        self.boxes = tuple(row.frame.boxes for row in rows)
        self.device, self.augmentation, self.window = torch.device(device), augmentation, window
        sizes = [(row.frame.width, row.frame.height) for row in rows]
        self.size = checked(size) if size else canvas_size(sizes)
        began = time.perf_counter()
        self._loaded = load([row.frame for row in rows], device)
        self.load_seconds = time.perf_counter() - began
        names = sorted({box.label for of_frame in self.boxes for box in of_frame})
        number = {name: index for index, name in enumerate(names)}
        self._truth = truth_of(
            self.size,
            np.array(sizes, dtype=np.int32),
            np.array([(b.x, b.y, b.width, b.height) for own in self.boxes for b in own], dtype=np.int32).reshape(-1, 4),
            np.array([index for index, own in enumerate(self.boxes) for _ in own], dtype=np.int32),
            np.array([number[b.label] for own in self.boxes for b in own], dtype=np.int32),
            names=names,
            classes=classes,
            unknown=unknown,
            image_ids=self.image_ids,
        )

    def __len__(self) -> int:
        return len(self._truth)

    def groups(self) -> Places:
        """Frames of one size on the canvas are decoded together."""
        return np.unique(self._truth.fitted, axis=0, return_inverse=True)[1].reshape(-1)

    def batch(self, places: Sequence[int], *, seed: int = 0, epoch: int = 0, augment: bool = False) -> Batch:
        """See :meth:`rinr.training.indexed.IndexedPictures.batch`."""
        images = self._plain(places)
        if not augment:
            return Batch(images, self._truth.targets(places, self.device))
        looks = self.augmentation.draw(places, self.size, seed=seed, epoch=epoch)
        whole = np.tile(np.array(self.size, dtype=np.int32), (len(places), 1))
        images = look_at(images, views(looks.maps, whole, self.size), self.size, GREY)
        return Batch(looks.light(images), self._truth.targets(places, self.device, looks.maps))

    def _plain(self, places: Sequence[int]) -> torch.Tensor:
        images = torch.full((len(places), 3, self.size[1], self.size[0]), GREY, device=self.device)
        fitted = [tuple(size) for size in self._truth.fitted[list(places)].tolist()]
        sizes = sorted(set(fitted))
        for width, height in sizes:
            if len(sizes) == 1:  # as in most shards: no copy is needed
                self._loaded.render(places, width, height, out=images[:, :, :height, :width])
                break
            mine = [index for index, size in enumerate(fitted) if size == (width, height)]
            images[mine, :, :height, :width] = self._loaded.render([places[index] for index in mine], width, height)
        return images


def _rows(source: Sequence[ShardRow] | pa.Table | str | Path) -> Sequence[ShardRow]:
    if isinstance(source, str | Path):
        source = pq.read_table(source)
    return from_table(source) if isinstance(source, pa.Table) else source
