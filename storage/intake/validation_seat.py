"""The parent's side of one validation worker: its process, its socket, and a seat that replaces it where it dies."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from rinr.frames import ImageError, IncompletePicture, PictureFacts
from storage.intake.validation_worker import MAX_MESSAGE, Settings

CLOSED = "the validator is closed"

_START_LIMIT = 120.0  # seconds: a loaded machine takes long to import
_START_TRIES = 3
_ATTEMPTS = 2
_MAX_ANSWER = 64 * 1024
_KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "SYSTEMROOT")
_WORKER = (
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "import storage.intake.validation_worker; storage.intake.validation_worker.work()"
)


class PoisonError(ImageError):
    """A file that killed, hung or exhausted its worker twice."""


class Seat:
    """A place for one worker, which is replaced where it dies."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._worker: _Worker | None = None
        self._lock = threading.Lock()  # of starting a worker against closing
        self._closed = False

    def check(self, jpeg: bytes) -> PictureFacts:
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
                    raise RuntimeError(CLOSED) from None
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
                    raise RuntimeError(CLOSED)
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
        raise RuntimeError(CLOSED)


class _Failed(Exception):  # noqa: N818
    """A worker died or was killed; whether it had begun to look at the file."""

    def __init__(self, what: str, begun: bool) -> None:
        super().__init__(what)
        self.what, self.begun = what, begun


class _Worker:
    """A worker process as its parent sees it."""

    def __init__(self, settings: Settings) -> None:
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

    def check(self, jpeg: bytes) -> PictureFacts:
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

    def _read(self, answer: Any) -> PictureFacts | ImageError:
        try:
            if "memory" in answer:
                raise _Failed(f"used more than {self._settings.memory // 1024**2:,} MiB of memory", begun=True)
            if "refused" in answer:
                kind = IncompletePicture if answer["incomplete"] else ImageError
                return kind(str(answer["refused"])[:MAX_MESSAGE])
            (width, height), date = map(int, answer["size"]), answer["captured_at"]
            return PictureFacts(
                (width, height), int(answer["orientation"]), datetime.fromisoformat(date) if date else None
            )
        except (TypeError, ValueError, KeyError):
            raise _Failed("answered with nonsense", begun=True) from None


def _environment() -> dict[str, str]:
    """A worker's environment: what it needs to start, and no credentials, which a hostile file might get at."""
    path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
