"""How pending images are cut into batches."""

import math
import os
from collections.abc import Sequence
from typing import TypeVar

AUTOMATIC = 0
LARGEST = 512
LARGEST_AUTOMATIC = 64

# Several batches a worker: the next starts on whichever worker is free first, and a killed run loses little.
_BATCHES_A_WORKER = 3

Item = TypeVar("Item")


def batch_size(images: int, workers: int, wanted: int = AUTOMATIC) -> int:
    """Images a batch: the wanted number, or an even share for the workers, at most ``LARGEST_AUTOMATIC``.

    Raises:
        ValueError: the wanted number is not within 1 to ``LARGEST``.
    """
    if wanted == AUTOMATIC:
        return max(1, min(LARGEST_AUTOMATIC, math.ceil(images / (workers * _BATCHES_A_WORKER))))
    if not 1 <= wanted <= LARGEST:
        raise ValueError(f"a batch of {wanted} images: choose 1 to {LARGEST}, or {AUTOMATIC} for an even split")
    return wanted


def split(items: Sequence[Item], size: int) -> list[list[Item]]:
    """The items in their order, in lists of ``size``; the last may be shorter."""
    return [list(items[start : start + size]) for start in range(0, len(items), size)]


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
