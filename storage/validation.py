"""Validation of JPEGs from devices, in processes that may die of them.

A file that makes the decoder crash, hang or eat memory takes a worker with it, not the run. Each worker has a
socket of its own: workers share no lock and no queue, so that one that is killed at any moment leaves the others
untouched and loses no file. What comes back is JSON, never a pickle: a decoder that a file has taken over must not
reach further than its own process.
"""

import importlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rinr.frames import MAX_JPEG_BYTES, ImageError, IncompleteJpeg, JpegFacts

MAX_IN_FLIGHT_BYTES = 64 * 1024 * 1024
MAX_IN_FLIGHT = 256

_START_LIMIT = 120.0  # seconds: a loaded machine takes long to import
_START_TRIES = 3
_ATTEMPTS = 2
_MAX_ANSWER = 64 * 1024
_MAX_MESSAGE = 1_000
_KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "SYSTEMROOT")
_CLOSED = "the validator is closed"
_READY, _BEGUN = b"r", b"b"
_WORKER = (
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); import storage.validation; storage.validation.work()"
)


class PoisonError(ImageError):
    """A file that killed, hung or exhausted its worker twice."""


class Validator:
    """Worker processes that check JPEGs, started when first needed.

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
        check: str = "rinr.frames:check_jpeg",
    ) -> None:
        self._size = workers or _cores()
        self._settings = _Settings(time_limit, memory, check)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._seats: list[_Seat] = []
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

    def submit(self, jpeg: bytes) -> "Future[JpegFacts]":
        """Have a JPEG checked; waits while too many bytes are on their way.

        The future raises :class:`rinr.frames.ImageError` where the bytes are no JPEG that is taken, its subclasses
        :class:`rinr.frames.IncompleteJpeg` where the end is missing and :class:`PoisonError` where the check of it
        failed twice, and ``RuntimeError`` where workers do not start or the validator was closed.

        Raises:
            RuntimeError: the validator is closed.
        """
        future: Future[JpegFacts] = Future()
        if len(jpeg) > MAX_JPEG_BYTES:
            future.set_exception(ImageError(f"the file has over {MAX_JPEG_BYTES:,} bytes; at most so many are taken"))
            return future
        with self._room:
            self._room.wait_for(lambda: self._closed or self._has_room(len(jpeg)))
            if self._closed:
                raise RuntimeError(_CLOSED)
            self._bytes += len(jpeg)
            self._count += 1
            if len(self._threads) < self._size:
                self._seats.append(_Seat(self._settings))
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

    def _serve(self, seat: "_Seat") -> None:
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


def work() -> None:
    """What a worker process does: answer the parent's files until its socket ends.

    It never outlives its parent for longer than the check of one file may take.
    """
    settings = _Settings(**json.loads(sys.argv[2]))
    module, _, name = settings.check.partition(":")
    check = getattr(importlib.import_module(module), name)
    _limit_memory(settings.memory)
    parent = os.getppid()
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        channel.sendall(_READY)
        while True:
            # A child that someone forked from the parent may keep its end open.
            channel.settimeout(5.0)
            try:
                header = channel.recv(8, socket.MSG_WAITALL | socket.MSG_PEEK)
            except TimeoutError:
                if os.getppid() != parent:
                    return
                continue
            channel.settimeout(None)
            if len(header) < 8:
                return
            _receive(channel, 8)
            jpeg = _receive(channel, int.from_bytes(header, "big"))
            if jpeg is None:
                return
            channel.sendall(_BEGUN)
            # The parent keeps the time; this is for a parent that is gone. It ends the process.
            signal.setitimer(signal.ITIMER_REAL, settings.time_limit + min(settings.time_limit, 5.0))
            answer = json.dumps(_answer(check, bytes(jpeg))).encode()
            signal.setitimer(signal.ITIMER_REAL, 0)
            channel.sendall(len(answer).to_bytes(8, "big") + answer)


@dataclass(frozen=True)
class _Settings:
    time_limit: float
    memory: int
    check: str


@dataclass(frozen=True)
class _Job:
    jpeg: bytes
    future: "Future[JpegFacts]"


class _Failed(Exception):  # noqa: N818
    """A worker died or was killed; whether it had begun to look at the file."""

    def __init__(self, what: str, begun: bool) -> None:
        super().__init__(what)
        self.what, self.begun = what, begun


class _Seat:
    """A place for one worker, which is replaced where it dies."""

    def __init__(self, settings: _Settings) -> None:
        self._settings = settings
        self._worker: _Worker | None = None
        self._lock = threading.Lock()  # of starting a worker against closing
        self._closed = False

    def check(self, jpeg: bytes) -> JpegFacts:
        """Check a file, twice where its worker fails.

        Raises:
            ImageError: the worker's word, or it failed twice.
            RuntimeError: closed, or workers do not live to look at the file.
        """
        failures: list[str] = []
        stillborn = 0
        while len(failures) < _ATTEMPTS:
            worker = self._ready_worker()
            try:
                return worker.check(jpeg)
            except _Failed as failed:
                worker.end()
                if self._closed:
                    raise RuntimeError(_CLOSED) from None
                self._worker = None
                if failed.begun:
                    failures.append(failed.what)
                    continue
                stillborn += 1  # it died before it looked at the file, whose fault that is not
                if stillborn == _START_TRIES:
                    raise RuntimeError(f"validation workers do not stay alive: the last one {failed.what}") from None
        raise PoisonError(
            f"the check of the file failed twice: its worker {failures[0]}, then {failures[1]}; "
            "remove the file from the device, or open it there and save it anew"
        )

    def close(self) -> None:
        """Kill the worker, and start none any more."""
        with self._lock:
            self._closed = True
            if self._worker:
                self._worker.kill()

    def end(self) -> None:
        """Give back what a closed seat holds; for the thread that calls :meth:`check`."""
        if self._worker:
            self._worker.end()

    def _ready_worker(self) -> "_Worker":
        for tries_left in reversed(range(_START_TRIES)):
            with self._lock:
                if self._closed:
                    raise RuntimeError(_CLOSED)
                if self._worker:
                    return self._worker
                worker = self._worker = _Worker(self._settings)
            try:
                worker.wait_until_ready()
            except _Failed as failed:
                worker.end()
                self._worker = None
                if not tries_left and not self._closed:
                    raise RuntimeError(
                        f"validation workers do not start: the last one {failed.what}; see what it wrote to stderr"
                    ) from None
            else:
                return worker
        raise RuntimeError(_CLOSED)


class _Worker:
    """A worker process as its parent sees it."""

    def __init__(self, settings: _Settings) -> None:
        self._settings = settings
        self._channel, theirs = socket.socketpair()
        with theirs:
            # Not multiprocessing: what it starts imports the parent's main module, and a Dask worker may start none.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _WORKER, str(theirs.fileno()), json.dumps(vars(settings))],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=_environment(),
            )

    def wait_until_ready(self) -> None:
        self._receive(1, time.monotonic() + _START_LIMIT, begun=False)

    def check(self, jpeg: bytes) -> JpegFacts:
        deadline = time.monotonic() + self._settings.time_limit
        begun = False
        try:
            self._channel.settimeout(self._settings.time_limit)
            self._channel.sendall(len(jpeg).to_bytes(8, "big"))
            self._channel.sendall(jpeg)
            self._receive(1, deadline, begun)
            begun = True
            size = int.from_bytes(self._receive(8, deadline, begun), "big")
            answer = json.loads(self._receive(min(size, _MAX_ANSWER), deadline, begun))
        except TimeoutError:
            raise _Failed(f"took longer than {self._settings.time_limit:g} s", begun) from None
        except OSError:
            raise _Failed(self._death(), begun) from None
        except ValueError:
            raise _Failed("answered with nonsense", begun) from None
        facts = self._read(answer)
        if isinstance(facts, ImageError):
            raise facts
        return facts

    def kill(self) -> None:
        """End the process, and wake the thread that waits for its answer."""
        self._process.kill()
        with suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """End the process and give back what it held."""
        self.kill()
        self._process.wait()
        self._channel.close()

    def _receive(self, count: int, deadline: float, begun: bool) -> bytes:
        received = b""
        while len(received) < count:
            self._channel.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                part = self._channel.recv(count - len(received))
            except TimeoutError:
                raise _Failed(f"took longer than {self._settings.time_limit:g} s", begun) from None
            except OSError:
                part = b""
            if not part:
                raise _Failed(self._death(), begun)
            received += part
        return received

    def _death(self) -> str:
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            return "closed its socket"
        if code >= 0:
            return f"ended with code {code}"
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"

    def _read(self, answer: Any) -> JpegFacts | ImageError:
        try:
            if "memory" in answer:
                raise _Failed(f"used more than {self._settings.memory // 1024**2:,} MiB of memory", begun=True)
            if "refused" in answer:
                kind = IncompleteJpeg if answer["incomplete"] else ImageError
                return kind(str(answer["refused"])[:_MAX_MESSAGE])
            (width, height), date = map(int, answer["size"]), answer["captured_at"]
            return JpegFacts(
                (width, height), int(answer["orientation"]), datetime.fromisoformat(date) if date else None
            )
        except (TypeError, ValueError, KeyError):
            raise _Failed("answered with nonsense", begun=True) from None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _environment() -> dict[str, str]:
    """A worker's environment: what it needs to start, and no credentials, which a hostile file might get at."""
    path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _answer(check: Callable[[bytes], JpegFacts], jpeg: bytes) -> dict[str, Any]:
    try:
        facts = check(jpeg)
    except MemoryError:
        return {"memory": True}
    except ImageError as error:
        return {"refused": str(error)[:_MAX_MESSAGE], "incomplete": isinstance(error, IncompleteJpeg)}
    date = facts.captured_at
    return {"size": facts.size, "orientation": facts.orientation, "captured_at": date.isoformat() if date else None}


def _receive(channel: socket.socket, count: int) -> bytearray | None:
    """So many bytes; ``None`` where the parent is gone before they are here."""
    received = bytearray(count)
    view = memoryview(received)
    while view:
        size = channel.recv_into(view)
        if not size:
            return None
        view = view[size:]
    return received


def _limit_memory(memory: int) -> None:
    """Bound this process's address space to what it has now and so many bytes more."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return
    import resource

    limit = int(statm.read_text().split()[0]) * resource.getpagesize() + memory
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
