"""A PostgreSQL server of a drill's own, run by an unprivileged user, its data in a folder that goes away with it."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.ports import LOOPBACK, free_port

_USER = "prefect"
_DATABASE = "postgres"


@dataclass(frozen=True)
class Postgres:
    """A server that answers.

    Attributes:
        pid: of the process that the others descend from.
        url: as SQLAlchemy takes it, password and all.
    """

    pid: int
    url: str


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A server with an empty database; skips where PostgreSQL is not installed."""
    programs = _programs()
    owner = _owner()
    folder = Path(tempfile.mkdtemp(prefix="rinr-postgres-"))
    try:
        if owner is not None:
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        password = secrets.token_hex(16)
        (folder / "password").write_text(password)
        (folder / "password").chmod(0o600)
        if owner is not None:
            os.chown(folder / "password", owner.pw_uid, owner.pw_gid)
        _run(
            [programs / "initdb", "--pgdata", folder / "data", "--username", _USER, "--pwfile", folder / "password",
             "--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale"],
            owner, folder,
        ).wait()  # fmt: skip
        port = free_port()
        server = _run(
            [programs / "postgres", "-D", folder / "data", "-p", str(port), "-k", folder,
             "-c", f"listen_addresses={LOOPBACK}"],
            owner, folder,
        )  # fmt: skip
        try:
            _wait(programs, port, server, folder)
            yield Postgres(server.pid, f"postgresql+asyncpg://{_USER}:{password}@{LOOPBACK}:{port}/{_DATABASE}")
        finally:
            server.send_signal(signal.SIGINT)  # a fast shutdown
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    """The folder of `initdb` and `postgres`."""
    on_path = shutil.which("initdb")
    folders = [*Path("/usr/lib/postgresql").glob("*/bin"), *([Path(on_path).resolve().parent] if on_path else [])]
    for folder in sorted(folders, reverse=True):
        if (folder / "initdb").is_file() and (folder / "postgres").is_file():
            return folder
    pytest.skip("PostgreSQL is not installed: `apt-get install postgresql` (or your system's package) for this drill")


def _owner() -> pwd.struct_passwd | None:
    """Who runs it: PostgreSQL refuses to run as root; ``None`` is whoever we are."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    pytest.skip("root cannot run PostgreSQL, and there is neither a user postgres nor nobody")


def _run(command: list[Path | str], owner: pwd.struct_passwd | None, folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [str(word) for word in command],
            user=owner.pw_uid if owner else None,
            group=owner.pw_gid if owner else None,
            extra_groups=[] if owner else None,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait(programs: Path, port: int, server: subprocess.Popen[bytes], folder: Path) -> None:
    end = time.monotonic() + 60
    ready = [str(programs / "pg_isready"), "-h", LOOPBACK, "-p", str(port), "-q"]
    while subprocess.run(ready, check=False).returncode != 0:
        log = (folder / "log").read_text()
        assert server.poll() is None, log
        assert time.monotonic() < end, log
        time.sleep(0.2)
