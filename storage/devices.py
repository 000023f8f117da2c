"""Devices' storage as the fog node sees it: JPEGs and labels that are listed and read, and never trusted.

A path from a device is only ever used to read from that device; it never chooses a place on our side.
"""

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rinr.folders import JPEG_SUFFIXES, LABELS_FILE
from rinr.frames import MAX_JPEG_BYTES
from rinr.labels import MAX_FILE_BYTES, ImageLabels, parse_coco
from storage.folder import Folder

MAX_PATH = 1_000
MAX_SPELLING = 300

_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNSAFE_CATEGORIES = {
    "Cc",
    "Cs",
    "Zl",
    "Zp",
}  # control characters, lone surrogates, line and paragraph separators


class DeviceError(RuntimeError):
    """A device's storage that cannot be used; the message names the device and says what to do."""


@dataclass(frozen=True)
class DeviceFile:
    """A JPEG in a device's storage, as listed.

    Attributes:
        path: relative to the storage's URL.
        size: in bytes.
        modified: the file's time; 1970 where the storage keeps none.
        regular: false for links, pipes and the like, which are not read.
    """

    path: str
    size: int
    modified: datetime
    regular: bool = True


class DeviceStorage:
    """The folder in which one device puts its JPEGs and their labels.

    Args:
        device_name: for messages.
        url: an fsspec URL or a plain folder.
    """

    def __init__(self, device_name: str, url: str) -> None:
        self.device_name = device_name
        self.url = url
        self._folder = Folder(url)

    def list_jpegs(self) -> list[DeviceFile]:
        """The ``.jpg`` and ``.jpeg`` files (in any case) in the folder and below, sorted by path.

        Hidden files and folders and ``*.part`` files are passed over.

        Raises:
            DeviceError: the folder does not exist or cannot be listed.
        """
        with self._errors("listed"):
            if not self._folder.file_system.isdir(self._folder.root):
                raise DeviceError(
                    f"{self.url} does not exist; check `storage` of device {self.device_name} in the fleet file"
                )
            found = self._folder.file_system.find(self._folder.root, detail=True)
        start = len(self._folder.root) + 1
        files = [_device_file(name[start:], info) for name, info in found.items()]
        return sorted((file for file in files if _is_listed(file.path)), key=lambda file: file.path)

    def read(self, path: str) -> bytes:
        """The bytes of a file, at most one more than ``rinr.frames.MAX_JPEG_BYTES`` (which refuses it then).

        Args:
            path: as listed.

        Raises:
            DeviceError: the path is none that may be read, or the file is not there or cannot be read.
        """
        return self._read(path, MAX_JPEG_BYTES)

    def read_labels(self) -> dict[str, ImageLabels]:
        """What ``annotations.json`` in the folder says, by file name; nothing where there is no such file.

        Raises:
            DeviceError: it cannot be read.
            rinr.labels.LabelError: it is not COCO detection format, or over a limit.
        """
        with self._errors("read"):
            if not self._folder.exists(LABELS_FILE):
                return {}
        return parse_coco(self._read(LABELS_FILE, MAX_FILE_BYTES))

    def labels_file(self) -> DeviceFile:
        """``annotations.json`` as a file.

        Raises:
            DeviceError: it is not there or cannot be read.
        """
        with self._errors("read"):
            return _device_file(LABELS_FILE, self._folder.file_system.info(self._folder.path(LABELS_FILE)))

    def _read(self, path: str, limit: int) -> bytes:
        fault = path_fault(path)
        if fault:
            raise DeviceError(f"{safe_spelling(path)} of device {self.device_name} is not read: {fault}")
        with self._errors(f"read: {path}"):
            info = self._folder.file_system.info(self._folder.path(path))
            if not _device_file(path, info).regular:
                raise DeviceError(f"{path} of device {self.device_name} is not read: not a regular file")
            return self._folder.read(path, limit)

    @contextmanager
    def _errors(self, done: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, ImportError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise DeviceError(
                f"the storage {self.url} of device {self.device_name} cannot be {done}: {reason}; "
                "check `storage` of the device in the fleet file and that you may read there"
            ) from error


def path_fault(path: str) -> str | None:
    """Why a path is none that may be read from a device, in words; ``None`` where it may."""
    if len(path) > MAX_PATH:
        return f"its name has {len(path):,} characters; at most {MAX_PATH:,} are taken"
    if any(unicodedata.category(character) in _UNSAFE_CATEGORIES for character in path):
        return "its name holds control characters (such as a newline) or is not UTF-8"
    if path.startswith("/"):
        return "its name is an absolute path; expected one relative to the device's storage"
    if any(part in ("", ".", "..") for part in path.split("/")):
        return "its name holds an empty part, `.` or `..`; expected a plain path within the device's storage"
    return None


def safe_spelling(path: str) -> str:
    """A path fit for messages and tables: unprintable characters escaped, at most ``MAX_SPELLING`` long."""
    # Cut first: one character may become ten.
    start = path[:MAX_SPELLING]
    spelled = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in start)
    if len(path) <= MAX_SPELLING and len(spelled) <= MAX_SPELLING:
        return spelled
    return spelled[: MAX_SPELLING - 1] + "…"


def _device_file(path: str, info: dict[str, Any]) -> DeviceFile:
    regular = info["type"] == "file" and not info.get("islink", False)
    return DeviceFile(path, int(info["size"] or 0), _modified(info), regular)


def _modified(info: dict[str, Any]) -> datetime:
    # File systems of fsspec name and type the time of a file each in its own way.
    for name in _TIMES:
        value = info.get(name)
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
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


def _is_listed(path: str) -> bool:
    hidden = any(part.startswith(".") and part != ".." for part in path.split("/"))
    return path.lower().endswith(JPEG_SUFFIXES) and not hidden
