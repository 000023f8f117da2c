"""Pictures that can be asked for by place: passes, shares of a pass, and what a ``DataLoader`` wants, from that."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Dataset, get_worker_info

from rinr.training.order import Places, batches_of, pass_order
from rinr.training.pictures import Batch, Example


class IndexedPictures(Dataset[Example]):
    """A map-style dataset that makes whole batches at once; it is :class:`rinr.training.pictures.Pictures` as well.

    Attributes:
        size: ``(width, height)`` of the canvas in pixels.
        device: the torch device of the batches.
        window: batches within which pictures that are decoded together are put together; 1: none.
    """

    size: tuple[int, int]
    device: torch.device
    window: int = 1

    @abstractmethod
    def __len__(self) -> int:
        """How many pictures there are."""

    @abstractmethod
    def batch(self, places: Sequence[int], *, seed: int = 0, epoch: int = 0, augment: bool = False) -> Batch:
        """The pictures at some places.

        How a picture is shown depends on its place, ``seed`` and ``epoch`` alone, not on what else is asked for.

        Args:
            places: from 0; one may stand several times.
            seed: of the augmentation.
            epoch: the pass, from 0.
            augment: show the pictures otherwise, boxes along with them.
        """

    def groups(self) -> Places | None:
        """``[pictures]``: those of equal numbers are decoded together; ``None`` where that makes no difference."""
        return None

    def batches(
        self,
        batch_size: int,
        *,
        seed: int | None = None,
        epoch: int = 0,
        augment: bool = False,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> Iterator[Batch]:
        """One pass over all pictures, or a process's share of one; see :meth:`rinr.training.pictures.Pictures.batches`.

        Args:
            rank: which of several processes this is, from 0.
            world: how many processes share the pass. Together they see in one step what a single process would with
                ``world`` times the batch size; up to ``world - 1`` pictures that cannot be shared evenly are left out.
        """
        if batch_size < 1:
            raise ValueError(f"batch size is {batch_size}, expected at least 1")
        if seed is None:
            order = np.arange(len(self))
        else:
            groups = self.groups() if self.window > 1 else None
            order = pass_order(len(self), batch_size * world, seed=seed, epoch=epoch, groups=groups, window=self.window)
        for places in batches_of(order, batch_size, start=start, rank=rank, world=world):
            yield self.batch(places.tolist(), seed=seed or 0, epoch=epoch, augment=augment)

    def examples(self, *, seed: int = 0, epoch: int = 0, augment: bool = True) -> "Examples":
        """The pictures of one epoch for a ``DataLoader``, which shuffles itself; see :meth:`batch`."""
        return Examples(self, seed, epoch, augment)

    def __getitem__(self, place: int) -> Example:
        """One picture with its truth, not augmented."""
        return self.__getitems__([place])[0]

    def __getitems__(self, places: Sequence[int]) -> list[Example]:
        """Pictures with their truth, not augmented, made at once: what a ``DataLoader`` calls for a batch."""
        return Examples(self, 0, 0, False).__getitems__(places)


class Examples(Dataset[Example]):
    """The pictures of one epoch by their places."""

    def __init__(self, pictures: IndexedPictures, seed: int, epoch: int, augment: bool) -> None:
        self._pictures, self._seed, self._epoch, self._augment = pictures, seed, epoch, augment

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, place: int) -> Example:
        """One picture with its truth."""
        return self.__getitems__([place])[0]

    def __getitems__(self, places: Sequence[int]) -> list[Example]:
        """Pictures with their truth, made at once: what a ``DataLoader`` calls for a batch."""
        device, count = self._pictures.device, len(self)
        if get_worker_info() and device.type != "cpu":
            raise RuntimeError(
                f"decoded on {device}, which a DataLoader's workers cannot share: use num_workers=0, "
                "as decoding takes no CPU worth sharing, or make the dataset with device='cpu'"
            )
        if any(not -count <= place < count for place in places):
            raise IndexError(f"places {list(places)} of {count} pictures")
        places = [place % count for place in places]
        return self._pictures.batch(places, seed=self._seed, epoch=self._epoch, augment=self._augment).examples()
