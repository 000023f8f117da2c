"""Taking files: each is read, checked, named by its hash and landed, or refused.

A file lands before its row of ``sources`` is written, so that a kill at any point loses nothing.
"""

import time
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime

from rinr.frames import MAX_PICTURE_BYTES, ImageError, IncompletePicture, fit_annotations
from rinr.labels import ImageLabels, canonical_labels, image_id, labels_id
from storage.devices import DeviceError, DeviceFile, DeviceStorage, path_fault, safe_spelling
from storage.intake.device_labels import (
    CocoLabels,
    LabelFileError,
    PictureLabels,
    UnreadableError,
    UnsettledError,
    read_listed,
)
from storage.intake.outcomes import Outcome, broken_labels, may_be_written
from storage.intake.reading_ahead import Room, in_order
from storage.intake.tally import Tally
from storage.intake.validation import PoisonError, Validator
from storage.landing import Landing
from storage.quarantine import refusal_of
from storage.tables import Source

_BYTES_AHEAD = 192 * 1024 * 1024  # of files that are being read and checked
_MAX_SIDE = 1_000_000  # pixels; an annotated size beyond says nothing
_GIVE_UP_FILES, _GIVE_UP_SECONDS = 8, 60.0  # of nothing but failures: the device is gone


class Taker:
    """Takes single files of one device; may be used by several threads.

    Args:
        storage: of the device.
        labels: of the device, prepared before the first file is taken.
        landing: where pictures are put.
        validator: checks them.
    """

    def __init__(
        self, storage: DeviceStorage, labels: CocoLabels | PictureLabels, landing: Landing, validator: Validator
    ) -> None:
        self.device = storage.device
        self._storage, self._labels, self._landing, self._validator = storage, labels, landing, validator
        self._room = Room(_BYTES_AHEAD)

    def take(self, file: DeviceFile) -> Outcome:
        """Read, check and land one file.

        Raises:
            StoreError: the landing place cannot be written.
        """
        if fault := _fault_of_listed(file):
            return self._refused(file, fault)
        with self._room.of(file.size):
            return self._take(file)

    def _take(self, file: DeviceFile) -> Outcome:
        spelled = safe_spelling(file.path)
        identity: str | None = None
        try:
            jpeg = read_listed(self._storage, file)
            identity = image_id(jpeg)
            facts = self._validator.submit(jpeg).result()
            labels = self._labels.read(file.path, facts.size)
        except UnsettledError as error:
            unreadable = isinstance(error, UnreadableError)
            return Outcome(None, (f"{spelled}: left for the next run: {error}",), left=True, unreadable=unreadable)
        except LabelFileError as error:
            return broken_labels(self.device, error, "the picture waits for it")
        except IncompletePicture as error:
            if may_be_written(file, self.device):
                note = f"{spelled}: left for the next run: {error}; it may still be written"
                return Outcome(None, (note,), left=True)
            return self._refused(file, f"incomplete: {error}; it is read again once it changes", identity)
        except PoisonError as error:
            return self._refused(file, str(error), identity)
        except ImageError as error:
            return self._refused(file, f"{error}; replace the file on the device or remove it", identity)
        self._landing.put(identity, jpeg)
        _, notes = fit_annotations(labels, facts)
        captured_at, captured_from = _captured(facts.captured_at, labels, file)
        boxes = labels.boxes if labels else ()
        source = Source(
            image_id=identity,
            labels_id=labels_id(boxes),
            device=self.device.name,
            path=file.path,
            size=file.size,
            modified=file.modified,
            etag=file.etag,
            captured_at=captured_at,
            captured_from=captured_from,
            labels=canonical_labels(boxes).decode(),
            labels_state=self._labels.state_of(file.path),
            annotated_size=facts.size if self._labels.needs_size else annotated_size(labels),
            notes=notes,
        )
        return Outcome(source, tuple(f"{spelled}: {note}" for note in notes))

    def _refused(self, file: DeviceFile, reason: str, identity: str | None = None) -> Outcome:
        return Outcome(refusal_of(self.device.name, file, reason, identity))


def take_all(files: Sequence[DeviceFile], taker: Taker, limit: int | None, tally: Tally) -> int:
    """Take files in their order; returns how many were not looked at for the limit.

    Args:
        files: whose labels can be read.
        taker: of their device.
        limit: files to take or refuse at most.
        tally: where it is counted.

    Raises:
        DeviceError: the storage gives file after file not.
        StoreError: the store cannot be written.
    """
    begun = failures = 0
    failing_since = 0.0
    with closing(in_order(files, taker.take, limit)) as done:
        for _, outcome in done:
            begun += 1
            tally.add(outcome)
            if not outcome.unreadable:
                failures = 0
                continue
            failures += 1
            failing_since = time.monotonic() if failures == 1 else failing_since
            if failures >= _GIVE_UP_FILES and time.monotonic() - failing_since > _GIVE_UP_SECONDS:
                tally.commit()
                raise DeviceError(
                    f"device {taker.device.name} has given none of the last {failures} files: {outcome.notes[0]}; "
                    f"{tally.new} new files are taken, the others wait for the next run"
                )
    tally.commit()
    return len(files) - begun


def annotated_size(labels: ImageLabels | None) -> tuple[int, int] | None:
    """``(width, height)`` in pixels as labels say it, where that can be."""
    size = labels.size if labels else None
    return size if size and all(0 < side <= _MAX_SIDE for side in size) else None


def _fault_of_listed(file: DeviceFile) -> str | None:
    """Why a file is not even read."""
    if fault := path_fault(file.path):
        return f"{fault}; rename it"
    if not file.regular:
        return "it is a link or no regular file; put the file itself there"
    if file.size > MAX_PICTURE_BYTES:
        sizes = f"the file has {file.size:,} bytes; at most {MAX_PICTURE_BYTES:,} are taken"
        return f"{sizes}; replace the file on the device or remove it"
    return None


def _captured(exif: datetime | None, labels: ImageLabels | None, file: DeviceFile) -> tuple[datetime, str]:
    if exif:
        return exif, "exif"
    if labels and labels.captured_at:
        return labels.captured_at, "coco"
    return file.modified, "file"
