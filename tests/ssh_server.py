"""An SSH server on the loopback interface that runs commands: the machines of an `SSHCluster`, for the tests.

It is a process of its own, which ends with whoever started it, and ends what it has run.
"""

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_USER = "drill"


@dataclass(frozen=True)
class SshServer:
    """asyncssh's server.

    Attributes:
        port: on 127.0.0.1.
        folder: holds ``known_hosts``, which names its key, and ``commands``, a line of JSON for each that was run.
        user: who may log in.
        password: with this.
    """

    port: int
    folder: Path
    user: str
    password: str

    @property
    def options(self) -> dict[str, Any]:
        """For ``asyncssh.connect``, without the password."""
        known_hosts = str(self.folder / "known_hosts")
        return {"port": self.port, "username": self.user, "known_hosts": known_hosts, "config": []}

    def commands(self) -> list[str]:
        return [json.loads(line) for line in (self.folder / "commands").read_text().splitlines()]


@contextmanager
def ssh_server(folder: Path) -> Iterator[SshServer]:
    """A server that lives as long as the context, as does all that it runs; a skip without asyncssh."""
    pytest.importorskip("asyncssh", reason="asyncssh is not installed: pip install 'residual-inr[sftp]'")
    password = secrets.token_hex(16)
    with subprocess.Popen(
        [sys.executable, "-m", "tests.ssh_server", str(folder), password],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as process:
        assert process.stdout is not None
        yield SshServer(int(process.stdout.readline()), folder, _USER, password)
        process.communicate(timeout=30)  # its input ends, and so does it


async def _serve(folder: Path, password: str) -> None:
    import asyncssh

    key = asyncssh.generate_private_key("ssh-ed25519")
    children: set[int] = set()

    class Login(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return True

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, given: str) -> bool:
            return (username, given) == (_USER, password)

    async def run(process: Any) -> None:
        with (folder / "commands").open("a") as file:
            file.write(json.dumps(process.command) + "\n")
        child = await asyncio.create_subprocess_shell(
            process.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        children.add(child.pid)
        await process.redirect(stdout=child.stdout, stderr=child.stderr)
        closed, ended = asyncio.ensure_future(process.stdin.read()), asyncio.ensure_future(child.wait())
        await asyncio.wait({closed, ended}, return_when=asyncio.FIRST_COMPLETED)
        _kill(child.pid)
        process.exit(await ended)

    server = await asyncssh.listen("127.0.0.1", 0, server_factory=Login, server_host_keys=[key], process_factory=run)
    port = server.get_port()
    (folder / "known_hosts").write_bytes(f"[127.0.0.1]:{port} ".encode() + key.export_public_key())
    (folder / "commands").touch()
    print(port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for child in children:
        _kill(child)
    os._exit(0)


def _kill(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), sys.argv[2]))
