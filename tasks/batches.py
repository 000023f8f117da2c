"""How pending images are cut into batches."""

import math
import os
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

AUTOMATIC = 0
LARGEST = 512
LARGEST_AUTOMATIC = 64

BATCHES_A_WORKER = 3
"""Several: the next starts on whichever worker is free first, and a killed run loses little."""

Item = TypeVar("Item")


def batch_size(images: int, workers: int, wanted: int = AUTOMATIC) -> int:
    """Images a batch: the wanted number, or an even share for the workers, at most ``LARGEST_AUTOMATIC``.

    Raises:
        ValueError: the wanted number is not within 1 to ``LARGEST``.
    """
    if wanted == AUTOMATIC:
        return max(1, min(LARGEST_AUTOMATIC, math.ceil(images / (workers * BATCHES_A_WORKER))))
    if not 1 <= wanted <= LARGEST:
        raise ValueError(f"a batch of {wanted} images: choose 1 to {LARGEST}, or {AUTOMATIC} for an even split")
    return wanted


def split(items: Sequence[Item], size: int) -> list[list[Item]]:
    """The items in their order, in as few lists of at most ``size`` as can be; lengths differ by one at most."""
    number = math.ceil(len(items) / size)
    bounds = [len(items) * index // number for index in range(number + 1)] if number else [0]
    return [list(items[start:end]) for start, end in pairwise(bounds)]


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
