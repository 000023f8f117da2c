"""Pictures in parallel on a CPU: each thread makes some of them, with products of one thread each.

The products of small networks are too small to be shared among threads: torch's threads then wait for each other most
of the time, at full load. What a thread makes by itself does not depend on how many there are.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import torch

Part = TypeVar("Part")


def each_in_a_thread(work: Callable[[Part], None], parts: Sequence[Part]) -> None:
    """Do some work on parts, as many at a time as torch has threads on this CPU.

    Args:
        work: is given one part; gradients are not recorded in it.
        parts: that share nothing that is written to.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        for part in parts:
            work(part)
        return

    def without_gradients(part: Part) -> None:
        with torch.no_grad():  # which a thread does not take over from the one that asks
            work(part)

    list(_pool(threads).map(without_gradients, parts))  # what one raises is raised here


@lru_cache
def _pool(threads: int) -> ThreadPoolExecutor:
    # Torch keeps the number of threads for each thread that calls it.
    return ThreadPoolExecutor(threads, "rinr-pictures", lambda: torch.set_num_threads(1))


os.register_at_fork(after_in_child=_pool.cache_clear)  # threads are not there in a forked process
