"""Ingestion: a device's new JPEGs are read, checked, named by their hash and landed; the broken are refused.

Whatever happens to one file, the rest goes on. A file lands before its row of ``sources`` is written, so
that a crash at any point loses nothing and the next run does what is left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

import pyarrow.compute as pc

from rinr.boxes import fit_box
from rinr.folders import LABELS_FILE
from rinr.frames import MAX_JPEG_BYTES, Frame, ImageError, working_frame, working_size
from rinr.labels import (
    ImageLabels,
    LabelError,
    boxes_from_canonical,
    canonical_labels,
    image_id,
    labels_id,
    parse_coco,
)
from storage.credentials import Secrets, environment
from storage.devices import DeviceError, DeviceFile, DeviceStorage, path_fault, safe_spelling
from storage.fleet import Device
from storage.landing import Landing
from storage.store import Store
from storage.tables import QUARANTINE, SOURCES, Pending, Refusal, Source, now, source_from_row

CHUNK = 64
"""Files that are landed before their rows are committed together."""

_MAX_SIDE = 1_000_000  # pixels; an annotated size beyond says nothing
_MAX_REASON = 1_000


@dataclass(frozen=True)
class IngestReport:
    """What one run of ingestion did.

    Attributes:
        device: its name.
        found: JPEGs listed in its storage.
        new: rows of ``sources`` written: new files, and known files whose labels changed.
        known: files of which an earlier run took or refused what they hold now.
        refused: rows of ``quarantine`` written.
        notes: what was done to boxes and what was left for the next run, each with the file's name.
    """

    device: str
    found: int
    new: int
    known: int
    refused: int
    notes: tuple[str, ...]


def ingest(device: Device, store: Store, *, secrets: Secrets = environment, limit: int | None = None) -> IngestReport:
    """Take what is new in a device's storage into the store.

    A file that was taken or refused before, and has the same size and time, is not read again; where only
    its labels changed, a new source is written of the known image. Labels that no longer speak of a file
    change nothing. While ``annotations.json`` is broken it lies in the quarantine and the device's images
    wait: encoded without their labels they would be wrong.

    Args:
        device: where to look.
        store: where to write.
        secrets: gives the secrets that the device's options refer to.
        limit: new files to read at most in this run; all without it.

    Raises:
        DeviceError: the device's storage does not exist or cannot be listed.
        StoreError: the store cannot be written.
    """
    storage = DeviceStorage(device, secrets)
    listing = storage.list()
    files = listing.jpegs
    store.create()
    try:
        labels = parse_coco(storage.read_label(device.labels.path)) if device.labels.path in listing.others else {}
    except LabelError as error:
        refused = store.append([_labels_refusal(device, listing.others[device.labels.path], error)])
        note = f"{device.labels.path}: {error}; no image of the device is taken until it is repaired"
        return IngestReport(device.name, len(files), 0, 0, refused, (note,))

    labels_of, refusals = assign_labels(labels, files, device.name)
    known = _known_sources(store, device.name)
    rejected = _known_refusals(store, device.name)
    fresh: list[DeviceFile] = []
    relabelled: list[Source] = []
    passed = 0
    for file in files:
        source = known.get(file.path)
        if source and (source.size, source.modified) == (file.size, file.modified):
            changed = _relabelled(source, labels_of.get(file.path))
            if changed:
                relabelled.append(changed)
            else:
                passed += 1
        elif (safe_spelling(file.path), file.size, file.modified) in rejected:
            passed += 1
        else:
            fresh.append(file)

    new = store.append(relabelled)
    refused = store.append(refusals)
    notes = [f"{source.path}: {note}" for source in relabelled for note in source.notes]
    landing = Landing(store.url)
    waiting = iter(fresh[:limit])
    while chunk := list(islice(waiting, CHUNK)):
        taken = [_take(file, storage, labels_of.get(file.path), landing) for file in chunk]
        sources = [item for item in taken if isinstance(item, Source)]
        added = store.append(sources)
        new, passed = new + added, passed + len(sources) - added
        refused += store.append([item for item in taken if isinstance(item, Refusal)])
        notes += [f"{source.path}: {note}" for source in sources for note in source.notes]
        notes += [item for item in taken if isinstance(item, str)]
    return IngestReport(device.name, len(files), new, passed, refused, tuple(notes))


def assign_labels(
    labels: Mapping[str, ImageLabels], files: Sequence[DeviceFile], device: str
) -> tuple[dict[str, ImageLabels], list[Refusal]]:
    """Labels by path of the file they speak of, and refusals of those that speak of none.

    A bare file name, as COCO files often have them, also stands for the one file of that name in a
    sub-folder.
    """
    paths = {file.path for file in files}
    by_name: dict[str, list[str]] = {}
    for path in paths:
        by_name.setdefault(path.rsplit("/", 1)[-1], []).append(path)
    assigned: dict[str, ImageLabels] = {}
    refusals = []
    for name, entry in labels.items():
        candidates = [name] if name in paths else by_name.get(name, [])
        fault = path_fault(name)
        if fault is None and len(candidates) == 1 and candidates[0] not in assigned:
            assigned[candidates[0]] = entry
            continue
        if fault:
            reason = f"{fault}; correct `file_name`"
        elif len(candidates) > 1:
            reason = "several files of the device have this name; write the path in `file_name`"
        elif candidates:
            reason = "another entry speaks of the same file; remove one"
        else:
            reason = "no JPEG of the device's storage has this name; add the file or remove the entry"
        spelled = safe_spelling(name)
        refusals.append(Refusal(device, spelled, None, None, f"{LABELS_FILE} names {spelled}: {reason}"))
    return assigned, refusals


def read_frame(
    pending: Pending, store_url: str, devices: Mapping[str, Device], secrets: Secrets = environment
) -> Frame:
    """The working frame of an image that waits to be encoded.

    Its bytes come from the landing place, or where they are not there (any more) from the device that has
    the file.

    Args:
        pending: from :meth:`storage.store.Store.missing`.
        store_url: of the store with the landing place.
        devices: by name.
        secrets: gives the secrets that their options refer to.

    Raises:
        DeviceError: neither place has these bytes; the message says what to do.
        rinr.frames.ImageError: they are not a picture, which ingestion would have refused.
    """
    jpeg = Landing(store_url).get(pending.image_id)
    if jpeg is None:
        jpeg = _read_again(pending, devices, secrets)
    labels = ImageLabels(pending.path, pending.annotated_size, None, boxes_from_canonical(pending.labels))
    return working_frame(jpeg, labels)


def _read_again(pending: Pending, devices: Mapping[str, Device], secrets: Secrets) -> bytes:
    name = f"{safe_spelling(pending.path)} of device {pending.device}"
    if pending.device not in devices:
        raise DeviceError(f"{name} has not landed, and the fleet has no such device; add it to the fleet file")
    jpeg = DeviceStorage(devices[pending.device], secrets).read(pending.path)
    if image_id(jpeg) != pending.image_id:
        raise DeviceError(f"{name} has not landed, and the device's file has other content now; ingest it anew")
    return jpeg


def _take(
    file: DeviceFile, storage: DeviceStorage, labels: ImageLabels | None, landing: Landing
) -> Source | Refusal | str:
    """Read, check and land one file: a source, a refusal, or a note where it is left for the next run."""
    fault = path_fault(file.path)
    if fault:
        return _refusal(storage.device.name, file, f"{fault}; rename it")
    if not file.regular:
        return _refusal(storage.device.name, file, "it is a link or no regular file; put the file itself there")
    try:
        jpeg = storage.read(file.path)
    except DeviceError as error:
        return f"{file.path}: left for the next run: {error}"
    if len(jpeg) != min(file.size, MAX_JPEG_BYTES + 1):
        sizes = f"listed with {file.size:,} bytes, read with {len(jpeg):,}"
        return f"{file.path}: left for the next run: it is being written ({sizes})"
    identity = image_id(jpeg)
    try:
        frame = working_frame(jpeg, labels)
    except ImageError as error:
        reason = f"{error}; replace the file on the device or remove it"
        return _refusal(storage.device.name, file, reason, identity)
    landing.put(identity, jpeg)
    captured_at, captured_from = _captured(frame.captured_at, labels, file)
    return Source(
        image_id=identity,
        labels_id=frame.labels_id,
        device=storage.device.name,
        path=file.path,
        size=file.size,
        modified=file.modified,
        captured_at=captured_at,
        captured_from=captured_from,
        labels=canonical_labels(labels.boxes if labels else ()).decode(),
        annotated_size=_annotated_size(labels),
        notes=frame.notes,
    )


def _captured(exif: datetime | None, labels: ImageLabels | None, file: DeviceFile) -> tuple[datetime, str]:
    if exif:
        return exif, "exif"
    if labels and labels.captured_at:
        return labels.captured_at, "coco"
    return file.modified, "file"


def _annotated_size(labels: ImageLabels | None) -> tuple[int, int] | None:
    size = labels.size if labels else None
    return size if size and all(0 < side <= _MAX_SIDE for side in size) else None


def _relabelled(source: Source, labels: ImageLabels | None) -> Source | None:
    """The source with its file's labels of now; ``None`` where they are the same or say nothing of it."""
    if labels is None or labels_id(labels.boxes) == source.labels_id:
        return None
    size = _annotated_size(labels)
    # The picture is not read again for its size: without an annotated one nothing is noted, and boxes are
    # still clipped when it is encoded.
    fitted = [fit_box(box, size, working_size(*size)) for box in labels.boxes] if size else []
    captured = (source.captured_at, source.captured_from)
    if source.captured_from != "exif" and labels.captured_at:
        captured = (labels.captured_at, "coco")
    return replace(
        source,
        labels_id=labels_id(labels.boxes),
        labels=canonical_labels(labels.boxes).decode(),
        annotated_size=size,
        captured_at=captured[0],
        captured_from=captured[1],
        notes=tuple(note for _, note in fitted if note),
        ingested_at=now(),
    )


def _refusal(device: str, file: DeviceFile, reason: str, identity: str | None = None) -> Refusal:
    spelled = safe_spelling(file.path)
    return Refusal(device, spelled, file.size, file.modified, f"{spelled}: {reason}"[:_MAX_REASON], identity)


def _labels_refusal(device: Device, file: DeviceFile, error: LabelError) -> Refusal:
    return _refusal(device.name, file, f"{error}; repair it: no image of the device is taken before")


def _known_sources(store: Store, device: str) -> dict[str, Source]:
    """The newest source of each path of a device."""
    table = store.scan(SOURCES, where=pc.field("device") == device).sort_by("ingested_at")
    return {row["path"]: source_from_row(row) for row in table.to_pylist()}


def _known_refusals(store: Store, device: str) -> set[tuple[str, int, datetime]]:
    table = store.scan(QUARANTINE, ["path", "size", "modified"], pc.field("device") == device)
    return {(row["path"], row["size"], row["modified"]) for row in table.to_pylist()}
