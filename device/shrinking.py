"""Shrinking captures: what a device uploads is a small WebP or AVIF at the working size; the captured file stays.

The fog node fits frames of at most 640 pixels, so that more of a capture is of no use there. Captures that are new or
have changed are shrunk, the oldest first, into the folder that is the device's storage; labels follow, also when they
are corrected. A ledger there, ``.shrunk``, says what was made of which capture, so that a picture that the fog node has
taken away from there is not made again. A kill at any point loses nothing: the next run does what is left.
"""

import fcntl
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from device.shrunk_labels import label_files
from device.shrunk_ledger import Ledger, Shrunk
from rinr.frames import ImageError, Photo, open_picture, resize, working_size
from rinr.labels import ImageLabels
from storage.devices import DeviceError, DeviceFile, DeviceStorage
from storage.fleet import Device, LabelsPlace, Uploads
from storage.intake.device_labels import CocoLabels, LabelFileError, PictureLabels, UnsettledError, labels_of

LEDGER = ".shrunk"
MAX_NOTES = 100

# Colours of small objects at full resolution where the codec can: a capture that is made half as large has them.
_SAVED: dict[str, dict[str, Any]] = {
    "webp": {"method": 6},
    "avif": {"speed": 6, "subsampling": "4:4:4", "max_threads": 1},  # bytes must not depend on the machine's cores
    "jpeg": {"optimize": True, "subsampling": "4:4:4"},
}
_EXIF_FOLDER, _DATE_TIME, _DATE_TIME_ORIGINAL = 0x8769, 0x0132, 0x9003

Progress = Callable[[str, int, int], None]


class ShrinkError(RuntimeError):
    """Captures that cannot be shrunk; the message says why and what to do."""


@dataclass(frozen=True)
class ShrinkReport:
    """What one run did.

    Attributes:
        captured: pictures among the captures.
        shrunk: of them made smaller and written in this run.
        as_captured: written as they were, since shrinking saved nothing.
        known: done by an earlier run.
        left: that cannot be read, or may still be written.
        labels: label files written.
        bytes_captured: of the pictures that were written, before.
        bytes_uploaded: of the pictures that were written, after.
        notes: in words, each with the file's name; at most ``MAX_NOTES``.
    """

    captured: int
    shrunk: int = 0
    as_captured: int = 0
    known: int = 0
    left: int = 0
    labels: int = 0
    bytes_captured: int = 0
    bytes_uploaded: int = 0
    notes: tuple[str, ...] = ()


def shrink(
    captures: Path,
    uploads: Path,
    settings: Uploads | None = None,
    labels: LabelsPlace | None = None,
    progress: Progress | None = None,
) -> ShrinkReport:
    """Write what is new among the captures, made smaller, and their labels into the folder that is uploaded.

    Args:
        captures: pictures and labels; nothing in it is written.
        uploads: made where it is missing.
        settings: the codec and its quality.
        labels: where labels stand among the captures, and then among the uploads.
        progress: is told what is done.

    Raises:
        ShrinkError: a folder cannot be used, or a file that speaks of all pictures is broken.
    """
    if captures.resolve() == uploads.resolve():
        raise ShrinkError(f"{captures} would be shrunk into itself; name another folder for the uploads")
    storage = DeviceStorage(_captures_of(captures, labels or LabelsPlace()))
    try:
        listing = storage.list()
        found = labels_of(storage, listing)
        with _ledger(uploads) as ledger:
            found.prepare([file.path for file in listing.pictures], ledger.paths)
            work = _Work(storage, found, uploads, settings or Uploads(), ledger)
            for done, file in enumerate(listing.pictures):
                if progress:
                    progress("shrinking captures", done, len(listing.pictures))
                work.take(file)
            return work.report(len(listing.pictures))
    except (DeviceError, LabelFileError, UnsettledError, OSError) as error:
        raise ShrinkError(f"{captures} cannot be shrunk into {uploads}: {error}; nothing is uploaded before") from error


def shrink_captures(device: Device, progress: Progress | None = None) -> ShrinkReport | None:
    """What a device does before it is read, where its fleet file names ``captures``; ``None`` where it does not.

    Raises:
        ShrinkError: as of :func:`shrink`.
    """
    if device.captures is None:
        return None
    return shrink(Path(device.captures), Path(device.storage), device.uploads, device.labels, progress)


def shrunk_picture(photo: Photo, codec: str, quality: int, captured_at: datetime | None = None) -> bytes:
    """An upright picture at the working size, coded; of its EXIF the time of capture alone stays.

    Args:
        photo: as captured.
        codec: ``webp``, ``avif`` or ``jpeg``.
        quality: the codec's own.
        captured_at: what is written as its time.
    """
    image = Image.fromarray(resize(photo.pixels, working_size(*photo.size)))
    exif = Image.Exif()
    if captured_at:
        text = captured_at.strftime("%Y:%m:%d %H:%M:%S")
        exif[_DATE_TIME] = text  # Pillow leaves out EXIF that has nothing but a folder in it
        exif.get_ifd(_EXIF_FOLDER)[_DATE_TIME_ORIGINAL] = text
    buffer = io.BytesIO()
    image.save(buffer, codec, quality=quality, exif=exif, **_SAVED[codec])
    return buffer.getvalue()


@dataclass
class _Work:
    """One run."""

    storage: DeviceStorage
    labels: CocoLabels | PictureLabels
    uploads: Path
    settings: Uploads
    ledger: Ledger
    done: ShrinkReport = field(default_factory=lambda: ShrinkReport(0))
    notes: list[str] = field(default_factory=list)

    def take(self, file: DeviceFile) -> None:
        """Shrink one capture where the ledger does not say that this was done."""
        known = self.ledger.get(file.path)
        if known and known.state == file.state:
            self.done = replace(self.done, known=self.done.known + 1)
            return
        try:
            data = self.storage.read(file.path)
            photo = open_picture(data)
            if self.storage.stat(file.path).state != file.state:
                raise DeviceError(f"{file.path} is being written")
        except (DeviceError, ImageError) as error:
            self.notes.append(f"{file.path}: left for the next run: {error}")
            self.done = replace(self.done, left=self.done.left + 1)
            return
        codec, quality = self.settings.codec, self.settings.quality
        made = shrunk_picture(photo, codec, quality, self._captured_at(file, photo))
        smaller = len(made) < len(data)
        name = self._name(file.path, f".{codec}" if smaller else PurePosixPath(file.path).suffix)
        written = made if smaller else data
        _write(self.uploads / name, written, file.modified)
        self.ledger.add(
            Shrunk(
                path=file.path,
                state=file.state,
                upload=name,
                captured=photo.size,
                orientation=photo.orientation,
                uploaded=working_size(*photo.size) if smaller else photo.size,
            )
        )
        self.done = replace(
            self.done,
            shrunk=self.done.shrunk + smaller,
            as_captured=self.done.as_captured + (not smaller),
            bytes_captured=self.done.bytes_captured + len(data),
            bytes_uploaded=self.done.bytes_uploaded + len(written),
        )

    def report(self, captured: int) -> ShrinkReport:
        """Write the labels, which come after the pictures that they speak of, and tell what was done."""
        written = 0
        for name, data in label_files(self.storage, self.labels, self.ledger, self.notes):
            target = self.uploads / name
            if not target.is_file() or target.read_bytes() != data:
                _write(target, data)
                written += 1
        more = len(self.notes) - MAX_NOTES
        notes = (*self.notes[:MAX_NOTES], *([f"and {more:,} more notes"] if more > 0 else []))
        return replace(self.done, captured=captured, labels=written, notes=notes)

    def _name(self, path: str, suffix: str) -> str:
        """Where the upload of a capture goes: under the capture's stem, or its whole name where another has that."""
        plain = str(PurePosixPath(path).with_suffix(suffix))
        return plain if self.ledger.is_free(plain, path) else f"{path}{suffix}"

    def _captured_at(self, file: DeviceFile, photo: Photo) -> datetime:
        """As the fog node would tell it of the capture itself."""
        said: ImageLabels | None = None
        if isinstance(self.labels, CocoLabels):
            said = self.labels.read(file.path, photo.size)
        return photo.captured_at or (said.captured_at if said else None) or file.modified


@contextmanager
def _ledger(uploads: Path) -> Iterator[Ledger]:
    """The ledger of a folder of uploads, while no other process shrinks into it."""
    uploads.mkdir(parents=True, exist_ok=True)
    with (uploads / LEDGER).open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the end of the process gives it up as well
        yield Ledger(file)


def _write(path: Path, data: bytes, modified: datetime | None = None) -> None:
    """Write a file whole or not at all, on the disk before its name is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    if modified:
        os.utime(part, (modified.timestamp(),) * 2)
    part.replace(path)


def _captures_of(folder: Path, labels: LabelsPlace) -> Device:
    """The captures as if they were a device's storage: listed and read by its rules."""
    here = str(folder)
    return Device(name="captures", storage=here, labels=labels, inbox=here, home=here)
