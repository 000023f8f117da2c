"""Statistics of a store: rows, files, bytes, growth, and the share of each device and family.

Payloads are never read: their sizes stand in a column.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.delta import Table
from storage.folder import Folder
from storage.store import Store, StoreError
from storage.tables import IMAGES, LAYOUTS, QUARANTINE, SOURCES
from storage.verification import reachable
from storage.versions import check_version

NO_SOURCE = "(no source)"
"""Stands for the device of images that no row of ``sources`` speaks of."""


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
        bytes: of their payloads.
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
        payload_bytes: of all rows of ``images``.
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
    days: tuple[Share, ...]
    devices: tuple[Share, ...]
    families: tuple[Share, ...]
    presets: tuple[Share, ...]
    encodings: tuple[Share, ...]
    refused: int
    to_retry: int

    @property
    def bytes(self) -> int:
        """All bytes of the four tables: files, logs, and what vacuum would remove."""
        return sum(table.bytes + table.log_bytes + table.orphan_bytes for table in self.tables)

    @property
    def ratio(self) -> float | None:
        """Bytes of the four tables' files over bytes of the payloads; ``None`` without payloads."""
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
    url = Store(url).url
    with reachable(url):
        version = check_version(url)
        if version is None:
            raise StoreError(f"there is no store at {url}; check its URL")
        tables = {layout.name: Table(f"{url}/{layout.name}", layout) for layout in LAYOUTS}
        images = _scan(
            tables[IMAGES.name], ["image_id", "encoding_id", "family", "preset", "bytes_total", "created_at"]
        )
        sizes = tuple(_size(url, tables[layout.name]) for layout in LAYOUTS)
        sources = _scan(tables[SOURCES.name], ["image_id", "device", "path", "ingested_at"])
        quarantine = _scan(tables[QUARANTINE.name], [*QUARANTINE.subject, "status", QUARANTINE.order])
    sums = [("bytes_total", "count"), ("bytes_total", "sum")]
    of_image = images.group_by("image_id", use_threads=False).aggregate(sums)
    refused, to_retry = _open(quarantine, sources)
    return Statistics(
        url=url,
        version=version,
        tables=sizes,
        images=of_image.num_rows,
        payload_bytes=pc.sum(images["bytes_total"]).as_py() or 0,
        days=_days(images),
        devices=_devices(of_image, sources),
        families=_shares(images, "family"),
        presets=_shares(images, "preset"),
        encodings=_shares(images, "encoding_id"),
        refused=refused,
        to_retry=to_retry,
    )


def _scan(table: Table, columns: list[str]) -> pa.Table:
    """Columns of a table's newest snapshot; no rows where there is no table."""
    if not table.refresh():
        return pa.schema([table.layout.schema.field(name) for name in columns]).empty_table()
    return table.scan(columns)


def _size(url: str, table: Table) -> TableSize:
    if not table.refresh():
        return TableSize(table.layout.name)
    folder = Folder(f"{url}/{table.layout.name}")
    root = folder.root.lstrip("/")
    log_bytes = 0
    lying: dict[str, int] = {}
    for path, entry in folder.file_system.find(folder.root, detail=True).items():
        name = path.lstrip("/").removeprefix(root).lstrip("/")
        if name.startswith("_delta_log/"):
            log_bytes += int(entry["size"] or 0)
        elif name.endswith(".parquet"):
            lying[name] = int(entry["size"] or 0)
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


def _shares(images: pa.Table, name: str) -> tuple[Share, ...]:
    """Rows and bytes by the values of a column, the largest first."""
    grouped = images.group_by(name, use_threads=False).aggregate([("bytes_total", "count"), ("bytes_total", "sum")])
    return _sorted(
        Share(str(row[name]), row["bytes_total_count"], row["bytes_total_sum"] or 0) for row in grouped.to_pylist()
    )


def _days(images: pa.Table) -> tuple[Share, ...]:
    days = images["created_at"].cast(pa.timestamp("us")).cast(pa.date32(), safe=False)  # stored in UTC
    shares = _shares(images.append_column("day", days), "day")
    return tuple(sorted(shares, key=lambda share: share.name))


def _devices(of_image: pa.Table, sources: pa.Table) -> tuple[Share, ...]:
    """Rows and bytes by device; ``of_image`` has one row a picture, with its rows and bytes."""
    pairs = sources.select(["image_id", "device"]).group_by(["image_id", "device"], use_threads=False).aggregate([])
    places = pc.index_in(pairs["image_id"], value_set=of_image["image_id"].combine_chunks())
    encoded = pc.is_valid(places)
    places = places.filter(encoded)
    found = pa.table(
        {
            "device": pairs["device"].filter(encoded),
            "rows": of_image["bytes_total_count"].take(places),
            "bytes": of_image["bytes_total_sum"].take(places),
        }
    )
    grouped = found.group_by("device", use_threads=False).aggregate([("rows", "sum"), ("bytes", "sum")])
    shares = [Share(row["device"], row["rows_sum"], row["bytes_sum"]) for row in grouped.to_pylist()]
    unknown = np.ones(of_image.num_rows, bool)
    unknown[pc.unique(places).to_numpy(zero_copy_only=False)] = False
    if unknown.any():
        rest = of_image.filter(pa.array(unknown))
        shares.append(
            Share(NO_SOURCE, pc.sum(rest["bytes_total_count"]).as_py(), pc.sum(rest["bytes_total_sum"]).as_py())
        )
    return _sorted(shares)


def _open(quarantine: pa.Table, sources: pa.Table) -> tuple[int, int]:
    """Refusals that stand, and those to be read again: neither given up, nor of a file that was taken since."""
    newest: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in quarantine.sort_by(QUARANTINE.order).to_pylist():
        newest[tuple(row[name] for name in QUARANTINE.subject)] = row
    paths = pa.array({row["path"] for row in newest.values()}, pa.string())
    taken: dict[tuple[str, str], Any] = {}
    for row in sources.filter(pc.is_in(sources["path"], value_set=paths)).to_pylist():
        file = (row["device"], row["path"])
        taken[file] = max(taken.get(file, row["ingested_at"]), row["ingested_at"])
    numbers = {"refused": 0, "retry": 0, "dropped": 0}
    for row in newest.values():
        since = taken.get((row["device"], row["path"]))
        if since is None or since < row[QUARANTINE.order]:
            numbers[row["status"] or "refused"] += 1
    return numbers["refused"], numbers["retry"]


def _sorted(shares: Any) -> tuple[Share, ...]:
    return tuple(sorted(shares, key=lambda share: (-share.bytes, share.name)))
