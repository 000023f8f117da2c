"""A device's home folder: what stands where in it, files that outlast a power cut, and one job at a time.

::

    <home>/keys/              the keyring: whose shards are taken, and the device's own key
    <home>/received/          shards and their manifests
    <home>/acknowledgement    what the fog node was told last
    <home>/model.safetensors          the model in use; beside it perhaps a candidate (device/models.py)
    <home>/curve.png, detections.jpg, report.html, report.json    the last job's results (device/results.py)
    <home>/training/                  of a job that is not finished (device/unfinished.py)
    <home>/lock               held by the process that is at work here
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.fleet import Device

RECEIVED, ACKNOWLEDGEMENT, LOCK = "received", "acknowledgement", "lock"

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


class HomeError(RuntimeError):
    """A home folder that cannot be used; the message says why and what to do."""


@contextmanager
def alone(device: Device, progress: Progress | None = None) -> Iterator[Path]:
    """The device's home, made where it is missing, while no other process of this device is at work in it.

    Raises:
        HomeError: it cannot be made or locked.
    """
    home = Path(device.home)
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = (home / LOCK).open("w")
    except OSError as error:
        raise unusable(device, error) from error
    with lock:  # closing it gives it up, and so does the end of the process, however it comes
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if progress:
                progress("waiting for another job of this device", 0, 1)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield home


def write_durably(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, and on the disk when this returns.

    Raises:
        OSError: it cannot be written; what stood there before still stands.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """See that names that were given or taken away in a folder are so after a power cut."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def unusable(device: Device, error: OSError) -> HomeError:
    """What to tell of a home that cannot be read or written."""
    return HomeError(
        f"{device.home} cannot be written: {error.strerror or error}; check `home` of {device.name} in the fleet file"
    )
