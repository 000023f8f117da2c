"""Real servers for the tests, each in a thread of this process: S3, SFTP, HTTP, and a proxy that does harm.

Import the fixtures into a room's ``conftest.py``; they live as long as the session.
"""

import asyncio
import itertools
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest

KEY, SECRET = "testing-key", "testing-secret"
_METHODS = (b"GET", b"HEAD", b"PUT", b"POST", b"DELETE")
USER, PASSWORD = "cam", "testing-password"


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class FaultProxy:
    """A TCP proxy on 127.0.0.1 before a server, which does what its fields say to every new connection.

    Attributes:
        target: port of the server.
        delay: seconds before each piece that comes from the server is passed on.
        cut_after: bytes from the server after which both connections are cut, hard.
        silent: nothing that comes from the server is passed on; the connection stays open.
        failing: share of HTTP requests that are answered with 503 and do not reach the server, at random from ``seed``.
        failed: how many were.
        up, down: bytes that were passed on to the server, and from it, over all connections.
        up_limit, down_limit: how many of them are; then all connections are cut, hard, and new ones as well.
        refusal: answered in place of the server, by HTTP method: ``{b"PUT": b"HTTP/1.1 507 ..."}``.
    """

    target: int
    delay: float = 0.0
    cut_after: int | None = None
    silent: bool = False
    up: int = 0
    down: int = 0
    up_limit: int | None = None
    down_limit: int | None = None
    refusal: dict[bytes, bytes] = field(default_factory=dict)
    failing: float = 0.0
    failed: int = 0
    seed: int = 0
    port: int = 0

    def __enter__(self) -> "FaultProxy":
        self._loop = asyncio.new_event_loop()
        self._random = random.Random(self.seed)
        started = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(started,), daemon=True)
        self._thread.start()
        assert started.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    def _serve(self, started: threading.Event) -> None:
        async def main() -> None:
            self._stop = asyncio.Event()
            server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            started.set()
            await self._stop.wait()
            server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self._loop.run_until_complete(main())
        self._loop.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
            try:
                ways = (self._there(reader, writer, far_writer), self._back(far_reader, writer))
                tasks = [asyncio.ensure_future(way) for way in ways]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    task.cancel()
            finally:
                for end in (far_writer, writer):
                    end.transport.abort()

    async def _there(self, reader: Any, writer: Any, far_writer: Any) -> None:
        while data := await reader.read(65536):
            method = data.split(b" ", 1)[0]
            answer = self.refusal.get(method)
            if method in _METHODS and self._random.random() < self.failing:
                self.failed += 1
                answer = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            if answer:
                writer.write(answer)
                await writer.drain()
                await asyncio.sleep(0.05)
                return
            passing = data if self.up_limit is None else data[: max(0, self.up_limit - self.up)]
            self.up += len(passing)
            far_writer.write(passing)
            await far_writer.drain()
            if len(passing) < len(data):
                await asyncio.sleep(0.02)
                return

    async def _back(self, far_reader: Any, writer: Any) -> None:
        passed = 0
        while data := await far_reader.read(4096):
            if self.delay:
                await asyncio.sleep(self.delay)
            if self.silent:
                continue
            if self.cut_after is not None and passed + len(data) > self.cut_after:
                writer.write(data[: self.cut_after - passed])
                await writer.drain()
                await asyncio.sleep(0.02)
                return
            passing = data if self.down_limit is None else data[: max(0, self.down_limit - self.down)]
            passed += len(passing)
            self.down += len(passing)
            writer.write(passing)
            await writer.drain()
            if len(passing) < len(data):
                await asyncio.sleep(0.02)
                return


_BUCKETS = itertools.count(1)  # moto keeps one set of them for all its servers of a process


@dataclass(frozen=True)
class S3Server:
    """moto's server.

    Attributes:
        port: on 127.0.0.1.
    """

    port: int

    def options(self, port: int | None = None) -> dict[str, Any]:
        """For s3fs; a port of a proxy in place of the server's own."""
        return {"endpoint_url": f"http://127.0.0.1:{port or self.port}", "key": KEY, "secret": SECRET}

    @property
    def delta_options(self) -> dict[str, str]:
        """For deltalake."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }

    def new_bucket(self) -> str:
        """The name of a fresh bucket."""
        name = f"bucket-{next(_BUCKETS)}"
        fsspec.filesystem("s3", **self.options()).mkdir(name)
        return name

    def put(self, bucket: str, name: str, data: bytes) -> None:
        fsspec.filesystem("s3", **self.options()).pipe_file(f"{bucket}/{name}", data)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    server_module = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    server = server_module.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield S3Server(server.get_host_and_port()[1])
    server.stop()


@dataclass
class SftpServer:
    """asyncssh's server on a folder.

    Attributes:
        port: on 127.0.0.1.
        folder: what it serves as ``/``.
        known_hosts: file that names its key for any port.
        full: while it is true, writing fails as on a full disk.
    """

    port: int
    folder: Path
    known_hosts: Path
    full: bool = False

    def url(self, path: str, port: int | None = None) -> str:
        """Of a path; a port of a proxy in place of the server's own."""
        return f"sftp://{USER}@127.0.0.1:{port or self.port}/{path}"

    @property
    def options(self) -> dict[str, Any]:
        """For sshfs."""
        return {"password": PASSWORD, "known_hosts": str(self.known_hosts), "config": []}


@pytest.fixture(scope="session")
def sftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftpServer]:
    asyncssh = pytest.importorskip("asyncssh")
    pytest.importorskip("sshfs")
    folder = tmp_path_factory.mktemp("sftp")
    key = asyncssh.generate_private_key("ssh-ed25519")
    known_hosts = tmp_path_factory.mktemp("known") / "hosts"
    known_hosts.write_bytes(b"* " + key.export_public_key())
    made = SftpServer(0, folder, known_hosts)

    class Files(asyncssh.SFTPServer):
        def __init__(self, channel: Any) -> None:
            super().__init__(channel, chroot=str(folder))

        def write(self, file_obj: object, offset: int, data: bytes) -> int:
            if made.full:
                raise asyncssh.SFTPFailure("No space left on device")
            return super().write(file_obj, offset, data)

    class Login(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return True

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == (USER, PASSWORD)

    loop = asyncio.new_event_loop()
    started, stop = threading.Event(), asyncio.Event()

    async def main() -> None:
        server = await asyncssh.listen(
            "127.0.0.1", 0, server_factory=Login, server_host_keys=[key], sftp_factory=Files, encoding=None
        )
        made.port = server.get_port()
        started.set()
        await stop.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), daemon=True)
    thread.start()
    assert started.wait(30)
    yield made
    loop.call_soon_threadsafe(stop.set)
    thread.join(30)


@dataclass(frozen=True)
class HttpServer:
    """A web server that lists folders.

    Attributes:
        port: on 127.0.0.1.
        folder: what it serves.
    """

    port: int
    folder: Path

    def url(self, path: str, port: int | None = None) -> str:
        """Of a path; a port of a proxy in place of the server's own."""
        return f"http://127.0.0.1:{port or self.port}/{path}"


class _Pages(SimpleHTTPRequestHandler):
    """Python's own, with an ETag, and a few addresses that lie."""

    def log_message(self, *_: object) -> None:
        pass

    def send_head(self) -> Any:
        if self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", "/")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        if self.path.startswith("/closed") and self.headers.get("Authorization") != f"Bearer {SECRET}":
            self.send_error(401)
            return None
        if "forbidden" in self.path:
            self.send_error(403)
            return None
        return super().send_head()

    def send_header(self, keyword: str, value: str) -> None:
        if keyword != "Content-Length" or "sizeless" not in self.path:
            super().send_header(keyword, value)

    def end_headers(self) -> None:
        file = Path(self.translate_path(self.path))
        if file.is_file():
            status = file.stat()
            self.send_header("ETag", f'"{status.st_mtime_ns:x}-{status.st_size:x}"')
        super().end_headers()


@pytest.fixture(scope="session")
def http_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    pytest.importorskip("aiohttp")
    folder = tmp_path_factory.mktemp("http")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Pages, directory=str(folder)))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield HttpServer(server.server_address[1], folder)
    server.shutdown()
    server.server_close()
