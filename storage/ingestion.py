"""Ingestion: a device's new pictures are read, checked, named by their hash and landed; the broken are refused.

What was seen before stands in the store alone: the newest row of ``sources`` of each path, and the quarantine.
Whatever happens to one file, the rest goes on. A file lands before its row of ``sources`` is written, so that a kill at
any point loses nothing and the next run does what is left.
"""

from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np

from storage.credentials import Secrets, environment
from storage.devices import DeviceFile, DeviceStorage
from storage.fleet import Device
from storage.intake.device_labels import PictureLabels
from storage.intake.originals import Retired, retire
from storage.intake.relabelling import Relabelled, may_relabel, relabel
from storage.intake.survey import Survey, survey
from storage.intake.taking import Taker, take_all
from storage.intake.tally import Tally
from storage.intake.validation import Validator
from storage.intake.working_frames import read_frame
from storage.landing import Landing
from storage.store import Store, StoreError

__all__ = ["IngestReport", "has_news", "ingest", "read_frame"]


@dataclass(frozen=True)
class IngestReport:
    """What one run of ingestion did.

    Attributes:
        device: its name.
        found: pictures listed in its storage.
        new: rows of ``sources`` written: new files, and known files whose labels changed.
        known: files of which an earlier run took or refused what they hold now.
        refused: rows of ``quarantine`` written.
        notes: what was done to boxes and what was left for the next run, each with the file's name; at most
            ``MAX_NOTES`` and the number of the others.
        waiting: files whose labels are broken.
        left: files that are being written or could not be read.
        backlog: files that were not looked at for the limit of the run.
        retired: originals that were moved or deleted on the device.
        bytes: of the new files' pictures.
    """

    device: str
    found: int
    new: int
    known: int
    refused: int
    notes: tuple[str, ...]
    waiting: int = 0
    left: int = 0
    backlog: int = 0
    retired: int = 0
    bytes: int = 0


def has_news(device: Device, store: Store, *, secrets: Secrets = environment) -> bool:
    """Whether :func:`ingest` may have anything to do, judged by the listing alone: no file is read, nothing written.

    It says no only where ``ingest`` would do nothing; files that wait for something are news each time.

    Args:
        device: where to look.
        store: what is known; it need not exist.
        secrets: gives the secrets that the device's options refer to.

    Raises:
        DeviceError: the device's storage does not exist or cannot be listed.
        StoreError: the store cannot be read.
    """
    storage = DeviceStorage(device, secrets)
    seen = survey(storage, storage.list(), store)
    retires = device.after != "keep" and bool(seen.same.any())
    return bool(seen.fresh) or retires or may_relabel(seen) or bool(seen.refused.outdated(seen.files))


def ingest(
    device: Device,
    store: Store,
    *,
    secrets: Secrets = environment,
    limit: int | None = None,
    validator: Validator | None = None,
) -> IngestReport:
    """Take what is new in a device's storage into the store, the oldest first.

    A file that was taken or refused before, and has the same size, time and etag, is not read again; where only its
    labels changed, a new source is written of the known image. Labels that no longer speak of a file change nothing.
    While a file that speaks of all pictures is broken it lies in the quarantine and the device's images wait: encoded
    without their labels they would be wrong. A picture whose own label file is broken waits alone.

    Args:
        device: where to look.
        store: where to write.
        secrets: gives the secrets that the device's options refer to.
        limit: new files to take or refuse at most in this run, instead of the device's own limit.
        validator: checks the files; without it worker processes are started for this run.

    Raises:
        DeviceError: the device's storage does not exist, cannot be listed, or fails for file after file.
        StoreError: the store cannot be written.
    """
    limit = device.limit if limit is None else limit
    storage = DeviceStorage(device, secrets)
    listing = storage.list()
    store.create()
    seen = survey(storage, listing, store)
    store.append(seen.refused.outdated(seen.files))
    tally = Tally(store)
    with nullcontext(validator) if validator else Validator() as checks:
        taker = Taker(storage, seen.labels, Landing(store.url), checks)
        relabelled = relabel(seen, taker.take, limit, tally)
        retired, backlog = Retired(), 0
        if relabelled.held:
            tally.waiting += len(seen.fresh)
        else:
            retired = _retire(seen, store, relabelled, limit)
            tally.note(retired.notes)
            ready = [file for file in seen.fresh if not _has_refused_labels(seen, file)]
            tally.waiting += len(seen.fresh) - len(ready)
            backlog = take_all(ready, taker, limit, tally)
    return IngestReport(
        device=device.name,
        found=len(listing.pictures),
        new=tally.new,
        known=_known(seen, relabelled) + tally.overtaken,
        refused=tally.refused,
        notes=tally.notes,
        waiting=tally.waiting,
        left=tally.left,
        backlog=backlog,
        retired=retired.files,
        bytes=tally.bytes,
    )


def _retire(seen: Survey, store: Store, relabelled: Relabelled, limit: int | None) -> Retired:
    """Move or delete originals that are as they were taken, less those whose labels have changed."""
    places = np.flatnonzero(seen.same & ~np.isin(seen.rows, relabelled.pending))
    files = [seen.listing.pictures[place] for place in places.tolist()]
    try:
        return retire(seen.storage, store, files, seen.known, seen.rows[places], limit)
    except StoreError as error:  # what cannot be read proves nothing; new files are taken all the same
        return Retired(notes=(f"originals stay where they are: {error}",))


def _has_refused_labels(seen: Survey, file: DeviceFile) -> bool:
    """Whether a picture's own label file lies in the quarantine as it is now."""
    own = seen.labels.file_of(file.path) if isinstance(seen.labels, PictureLabels) else None
    return own is not None and seen.refused.holds(own) is not None


def _known(seen: Survey, relabelled: Relabelled) -> int:
    """Files that were taken or refused as they are now, less those that this run has given other labels."""
    anew = int(np.isin(seen.rows[seen.same], relabelled.written).sum())
    return len(seen.listing.pictures) - len(seen.fresh) - anew
