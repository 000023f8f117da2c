"""A device's inbox: a place that the fog writes and the device reads. Nothing in it is trusted by who reads it."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from storage.credentials import Secrets, environment
from storage.folder import Folder
from storage.places.device_paths import safe_spelling
from storage.places.errors import told
from storage.places.transfer import LocalFileError, Transfer, fetch, send
from storage.shards.faults import Fault, ShardError
from storage.shards.manifest import DATA, MANIFEST, MAX_MANIFEST_BYTES, Manifest, shard_place


class InboxError(RuntimeError):
    """An inbox that cannot be read or written; the message names its URL and says what to do."""


class Inbox:
    """The inbox at an fsspec URL or a plain folder.

    Args:
        url: where it is.
        options: for its file system, with references to secrets.
        secrets: gives the secrets.

    Example::

        data = write_shard(rows)
        Inbox("/srv/inboxes/bridge-cam").put(manifest.name, data, write_manifest(manifest, keyring.signer()))
    """

    def __init__(self, url: str, options: Mapping[str, Any] | None = None, secrets: Secrets = environment) -> None:
        self.url = url
        self._folder = Folder(url, options or {}, secrets)

    def names(self) -> list[str]:
        """Names of the shards that have a manifest, sorted; files of other names are passed over.

        Raises:
            InboxError: the inbox cannot be read.
        """
        with self._errors("read"):
            names = self._folder.names()
        shards = [name.removesuffix(MANIFEST) for name in names if name.endswith(MANIFEST)]
        return [name for name in shards if shard_place(name)]

    def put(self, name: str, shard: bytes, manifest: bytes) -> Transfer:
        """Write a shard, data first and its manifest last, over what stands there.

        What an earlier put of the same bytes left when it broke off is gone on with.

        Args:
            name: the shard's.
            shard: its file.
            manifest: signed.

        Raises:
            InboxError: the inbox cannot be written.
        """
        name = _checked(name)
        with self._errors("written"):
            data = send(self._folder, f"{name}{DATA}", shard)
            last = send(self._folder, f"{name}{MANIFEST}", manifest)
        return Transfer(data.sent + last.sent, data.kept + last.kept)

    def manifest(self, name: str) -> bytes:
        """A manifest's bytes, of which nothing is verified; at most one more than a manifest may have.

        Raises:
            InboxError: the inbox cannot be read.
            ShardError: ``MISSING``.
        """
        name = f"{_checked(name)}{MANIFEST}"
        with self._errors("read"):
            try:
                return self._folder.read(name, MAX_MANIFEST_BYTES)
            except FileNotFoundError:
                raise ShardError(Fault.MISSING, f"{name} is not in the inbox {self.url}; have it sent again") from None

    def fetch(self, manifest: Manifest, target: Path) -> Transfer:
        """Bring a shard's file to a local one, whose bytes are then those that the manifest vouches for.

        Args:
            manifest: opened, so that it is known to be authentic.
            target: the local file.

        Raises:
            InboxError: the inbox cannot be read; what was fetched is kept, and gone on with the next time.
            ShardError: ``MISSING``, ``TRUNCATED`` or ``EDITED``.
            storage.places.transfer.LocalFileError: the local file cannot be written.
        """
        with self._errors("read"):
            return fetch(self._folder, f"{manifest.name}{DATA}", target, manifest.bytes, manifest.sha256)

    def remove(self, names: Iterable[str]) -> None:
        """Remove shards; one that is gone already is no error.

        Raises:
            InboxError: the inbox cannot be written.
        """
        files = [f"{_checked(name)}{ending}" for name in names for ending in (MANIFEST, DATA)]
        with self._errors("written"):
            self._folder.delete(files)

    @contextmanager
    def _errors(self, done: str) -> Iterator[None]:
        try:
            yield
        except (ShardError, LocalFileError):
            raise
        except Exception as error:  # clients of remote stores raise what they like: aiohttp's, botocore's, asyncssh's
            reason = safe_spelling(told(error))  # a server may say anything
            raise InboxError(
                f"the inbox {self.url} cannot be {done}: {reason}; check `inbox` of the device in the fleet file"
            ) from error


def _checked(name: str) -> str:
    if not shard_place(name):
        raise ValueError(f"{name[:80]!r} is no name of a shard")
    return name
