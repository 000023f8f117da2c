"""Batches that are out on the workers: no more than these can use, and what kills its worker is narrowed down."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from math import ceil
from queue import SimpleQueue
from typing import Any

from distributed import KilledWorker
from prefect import get_run_logger
from prefect.futures import PrefectFuture

from storage.quarantine import KILLED, unfitted
from storage.tables import Pending
from tasks.batches import split
from tasks.fitting import EncodedBatch

MOST_FAILURES = 8
"""After so many batches failed nothing more is tried: what is the matter is no matter of one image."""

_PARTS = 4


Batch = Sequence[Pending]
Submit = Callable[[Batch], PrefectFuture[Any]]


def in_flight(submit: Submit, batches: Iterator[Batch], most: int) -> Iterator[EncodedBatch]:
    """Submit batches as there is room for them, and yield each as it comes back.

    A batch whose workers were killed is cut into parts and tried again, until one image is left, which is refused.
    Of other failures the first is raised at the end, when all that could be encoded was yielded.

    Args:
        submit: hands a batch to the workers.
        batches: looked at no sooner than there is room.
        most: batches that are out at once.

    Raises:
        Exception: what a batch failed of.
        CancelledError: the scheduler is lost.
    """
    done: SimpleQueue[PrefectFuture[Any]] = SimpleQueue()
    out: dict[PrefectFuture[Any], Batch] = {}
    parts: deque[Batch] = deque()
    failures: list[Exception] = []
    while True:
        while len(out) < most:
            batch = parts.popleft() if parts else next(batches, None) if len(failures) < MOST_FAILURES else None
            if batch is None:
                break
            future = submit(batch)
            out[future] = batch
            future.add_done_callback(done.put)
        if not out:
            break
        future = done.get()
        batch = out.pop(future)
        try:
            encoded: EncodedBatch = future.result()
        except CancelledError:
            raise
        except KilledWorker:
            get_run_logger().warning("a batch of %d images killed its workers", len(batch))
            if len(batch) > 1:
                parts.extend(split(batch, ceil(len(batch) / _PARTS)))
                continue
            encoded = EncodedBatch(1, (), (unfitted(batch[0], KILLED),))
        except Exception as error:
            failures.append(error)
            continue
        yield encoded
    if failures:
        raise failures[0]
