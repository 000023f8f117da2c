"""Batches decoded from network weights on the accelerator, to train and to test a detector on."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rinr.boxes import Box
from rinr.decoder import LoadedFrames
from rinr.training.augment import USUAL, Augmentation, plain, views
from rinr.training.canvas import GREY, canvas_size, checked
from rinr.training.classes import Unknown
from rinr.training.indexed import IndexedPictures
from rinr.training.loading import OnFrames, load_weights, reopen
from rinr.training.order import Places
from rinr.training.pictures import Batch
from rinr.training.sources import Source, payloads_of
from rinr.training.truth import truth_of


class RinrDataset(IndexedPictures):
    """Encoded frames as a dataset: entropy decoding once, here; pixels in every batch, on the accelerator.

    No picture file is ever written, and no decoded picture outlives its batch::

        dataset = RinrDataset("shard.parquet", device="cuda")
        for epoch in range(20):
            for batch in dataset.batches(8, seed=0, epoch=epoch, augment=True):
                loss = detection_loss(detector(batch.images), [target["boxes"] for target in batch.targets])

    Args:
        source: shard rows, an Arrow table, several or a dataset, with the columns of :data:`rinr.shard.SHARD`, or the
            path of such a Parquet file or of a folder of them. What frames of clips share may stand in any of the
            files, tables or rows; frames that lack it are left out, and named in a warning and in ``notes``.
        size: ``(width, height)`` of the canvas in pixels, multiples of ``STRIDE``; by default what
            :func:`rinr.training.canvas.canvas_size` chooses for the frames.
        device: the torch device that holds the weights and decodes.
        classes: names in the order of their numbers from 1; without them all objects are of one class.
        unknown: ``"refuse"`` objects whose label is not among the classes, or ``"drop"`` them.
        cache: a folder for what entropy decoding leaves, so that it is done once for all runs and processes.
        budget: bytes of weights that are kept on the device; those of the other frames go over batch by batch.
        background_step: see :class:`rinr.decoder.LoadedFrames`; 2 halves what sine networks take, and more.
        augmentation: how ``augment`` shows the frames.
        window: batches within which frames that are decoded together are put together; 1: none.
        on_frames: told how many frames are ready, and how many there are in all.

    Raises:
        ValueError: no rows, a missing column, a label that is not among the classes, or sides that are no multiples of
            the stride.
        FileNotFoundError: there is no such shard.
        rinr.codec.bytestream.PayloadError: a payload that cannot be decoded; the message names its image, or its images
            where it is what they share. Or no frame is left.

    Attributes:
        size: ``(width, height)`` of the canvas in pixels.
        load_seconds: wall time of the entropy decoding, or of opening the cache.
        notes: what a reader has to know of the loading, such as that the cache could not be written.
    """

    def __init__(
        self,
        source: Source,
        *,
        size: tuple[int, int] | None = None,
        device: str = "cpu",
        classes: Sequence[str] | None = None,
        unknown: Unknown = "refuse",
        cache: str | Path | None = None,
        budget: int | None = None,
        background_step: int = 1,
        augmentation: Augmentation = USUAL,
        window: int = 1,
        on_frames: OnFrames | None = None,
    ) -> None:
        began = time.perf_counter()
        loaded = load_weights(payloads_of(source), Path(cache) if cache else None, on_frames)
        self._ids = np.concatenate([_raw_ids(ids) for ids in loaded.image_ids])
        self._files, self._weights, self.notes = loaded.files, loaded.weights, loaded.notes
        self.device, self.augmentation, self.window = torch.device(device), augmentation, window
        self._budget, self._background_step = budget, background_step
        weights = loaded.weights
        self.size = checked(size) if size else canvas_size([*map(tuple, np.unique(weights.sizes, axis=0).tolist())])
        self._truth = truth_of(
            self.size,
            weights.sizes,
            weights.boxes,
            weights.owners,
            weights.labels,
            names=weights.names,
            classes=classes,
            unknown=unknown,
            image_id=self.image_id,
        )
        self._loaded = self._load()
        self.load_seconds = time.perf_counter() - began

    def __len__(self) -> int:
        return len(self._truth)

    @property
    def cache_files(self) -> tuple[Path, ...]:
        """The files of the cache that are in use."""
        return self._files or ()

    def image_id(self, place: int) -> str:
        """The SHA-256 of a frame's JPEG, in hexadecimal."""
        return self._ids[place].tobytes().hex()

    @property
    def image_ids(self) -> tuple[str, ...]:
        """Of the frames, in their order."""
        return tuple(map(self.image_id, range(len(self))))

    @property
    def boxes(self) -> tuple[tuple[Box, ...], ...]:
        """Of each frame, in pixels of its working frame, whatever their label."""
        weights = self._weights
        labelled = zip(weights.boxes.tolist(), weights.labels.tolist(), strict=True)
        made = [Box(x, y, width, height, weights.names[label]) for (x, y, width, height), label in labelled]
        ends = np.bincount(weights.owners, minlength=len(self)).cumsum().tolist()
        return tuple(tuple(made[first:last]) for first, last in zip([0, *ends], ends, strict=False))

    @property
    def weight_bytes(self) -> int:
        """Bytes of all frames' weights, as they lie on the device where the budget holds them."""
        return self._weights.nbytes

    def groups(self) -> Places:
        """Frames of one size whose backgrounds, own and shared, are of one shape are decoded together."""
        weights = self._weights
        shared = np.append(weights.shared.stack_of, -1)[
            weights.part_of
        ]  # the last one, -1, of a frame that stands alone
        stacks = np.stack([weights.backgrounds.stack_of, shared], axis=1)
        kinds = np.concatenate([self._truth.fitted, stacks], axis=1)
        return np.unique(kinds, axis=0, return_inverse=True)[1].reshape(-1)

    def batch(self, places: Sequence[int], *, seed: int = 0, epoch: int = 0, augment: bool = False) -> Batch:
        """See :meth:`rinr.training.indexed.IndexedPictures.batch`."""
        looks = self.augmentation.draw(places, self.size, seed=seed, epoch=epoch) if augment else None
        maps = looks.maps if looks else None
        through = views(plain(len(places)) if maps is None else maps, self._truth.fitted[list(places)], self.size)
        bare = torch.from_numpy(looks.bare) if looks else None
        images = self._loaded.look(places, through, *self.size, fill=GREY, bare=bare)
        return Batch(looks.light(images) if looks else images, self._truth.targets(places, self.device, maps))

    def _load(self) -> LoadedFrames:
        return LoadedFrames(self._weights, str(self.device), self._budget, self._background_step)

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs: where weights lie in a cache it opens that, otherwise it gets a copy of them."""
        state = self.__dict__.copy()
        del state["_loaded"]
        if self._files is not None:
            del state["_weights"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._files is not None:
            self._weights = reopen(self._files)
        self._loaded = self._load()


def _raw_ids(column: Any) -> npt.NDArray[np.uint8]:
    """Ids as ``[rows, 32]`` bytes: a quarter of what they take as strings."""
    return np.frombuffer(b"".join(column.to_pylist()), dtype=np.uint8).reshape(-1, 32)
