"""The version of a store's schema: ``<store>/store.json``, written before anything else.

A store that has tables and no such file was written by the first release, and is of version 1. Tables of earlier
versions lack columns, which then read as null: those of version 1 ``etag``, ``labels_state`` and the quarantine's
``status``, those of versions 1 and 2 what ``deliveries`` says beyond one row a shard (``generation``, ``sequence``,
``status``, ``number``, ``encoding_id``, ``reason``), those of versions 1 to 3 what is said of clips (``part_id``,
``bytes_shared`` and ``clip`` of ``images``, ``part_ids`` of ``deliveries``, the table ``parts``).
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from storage.folder import Folder
from storage.tables import LAYOUTS

FILE = "store.json"
FORMAT = "rinr-store"
VERSION = 4
"""The version that this program writes, and the newest that it reads."""

_MAX_BYTES = 65_536
_MAX_VERSION = 1_000_000


class StoreVersionError(RuntimeError):
    """A store of a version that this program does not know, or whose ``store.json`` cannot be understood."""


def read_version(url: str) -> int | None:
    """The version of the store at a URL, 1 or more; ``None`` where there is no store yet.

    Raises:
        StoreVersionError: ``store.json`` is malformed.
        OSError: the place cannot be read.
    """
    folder = Folder(url)
    data = _read(folder)
    if data is not None:
        return _parsed(data, url)
    with _os_errors():
        if any(folder.file_system.isdir(folder.path(f"{layout.name}/_delta_log")) for layout in LAYOUTS):
            return 1
    # Another process may have made the store between the two looks.
    data = _read(folder)
    return None if data is None else _parsed(data, url)


def check_version(url: str) -> int | None:
    """As :func:`read_version`, and refuse a store that is newer than this program.

    Returns:
        The version found, 1 to :data:`VERSION`; ``None`` where there is no store yet.

    Raises:
        StoreVersionError: it is of a newer version, or ``store.json`` is malformed.
        OSError: the place cannot be read.
    """
    version = read_version(url)
    if version is not None and version > VERSION:
        raise StoreVersionError(
            f"the store {url} is of version {version}, this program knows up to {VERSION}: update rinr"
        )
    return version


def write_version(url: str) -> int:
    """Write ``store.json`` where it is missing or older: to be called before anything else is written.

    Two writers that come at once write the same bytes.

    Returns:
        The version that the store now has.

    Raises:
        StoreVersionError: the store is of a newer version, or ``store.json`` is malformed.
        OSError: the place cannot be read or written.
    """
    if check_version(url) == VERSION:
        return VERSION
    document = json.dumps({"format": FORMAT, "version": VERSION}) + "\n"
    with _os_errors():
        Folder(url).write(FILE, document.encode())
    return VERSION


def _read(folder: Folder) -> bytes | None:
    try:
        with _os_errors():
            return folder.read(FILE, _MAX_BYTES)
    except FileNotFoundError:
        return None


@contextmanager
def _os_errors() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, ImportError):
        raise
    except Exception as error:  # clients of remote stores raise what they like
        raise OSError(str(error) or type(error).__name__) from error


def _parsed(data: bytes, url: str) -> int:
    where = f"{FILE} of the store {url}"
    advice = f'expected {{"format": "{FORMAT}", "version": {VERSION}}}; is this the folder of a store?'
    if len(data) > _MAX_BYTES:
        raise StoreVersionError(f"{where} has more than {_MAX_BYTES:,} bytes; {advice}")
    try:
        document: Any = json.loads(data)
    except (ValueError, RecursionError):
        raise StoreVersionError(f"{where} is not JSON; {advice}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise StoreVersionError(f"{where} does not say `format`: {FORMAT!r}; {advice}")
    version = document.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= _MAX_VERSION:
        raise StoreVersionError(f"`version` in {where} is {str(version)[:40]!r}; {advice}")
    return version
