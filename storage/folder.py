"""A folder at an fsspec URL: bounded reads, and writes that a reader sees whole or not at all."""

import os
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from storage.credentials import Secrets, environment, resolve


@dataclass(frozen=True)
class Folder:
    """A folder on local disk or in an object store.

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
    def _opened(self) -> tuple[Any, str]:
        # A listing that was cached before another process wrote would hide what it wrote.
        options = resolve(self.options, self.secrets)
        file_system, root = fsspec.core.url_to_fs(self.url, use_listings_cache=False, **options)
        return file_system, root.rstrip("/")

    @property
    def file_system(self) -> Any:
        """The fsspec file system."""
        return self._opened[0]

    @property
    def root(self) -> str:
        """The folder's path within the file system, without a slash at the end."""
        return self._opened[1]

    def path(self, name: str) -> str:
        """A file's path within the file system."""
        return f"{self.root}/{name}"

    def read(self, name: str, limit: int) -> bytes:
        """The first ``limit`` bytes and at most one more, which shows that a file is over its limit."""
        with self.file_system.open(self.path(name), "rb") as file:
            return file.read(limit + 1)

    def write(self, name: str, data: bytes) -> None:
        """Write a file under its name in one step: never half, and over what stood there before."""
        if not isinstance(self.file_system, LocalFileSystem):
            self.file_system.pipe_file(self.path(name), data)  # one put of an object store is atomic by itself
            return
        target = Path(self.path(name))
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.part")
        try:
            temporary.write_bytes(data)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    def exists(self, name: str) -> bool:
        """Whether a file of this name stands in the folder."""
        return bool(self.file_system.isfile(self.path(name)))

    def names(self) -> list[str]:
        """Names of the files directly in the folder, sorted, without hidden ones; none without a folder."""
        try:
            entries = self.file_system.ls(self.root, detail=True)
        except FileNotFoundError:
            return []
        names = (entry["name"].rsplit("/", 1)[-1] for entry in entries if entry["type"] == "file")
        return sorted(name for name in names if not name.startswith("."))

    def delete(self, names: Iterable[str]) -> None:
        """Remove files; one that is gone already is no error."""
        for name in names:
            try:
                self.file_system.rm_file(self.path(name))
            except FileNotFoundError:
                continue

    def move(self, name: str, target: str) -> None:
        """Give a file another name within the folder, over what stood there before."""
        if isinstance(self.file_system, LocalFileSystem):
            place = Path(self.path(target))
            place.parent.mkdir(parents=True, exist_ok=True)
            Path(self.path(name)).replace(place)
            return
        self.file_system.makedirs(self.path(target).rsplit("/", 1)[0], exist_ok=True)
        self.file_system.mv(self.path(name), self.path(target))
