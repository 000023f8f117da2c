"""Sending and fetching files."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from rinr.files import write_whole
from storage.folder import Folder
from storage.shards.faults import Fault, ShardError


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
    """Write a file in one step, over what stood there."""
    folder.write(name, data)
    return Transfer(len(data), 0)


def fetch(folder: Folder, name: str, target: Path, size: int, sha256: str) -> Transfer:
    """Read a file of a known size and hash into a local one."""
    try:
        data = folder.read(name, size)
    except FileNotFoundError:
        raise ShardError(Fault.MISSING, f"{name} is not there; have it sent again") from None
    if len(data) < size:
        raise ShardError(Fault.TRUNCATED, f"{name} has {len(data):,} bytes, expected {size:,}; have it sent again")
    if len(data) > size or hashlib.sha256(data).hexdigest() != sha256:
        raise ShardError(Fault.EDITED, f"{name} is not the file that was sent; have it sent again")
    write_whole(target, data)
    return Transfer(len(data), 0)
