"""Encoding on several cores: processes with one torch thread each, each given whole frames.

A fit is a chain of small steps, which threads within them speed up little. Frames are independent, and their payloads
do not depend on what they are grouped with, so that the same bytes come out however frames are spread.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rinr.codec.encoded import EncodedImage
from rinr.frames import Frame
from rinr.presets import Preset

if TYPE_CHECKING:
    from rinr.encoder import Progress
    from rinr.outcome import Outcome

_CHUNKS = 4  # a process: the last one to finish then keeps the others waiting for a quarter of the time at most


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class EncoderPool:
    """Processes that encode frames on the CPU, started when first needed.

    Example::

        with EncoderPool(2) as pool:
            images = pool.encode(frames, find_preset("balanced"))
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        # Not forked: a process that has run torch's threads cannot be forked safely.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_prepare)
        with _deaf_to_ctrl_c():
            for _ in range(jobs):
                self._pool.submit(_prepare)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=kind is None, cancel_futures=True)

    def encode(
        self,
        frames: Sequence[Frame],
        preset: Preset,
        *,
        outcome: "Outcome | None" = None,
        progress: "Progress | None" = None,
    ) -> list[EncodedImage]:
        """Encode frames: the images that :func:`rinr.encoder.encode` gives, in their order.

        Raises:
            FloatingPointError: a fit diverged.
            RuntimeError: a process died, for want of memory perhaps.
        """
        size = max(1, len(frames) // (_CHUNKS * self.jobs))
        parts = [frames[start : start + size] for start in range(0, len(frames), size)]
        futures: list[Future[list[EncodedImage]]] = []
        images: list[EncodedImage] = []
        try:
            futures += [self._pool.submit(_encode, part, preset, outcome) for part in parts]
            for future in futures:
                images += future.result()
                if progress:
                    progress(len(images), len(frames))
        except BrokenProcessPool:
            raise RuntimeError("a process that was encoding died: is there enough memory? try fewer --jobs") from None
        finally:
            for future in futures:
                future.cancel()
        return images


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Processes that start here never hear Ctrl-C, which a terminal sends to all: it is for the first one to act."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what signals do
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _prepare() -> None:
    import torch

    torch.set_num_threads(1)


def _encode(frames: Sequence[Frame], preset: Preset, outcome: "Outcome | None") -> list[EncodedImage]:
    from rinr.encoder import encode

    return encode(frames, preset, outcome=outcome)
