"""Servers of both kinds of places, each in a process of its own, which count the bytes of files they give and take.

That is a second count beside the links': those see what SSH and HTTP make of it as well. Neither knows the project.
"""

import asyncio
import multiprocessing
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

USER = "network"
PASSWORD_VARIABLE, KEY_VARIABLE, SECRET_VARIABLE = "NETWORK_PASSWORD", "NETWORK_KEY", "NETWORK_SECRET"
"""Environment variables in which clients find what lets them in."""


@dataclass
class FileCount:
    """Bytes of files that one server gave and took.

    Attributes:
        given: to who reads.
        taken: from who writes.
        told: of answers that are no file: listings and errors. Of SFTP it is not known.
        asked: requests of HTTP; of SFTP, files that were opened.
    """

    given: int = 0
    taken: int = 0
    told: int = 0
    asked: int = 0


class RunningServers:
    """Servers of another process.

    Attributes:
        ports: on 127.0.0.1, by name.
    """

    def __init__(self, pipe: Any, ports: dict[str, int]) -> None:
        self._pipe = pipe
        self.ports = ports

    def counts(self) -> dict[str, FileCount]:
        """What each SFTP server gave and took so far, by name; of S3, by the port that clients asked for."""
        self._pipe.send("counts")
        found: dict[str, FileCount] = self._pipe.recv()
        return found


@contextmanager
def credentials() -> Iterator[None]:
    """Set what lets clients in, for this process and those that it starts."""
    made = {name: secrets.token_hex(16) for name in (PASSWORD_VARIABLE, KEY_VARIABLE, SECRET_VARIABLE)}
    os.environ.update(made)
    try:
        yield
    finally:
        for name in made:
            del os.environ[name]


@contextmanager
def sftp_servers(folders: Mapping[str, Path], known_hosts: Path) -> Iterator[RunningServers]:
    """One SFTP server for each folder, which it shows as ``/``.

    Args:
        folders: by name.
        known_hosts: is written: names the servers' key, for any host and port.
    """
    with _running(_serve_sftp, dict(folders), known_hosts, os.environ[PASSWORD_VARIABLE]) as servers:
        yield servers


@contextmanager
def s3_server() -> Iterator[RunningServers]:
    """One S3 server (moto's), named ``s3``; it takes any key."""
    with _running(_serve_s3) as servers:
        yield servers


@contextmanager
def _running(serve: Callable[..., None], *arguments: Any) -> Iterator[RunningServers]:
    context = multiprocessing.get_context("spawn")
    near, far = context.Pipe()
    process = context.Process(target=serve, args=(far, *arguments), daemon=True)
    process.start()
    far.close()
    try:
        yield RunningServers(near, near.recv())
    finally:
        near.close()
        process.join(5)
        process.kill()


def _serve_sftp(pipe: Any, folders: dict[str, Path], known_hosts: Path, password: str) -> None:
    import asyncssh

    key = asyncssh.generate_private_key("ssh-ed25519")
    known_hosts.write_bytes(b"* " + key.export_public_key())
    counts = {name: FileCount() for name in folders}

    class Login(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return True

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, given: str) -> bool:
            return (username, given) == (USER, password)

    def files_of(name: str) -> Callable[[Any], asyncssh.SFTPServer]:
        count = counts[name]

        class Files(asyncssh.SFTPServer):
            def open(self, path: bytes, pflags: int, attrs: Any) -> Any:
                count.asked += 1
                return super().open(path, pflags, attrs)

            def read(self, file_obj: Any, offset: int, size: int) -> Any:
                data: Any = super().read(file_obj, offset, size)
                count.given += len(data)
                return data

            def write(self, file_obj: Any, offset: int, data: bytes) -> Any:
                count.taken += len(data)
                return super().write(file_obj, offset, data)

        return lambda channel: Files(channel, chroot=os.fsencode(folders[name]))

    async def main() -> None:
        ports = {}
        for name in folders:
            server = await asyncssh.listen(
                "127.0.0.1",
                0,
                server_factory=Login,
                server_host_keys=[key],
                sftp_factory=files_of(name),
                encoding=None,
            )
            ports[name] = server.get_port()
        pipe.send(ports)
        await asyncio.get_running_loop().run_in_executor(None, _answer, pipe, counts)

    with suppress(KeyboardInterrupt):
        asyncio.run(main())
    os._exit(0)  # whatever is connected still


def _serve_s3(pipe: Any) -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"  # connections are kept, as by any S3

        def log(self, *_: Any) -> None:
            pass

    moto = DomainDispatcherApplication(create_backend_app)
    counts: dict[str, FileCount] = {}
    one = threading.Lock()  # moto looks whether an object is there and puts it in two steps

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        count = counts.setdefault(environ.get("HTTP_HOST", "").rpartition(":")[2], FileCount())
        bucket, _, name = environ["PATH_INFO"].strip("/").partition("/")
        is_file = bool(bucket and name)
        length = environ.get("HTTP_X_AMZ_DECODED_CONTENT_LENGTH") or environ.get("CONTENT_LENGTH") or 0
        with one:
            status = []

            def started(line: str, headers: Any, *rest: Any) -> Any:
                status.append(line[:1])
                return start_response(line, headers, *rest)

            body = b"".join(moto(environ, started))
            is_done = status == ["2"]
            count.asked += 1
            method = environ["REQUEST_METHOD"]
            if method == "PUT" and is_file and is_done:
                count.taken += int(length)
            if method == "GET" and is_file and is_done:
                count.given += len(body)
            elif method != "HEAD":
                count.told += len(body)
        return [body]

    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pipe.send({"s3": server.server_port})
    with suppress(KeyboardInterrupt):
        _answer(pipe, counts)
    os._exit(0)


def _answer(pipe: Any, counts: Mapping[str, FileCount]) -> None:
    with suppress(EOFError, OSError):
        while True:
            pipe.recv()
            pipe.send(dict(counts))
