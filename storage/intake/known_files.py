"""What the store knows of a device's files, compared with a listing column by column.

A device may have hundreds of thousands of files of which a run finds nothing new: what is known of them stays in Arrow
columns, and no Python object is made of a known file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from storage.devices import DeviceFile
from storage.quarantine import quarantine_path
from storage.store import Store
from storage.tables import SOURCES, Source, source_from_row

NONE = -1
"""The row of a file that is not known."""

_STATE = ("size", "modified", "etag")
_COLUMNS = ["path", *_STATE, "image_id", "labels_id", "labels_state", "ingested_at"]

Flags = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class KnownFiles:
    """The newest row of ``sources`` of each path of one device: the file as it was taken.

    Attributes:
        device: its name.
        table: one row a path, of the columns that a comparison needs.
    """

    device: str
    table: pa.Table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def rows_of(self, paths: Sequence[str]) -> Rows:
        """For each path its row in :attr:`table`, or :data:`NONE`: ``[paths]``."""
        found = pc.index_in(_texts(paths), value_set=self.paths)
        return np.asarray(pc.fill_null(found, NONE), dtype=np.int64)

    def unchanged(self, files: Sequence[DeviceFile], rows: Rows) -> Flags:
        """Which files are in the very state in which they were taken: ``[files]``.

        Args:
            files: as listed.
            rows: of their paths, from :meth:`rows_of`.
        """
        places = np.flatnonzero(rows != NONE)
        listed = [files[place] for place in places.tolist()]
        taken = self.table.select(_STATE).take(pa.array(rows[places]))
        equal = _equal(taken["size"], pa.array([file.size for file in listed], pa.int64()))
        time = SOURCES.schema.field("modified").type
        equal &= _equal(taken["modified"], pa.array([file.modified for file in listed], time))
        # Rows of before etags were written down have none, which says nothing.
        equal &= _equal(taken["etag"], pa.array([file.etag for file in listed], pa.string())) | np.asarray(
            pc.is_null(taken["etag"])
        )
        flags = np.zeros(len(files), dtype=bool)
        flags[places[equal]] = True
        return flags

    def labels_differ(self, rows: Rows, states: Sequence[str | None]) -> Flags:
        """Which rows' labels were read from another state of a label file than the one of now: ``[rows]``.

        Args:
            rows: in :attr:`table`.
            states: the label file's, for each row; ``None``, where there is none, differs from nothing.
        """
        now = pa.array(states, pa.string())
        return ~_equal(self.table["labels_state"].take(pa.array(rows)), now) & np.asarray(now.is_valid())

    def labels_to_compare(self, state: str) -> Rows:
        """Rows to compare with a label file that speaks of all pictures, where that has the given state: ``[rows]``.

        A run compares all that it knows before it takes anything new, and commits what was relabelled in one piece. So
        rows from before the first one with this state have been compared with it, whichever run was killed where,
        and only later ones with another state have not: of a run that still held the file's last version.
        """
        other = ~_equal(self.table["labels_state"], pa.array([state] * len(self), pa.string()))
        if not len(self) or other.all():
            return np.arange(len(self))
        taken = np.asarray(self.table["ingested_at"].cast(pa.int64()))
        return np.flatnonzero(other & (taken >= taken[~other].min()))

    def path(self, row: int) -> str:
        """The path of a row."""
        return str(self.table["path"][row].as_py())

    def sources(self, store: Store, rows: Rows) -> list[Source]:
        """Whole rows of ``sources``, in the order of ``rows``, less those that another run has replaced meanwhile.

        Raises:
            StoreError: the store cannot be read.
        """
        if not len(rows):
            return []
        wanted = self.table["path"].take(pa.array(rows))
        where = (pc.field("device") == self.device) & pc.field("path").isin(wanted.combine_chunks())
        found = newest(store.scan(SOURCES, where=where), "path", SOURCES.order)
        by_path = {row["path"]: row for row in found.to_pylist()}
        taken = zip(wanted.to_pylist(), self.table["ingested_at"].take(pa.array(rows)).to_pylist(), strict=True)
        return [
            source_from_row(by_path[path])
            for path, at in taken
            if path in by_path and by_path[path]["ingested_at"] == at
        ]

    @property
    def last(self) -> datetime | None:
        """When the newest of them was taken."""
        newest_at = pc.max(self.table["ingested_at"]).as_py()
        return newest_at if isinstance(newest_at, datetime) else None

    @cached_property
    def paths(self) -> pa.Array:
        """The paths of all rows."""
        return self.table["path"].combine_chunks()


def load_known(store: Store, device: str) -> KnownFiles:
    """What the store knows of a device's files.

    Raises:
        StoreError: the store cannot be read.
    """
    table = store.scan(SOURCES, _COLUMNS, pc.field("device") == device)
    return KnownFiles(device, newest(table, "path", SOURCES.order))


def newest(table: pa.Table, subject: str, order: str) -> pa.Table:
    """Of the rows that are equal in one column the one with the greatest value of another."""
    if not table.num_rows:
        return table
    codes = pc.dictionary_encode(table[subject].combine_chunks())
    rows = np.asarray(pc.sort_indices(table, [(order, "ascending")]))
    last = np.empty(len(codes.dictionary), dtype=np.int64)
    last[np.asarray(codes.indices)[rows]] = rows  # of what is assigned to one place the last stays
    return table.take(pa.array(last))


def _texts(values: Sequence[str]) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:  # a name that is not UTF-8 is never taken, so its spelling may stand for it
        return pa.array([value if _is_text(value) else quarantine_path(value) for value in values], pa.string())


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _equal(one: pa.ChunkedArray, other: pa.Array) -> Flags:
    """Which values are equal; null equals null."""
    both_null = pc.and_(pc.is_null(one), pc.is_null(other))
    return np.asarray(pc.or_(pc.fill_null(pc.equal(one, other), False), both_null))
