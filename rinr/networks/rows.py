"""Rows of large arrays, one a network, where they lie: on a device, or in memory maps of a cache.

Weights of more frames than a device has memory for stay in the map; what a batch needs of them, some kilobytes a frame,
goes over when it is asked for.
"""

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[Any]


class Segments:
    """Arrays one after another seen as one, without a copy: each may lie in a memory map of its own.

    Attributes:
        parts: arrays that differ in their first axis alone.
        shape: of all together.
        dtype: of each.
    """

    def __init__(self, parts: Sequence[Array]) -> None:
        self.parts = tuple(parts)
        self.shape = (sum(map(len, parts)), *parts[0].shape[1:])
        self.dtype = parts[0].dtype

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, index: int) -> Any:
        """One row."""
        for part in self.parts:
            if index < len(part):
                return part[index]
            index -= len(part)
        raise IndexError("beyond the last row")

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return sum(part.nbytes for part in self.parts)


def pieces_of(array: Array | Segments) -> Sequence[Array]:
    """The arrays, one or more, in which an array lies."""
    return array.parts if isinstance(array, Segments) else (array,)


class Rows:
    """The rows of an array, to be had on a device.

    Args:
        array: ``[rows, ...]``.
        device: where rows are asked for.
        share: of the rows that lie there. The others stay where they are. On a CPU none is moved: the operating system
            decides what of a memory map stays in memory.

    Attributes:
        shape: of the array.
        device: as given.
    """

    def __init__(self, array: Array | Segments, device: str, share: float = 1.0) -> None:
        parts = [torch.from_numpy(part) for part in pieces_of(array)]
        self.shape, self.device = tuple(array.shape), torch.device(device)
        self._starts = torch.tensor([0, *(len(part) for part in parts)]).cumsum(0)
        self._parts = parts
        if self.device.type == "cpu":
            self._here = parts[0] if len(parts) == 1 else parts[0][:0]
        else:
            kept = int(len(array) * min(share, 1.0))
            self._here = torch.empty((kept, *self.shape[1:]), dtype=parts[0].dtype, device=device)
            for start, part in zip(self._starts.tolist(), parts, strict=False):
                own = self._here[start : start + len(part)]
                own.copy_(part[: len(own)])
        self._all_here = len(self._here) == len(array)
        if self._all_here:
            self._parts = []

    def __len__(self) -> int:
        return int(self.shape[0])

    def take(self, chosen: Tensor) -> Tensor:
        """Rows ``chosen [n]``, in their order, on the device: ``[n, ...]``."""
        if self._all_here:
            return self._here[chosen]
        places = chosen.cpu()
        here = places < len(self._here)
        taken = torch.empty((len(places), *self.shape[1:]), dtype=self._here.dtype)
        owners = torch.searchsorted(self._starts, places, right=True) - 1
        for number in owners[~here].unique().tolist():
            mine = torch.nonzero(~here & (owners == number)).flatten()
            taken[mine] = self._parts[number][places[mine] - self._starts[number]]
        taken = taken.to(self.device)
        if len(self._here):
            mine = torch.nonzero(here).flatten().to(self.device)
            taken[mine] = self._here[chosen[mine]]
        return taken
