"""A folder of weights that were entropy decoded before, one file a shard.

A file is named by what it was made of (a hash of the payloads) and by what it holds (a hash of its own bytes), so that
a file that was damaged is known as such, and a payload that changed finds none. Files are written under another name
and moved into place: of processes that write the same at once each is right, and a kill leaves nothing half done. The
folder may be deleted at any time.
"""

import hashlib
import logging
import os
import re
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from rinr.weights import FrameWeights
from rinr.weights_file import WEIGHTS_VERSION, map_weights, write_weights

log = logging.getLogger(__name__)

_NAME = re.compile(r"weights-(\d+)-([0-9a-f]{64})-([0-9a-f]{64})\.arrow")
_PART = ".part"
_PART_SECONDS = 3600
_BLOCK = 1 << 20


def key_of(payloads: pa.ChunkedArray, parts: Iterable[bytes] = ()) -> str:
    """A hash of frames' payloads in their order, and of the shared parts that they need, in hexadecimal."""
    digest = hashlib.sha256()
    for chunk in payloads.chunks:
        for payload in chunk:
            data = payload.as_buffer()
            digest.update(len(data).to_bytes(8, "little"))
            digest.update(data)
    for part in parts:
        digest.update(b"part" + len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def find(folder: Path, key: str) -> tuple[Path, FrameWeights] | None:
    """The undamaged file of a key with what it holds, or ``None``; damaged ones are removed."""
    for path in sorted(folder.glob(f"weights-{WEIGHTS_VERSION}-{key}-*.arrow")):
        try:
            return path, open_checked(path)
        except (OSError, ValueError) as error:
            log.warning("%s; it is made again", error)
            with suppress(OSError):
                path.unlink()
    return None


def open_checked(path: Path) -> FrameWeights:
    """The weights of a file, over its memory map.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, or was not written by this version.
    """
    named = _NAME.fullmatch(path.name)
    if not named or _digest(path) != named[3]:
        raise ValueError(f"the cached weights {path} are damaged")
    return map_weights(path)


def put(folder: Path, key: str, weights: FrameWeights) -> Path:
    """Write weights of a key.

    Raises:
        OSError: they cannot be written; nothing is left behind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _tidy(folder)
    handle, name = tempfile.mkstemp(_PART, f"weights-{WEIGHTS_VERSION}-{key}-", folder)
    os.close(handle)
    part = Path(name)
    try:
        write_weights(part, weights)
        path = folder / f"weights-{WEIGHTS_VERSION}-{key}-{_digest(part)}.arrow"
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    return path


def keep_only(folder: Path, files: Sequence[Path]) -> None:
    """Remove from a cache what is not among some of its files."""
    kept = {file.name for file in files}
    for path in folder.glob("weights-*"):
        if path.name not in kept:
            with suppress(OSError):
                path.unlink()


def _tidy(folder: Path) -> None:
    """Remove what killed processes have left, and what older versions wrote."""
    for path in folder.iterdir():
        with suppress(OSError):
            left = path.name.startswith("weights-") and path.suffix == _PART
            if left and time.time() - path.stat().st_mtime > _PART_SECONDS:
                path.unlink()
            named = _NAME.fullmatch(path.name)
            if named and int(named[1]) < WEIGHTS_VERSION:
                path.unlink()


def _digest(path: Path) -> str:
    """SHA-256 of the SHA-256 of each block, so that all cores share the work."""

    def of_block(start: int) -> bytes:
        with path.open("rb") as stream:
            stream.seek(start)
            return hashlib.sha256(stream.read(_BLOCK)).digest()

    with ThreadPoolExecutor() as pool:
        return hashlib.sha256(b"".join(pool.map(of_block, range(0, path.stat().st_size, _BLOCK)))).hexdigest()
