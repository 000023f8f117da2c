"""Validation of pictures from devices, in processes that may die of them.

A file that makes the decoder crash, hang or eat memory takes a worker with it, not the run. Each worker has a
socket of its own: workers share no lock and no queue, so that one that is killed at any moment leaves the others
untouched and loses no file. What comes back is JSON, never a pickle: a decoder that a file has taken over must not
reach further than its own process.
"""

import os
import queue
import threading
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rinr.frames import MAX_PICTURE_BYTES, ImageError, PictureFacts
from storage.intake.validation_seat import CLOSED, PoisonError, Seat
from storage.intake.validation_worker import Settings

__all__ = ["MAX_IN_FLIGHT", "MAX_IN_FLIGHT_BYTES", "PoisonError", "Validator"]

MAX_IN_FLIGHT_BYTES = 64 * 1024 * 1024
MAX_IN_FLIGHT = 256


class Validator:
    """Worker processes that check pictures, started when first needed.

    Example::

        with Validator() as validator:
            facts = validator.submit(jpeg).result()

    Args:
        workers: processes; as many as there are cores without it.
        time_limit: seconds that the check of one file may take.
        memory: bytes that a worker may take in addition to what it has when idle.
        check: ``module:function`` that a worker calls with the bytes; for tests.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        time_limit: float = 30.0,
        memory: int = 768 * 1024 * 1024,
        check: str = "rinr.frames:check_picture",
    ) -> None:
        self._size = workers or _cores()
        self._settings = Settings(time_limit, memory, check)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._seats: list[Seat] = []
        self._threads: list[threading.Thread] = []
        self._room = threading.Condition()
        self._bytes = self._count = 0
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def submit(self, jpeg: bytes) -> "Future[PictureFacts]":
        """Have a picture checked; waits while too many bytes are on their way.

        The future raises :class:`rinr.frames.ImageError` where the bytes are no picture that is taken, its subclasses
        :class:`rinr.frames.IncompletePicture` where the end is missing and :class:`PoisonError` where the check of it
        failed twice, and ``RuntimeError`` where workers do not start or the validator was closed.

        Raises:
            RuntimeError: the validator is closed.
        """
        future: Future[PictureFacts] = Future()
        if len(jpeg) > MAX_PICTURE_BYTES:
            error = ImageError(f"the file has over {MAX_PICTURE_BYTES:,} bytes; at most so many are taken")
            future.set_exception(error)
            return future
        with self._room:
            self._room.wait_for(lambda: self._closed or self._has_room(len(jpeg)))
            if self._closed:
                raise RuntimeError(CLOSED)
            self._bytes += len(jpeg)
            self._count += 1
            if len(self._threads) < self._size:
                self._seats.append(Seat(self._settings))
                # A daemon: a validator that nobody closes does not keep its process.
                thread = threading.Thread(target=self._serve, args=self._seats[-1:], name="validation", daemon=True)
                self._threads.append(thread)
                thread.start()
            self._jobs.put(_Job(jpeg, future))
        return future

    def close(self) -> None:
        """Kill the workers at once. Futures that are not done are cancelled or raise ``RuntimeError``."""
        with self._room:
            self._closed = True
            self._room.notify_all()
            while not self._jobs.empty():
                with suppress(queue.Empty):
                    job = self._jobs.get_nowait()
                    if job and job.future.cancel():
                        job.future.set_running_or_notify_cancel()
        for seat in self._seats:
            seat.close()
            self._jobs.put(None)
        for thread in self._threads:
            if thread is not threading.current_thread():  # a future's callback may close
                thread.join()

    def _has_room(self, size: int) -> bool:
        return self._count == 0 or (self._count < MAX_IN_FLIGHT and self._bytes + size <= MAX_IN_FLIGHT_BYTES)

    def _serve(self, seat: Seat) -> None:
        """A thread's work: give one seat's worker file after file."""
        while job := self._jobs.get():
            error: Exception | None = None
            if not job.future.set_running_or_notify_cancel():
                self._release(job)
                continue
            try:
                facts = seat.check(job.jpeg)
            except Exception as caught:
                error = caught
            self._release(job)
            if error:
                job.future.set_exception(error)
            else:
                job.future.set_result(facts)
        seat.end()

    def _release(self, job: "_Job") -> None:
        with self._room:
            self._bytes -= len(job.jpeg)
            self._count -= 1
            self._room.notify_all()


@dataclass(frozen=True)
class _Job:
    jpeg: bytes
    future: "Future[PictureFacts]"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
