"""Devices' storage as the fog node sees it: pictures and labels that are listed and read, and never trusted.

A path from a device is only ever used to read from that device; it never chooses a place on our side.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from rinr.frames import MAX_PICTURE_BYTES
from rinr.labels import MAX_FILE_BYTES
from rinr.picture_files import PICTURE_SUFFIXES
from storage.credentials import Secrets, environment
from storage.fleet import Device
from storage.folder import Folder
from storage.places.device_paths import MAX_PATH, MAX_SPELLING, path_fault, safe_spelling
from storage.places.errors import told

__all__ = [
    "MAX_PATH",
    "MAX_SPELLING",
    "DeviceError",
    "DeviceFile",
    "DeviceStorage",
    "Listing",
    "path_fault",
    "safe_spelling",
]

_LISTED = (*PICTURE_SUFFIXES, ".json", ".txt", ".xml")
_TIMES = ("mtime", "LastModified", "last_modified", "Last-Modified", "updated", "modified", "created")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DeviceError(RuntimeError):
    """A device's storage that cannot be used; the message names the device and says what to do."""


@dataclass(frozen=True)
class DeviceFile:
    """A file in a device's storage, as listed.

    Attributes:
        path: relative to the storage's URL.
        size: in bytes.
        modified: the file's time; 1970 where the storage keeps none.
        etag: what the storage says of its content, where it says something.
        regular: false for links, pipes and the like, which are not read.
    """

    path: str
    size: int
    modified: datetime
    etag: str | None = None
    regular: bool = True

    @property
    def state(self) -> str:
        """Size, time and etag in one text: another content has another."""
        return f"{self.size} {self.modified.isoformat()} {self.etag or '-'}"


@dataclass(frozen=True)
class Listing:
    """What lies in a device's storage.

    Attributes:
        pictures: pictures by their suffix (``rinr.picture_files.PICTURE_SUFFIXES``), oldest first.
        others: files that may hold labels, by path: ``.json``, ``.txt`` and ``.xml``, and what ``labels`` of the device
            names.
    """

    pictures: tuple[DeviceFile, ...]
    others: dict[str, DeviceFile]


class DeviceStorage:
    """The place in which one device puts its pictures and their labels.

    Args:
        device: whose.
        secrets: gives the secrets that its options refer to.
    """

    def __init__(self, device: Device, secrets: Secrets = environment) -> None:
        self.device = device
        self._folder = Folder(device.storage, device.storage_options, secrets)

    def list(self) -> Listing:
        """All pictures and label files in the storage's folder and below, in one listing.

        Hidden files and folders and ``*.part`` files are passed over; links to folders are not followed.

        Raises:
            DeviceError: the folder does not exist or cannot be listed.
        """
        try:
            with self._errors("listed"):
                found = self._folder.tree(self._is_listed)
        except DeviceError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise DeviceError(
                    f"{self.device.storage} does not exist; "
                    f"check `storage` of device {self.device.name} in the fleet file"
                ) from error
            raise
        pictures = []
        others = {}
        for path, info in found.items():
            file = _device_file(path, info)
            if path.lower().endswith(PICTURE_SUFFIXES):
                pictures.append(file)
            else:
                others[path] = file
        return Listing(tuple(sorted(pictures, key=lambda file: (file.modified, file.path))), others)

    def read(self, path: str) -> bytes:
        """The bytes of a picture, at most one more than ``rinr.frames.MAX_PICTURE_BYTES`` (which refuses it then).

        Args:
            path: as listed.

        Raises:
            DeviceError: the path is none that may be read, or the file is not there or cannot be read to its end.
        """
        return self._read(path, MAX_PICTURE_BYTES)

    def read_label(self, path: str) -> bytes:
        """The bytes of a label file, at most one more than ``rinr.labels.MAX_FILE_BYTES``.

        Raises:
            DeviceError: as of :meth:`read`.
        """
        return self._read(path, MAX_FILE_BYTES)

    def stat(self, path: str) -> DeviceFile:
        """A file as it is now.

        Raises:
            DeviceError: it is not there, or the storage cannot be asked.
        """
        self._check(path, "read")
        with self._errors(f"read: {safe_spelling(path)}"):
            return _device_file(path, self._folder.info(path))

    def move(self, path: str, folder: str) -> None:
        """Put a file into another folder of the storage, under its path.

        Raises:
            DeviceError: the storage cannot be written, or the file is not there.
        """
        target = f"{folder}/{path}"
        self._check(path, "moved")
        self._check(target, "moved to")
        with self._errors(f"written: {safe_spelling(path)}"):
            self._folder.move(path, target)

    def delete(self, path: str) -> None:
        """Remove a file; one that is gone already is no error.

        Raises:
            DeviceError: the storage cannot be written.
        """
        self._check(path, "deleted")
        with self._errors(f"written: {safe_spelling(path)}"):
            self._folder.delete([path])

    def _is_listed(self, path: str) -> bool:
        return path.lower().endswith(_LISTED) or path in (self.device.labels.path, self.device.labels.classes)

    def _read(self, path: str, limit: int) -> bytes:
        file = self.stat(path)
        if not file.regular:
            raise DeviceError(f"{path} of device {self.device.name} is not read: not a regular file")
        with self._errors(f"read: {safe_spelling(path)}"):
            data = self._folder.read(path, limit)
            if len(data) < min(file.size, limit + 1):
                raise OSError(f"{len(data):,} bytes came of {file.size:,}")
            return data

    def _check(self, path: str, done: str) -> None:
        fault = path_fault(path) or self._link_fault(path)
        if fault:
            raise DeviceError(f"{safe_spelling(path)} of device {self.device.name} is not {done}: {fault}")

    def _link_fault(self, path: str) -> str | None:
        """On local disk, why a path leads out of the storage by a link among its folders."""
        if "://" in self.device.storage:
            return None
        root = os.path.realpath(self.device.storage)
        folder = os.path.realpath(os.path.join(root, os.path.dirname(path)))  # noqa: PTH118, PTH120
        if folder == root or folder.startswith(root.rstrip("/") + "/"):
            return None
        return "a folder in its name is a link out of the device's storage"

    @contextmanager
    def _errors(self, done: str) -> Iterator[None]:
        try:
            yield
        except DeviceError:
            raise
        except Exception as error:  # clients of remote stores raise what they like: aiohttp's, botocore's, asyncssh's
            reason = safe_spelling(told(error))  # a server may say anything
            raise DeviceError(
                f"the storage {self.device.storage} of device {self.device.name} cannot be {done}: {reason}; "
                "check `storage` of the device in the fleet file and that you may read there"
            ) from error


def time_of(info: dict[str, Any]) -> datetime:
    """The time of a file, of what fsspec's ``info`` says of it; 1970 where the storage keeps none."""
    # File systems of fsspec name and type the time of a file each in its own way.
    for name in _TIMES:
        value = info.get(name)
        if isinstance(value, str):
            try:
                value = parsedate_to_datetime(value) if name == "Last-Modified" else datetime.fromisoformat(value)
            except ValueError:
                continue
        if isinstance(value, datetime):
            return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
        if isinstance(value, int | float):
            try:
                return datetime.fromtimestamp(value, UTC)
            except (OverflowError, ValueError, OSError):
                continue
    return _EPOCH


def _device_file(path: str, info: dict[str, Any]) -> DeviceFile:
    regular = info["type"] == "file" and not info.get("islink", False)
    etag = info.get("ETag")
    return DeviceFile(path, int(info["size"] or 0), time_of(info), _etag(etag), regular)


def _etag(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    plain = value.removeprefix("W/").strip('"')[:100]
    return plain if plain and plain.isprintable() and " " not in plain else None
