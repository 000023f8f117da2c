"""Originals: what becomes of a picture on its device once it is safe in the store.

``after = "keep"`` leaves it there, ``"move"`` puts it into the hidden folder ``.taken`` of the device's storage, under
its path, and ``"delete"`` removes it. That happens to a file only while it is what was taken, while each step of the
proof holds, and one file at a time, so that a kill in between loses nothing:

1. the file is listed in the very state that the newest row of ``sources`` has of it;
2. a handle of the store that is opened for this finds a row of ``images`` with the picture's hash, made with the labels
   that count, and its payload is whole (its checksum is compared);
3. the file's bytes are read once more and have that hash, and the file has not changed meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from rinr.codec.bytestream import PayloadError
from rinr.codec.frame import unpack_frame
from rinr.labels import image_id
from storage.devices import DeviceError, DeviceFile, DeviceStorage, safe_spelling
from storage.intake.device_labels import UnreadableError, UnsettledError, read_listed
from storage.intake.known_files import KnownFiles, Rows
from storage.store import Store
from storage.tables import SOURCES, among

TAKEN = ".taken"
"""The folder of the device's storage for what was moved; hidden, so that it is never listed."""

_SLICE = 256  # files that are looked up together
_FAILURES = 8


@dataclass(frozen=True)
class Retired:
    """What was done.

    Attributes:
        files: moved or deleted.
        notes: why others were not, each with the file's name.
    """

    files: int = 0
    notes: tuple[str, ...] = ()


def retire(
    storage: DeviceStorage,
    store: Store,
    files: Sequence[DeviceFile],
    known: KnownFiles,
    rows: Rows,
    limit: int | None = None,
) -> Retired:
    """Move or delete originals whose pictures are encoded and can be read, as the device's ``after`` says.

    Args:
        storage: of the device.
        store: where the pictures are; it is opened anew.
        files: unchanged since they were taken, as listed.
        known: what the store knows of the device's files.
        rows: the files' rows in ``known``.
        limit: files at most.

    Raises:
        StoreError: the store cannot be read.
    """
    after = storage.device.after
    if after == "keep":
        return Retired()
    fresh = Store(store.url)
    done, notes, failures = 0, [], 0
    for start in range(0, len(files), _SLICE):
        if limit is not None and done >= limit:
            break
        part = pa.array(rows[start : start + _SLICE])
        image_ids = known.table["image_id"].take(part).to_pylist()
        labels_ids = known.table["labels_id"].take(part).to_pylist()
        safe, damaged = _safe(fresh, set(zip(image_ids, labels_ids, strict=True)))
        for file, key in zip(files[start : start + _SLICE], zip(image_ids, labels_ids, strict=True), strict=True):
            spelled = safe_spelling(file.path)
            if key[0] in damaged:
                notes.append(f"{spelled}: not {after}d: its payload in the store is damaged; run `rinr store verify`")
                continue
            if key not in safe or (limit is not None and done >= limit):
                continue
            try:
                _retire(storage, file, key[0])
            except UnsettledError as error:
                notes.append(f"{spelled}: not {after}d: {error}")
                failures += isinstance(error, UnreadableError)
            except DeviceError as error:
                notes.append(f'{spelled}: cannot be {after}d: {error}; set `after` to "keep" where it may not be')
                failures += 1
            else:
                done += 1
            if failures == _FAILURES:
                notes.append(f"no more files are {after}d in this run: {failures} have failed")
                return Retired(done, tuple(notes))
    return Retired(done, tuple(notes))


def original_places(path: str, identity: str) -> tuple[str, ...]:
    """Where in a device's storage an original may lie: at its path, or where it was moved."""
    return path, f"{TAKEN}/{path}", f"{TAKEN}/{identity[:16]}/{path}"


def _retire(storage: DeviceStorage, file: DeviceFile, identity: str) -> None:
    """Move or delete one file.

    Raises:
        UnsettledError: it is not what was taken.
        DeviceError: the storage does not do it.
    """
    if image_id(read_listed(storage, file)) != identity:
        raise UnsettledError("it has other content than what was taken, under the same size and time")
    if storage.device.after == "delete":
        storage.delete(file.path)
        return
    folder = TAKEN
    if not _is_free(storage, f"{TAKEN}/{file.path}", identity):
        folder = f"{TAKEN}/{identity[:16]}"  # an earlier picture of this name was moved: it stays
    storage.move(file.path, folder)


def _is_free(storage: DeviceStorage, target: str, identity: str) -> bool:
    """Whether a file may be written: nothing is there, or the same picture."""
    try:
        present = storage.stat(target)
    except DeviceError:
        return True
    try:
        return image_id(read_listed(storage, present)) == identity
    except UnsettledError:
        return False


def _safe(store: Store, wanted: set[tuple[str, str]]) -> tuple[set[tuple[str, str]], set[str]]:
    """Which of these (image, labels) are encoded and whole, and which images have a damaged row.

    The labels must be those that count: an original whose labels were corrected is needed once more. An unlabelled
    copy of a picture that is labelled elsewhere is encoded with the labels of there.
    """
    images = sorted({image for image, _ in wanted})
    encoded: set[tuple[str, str]] = set()
    damaged: set[str] = set()
    table = store.lookup(images, ["image_id", "labels_id", "payload"])
    for row in table.to_pylist():
        try:
            unpack_frame(row["payload"] or b"")
        except PayloadError:
            damaged.add(row["image_id"])
        else:
            encoded.add((row["image_id"], row["labels_id"]))
    safe = {key for key in wanted if key in encoded}
    missing = {image for image, _ in wanted - safe if image in {found for found, _ in encoded}}
    if missing:
        columns = ["image_id", "labels_id", "device", "path", "labels", SOURCES.order]
        unlabelled: set[tuple[str, str]] = set()
        labelled: dict[str, set[str]] = {}
        for row in store.scan(SOURCES, columns, among("image_id", missing)).to_pylist():
            if row["labels"] == "[]":
                unlabelled.add((row["image_id"], row["labels_id"]))
            else:
                labelled.setdefault(row["image_id"], set()).add(row["labels_id"])
        safe |= {
            (image, labels)
            for image, labels in wanted - safe
            if (image, labels) in unlabelled and any((image, other) in encoded for other in labelled.get(image, ()))
        }
    return safe, damaged
