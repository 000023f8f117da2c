"""Halving: the lowest of rising qualities that is good enough, where what is better takes more bytes."""

from collections.abc import Callable
from typing import TypeVar

Trial = TypeVar("Trial")


def lowest_that_does(
    count: int,
    trial: Callable[[int], Trial],
    does: Callable[[Trial], bool],
    size: Callable[[Trial], float],
    below: float,
) -> int | None:
    """The lowest of qualities 0 to ``count - 1`` that does, given up where what does takes no fewer bytes than a bound.

    Args:
        count: of qualities; sizes and what is good rise with them.
        trial: what comes of a quality; asked again for some, so it had better remember.
        does: whether that is good enough.
        size: its bytes.
        below: what would be of use takes fewer bytes than this.

    Returns:
        ``None`` where none does, or what does is too large for certain. What is returned may still be too large.
    """
    if size(trial(0)) >= below:
        return None
    low, high, found = 0, count - 1, None
    while low <= high:
        middle = (low + high) // 2
        tried = trial(middle)
        if does(tried):
            found, high = middle, middle - 1
        elif size(tried) >= below:
            return None  # what is better takes more still
        else:
            low = middle + 1
    return found
