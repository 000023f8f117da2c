"""Several datasets as one: decoded frames beside a device's own JPEGs, say."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch

from rinr.training.indexed import IndexedPictures
from rinr.training.order import Places
from rinr.training.pictures import Batch, Target


class Together(IndexedPictures):
    """The pictures of several datasets, shuffled among each other; the first one's places come first.

    Args:
        parts: of one size, on one torch device; empty ones may be among them.
        window: see :class:`rinr.training.indexed.IndexedPictures`.

    Raises:
        ValueError: no parts, or parts that differ in size or device.
    """

    def __init__(self, parts: Sequence[IndexedPictures], *, window: int = 1) -> None:
        if not parts:
            raise ValueError("no datasets to put together")
        different = {(part.size, part.device) for part in parts}
        if len(different) > 1:
            told = ", ".join(f"{width}x{height} on {device}" for (width, height), device in sorted(different, key=str))
            raise ValueError(f"datasets put together must be of one size, on one torch device; these are {told}")
        self.parts = tuple(parts)
        self.size, self.device, self.window = parts[0].size, parts[0].device, window
        self._first = np.concatenate([[0], np.cumsum([len(part) for part in parts])])

    def __len__(self) -> int:
        return int(self._first[-1])

    def groups(self) -> Places:
        """Pictures of different parts are never decoded together."""
        groups, most = [], 0
        for part in self.parts:
            own = part.groups()
            groups.append((np.zeros(len(part), dtype=np.int64) if own is None else own) + most)
            most = int(groups[-1].max(initial=most - 1)) + 1
        return np.concatenate(groups)

    def batch(self, places: Sequence[int], *, seed: int = 0, epoch: int = 0, augment: bool = False) -> Batch:
        """See :meth:`rinr.training.indexed.IndexedPictures.batch`."""
        chosen = np.asarray(places, dtype=np.int64)
        owners = np.searchsorted(self._first, chosen, side="right") - 1
        made = []
        for number in np.unique(owners).tolist():
            slots = np.flatnonzero(owners == number)
            local = (chosen[slots] - self._first[number]).tolist()
            own = self.parts[number].batch(local, seed=_own_seed(seed, number), epoch=epoch, augment=augment)
            if len(slots) == len(chosen):
                return Batch(own.images, _counted_from(int(self._first[number]), own.targets))
            made.append((slots, int(self._first[number]), own))
        images = torch.empty(len(chosen), 3, self.size[1], self.size[0], device=self.device)
        targets: list[Target] = [{} for _ in places]
        for slots, first, own in made:
            images[torch.from_numpy(slots).to(self.device)] = own.images
            for slot, target in zip(slots.tolist(), _counted_from(first, own.targets), strict=True):
                targets[slot] = target
        return Batch(images, targets)


def _counted_from(first: int, targets: Sequence[Target]) -> list[Target]:
    return [{**target, "image_id": target["image_id"] + first} for target in targets]


def _own_seed(seed: int, number: int) -> int:
    """A part's seed: without one, pictures at the same place of two parts would be shown alike."""
    return int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:8], "little")
