"""Reading ahead: several files of a device are under way at once, in order and within bounds of memory."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from storage.intake.outcomes import Outcome

_READS = 8  # files that are read at once: on a network most of the time is waiting
_AHEAD = 64  # files that are begun before the first of them is asked for: work goes on while rows are committed

_Item = TypeVar("_Item")


def in_order(
    items: Iterable[_Item], work: Callable[[_Item], Outcome], limit: int | None
) -> Generator[tuple[_Item, Outcome], None, None]:
    """Items with their outcomes, in order; of them so many are begun that at most ``limit`` are not left.

    Close it where it is not used up: what was begun is finished then, and nothing else is.
    """
    coming = iter(items)
    under_way: deque[tuple[_Item, Future[Outcome]]] = deque()
    settled = 0
    pool = ThreadPoolExecutor(_READS, thread_name_prefix="ingest")
    try:
        while True:
            while len(under_way) < _AHEAD and (limit is None or settled + len(under_way) < limit):
                item = next(coming, None)
                if item is None:
                    break
                under_way.append((item, pool.submit(work, item)))
            if not under_way:
                return
            item, future = under_way.popleft()
            outcome = future.result()
            settled += not outcome.left
            yield item, outcome
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class Room:
    """Memory for files under way: who needs more than is left waits, unless nobody else is there.

    Args:
        total: bytes.
    """

    def __init__(self, total: int) -> None:
        self._free = threading.Condition()
        self._total, self._held = total, 0

    @contextmanager
    def of(self, size: int) -> Iterator[None]:
        """Hold so many bytes for a while."""
        with self._free:
            self._free.wait_for(lambda: self._held == 0 or self._held + size <= self._total)
            self._held += size
        try:
            yield
        finally:
            with self._free:
                self._held -= size
                self._free.notify_all()
