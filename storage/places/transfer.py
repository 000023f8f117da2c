"""Files sent and fetched in blocks: whole or not at all under their names, and resumed after a break at any byte.

What breaks off leaves the blocks that arrived in a file whose name carries the SHA-256 of the whole, or in S3 in an
unfinished upload; the next attempt at the same bytes sends at most one block again, the one that was on its way.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from storage.folder import Folder
from storage.shards.faults import Fault, ShardError

BLOCK = 1024 * 1024
"""Bytes of a block; in uploads to S3 it is :data:`storage.places.s3_uploads.PART`."""


class LocalFileError(RuntimeError):
    """The local end of a transfer cannot be written; the message says which file, why, and what to do."""


@dataclass(frozen=True)
class Transfer:
    """What a transfer moved.

    Attributes:
        sent: bytes that were moved.
        kept: bytes that lay there from an attempt that broke off, and were not moved again.
    """

    sent: int
    kept: int


def send(folder: Folder, name: str, data: bytes) -> Transfer:
    """Write a file under its name in one step, over what stood there; a reader sees the old one or the new one.

    Two senders of the same bytes do not disturb each other: whoever comes second finds it done.

    Raises:
        OSError: and what else the file system raises, where the connection breaks or nothing can be written.
    """
    kind = folder.kind
    if kind == "s3":
        return Transfer(*folder.upload(name, data))
    if kind not in ("local", "sftp"):
        folder.write(name, data)
        return Transfer(len(data), 0)
    part = f".{name}.{hashlib.sha256(data).hexdigest()[:16]}.part"
    kept = _kept(folder, part, data)
    sent = 0
    try:
        for start in range(kept, len(data), BLOCK):
            block = data[start : start + BLOCK]
            folder.write_block(part, start, block)
            sent += len(block)
        if _size(folder, part) != len(data):
            raise FileNotFoundError(2, "another sender took it away", part)
        folder.move(part, name)
    except FileNotFoundError:
        # Another sender of the same bytes has given the part its name, and may have begun anew since.
        if _size(folder, name) != len(data):
            raise
    with suppress(Exception):  # of other bytes that nobody will send again: it is there, whatever becomes of them
        folder.delete([other for other in folder.parts(name) if other != part])
    return Transfer(sent, kept)


def fetch(folder: Folder, name: str, target: Path, size: int, sha256: str) -> Transfer:
    """Bring a file to a local one, which then has the size and the hash that it has to have, and is on the disk.

    Args:
        folder: where it is.
        name: the file's.
        target: the local file; beside it lies, while it is incomplete, ``<target>.<start of the hash>.part``.
        size: in bytes.
        sha256: in hexadecimal.

    Raises:
        ShardError: ``MISSING``, ``TRUNCATED`` or ``EDITED``.
        LocalFileError: the local file cannot be written.
        OSError: and what else the file system raises, where the connection breaks.
    """
    part = target.with_name(f"{target.name}.{sha256[:16]}.part")
    with _writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(part, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with _writing(target):
            there = os.fstat(file).st_size
            kept = there // BLOCK * BLOCK if there <= size else 0
            os.ftruncate(file, kept)
        sent, found = _fetch_rest(folder, name, file, target, kept, size)
        if found != sha256 and kept:  # what an earlier attempt left may be of a file that was no good
            more, found = _fetch_rest(folder, name, file, target, 0, size)
            sent, kept = sent + more, 0
        if found != sha256:
            part.unlink(missing_ok=True)
            raise ShardError(
                Fault.EDITED, f"{name} has the SHA-256 {found}, its manifest says {sha256}; have it sent again"
            )
        with _writing(target):
            os.fsync(file)
            with suppress(FileNotFoundError):  # another process that fetched the same has given it its name
                part.replace(target)
            if not target.exists():
                raise FileNotFoundError(2, "the part of it was taken away while it was fetched", str(part))
            _sync_folder(target.parent)
            for other in target.parent.glob(f"{target.name}.????????????????.part"):
                other.unlink(missing_ok=True)  # of other bytes under this name, which are not wanted any more
    finally:
        os.close(file)
    return Transfer(sent, kept)


def _fetch_rest(folder: Folder, name: str, file: int, target: Path, kept: int, size: int) -> tuple[int, str]:
    """Fetch what comes after the blocks that are kept; returns how many bytes came, and the hash of all."""
    digest = hashlib.sha256()
    with _writing(target):
        for start in range(0, kept, BLOCK):
            digest.update(os.pread(file, BLOCK, start))
    start = kept
    for block in _blocks(folder, name, kept, size):
        expected = min(BLOCK, size - start)
        if len(block) < expected:
            has = start + len(block)
            raise ShardError(
                Fault.TRUNCATED, f"{name} has {has:,} bytes, its manifest says {size:,}; have it sent again"
            )
        if len(block) > expected:
            raise ShardError(
                Fault.EDITED, f"{name} has more bytes than the {size:,} of its manifest; have it sent again"
            )
        digest.update(block)
        with _writing(target):
            _write_all(file, block, start)
        start += len(block)
    return size - kept, digest.hexdigest()


def _blocks(folder: Folder, name: str, kept: int, size: int) -> Iterator[bytes]:
    """What comes after the blocks that are kept, block by block; the last one has a byte more if the file does."""
    try:
        for start in range(kept, size, BLOCK):
            count = min(BLOCK, size - start)
            count += start + count == size
            block = folder.read_block(name, start, count)
            if block is None:  # a web server without ranges gives all or nothing
                data = folder.read(name, size)
                for begin in range(start, size, BLOCK):
                    yield data[begin:] if begin + BLOCK >= size else data[begin : begin + BLOCK]
                return
            yield block
    except FileNotFoundError:
        raise ShardError(Fault.MISSING, f"{name} is not there; have it sent again") from None


def _kept(folder: Folder, part: str, data: bytes) -> int:
    """Bytes of whole blocks that an earlier attempt left and that need not be sent again."""
    size = _size(folder, part)
    if size is None:
        return 0
    if size > len(data):
        folder.delete([part])
        return 0
    kept = size if size == len(data) else size // BLOCK * BLOCK
    if folder.kind == "local":  # to look is cheap, and a machine that lost power may have kept the size alone
        for start in range(0, kept, BLOCK):
            if folder.read_block(part, start, BLOCK) != data[start : start + BLOCK]:
                return start
    return kept


def _size(folder: Folder, name: str) -> int | None:
    try:
        return int(folder.info(name)["size"])
    except FileNotFoundError:
        return None


def _write_all(file: int, block: bytes, start: int) -> None:
    left = memoryview(block)
    while left:
        written = os.pwrite(file, left, start)
        left, start = left[written:], start + written


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LocalFileError(
            f"{target} cannot be written: {error.strerror or error}; make room or check the folder, and run again: "
            "what came so far is kept"
        ) from error
