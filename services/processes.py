"""Starting and stopping a set of background processes that survives crashes of whoever started it.

Every process gets a log file, a process group of its own, and a token in its environment which all its descendants
inherit. The token is what leftovers are known by: a flow run that a Prefect worker starts opens a session of its own,
so neither a process group nor a process id finds it after its parents died.
"""

import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from rinr.files import write_whole

TOKEN_VARIABLE = "RINR_SERVICES_TOKEN"

# A Prefect worker ignores a first TERM, so each signal waits only this many seconds before the next, harder one.
PATIENCE = ((signal.SIGTERM, 4.0), (signal.SIGINT, 3.0), (signal.SIGKILL, 5.0))


class ServiceError(RuntimeError):
    """A process that did not start, died, or did not stop; the message names its log."""


@dataclass(frozen=True)
class Service:
    """A started process.

    Attributes:
        name: also of its log and pid files.
        pid: process id, which is its process group's as well.
        started: when it started, as the operating system tells it: tells a process from a later one of the same id.
        log: the file with its output.
    """

    name: str
    pid: int
    started: str
    log: str


class Processes:
    """The background processes that belong to one folder.

    Example:
        >>> processes = Processes(Path("demo"))
        >>> processes.start("server", ["prefect", "server", "start"], {})
        >>> processes.stop_all()

    Args:
        folder: pid files go under ``folder/run``, logs under ``folder/logs``.
    """

    def __init__(self, folder: Path) -> None:
        self.run = folder / "run"
        self.logs = folder / "logs"
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Service:
        """Start a process in the background, in a process group of its own.

        Args:
            name: a file name's worth of text.
            command: program and arguments.
            environment: added to this process's.

        Raises:
            ServiceError: the program is not there.
        """
        self.run.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"{name}.log"
        # Signals that arrive while a process is born and not yet written down would leave it running.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            with log.open("ab") as output:
                child = subprocess.Popen(
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **environment, TOKEN_VARIABLE: self._token()},
                    start_new_session=True,
                    preexec_fn=_unblock_signals,
                )
            service = Service(name, child.pid, _start_time(child.pid) or "", str(log))
            write_whole(self.run / f"{name}.json", json.dumps(asdict(service)).encode())
            self._children[name] = child
        except OSError as error:
            raise ServiceError(f"{name} cannot be started with {command[0]!r}: {error}") from None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        return service

    def check(self) -> None:
        """Make sure that all processes started here are still up.

        Raises:
            ServiceError: one has ended; the message holds the last lines of its log.
        """
        for name, child in self._children.items():
            if child.poll() is not None:
                log = self.logs / f"{name}.log"
                raise ServiceError(
                    f"{name} ended with exit code {child.returncode}. Its log {log} ends with:\n{tail(log)}"
                )

    def services(self) -> list[Service]:
        """What was started here, now or by an earlier process, and not stopped since."""
        found = []
        for path in sorted(self.run.glob("*.json")):
            try:
                found.append(Service(**json.loads(path.read_text())))
            except (ValueError, TypeError):
                path.unlink(missing_ok=True)  # half a file: it was written while its writer was killed
        return found

    def running(self, name: str) -> bool:
        """Whether a process of this name, started now or by an earlier process, is still up."""
        child = self._children.get(name)
        if child is not None:
            return child.poll() is None
        return any(s.name == name and s.started and _start_time(s.pid) == s.started for s in self.services())

    def alive(self) -> list[int]:
        """Process ids of all that still runs: the processes started here, now or earlier, and their descendants."""
        for child in self._children.values():
            child.poll()  # a process that ended stays in the process table until it is asked for
        token = self._read_token()
        if token is None:
            return []
        if Path("/proc/self/environ").exists():
            return _pids_with_token(token)
        return [s.pid for s in self.services() if s.started and _start_time(s.pid) == s.started]

    def stop_all(self, say: Callable[[str], None] | None = None) -> int:
        """Stop all that still runs, softly first; processes of others are never touched.

        Args:
            say: told once how many are being stopped, where there are any.

        Returns:
            How many processes were stopped.

        Raises:
            ServiceError: something outlived even SIGKILL.
        """
        first = self.alive()
        if first and say is not None:
            say(f"stopping {len(first)} process{'es' if len(first) > 1 else ''}")
        for number, seconds in PATIENCE:
            deadline = time.monotonic() + seconds
            alive = self.alive()
            for pid in alive:
                _signal(pid, number)
            while alive and time.monotonic() < deadline:
                time.sleep(0.1)
                alive = self.alive()
            if not alive:
                break
        left = self.alive()
        if left:
            raise ServiceError(f"processes {', '.join(map(str, left))} do not stop; end them by hand")
        for path in self.run.glob("*"):
            path.unlink(missing_ok=True)
        self._children.clear()
        return len(first)

    def _token(self) -> str:
        token = self._read_token()
        if token is None:
            token = secrets.token_hex(16)
            write_whole(self.run / "token", token.encode())
        return token

    def _read_token(self) -> str | None:
        try:
            token = (self.run / "token").read_text().strip()
        except OSError:
            return None
        # A damaged file must not become a token that others' environments happen to hold.
        return token if len(token) == 32 else None


def tail(log: Path, lines: int = 12) -> str:
    """The last lines of a log file, indented; a plain sentence where it has none."""
    try:
        text = log.read_bytes()[-20_000:].decode(errors="replace")
    except OSError:
        return "    (there is no log)"
    kept = [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]
    return "\n".join(f"    {line}" for line in kept) or "    (the log is empty)"


def _pids_with_token(token: str) -> list[int]:
    wanted = f"{TOKEN_VARIABLE}={token}".encode()
    pids = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0") and not _is_zombie(folder):
                pids.append(int(folder.name))
        except OSError:
            continue  # another user's process, or one that ended meanwhile
    return sorted(pids)


def _is_zombie(folder: Path) -> bool:
    return (folder / "stat").read_text().rpartition(")")[2].split()[0] == "Z"


def _start_time(pid: int) -> str | None:
    """When a process started, in whatever unit the system has; ``None`` where there is no such process."""
    try:
        # Field 22 of /proc/PID/stat; the name in field 2 may hold spaces, so count from its closing bracket.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        pass
    try:
        answer = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # it ended meanwhile
        os.kill(pid, number)


def _unblock_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
