"""Verification: everything that a store holds is read, and what is damaged is named.

Files are read row group by row group, so that memory stays bounded; of all rows only 16-byte fingerprints of their
keys are kept, to find keys that stand twice and rows that speak of others which are not there. What to do about what
was found stands in :mod:`storage.repair`.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.fs as pa_fs
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from fsspec.implementations.local import LocalFileSystem

from storage.folder import Folder
from storage.landing import Landing
from storage.row_faults import faults
from storage.store import Store, StoreError
from storage.tables import DELIVERIES, IMAGES, LAYOUTS, QUARANTINE, SOURCES, Layout
from storage.versions import StoreVersionError, check_version

LISTED = 20
"""Findings of each table and kind that are listed; the rest is counted."""

DAMAGED = "damaged"
"""The folder of a store in which a repair keeps what it takes out of the tables."""

AWAITED = "awaited.bin"
"""The file in it that holds :func:`fingerprint` after fingerprint of what waits for an ingestion or an encoding."""

BROKEN = (OSError, pa.ArrowException, ValueError, OverflowError, MemoryError)
"""What reading a damaged Parquet file raises."""

_BUFFER = 1 << 20  # bytes read at once, whatever the size of a row group
_BATCH, _BATCH_BYTES = 256, 1 << 23  # rows, and bytes of them, in memory at once
_MAX_AWAITED = 256 * 1024 * 1024  # bytes: sixteen million relations
_MAX_SHOWN = 120  # characters of a value in a finding

_ADDED = {
    IMAGES.name: ("payload",),
    SOURCES.name: ("etag", "labels_state"),
    QUARANTINE.name: ("etag", "status"),
}
"""Columns that came with a later version of the schema: files of before lack them."""

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Finding:
    """One thing that is damaged.

    Attributes:
        table: its name.
        kind: ``log``, ``file`` and ``row group`` (they cannot be read, or are not as written), ``row`` (it says what
            cannot be), ``duplicate`` (its key stands in an earlier row) or ``relation`` (it speaks of a row that is
            not there).
        file: within the table's folder, as its log names it.
        row_group: number within the file, from 0.
        row: number within the row group, from 0.
        key: the row's key in words, safe to print: ``image_id=2afc..., labels_id=...``.
        what: what is wrong.
    """

    table: str
    kind: str
    what: str
    file: str | None = None
    row_group: int | None = None
    row: int | None = None
    key: str | None = None


@dataclass(frozen=True)
class TableState:
    """What a table's snapshot consists of.

    Attributes:
        rows: those that could be read.
        files: that the snapshot names.
        bytes: of them, as the log says.
        orphans: Parquet files in the table's folder that the snapshot does not name: replaced by a compaction, or
            left behind by a refused commit. They are no damage; vacuum removes them.
        orphan_bytes: of them.
    """

    name: str
    rows: int = 0
    files: int = 0
    bytes: int = 0
    orphans: int = 0
    orphan_bytes: int = 0


@dataclass(frozen=True)
class Damage:
    """What a verification found.

    Attributes:
        url: of the store.
        version: of its schema.
        tables: in the order of :data:`storage.tables.LAYOUTS`.
        findings: at most :data:`LISTED` of each table and kind.
        counts: of all findings: table, kind, how many.
        landed: JPEGs that wait to be encoded; no damage.
        awaited: relations that a repair broke knowingly and that the next ingestion or encoding mends; no damage.
    """

    url: str
    version: int
    tables: tuple[TableState, ...]
    findings: tuple[Finding, ...]
    counts: tuple[tuple[str, str, int], ...]
    landed: int
    awaited: int

    @property
    def clean(self) -> bool:
        """Whether nothing is damaged."""
        return not self.counts


@dataclass
class Examined:
    """What was found in one table, all of it: what a repair works with.

    Attributes:
        broken: files that cannot be read wholly or are not as written, in the log's order.
        absent: those of them that are not there.
        probes: values of the table's probe column (``None`` among them) whose rows have to be looked at again.
        loose: fingerprints of this table's rows that speak of what is not there.
        unreadable: why the table cannot be opened, where it cannot.
    """

    layout: Layout
    state: TableState
    broken: dict[str, None] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    probes: set[str | None] = field(default_factory=set)
    loose: set[bytes] = field(default_factory=set)
    unreadable: str | None = None


@dataclass
class Examination:
    """All four tables, and the report of them."""

    damage: Damage
    tables: dict[str, Examined]


def verify(url: str, progress: Callable[[int, int], None] | None = None) -> Damage:
    """Read all four tables of a store, check every file, row, checksum and relation, and name what is damaged.

    Rows that are appended meanwhile do not disturb it: each table is read in the snapshot of the beginning.

    Args:
        url: of the store.
        progress: is told ``(bytes read, bytes in all)``.

    Raises:
        StoreError: there is no store, it cannot be reached, or its version is not known.
    """
    return examine(url, progress).damage


def examine(url: str, progress: Callable[[int, int], None] | None = None) -> Examination:
    """As :func:`verify`, with all that a repair has to know."""
    url = Store(url).url
    with reachable(url):
        version = check_version(url)
        if version is None:
            raise StoreError(f"there is no store at {url}; check its URL")
        walk = _Walk(url, progress or _ignore)
        # Opened in this order, what a row speaks of is in a snapshot at least as new as its own.
        opened = {layout.name: open_table(url, layout) for layout in (DELIVERIES, IMAGES, SOURCES, QUARANTINE)}
        walk.announce(opened.values())
        for layout in LAYOUTS:
            walk.table(layout, opened[layout.name])
        walk.relations()
        landed = len(Landing(url).image_ids())
        damage = Damage(
            url=url,
            version=version,
            tables=tuple(walk.tables[layout.name].state for layout in LAYOUTS),
            findings=tuple(walk.findings),
            counts=tuple((table, kind, number) for (table, kind), number in walk.counts.items()),
            landed=landed,
            awaited=walk.awaited,
        )
    return Examination(damage, walk.tables)


@contextmanager
def reachable(url: str, done: str = "read") -> Iterator[None]:
    """Turn what a place that cannot be reached raises into :class:`storage.store.StoreError`."""
    try:
        yield
    except StoreVersionError as error:
        raise StoreError(str(error)) from None
    except (DeltaError, OSError, pa.ArrowException, ImportError) as error:
        reason = str(error).strip().split("\n")[0]
        raise StoreError(
            f"the store {url} cannot be {done}: {reason}; check its URL and that you may do so there"
        ) from error


@dataclass(frozen=True)
class DataFile:
    """One Parquet file of a table's snapshot.

    Attributes:
        path: within the table's folder.
        size: in bytes, as the log says.
        rows: as the log says; ``None`` where it does not.
    """

    path: str
    size: int
    rows: int | None


@dataclass(frozen=True)
class Opened:
    """A table's snapshot, and its files in the log's order."""

    table: DeltaTable
    files: tuple[DataFile, ...]


def open_table(url: str, layout: Layout) -> Opened | str | None:
    """The newest snapshot of a table; ``None`` where there is no table, and why where it cannot be opened."""
    try:
        table = DeltaTable(f"{url}/{layout.name}")
        actions = pa.table(table.get_add_actions(flatten=True))
    except TableNotFoundError:
        return None
    except DeltaError as error:
        return reason_of(error)
    numbers = actions["num_records"].to_pylist() if "num_records" in actions.schema.names else [None] * len(actions)
    columns = (actions["path"].to_pylist(), actions["size_bytes"].to_pylist(), numbers)
    return Opened(table, tuple(DataFile(unquote(path), size, rows) for path, size, rows in zip(*columns, strict=True)))


@contextmanager
def parquet(folder: Folder, path: str) -> Iterator[pq.ParquetFile]:
    """A Parquet file in a table's folder, opened through Arrow's own file system where that is possible."""
    if isinstance(folder.file_system, LocalFileSystem):
        source = pa_fs.LocalFileSystem().open_input_file(folder.path(path))
    else:
        source = folder.file_system.open(folder.path(path), "rb")
    with source, pq.ParquetFile(source, buffer_size=_BUFFER) as file:
        yield file


def fault_of_file(layout: Layout, folder: Folder, file: DataFile) -> str | None:
    """What is wrong with a file that is there, before any row is read.

    Raises:
        Exception: one of :data:`BROKEN`, where it cannot be read at all.
    """
    size = folder.file_system.size(folder.path(file.path))
    if size != file.size:
        return f"it has {size:,} bytes, and the log says {file.size:,}"
    with parquet(folder, file.path) as opened:
        names = opened.schema_arrow.names
        types = {column.name: column.type for column in opened.schema_arrow if not pa.types.is_nested(column.type)}
    absent = [name for name in layout.schema.names if name not in names and name not in _ADDED.get(layout.name, ())]
    if absent:
        return f"it lacks {len(absent)} of the table's columns, such as {absent[0]}"
    unknown = [name for name in names if name not in layout.schema.names]
    if unknown or len(set(names)) < len(names):
        return f"it has columns that the table does not have, such as {shown(unknown[0] if unknown else names)}"
    # Files that `delete` or `merge` of deltalake wrote hold string_view, on which pyarrow's filters fail.
    other = [name for name in layout.schema.names if name in types and types[name] != _type(layout, name)]
    if not other:
        return None
    example = f"{other[0]} ({types[other[0]]}, expected {_type(layout, other[0])})"
    return f"{len(other)} of its columns are not of the table's types, such as {example}; another program wrote it"


def readable_rows(
    folder: Folder, path: str, columns: Sequence[str] | None = None
) -> Iterator[tuple[int, int, dict[str, Any] | None, str | None]]:
    """All rows of a file that can be read, and what cannot.

    Args:
        folder: of the table.
        path: within it.
        columns: those of them that the file has; all without it.

    Yields:
        ``(row group, row, values, None)`` for each row; ``(row group, row, None, why)`` for one that cannot be read,
        and ``(row group, -1, None, why)`` for the rest of a row group that cannot.

    Raises:
        Exception: one of :data:`BROKEN`, where the file cannot be read at all.
    """
    with parquet(folder, path) as file:
        there = None if columns is None else [name for name in columns if name in file.schema_arrow.names]
        for group in range(file.num_row_groups):
            row = 0
            try:
                # Without threads: Arrow's would still hold on to a file system written in Python when the program ends.
                for batch in file.iter_batches(batch_rows(file, group), [group], there, use_threads=False):
                    for values, why in _values(batch):
                        yield group, row, values, why
                        row += 1
            except BROKEN as error:
                yield group, -1, None, reason_of(error)
            else:
                expected = file.metadata.row_group(group).num_rows
                if row != expected:
                    yield group, -1, None, f"{row} rows were read of {expected}"


def batch_rows(file: pq.ParquetFile, group: int) -> int:
    """Rows of a row group to have in memory at once: few where they are large."""
    described = file.metadata.row_group(group)
    of_row = max(described.total_byte_size // max(described.num_rows, 1), 1)
    return int(min(max(_BATCH_BYTES // of_row, 1), _BATCH))


def reason_of(error: Exception) -> str:
    """The first line of what went wrong, safe to print."""
    return shown(str(error).strip().split("\n")[0] or type(error).__name__, 300)


def shown(value: Any, limit: int = _MAX_SHOWN) -> str:
    """A value in a message: printable and short."""
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(value)[: limit + 1])
    return text if len(text) <= limit else f"{text[:limit]}..."


def identity_columns(layout: Layout) -> tuple[str, ...]:
    """The columns in which no two rows of a table are equal.

    Where a row counts only while it is the newest of its subject, the same key may come back later.
    """
    return (*layout.key, layout.order) if layout.subject else layout.key


def fingerprint(values: Sequence[Any]) -> bytes:
    """128 bits of a hash of values: equal for equal ones, and for no others that anybody will ever see.

    Texts are preceded by their lengths, so that ``("ab", "c")`` is not ``("a", "bc")``.
    """
    texts = [b"-" if value is None else str(value).encode("utf-8", "surrogatepass") for value in values]
    joined = b"".join(b"%d:%s" % (len(text), text) for text in texts)
    return hashlib.blake2b(joined, digest_size=16).digest()


class _Walk:
    """Goes over the tables once and gathers what it finds."""

    def __init__(self, url: str, progress: Callable[[int, int], None]) -> None:
        self.url = url
        self.findings: list[Finding] = []
        self.counts: Counter[tuple[str, str]] = Counter()
        self.tables: dict[str, Examined] = {}
        self.awaited = 0
        self._progress = progress
        self._done = self._total = 0
        # Of each table: fingerprints of the rows' identities, and where each file's and row group's rows begin.
        self._identities: dict[str, bytearray] = {}
        self._places: dict[str, list[tuple[int, str, int]]] = {}
        self._images = bytearray()  # of each row of images: its image
        self._known = bytearray()  # of each row of sources: its image
        self._delivered: list[tuple[int, bytes]] = []  # row of deliveries, and fingerprints of its keys

    def announce(self, opened: Iterable[Opened | str | None]) -> None:
        """Say how much there is to read."""
        self._total = sum(file.size for item in opened if isinstance(item, Opened) for file in item.files)
        self._progress(0, self._total)

    def table(self, layout: Layout, opened: Opened | str | None) -> None:
        """Read one table; ``None`` where it is not there, words where it cannot be opened."""
        examined = Examined(layout, TableState(layout.name))
        self.tables[layout.name] = examined
        self._identities[layout.name], self._places[layout.name] = bytearray(), []
        if isinstance(opened, str):
            examined.unreadable = opened
            self._found(Finding(layout.name, "log", f"the table cannot be opened: {opened}"))
        if not isinstance(opened, Opened):
            return
        folder = Folder(f"{self.url}/{layout.name}")
        present = _parquet_sizes(folder)
        rows = 0
        for file in opened.files:
            if present.pop(file.path, None) is None:
                self._broken(examined, file, "the file is not there")
                examined.absent.add(file.path)
            else:
                rows += self._file(examined, folder, file)
            self._done += file.size
            self._progress(self._done, self._total)
        if present:  # what was committed since the snapshot is no orphan
            newest = open_table(self.url, layout)
            for file in newest.files if isinstance(newest, Opened) else ():
                present.pop(file.path, None)
        examined.state = TableState(
            layout.name,
            rows,
            len(opened.files),
            sum(file.size for file in opened.files),
            len(present),
            sum(present.values()),
        )
        self._duplicates(examined)

    def relations(self) -> None:
        """Rows that speak of rows that are not there: images without a source, deliveries of no image."""
        images, sources, deliveries = (self.tables[layout.name] for layout in (IMAGES, SOURCES, DELIVERIES))
        acknowledged = awaited_fingerprints(self.url)
        if sources.unreadable is None:
            lost = np.flatnonzero(~np.isin(_array(self._images), _array(self._known)))
            what = "its image has no row in sources; the next ingestion of its device writes one"
            for row in lost.tolist():
                self._loose(images, row, [bytes(self._images[16 * row : 16 * row + 16])], acknowledged, what)
        if images.unreadable is None:
            absent = ~np.isin(_array(b"".join(keys for _, keys in self._delivered)), _array(self._identities["images"]))
            start = 0
            for row, keys in self._delivered:
                count = len(keys) // 16
                here = np.flatnonzero(absent[start : start + count]).tolist()
                start += count
                what = f"{len(here)} of its {count} images have no row in images"
                self._loose(deliveries, row, [keys[16 * i : 16 * i + 16] for i in here], acknowledged, what)

    def _loose(self, examined: Examined, row: int, prints: list[bytes], acknowledged: set[bytes], what: str) -> None:
        """A row that speaks of what is not there; where a repair knows of it, it is only counted."""
        examined.loose.update(prints)
        self.awaited += sum(item in acknowledged for item in prints)
        if not acknowledged.issuperset(prints):
            self._found_at(examined.layout, row, "relation", what)

    def _duplicates(self, examined: Examined) -> None:
        layout = examined.layout
        prints = _array(self._identities[layout.name])
        _, first = np.unique(prints, return_index=True)
        if len(first) == len(prints):
            return
        again = np.ones(len(prints), bool)
        again[first] = False
        rows = np.flatnonzero(again)
        for row in rows.tolist():
            self._found_at(layout, row, "duplicate", "a row before it has the same key")
        of_place = self._place(layout, rows)
        for place in np.unique(of_place).tolist():
            start, path, group = self._places[layout.name][place]
            with suppress(*BROKEN), parquet(Folder(f"{self.url}/{layout.name}"), path) as file:
                values = file.read_row_group(group, [layout.probe], use_threads=False)[layout.probe]
                examined.probes.update(values[row - start].as_py() for row in rows[of_place == place].tolist())

    def _found_at(self, layout: Layout, number: int, kind: str, what: str) -> None:
        """Note what is wrong with the row of a number in its table."""
        if self.counts[layout.name, kind] >= LISTED:
            self.counts[layout.name, kind] += 1
            return
        start, path, group = self._places[layout.name][int(self._place(layout, np.array([number]))[0])]
        key = None
        with suppress(*BROKEN), parquet(Folder(f"{self.url}/{layout.name}"), path) as file:
            there = [name for name in layout.key if name in file.schema_arrow.names]
            found = file.read_row_group(group, there, use_threads=False).slice(number - start, 1).to_pylist()[0]
            key = _spelled(layout, found)
        self._found(Finding(layout.name, kind, what, path, group, number - start, key))

    def _place(self, layout: Layout, rows: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        """Of rows by their numbers in the table: the numbers of their places."""
        starts = np.array([start for start, _, _ in self._places[layout.name]])
        return np.searchsorted(starts, rows, side="right") - 1

    def _file(self, examined: Examined, folder: Folder, file: DataFile) -> int:
        """Read one file; returns its readable rows."""
        layout = examined.layout
        whats: list[str] = []
        rows = 0
        place: tuple[str, int] | None = None
        try:
            whats += filter(None, [fault_of_file(layout, folder, file)])
            for group, row, values, why in readable_rows(folder, file.path):
                if values is None:
                    kind = "row group" if row < 0 else "row"
                    where = {"file": file.path, "row_group": group, "row": None if row < 0 else row}
                    self._found(Finding(layout.name, kind, f"it cannot be read: {why}", **where))  # type: ignore[arg-type]
                    examined.broken[file.path] = None
                    if row >= 0:  # keeps the numbers of the rows after it right
                        self._row(layout, place, file.path, group, row, {})
                        place = (file.path, group)
                    continue
                self._row(layout, place, file.path, group, row, values)
                if place != (file.path, group):
                    self._progress(self._done + file.size * rows // max(file.rows or 1, rows, 1), self._total)
                place = (file.path, group)
                rows += 1
                wrong = faults(layout, values)
                if wrong:
                    key = _spelled(layout, values)
                    self._found(Finding(layout.name, "row", "; ".join(wrong), file.path, group, row, key))
                    examined.probes.add(values.get(layout.probe))
        except BROKEN as error:
            whats.append(f"it cannot be read: {reason_of(error)}")
        if not whats and file.path not in examined.broken and file.rows not in (None, rows):
            whats.append(f"it has {rows:,} rows, and the log says {file.rows:,}")
        if whats:
            self._broken(examined, file, "; ".join(whats))
        return rows

    def _row(
        self,
        layout: Layout,
        place: tuple[str, int] | None,
        path: str,
        group: int,
        row: int,
        values: Mapping[str, Any],
    ) -> None:
        """Keep fingerprints of one row, and where its row group begins."""
        identities = self._identities[layout.name]
        if place != (path, group):
            self._places[layout.name].append((len(identities) // 16 - row, path, group))
        if not values:  # a row that cannot be read equals no other
            unlike = fingerprint((path, group, row, "unreadable"))
            identities += unlike
            if layout is IMAGES:
                self._images += unlike
            return
        identities += fingerprint([values.get(name) for name in identity_columns(layout)])
        if layout is IMAGES:
            self._images += fingerprint([values.get("image_id")])
        elif layout is SOURCES:
            self._known += fingerprint([values.get("image_id")])
        elif layout is DELIVERIES:
            keys = delivered_keys(values)
            self._delivered.append((len(identities) // 16 - 1, b"".join(map(fingerprint, keys))))

    def _broken(self, examined: Examined, file: DataFile, what: str) -> None:
        examined.broken[file.path] = None
        self._found(Finding(examined.layout.name, "file", what, file.path))

    def _found(self, finding: Finding) -> None:
        kind = (finding.table, finding.kind)
        self.counts[kind] += 1
        if self.counts[kind] <= LISTED:
            self.findings.append(finding)


def delivered_keys(row: Mapping[str, Any]) -> list[Key]:
    """The keys in ``images`` that a row of ``deliveries`` lists; none where its lists are unlike."""
    lists: list[list[str]] = [row.get(name) or [] for name in ("image_ids", "labels_ids", "encoding_ids")]
    if len({len(items) for items in lists}) != 1:
        return []
    return list(zip(*lists, strict=True))


def awaited_fingerprints(url: str) -> set[bytes]:
    """Relations that the last repair left open: fingerprints of images without a source and of delivered keys."""
    folder = Folder(f"{url}/{DAMAGED}")
    if not folder.exists(AWAITED):
        return set()
    data = folder.read(AWAITED, _MAX_AWAITED)
    return {data[start : start + 16] for start in range(0, len(data) - 15, 16)}


def _parquet_sizes(folder: Folder) -> dict[str, int]:
    """Parquet files under a table's folder, without its log: sizes in bytes by path."""
    root = folder.root.lstrip("/")
    sizes = {}
    for path, entry in folder.file_system.find(folder.root, detail=True).items():
        name = path.lstrip("/").removeprefix(root).lstrip("/")
        if name.endswith(".parquet") and not name.startswith("_delta_log/"):
            sizes[name] = int(entry["size"])
    return sizes


def _values(batch: pa.RecordBatch) -> Iterator[tuple[dict[str, Any] | None, str | None]]:
    """Rows of a batch; text that is not UTF-8, or a time beyond the calendar, spoils its own row alone."""
    try:
        rows = batch.to_pylist()
    except (ValueError, OverflowError):
        for number in range(batch.num_rows):
            try:
                yield batch.slice(number, 1).to_pylist()[0], None
            except (ValueError, OverflowError) as error:
                yield None, reason_of(error)
        return
    for row in rows:
        yield row, None


def _type(layout: Layout, name: str) -> pa.DataType:
    return layout.schema.field(name).type


def _spelled(layout: Layout, values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={shown(values.get(name))}" for name in layout.key)


def _array(prints: bytes | bytearray) -> "np.ndarray[Any, Any]":
    """Fingerprints as an array. NumPy drops zeros at the end of each, which changes nothing between whole hashes."""
    return np.frombuffer(prints, "S16")


def _ignore(done: int, total: int) -> None:
    """Nobody watches."""
