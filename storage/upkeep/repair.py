"""Repair: what is damaged leaves the tables, so that the next ingestion and encoding fill what is missing.

Nothing is thrown away: rows and files that are taken out lie in ``<store>/damaged/`` afterwards. A repair may be
killed at any moment and run again:

- Damaged rows of files that can be read are replaced in one commit: what the table says of their keys is read,
  judged, and written back without the damaged and the double. The damaged rows are put aside before.
- Of a file that cannot be read wholly, the rows that can be are appended again, as far as no other file has them; only
  then is the file moved aside and forgotten by the log. Killed in between, its rows stand twice, the file is still
  damaged, and the next repair appends none and goes on.
"""

import hashlib
import io
import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from storage.folder import Folder
from storage.store import StoreError
from storage.tables import IMAGES, LAYOUTS, Layout
from storage.upkeep.damage import Damage
from storage.upkeep.relations import AWAITED, DAMAGED
from storage.upkeep.salvage import identities, is_whole, parted, rescued_batches, rows_of
from storage.upkeep.table_files import Opened, open_table
from storage.upkeep.verification import Examination, Examined, examine, reachable
from storage.weights.delta import writer_properties
from storage.weights.versions import write_version

_ROUNDS = 3
_PROBES = 500  # keys that are replaced in one commit
_ATTEMPTS = 30
_EXCHANGES = 6  # attempts, before whole files are written anew: appends of others stand in no way of that
_LONGEST_PAUSE = 0.5  # seconds

Ask = Callable[[Damage, tuple[str, ...]], bool]


@dataclass(frozen=True)
class Repair:
    """What a repair did.

    Attributes:
        before: the damage found.
        after: what is left of it: tables whose log cannot be read.
        dropped: table, and damaged or double rows taken out of it one by one.
        rescued: table, and rows of damaged files that were written anew.
        aside: files now in the folder ``damaged`` of the store.
    """

    before: Damage
    after: Damage
    dropped: tuple[tuple[str, int], ...] = ()
    rescued: tuple[tuple[str, int], ...] = ()
    aside: tuple[str, ...] = ()


def repair(url: str, progress: Callable[[int, int], None] | None = None, ask: Ask | None = None) -> Repair:
    """Take what is damaged out of a store's tables, so that ``verify`` finds it clean.

    Relations that lead nowhere are not dropped with what they speak of, which would lose good payloads: they are
    written down as awaited, since the next ingestion writes the sources and the next encoding the images again.

    Args:
        url: of the store.
        progress: is told ``(bytes read, bytes in all)`` of each time that the store is read.
        ask: is given the damage and what would be done, in words; where it says no, nothing is changed.

    Raises:
        StoreError: there is no store, it cannot be read or written, or others write at each attempt.
    """
    found = examine(url, progress)
    before = found.damage
    if ask is not None and not ask(before, plan(found)):
        return Repair(before, before)
    work = _Work(before.url)
    with reachable(before.url, "repaired"):
        write_version(before.url)
        for number in range(_ROUNDS):
            if not any(table.broken or table.probes for table in found.tables.values()):
                break
            for layout in LAYOUTS:
                work.mend(found.tables[layout.name], found.lost_parts, again=number > 0)
            found = examine(url, progress)
        after = _awaited(found)
    return Repair(before, after, work.totals(work.dropped), work.totals(work.rescued), tuple(sorted(work.aside)))


def plan(found: Examination) -> tuple[str, ...]:
    """What a repair would do, in sentences; empty where there is nothing to do."""
    steps = []
    for layout in LAYOUTS:
        table = found.tables[layout.name]
        if table.unreadable is not None:
            steps.append(f"{layout.name}: nothing can be done about its log; bring it back from a copy of the store")
        if table.probes:
            steps.append(f"{layout.name}: drop the damaged and double rows of {len(table.probes):,} keys")
        for path in table.broken:
            if path in table.absent:
                steps.append(f"{layout.name}: forget {path}, which is not there")
            else:
                steps.append(f"{layout.name}: write the readable rows of {path} anew, and move it to {DAMAGED}/")
        if table.loose:
            steps.append(
                f"{layout.name}: keep the rows that speak of {len(table.loose):,} rows that are not there, as awaited"
            )
    return tuple(steps)


class _Work:
    """The changes to one store, and what they came to."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.dropped: dict[str, int] = {}
        self.rescued: dict[str, int] = {}
        self.aside: set[str] = set()
        self._lost_parts: Collection[str] = ()
        self._damaged = Folder(f"{url}/{DAMAGED}")

    def mend(self, examined: Examined, lost_parts: Collection[str], again: bool) -> None:
        """Take what is damaged out of one table; where that did not do, with the whole files that hold it.

        Args:
            examined: the table.
            lost_parts: shared parts whose frames are lost with them.
            again: it was tried before.
        """
        layout = examined.layout
        self._lost_parts = lost_parts if layout is IMAGES else ()
        for path in examined.broken:
            self._mend_file(layout, path)
        probes = sorted(examined.probes, key=lambda value: (value is None, value or ""))
        for start in range(0, len(probes), _PROBES):
            self._mend_rows(layout, probes[start : start + _PROBES], again)

    def totals(self, numbers: dict[str, int]) -> tuple[tuple[str, int], ...]:
        """Numbers by table, in the tables' order."""
        return tuple((layout.name, numbers[layout.name]) for layout in LAYOUTS if numbers.get(layout.name))

    def _mend_file(self, layout: Layout, path: str, whole: bool = False) -> None:
        """Write what can be read of a file anew, and take it out; one that can be read wholly only where asked."""
        folder = Folder(f"{self.url}/{layout.name}")

        def rescue(opened: Opened) -> int | None:
            files = {file.path: file for file in opened.files}
            # What a moment ago could not be read for another reason, such as a network's, is left alone.
            if path not in files or (not whole and folder.exists(path) and is_whole(layout, folder, files[path])):
                return None
            if not folder.exists(path):
                return 0
            others = identities(layout, folder, [file for file in opened.files if file.path != path])
            batches = rescued_batches(layout, folder, path, others, self._lost_parts)
            first = next(batches, None)
            if first is None:
                return 0
            counted = _Counted(first, batches)
            schema_mode = _schema_mode(layout, opened.table)
            write_deltalake(
                opened.table,
                pa.RecordBatchReader.from_batches(layout.schema, counted),
                mode="append",
                schema_mode=schema_mode,
                writer_properties=writer_properties(layout),
                commit_properties=_next_transaction(f"rinr-repair-{layout.name}", opened.table),
            )
            return counted.rows

        rows = self._attempted(layout, rescue, _ATTEMPTS)
        if rows is None:
            return
        self.rescued[layout.name] = self.rescued.get(layout.name, 0) + rows
        name = f"{layout.name}-{path.rsplit('/', 1)[-1]}"
        if folder.exists(path):
            self._damaged.file_system.makedirs(self._damaged.root, exist_ok=True)
            self._damaged.file_system.mv(folder.path(path), self._damaged.path(name))
            self.aside.add(name)
        self._attempted(layout, lambda opened: opened.table.repair(), _ATTEMPTS)

    def _mend_rows(self, layout: Layout, probes: list[str | None], again: bool) -> None:
        folder = Folder(f"{self.url}/{layout.name}")

        held: dict[str, list[dict[str, Any]]] = {}  # rows of these keys by file: files never change

        def exchange(opened: Opened) -> int:
            unseen = [file for file in opened.files if file.path not in held]
            held.update((file.path, []) for file in unseen)
            for path, row in rows_of(layout, folder, unseen, set(probes)):
                held[path].append(row)
            kept, dropped = parted(layout, [row for file in opened.files for row in held[file.path]], self._lost_parts)
            if not dropped or again:
                return 0
            self._put_aside(layout, dropped)
            write_deltalake(
                opened.table,
                pa.Table.from_pylist(kept, schema=_present_schema(layout, opened.table)).combine_chunks(),
                mode="overwrite",  # of what the predicate names alone
                predicate=_predicate(layout.probe, probes),
                writer_properties=writer_properties(layout),
                commit_properties=_next_transaction(f"rinr-{layout.name}", opened.table),
            )
            return len(dropped)

        try:
            number = self._attempted(layout, exchange, _EXCHANGES)
        except (DeltaError, pa.ArrowException):
            again = True
        if again:
            # What pyarrow reads, deltalake may still find damaged, or read as something else; and while others write
            # all the time, no exchange gets through. Whole files can be written anew then.
            for path in sorted(path for path, rows in held.items() if rows):
                self._mend_file(layout, path, whole=True)
            return
        self.dropped[layout.name] = self.dropped.get(layout.name, 0) + number

    def _put_aside(self, layout: Layout, rows: list[dict[str, Any]]) -> None:
        """Keep damaged rows as a Parquet file; the same rows make the same file."""
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=layout.schema), buffer, compression="zstd")
        data = buffer.getvalue()
        name = f"{layout.name}-rows-{hashlib.sha256(data).hexdigest()[:32]}.parquet"
        self._damaged.write(name, data)
        self.aside.add(name)

    def _attempted(self, layout: Layout, change: Callable[[Opened], Any], attempts: int) -> Any:
        """Make a change to the newest snapshot; where another writer was faster, to the one after.

        Raises:
            CommitFailedError: others were faster at each attempt.
            StoreError: the table cannot be opened.
        """
        for attempt in range(attempts):
            opened = open_table(self.url, layout)
            if not isinstance(opened, Opened):
                raise StoreError(f"the table {self.url}/{layout.name} cannot be opened: {opened or 'it is gone'}")
            try:
                return change(opened)
            except CommitFailedError:
                if attempt == attempts - 1:
                    raise
                time.sleep(random.uniform(0, min(_LONGEST_PAUSE, 0.01 * 2**attempt)))
        raise AssertionError("no attempts were asked for")


class _Counted:
    """Batches that are counted while they pass."""

    def __init__(self, first: pa.RecordBatch, rest: Iterable[pa.RecordBatch]) -> None:
        self.rows = 0
        self._first, self._rest = first, rest

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        self.rows = self._first.num_rows
        yield self._first
        for batch in self._rest:
            self.rows += batch.num_rows
            yield batch


def _awaited(found: Examination) -> Damage:
    """Write down the relations that lead nowhere; the damage without them."""
    prints = set[bytes]().union(*(table.loose for table in found.tables.values()))
    folder = Folder(f"{found.damage.url}/{DAMAGED}")
    if prints:
        folder.write(AWAITED, b"".join(sorted(prints)))
    else:
        folder.delete([AWAITED] if folder.exists(AWAITED) else [])
    return replace(
        found.damage,
        findings=tuple(finding for finding in found.damage.findings if finding.kind != "relation"),
        counts=tuple(count for count in found.damage.counts if count[1] != "relation"),
        awaited=len(prints),
    )


def _present_schema(layout: Layout, table: DeltaTable) -> pa.Schema:
    """The layout's columns that a table has: stores of earlier versions lack some."""
    there = {field.name for field in table.schema().fields}
    return pa.schema([field for field in layout.schema if field.name in there])


def _schema_mode(layout: Layout, table: DeltaTable) -> Any:
    return "merge" if len(_present_schema(layout, table)) < len(layout.schema) else None


def _next_transaction(name: str, table: DeltaTable) -> CommitProperties:
    """The next number of a named transaction: of two that come at once, one is refused.

    The store's own writers count in ``rinr-<table>``. Rescued rows count in a name of their own: no writer appends what
    stands in the file they come from, so that only another repair could write them twice.
    """
    number = (table.transaction_version(name) or 0) + 1
    return CommitProperties(app_transactions=[Transaction(name, number)])


def _predicate(column: str, values: Collection[str | None]) -> str:
    """SQL that is true of rows with one of these values: quoted, whatever they hold."""
    texts = [f"'{quoted}'" for quoted in (value.replace("'", "''") for value in values if value is not None)]
    parts = [f"{column} IN ({', '.join(texts)})"] if texts else []
    return " OR ".join(parts + [f"{column} IS NULL"] * (None in values))
