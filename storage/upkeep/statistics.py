"""Statistics of a store: rows, files, bytes, growth, and the share of each device and family.

Payloads are never read: their sizes stand in a column.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from storage.folder import Folder
from storage.quarantine import cases
from storage.store import Store, StoreError
from storage.tables import IMAGES, LAYOUTS, SOURCES
from storage.upkeep.table_files import lying_files
from storage.upkeep.verification import reachable
from storage.weights.delta import Table
from storage.weights.key_index import fingerprints
from storage.weights.versions import check_version

NO_SOURCE = "(no source)"
"""Stands for the device of images that no row of ``sources`` speaks of."""

_BY = ("family", "preset", "encoding_id")


@dataclass(frozen=True)
class TableSize:
    """What one table takes.

    Attributes:
        rows: of its snapshot.
        files: of its snapshot.
        bytes: of these files.
        log_bytes: of the log, checkpoints included.
        orphans: Parquet files that the snapshot does not name: replaced, or left behind by a refused commit.
        orphan_bytes: of them.
    """

    name: str
    rows: int = 0
    files: int = 0
    bytes: int = 0
    log_bytes: int = 0
    orphans: int = 0
    orphan_bytes: int = 0


@dataclass(frozen=True)
class Share:
    """Rows of ``images`` that have something in common.

    Attributes:
        name: of the device, family, preset or encoding, or the day (UTC) as ``2026-05-01``.
        rows: how many.
        bytes: of their payloads, and their shares of what frames of clips share.
    """

    name: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class Statistics:
    """What a store holds, and what of.

    Attributes:
        url: of the store.
        version: of its schema.
        tables: in the order of :data:`storage.tables.LAYOUTS`.
        images: different pictures that have a row in ``images``.
        payload_bytes: of all rows of ``images``, with what frames of clips share.
        shared_bytes: of them, what frames of clips share.
        days: by the day on which rows were written, the first first.
        devices: by device, the largest first. A row counts with each device that its picture was taken from, so that
            these may come to more than all rows.
        families: by network family, the largest first.
        presets: likewise by preset.
        encodings: likewise by encoding.
        refused: what lies in the quarantine and is not taken, given up or to be read again.
        to_retry: what the next ingestion reads again.
    """

    url: str
    version: int
    tables: tuple[TableSize, ...]
    images: int
    payload_bytes: int
    shared_bytes: int
    days: tuple[Share, ...]
    devices: tuple[Share, ...]
    families: tuple[Share, ...]
    presets: tuple[Share, ...]
    encodings: tuple[Share, ...]
    refused: int
    to_retry: int

    @property
    def bytes(self) -> int:
        """All bytes of the tables: files, logs, and what vacuum would remove."""
        return sum(table.bytes + table.log_bytes + table.orphan_bytes for table in self.tables)

    @property
    def ratio(self) -> float | None:
        """Bytes of the tables' files over bytes of the payloads; ``None`` without payloads."""
        return sum(table.bytes for table in self.tables) / self.payload_bytes if self.payload_bytes else None


def exists(url: str) -> bool:
    """Whether there is a store that this program can read.

    Raises:
        StoreError: the place cannot be read, or the store's version is not known.
    """
    with reachable(url):
        return check_version(url) is not None


def statistics(url: str) -> Statistics:
    """Count what a store holds: a million rows in seconds.

    Raises:
        StoreError: there is no store, it cannot be read, or its version is not known.
    """
    store = Store(url)
    url = store.url
    with reachable(url):
        version = check_version(url)
        if version is None:
            raise StoreError(f"there is no store at {url}; check its URL")
        tables = {layout.name: Table(f"{url}/{layout.name}", layout) for layout in LAYOUTS}
        images = _count_images(tables[IMAGES.name])
        devices = _devices(images, tables[SOURCES.name])
        standing = Counter(case.standing for case in cases(store))
        sizes = tuple(_size(url, tables[layout.name]) for layout in LAYOUTS)
    return Statistics(
        url=url,
        version=version,
        tables=sizes,
        images=len(images.prints),
        payload_bytes=round(images.bytes.sum()),
        shared_bytes=round(images.shared_bytes),
        days=tuple(sorted(images.shares["day"], key=lambda share: share.name)),
        devices=devices,
        families=images.shares["family"],
        presets=images.shares["preset"],
        encodings=images.shares["encoding_id"],
        refused=standing["open"],
        to_retry=standing["retry"],
    )


@dataclass(frozen=True)
class _Images:
    """The table ``images``, counted.

    Attributes:
        prints: fingerprints of the different pictures, sorted, ``[pictures]``.
        rows: of each picture, ``[pictures]``.
        bytes: of its rows' payloads and of their shares of what frames share, ``[pictures]``.
        shared_bytes: all of those shares.
        shares: by column, the largest first; the day stands in the column ``day``.
    """

    prints: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    bytes: npt.NDArray[np.float64]
    shared_bytes: float
    shares: dict[str, tuple[Share, ...]]


def _batches(table: Table, columns: list[str]) -> Iterator[pa.Table]:
    """Columns of a table's newest snapshot, some ten thousand rows at a time; nothing where there is no table."""
    if not table.refresh():
        return
    for batch in table.dataset().to_batches(columns=columns, batch_readahead=1, fragment_readahead=1):
        yield pa.Table.from_batches([batch])


def _count_images(table: Table) -> _Images:
    prints, sizes = [np.empty(0, np.int64)], [np.empty(0, np.float64)]
    shared_bytes = 0.0
    # By column and name: rows, and bytes, which are rounded once all are added up.
    known: dict[str, dict[str, tuple[int, float]]] = {name: {} for name in (*_BY, "day")}
    for batch in _batches(table, ["image_id", *_BY, "bytes_total", "bytes_shared", "created_at"]):
        prints.append(fingerprints(batch.select(["image_id"])))
        shared = pc.fill_null(batch["bytes_shared"], 0.0)
        size = pc.add(pc.fill_null(batch["bytes_total"], 0).cast(pa.float64()), shared)
        sizes.append(size.to_numpy())
        shared_bytes += pc.sum(shared).as_py() or 0.0
        # Times are stored in UTC.
        days = batch["created_at"].cast(pa.timestamp("us")).cast(pa.date32(), safe=False)
        with_days = batch.append_column("day", days).append_column("size", size)
        for name, of_column in known.items():
            grouped = with_days.group_by(name, use_threads=False).aggregate([("size", "sum"), ([], "count_all")])
            for row in grouped.to_pylist():
                rows, total = of_column.get(str(row[name]), (0, 0.0))
                of_column[str(row[name])] = (rows + row["count_all"], total + (row["size_sum"] or 0.0))
    pictures, places = np.unique(np.concatenate(prints), return_inverse=True)
    return _Images(
        pictures,
        np.bincount(places, minlength=len(pictures)),
        np.bincount(places, np.concatenate(sizes), len(pictures)).astype(np.float64),
        shared_bytes,
        {
            name: _sorted(Share(own, rows, round(total)) for own, (rows, total) in of_column.items())
            for name, of_column in known.items()
        },
    )


def _devices(images: _Images, sources: Table) -> tuple[Share, ...]:
    """Rows and bytes by device, each picture once with each."""
    taken: dict[str, list[npt.NDArray[np.int64]]] = {}
    for batch in _batches(sources, ["image_id", "device"]):
        prints = fingerprints(batch.select(["image_id"]))
        devices = batch["device"].combine_chunks().dictionary_encode()
        codes = pc.fill_null(devices.indices, -1).to_numpy(zero_copy_only=False)
        for code, device in enumerate(devices.dictionary.to_pylist()):
            taken.setdefault(device, []).append(prints[codes == code])
    rest = np.ones(len(images.prints), bool)
    shares = []
    for device, parts in taken.items():
        its = np.isin(images.prints, np.concatenate(parts))
        rest &= ~its
        shares.append(Share(device, int(images.rows[its].sum()), round(images.bytes[its].sum())))
    shares.append(Share(NO_SOURCE, int(images.rows[rest].sum()), round(images.bytes[rest].sum())))
    return _sorted(share for share in shares if share.rows)


def _size(url: str, table: Table) -> TableSize:
    if not table.refresh():
        return TableSize(table.layout.name)
    lying, log_bytes = lying_files(Folder(f"{url}/{table.layout.name}"))
    for file in table.files:
        lying.pop(file.path, None)
    return TableSize(
        name=table.layout.name,
        rows=sum(file.rows for file in table.files),
        files=len(table.files),
        bytes=sum(file.bytes for file in table.files),
        log_bytes=log_bytes,
        orphans=len(lying),
        orphan_bytes=sum(lying.values()),
    )


def _sorted(shares: Iterable[Share]) -> tuple[Share, ...]:
    return tuple(sorted(shares, key=lambda share: (-share.bytes, share.name)))
