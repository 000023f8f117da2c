"""A folder at an fsspec URL: bounded reads, and writes that a reader sees whole or not at all."""

import errno
import os
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fsspec.asyn import sync

from storage.credentials import Secrets, environment, resolve
from storage.places import http_files, s3_uploads, sftp_files
from storage.places.file_systems import OpenedFolder, open_folder
from storage.places.trees import Tree, tree


@dataclass(frozen=True)
class Folder:
    """A folder on local disk, in an object store, or behind SFTP or HTTP.

    Its methods raise what the file system raises (``OSError`` and what a remote store's client has of its
    own); opening it raises ``ValueError`` for a URL scheme nobody knows and ``ImportError`` for one whose
    client is not installed, and :class:`storage.credentials.CredentialError` (a ``ValueError``) where a secret is
    not there. Names are the caller's: they are joined to the folder without a check.

    Attributes:
        url: an fsspec URL or a plain path.
        options: for the file system; references to secrets are resolved when it is opened, not before.
        secrets: gives the secrets.
    """

    url: str
    options: Mapping[str, Any] = field(default_factory=dict)
    secrets: Secrets = environment

    @cached_property
    def _opened(self) -> OpenedFolder:
        return open_folder(self.url, resolve(self.options, self.secrets))

    @property
    def file_system(self) -> Any:
        """The fsspec file system."""
        return self._opened.file_system

    @property
    def root(self) -> str:
        """The folder's path within the file system, without a slash at the end."""
        return self._opened.root

    @property
    def kind(self) -> str:
        """``local``, ``s3``, ``sftp``, ``http``, or ``other``."""
        return self._opened.kind

    @property
    def writable(self) -> bool:
        """Whether there is a way to write there at all."""
        return self._opened.kind != "http"

    def path(self, name: str) -> str:
        """A file's path within the file system."""
        return http_files.address(self.root, name) if self._opened.kind == "http" else f"{self.root}/{name}"

    def read(self, name: str, limit: int) -> bytes:
        """The first ``limit`` bytes and at most one more, which shows that a file is over its limit."""
        kind = self._opened.kind
        if kind == "http":
            return self._wait(http_files.get, self.path(name), limit)
        if kind == "sftp":
            return self._wait(sftp_files.read, self.path(name), limit)
        if kind == "s3":
            # One request, where opening a file would first ask for its size. An empty object has no first byte.
            try:
                return self._wait(lambda system, path: system._cat_file(path, start=0, end=limit + 1), self.path(name))
            except OSError as error:
                if "range" not in str(error).lower():
                    raise
                return b""
        with self.file_system.open(self.path(name), "rb") as file:
            return file.read(limit + 1)

    def read_block(self, name: str, start: int, count: int) -> bytes | None:
        """At most ``count`` bytes of a file from ``start`` on, fewer at its end; ``None`` where there are no ranges."""
        kind = self._opened.kind
        if kind == "local":
            with Path(self.path(name)).open("rb") as file:
                file.seek(start)
                return file.read(count)
        if kind == "http":
            return self._wait(http_files.get_range, self.path(name), start, count)
        if kind == "sftp":
            return self._wait(sftp_files.read_block, self.path(name), start, count)
        try:
            return self.file_system.cat_file(self.path(name), start=start, end=start + count, **self._limits)
        except OSError as error:
            if kind != "s3" or "range" not in str(error).lower():
                raise
            return b""  # S3's word for a beginning at or after the end

    def write_block(self, name: str, start: int, block: bytes) -> None:
        """Write bytes into a file from ``start`` on; from 0 on it is made where it is not there.

        For local folders and SFTP alone. The bytes are on the disk when a local folder's call returns.

        Raises:
            FileNotFoundError: it is not there, and ``start`` is not 0.
        """
        if self._opened.kind == "sftp":
            if start == 0:
                self.file_system.makedirs(self.path(name).rpartition("/")[0], exist_ok=True, **self._limits)
            self._wait(sftp_files.write_block, self.path(name), start, block)
            return
        target = Path(self.path(name))
        if start == 0:
            target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | (os.O_CREAT if start == 0 else 0), 0o666)
        with os.fdopen(descriptor, "wb") as file:
            file.seek(start)
            file.write(block)
            file.flush()
            os.fsync(file.fileno())

    def upload(self, name: str, data: bytes) -> tuple[int, int]:
        """Write a file of an S3 bucket in parts, going on with an upload of the same bytes that broke off.

        Returns:
            Bytes that were sent, and bytes that lay there already.
        """
        return s3_uploads.upload(self.file_system, self.path(name), data, self._opened.timeout)

    def write(self, name: str, data: bytes) -> None:
        """Write a file under its name in one step: never half, and over what stood there before."""
        kind = self._opened.kind
        self._check_writable()
        if kind == "local":
            self._write_local(name, data)
        elif kind == "sftp":
            self._write_sftp(name, data)
        else:  # one put of an object store is atomic by itself
            self.file_system.pipe_file(self.path(name), data, **self._limits)

    def info(self, name: str) -> dict[str, Any]:
        """What fsspec's ``info`` says of a file; of a link, that it is one."""
        kind = self._opened.kind
        if kind == "http":
            return self._wait(http_files.head, self.path(name))
        if kind == "sftp":
            return self._wait(sftp_files.info, self.path(name))
        return dict(self.file_system.info(self.path(name), **self._limits))

    def exists(self, name: str) -> bool:
        """Whether a file of this name stands in the folder."""
        try:
            return bool(self.info(name)["type"] == "file")
        except FileNotFoundError:
            return False

    def names(self) -> list[str]:
        """Names of the files directly in the folder, sorted, without hidden ones; none without a folder."""
        try:
            if self._opened.kind == "http":
                found = self._wait(http_files.names, self.root)
                names = [name for name in found if not name.endswith("/")]
            else:
                entries = self.file_system.ls(self.root, detail=True, **self._limits)
                names = [entry["name"].rsplit("/", 1)[-1] for entry in entries if entry["type"] == "file"]
        except FileNotFoundError:
            return []
        return sorted(name for name in names if name and not name.startswith("."))

    def parts(self, name: str) -> list[str]:
        """Names of what transfers of a file left unfinished in the folder; for local folders and SFTP alone."""
        entries = self.file_system.ls(self.root, detail=False, **self._limits)
        names = [entry.rsplit("/", 1)[-1] for entry in entries]
        return sorted(found for found in names if found.startswith(f".{name}.") and found.endswith(".part"))

    def tree(self, wanted: Callable[[str], bool]) -> Tree:
        """The wanted files in the folder and below, as :func:`storage.places.trees.tree` gives them."""
        return tree(self._opened, wanted)

    def delete(self, names: Iterable[str]) -> None:
        """Remove files; one that is gone already is no error."""
        self._check_writable()
        for name in names:
            with suppress(FileNotFoundError):
                self.file_system.rm_file(self.path(name), **self._limits)

    def move(self, name: str, target: str) -> None:
        """Give a file another name within the folder, over what stood there before."""
        self._check_writable()
        source, place = self.path(name), self.path(target)
        if self._opened.kind == "local":
            Path(place).parent.mkdir(parents=True, exist_ok=True)
            Path(source).replace(place)
        elif self._opened.kind == "sftp":
            self.file_system.makedirs(place.rsplit("/", 1)[0], exist_ok=True, **self._limits)
            self._wait(sftp_files.rename, source, place)
        else:
            self.file_system.cp_file(source, place, **self._limits)
            self.file_system.rm_file(source, **self._limits)

    def clean(self, seconds: float) -> int:
        """Remove what writers left unfinished directly in the folder that were killed so long ago; returns how many.

        Only a local folder is looked through: in object stores a file is put in one step.
        """
        if self._opened.kind != "local":
            return 0
        removed = 0
        for part in Path(self.root).glob(".*.part"):
            with suppress(FileNotFoundError):  # its writer lives and has just finished
                if time.time() - part.stat().st_mtime >= seconds:
                    part.unlink()
                    removed += 1
        return removed

    @property
    def _limits(self) -> dict[str, Any]:
        return {"timeout": self._opened.timeout} if self.file_system.async_impl else {}

    def _wait(self, ask: Callable[..., Any], *arguments: Any) -> Any:
        return sync(self.file_system.loop, ask, self.file_system, *arguments, timeout=self._opened.timeout)

    def _check_writable(self) -> None:
        if not self.writable:
            raise OSError(errno.EROFS, "HTTP only reads; use a URL of another kind where something is to be written")

    def _write_local(self, name: str, data: bytes) -> None:
        target = Path(self.path(name))
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(_part_name(target.name))
        try:
            temporary.write_bytes(data)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    def _write_sftp(self, name: str, data: bytes) -> None:
        target = self.path(name)
        folder, _, last = target.rpartition("/")
        temporary = f"{folder}/{_part_name(last)}"
        try:
            self.file_system.pipe_file(temporary, data, **self._limits)
            self._wait(sftp_files.rename, temporary, target)
        except BaseException:
            with suppress(Exception):  # what went wrong first is what has to be told
                self.file_system.rm_file(temporary, **self._limits)
            raise


def _part_name(name: str) -> str:
    return f".{name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.part"
