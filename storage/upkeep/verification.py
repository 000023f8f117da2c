"""Verification: everything that a store holds is read, and what is damaged is named.

Files are read row group by row group, so that memory stays bounded; of all rows only 16-byte fingerprints of their
keys are kept, to find keys that stand twice and rows that speak of others which are not there. What to do about what
was found stands in :mod:`storage.upkeep.repair`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from deltalake.exceptions import DeltaError

from storage.folder import Folder
from storage.landing import Landing
from storage.store import Store, StoreError
from storage.tables import DELIVERIES, IMAGES, LAYOUTS, PARTS, QUARANTINE, SOURCES, Layout
from storage.upkeep.damage import LISTED, Damage, Finding, Findings, TableState
from storage.upkeep.relations import Loose, awaited_fingerprints, frames_without_part, loose_deliveries, loose_images
from storage.upkeep.row_faults import faults
from storage.upkeep.row_prints import Place, RowPrints
from storage.upkeep.table_files import (
    BROKEN,
    DataFile,
    Opened,
    fault_of_file,
    lying_files,
    open_table,
    parquet,
    readable_rows,
    reason_of,
    shown,
)
from storage.weights.versions import StoreVersionError, check_version

__all__ = ["LISTED", "Damage", "Examination", "Examined", "Finding", "TableState", "examine", "reachable", "verify"]


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
    """All tables, and the report of them.

    Attributes:
        lost_parts: ids of the shared parts that images need and that are not there, or damaged.
    """

    damage: Damage
    tables: dict[str, Examined]
    lost_parts: frozenset[str] = frozenset()


def verify(url: str, progress: Callable[[int, int], None] | None = None) -> Damage:
    """Read all tables of a store, check every file, row, checksum and relation, and name what is damaged.

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
        opened = {layout.name: open_table(url, layout) for layout in (DELIVERIES, IMAGES, PARTS, SOURCES, QUARANTINE)}
        walk.announce(opened.values())
        for layout in LAYOUTS:
            walk.table(layout, opened[layout.name])
        walk.relations()
        landed = len(Landing(url).image_ids())
        damage = Damage(
            url=url,
            version=version,
            tables=tuple(walk.tables[layout.name].state for layout in LAYOUTS),
            findings=tuple(walk.findings.listed),
            counts=tuple((table, kind, number) for (table, kind), number in walk.findings.counts.items()),
            landed=landed,
            awaited=walk.awaited,
        )
    return Examination(damage, walk.tables, frozenset(walk.lost_parts))


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


class _Walk:
    """Goes over the tables once and gathers what it finds."""

    def __init__(self, url: str, progress: Callable[[int, int], None]) -> None:
        self.findings = Findings()
        self.tables: dict[str, Examined] = {}
        self.awaited = 0
        self.lost_parts: set[str] = set()
        self._url, self._progress = url, progress
        self._done = self._total = 0
        self._prints = {layout.name: RowPrints(layout) for layout in LAYOUTS}

    def announce(self, opened: Iterable[Opened | str | None]) -> None:
        """Say how much there is to read."""
        self._total = sum(file.size for item in opened if isinstance(item, Opened) for file in item.files)
        self._progress(0, self._total)

    def table(self, layout: Layout, opened: Opened | str | None) -> None:
        """Read one table; ``None`` where it is not there, words where it cannot be opened."""
        examined = self.tables[layout.name] = Examined(layout, TableState(layout.name))
        if isinstance(opened, str):
            examined.unreadable = opened
            self.findings.add(Finding(layout.name, "log", f"the table cannot be opened: {opened}"))
        if not isinstance(opened, Opened):
            return
        folder = self._folder(layout)
        present, _ = lying_files(folder)
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
            newest = open_table(self._url, layout)
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
        """Rows that speak of rows that are not there; those that a repair knows of are only counted."""
        images, sources, deliveries = (self._prints[layout.name] for layout in (IMAGES, SOURCES, DELIVERIES))
        found: list[tuple[Layout, Iterable[Loose]]] = []
        if self.tables[SOURCES.name].unreadable is None:
            found.append((IMAGES, loose_images(images, sources)))
        if self.tables[IMAGES.name].unreadable is None:
            found.append((DELIVERIES, loose_deliveries(deliveries, images)))
        if self.tables[PARTS.name].unreadable is None:
            self._without_part(frames_without_part(images, self._prints[PARTS.name]))
        acknowledged = awaited_fingerprints(self._url)
        for layout, rows in found:
            for loose in rows:
                self.tables[layout.name].loose.update(loose.prints)
                self.awaited += sum(item in acknowledged for item in loose.prints)
                if not acknowledged.issuperset(loose.prints):
                    self._found_at(layout, loose.row, "relation", loose.what)

    def _file(self, examined: Examined, folder: Folder, file: DataFile) -> int:
        """Read one file; returns its readable rows."""
        layout = examined.layout
        prints = self._prints[layout.name]
        whats: list[str] = []
        rows = 0
        try:
            whats += filter(None, [fault_of_file(layout, folder, file)])
            for group, row, values, why in readable_rows(folder, file.path):
                if row >= 0:  # also of a row that cannot be read: it keeps the numbers of the rows after it right
                    prints.add(Place(file.path, group, row), values)
                if values is None:
                    kind, number = ("row", row) if row >= 0 else ("row group", None)
                    self.findings.add(Finding(layout.name, kind, f"it cannot be read: {why}", file.path, group, number))
                    examined.broken[file.path] = None
                    continue
                if row == 0:
                    self._progress(self._done + file.size * rows // max(file.rows or 1, rows, 1), self._total)
                rows += 1
                wrong = faults(layout, values)
                if wrong:
                    key = _spelled(layout, values)
                    self.findings.add(Finding(layout.name, "row", "; ".join(wrong), file.path, group, row, key))
                    examined.probes.add(values.get(layout.probe))
                    prints.mark_damaged()
        except BROKEN as error:
            whats.append(f"it cannot be read: {reason_of(error)}")
        if not whats and file.path not in examined.broken and file.rows not in (None, rows):
            whats.append(f"it has {rows:,} rows, and the log says {file.rows:,}")
        if whats:
            self._broken(examined, file, "; ".join(whats))
        return rows

    def _broken(self, examined: Examined, file: DataFile, what: str) -> None:
        examined.broken[file.path] = None
        self.findings.add(Finding(examined.layout.name, "file", what, file.path))

    def _duplicates(self, examined: Examined) -> None:
        layout = examined.layout
        places: dict[tuple[str, int], list[int]] = {}
        for number in self._prints[layout.name].repeated().tolist():
            self._found_at(layout, number, "duplicate", "a row before it has the same key")
            place = self._prints[layout.name].place(number)
            places.setdefault((place.path, place.group), []).append(place.row)
        for row in self._read_at(layout, places, [layout.probe]):
            examined.probes.add(row[layout.probe])

    def _without_part(self, numbers: Sequence[int]) -> None:
        """Images that nobody can decode, as what they share with others is lost."""
        places: dict[tuple[str, int], list[int]] = {}
        what = "its shared part has no sound row in parts, so that it cannot be decoded; repair, and encode it anew"
        for number in numbers:
            place = self._prints[IMAGES.name].place(number)
            places.setdefault((place.path, place.group), []).append(place.row)
        for row in self._read_at(IMAGES, places, [IMAGES.probe, "part_id"]):
            self.tables[IMAGES.name].probes.add(row[IMAGES.probe])
            self.lost_parts.add(row["part_id"])
        for number in numbers:
            self._found_at(IMAGES, number, "part", what)

    def _read_at(
        self, layout: Layout, places: Mapping[tuple[str, int], Sequence[int]], columns: list[str]
    ) -> Iterator[dict[str, Any]]:
        """Columns of rows: of each file and row group those of some numbers."""
        for (path, group), rows in places.items():
            with suppress(*BROKEN), parquet(self._folder(layout), path) as file:
                yield from file.read_row_group(group, columns, use_threads=False).take(pa.array(rows)).to_pylist()

    def _found_at(self, layout: Layout, number: int, kind: str, what: str) -> None:
        """Note what is wrong with the row of a number in its table."""
        place, key = self._prints[layout.name].place(number), None
        if not self.findings.is_full(layout.name, kind):
            with suppress(*BROKEN), parquet(self._folder(layout), place.path) as file:
                there = [name for name in layout.key if name in file.schema_arrow.names]
                found = file.read_row_group(place.group, there, use_threads=False).slice(place.row, 1).to_pylist()[0]
                key = _spelled(layout, found)
        self.findings.add(Finding(layout.name, kind, what, place.path, place.group, place.row, key))

    def _folder(self, layout: Layout) -> Folder:
        return Folder(f"{self._url}/{layout.name}")


def _spelled(layout: Layout, values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={shown(values.get(name))}" for name in layout.key)


def _ignore(done: int, total: int) -> None:
    """Nobody watches."""
