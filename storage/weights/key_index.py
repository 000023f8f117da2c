"""Which of a table's files may hold which keys, in memory: an append need not read what is there already."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage.weights.delta import Table

_CHUNK = 65_536  # rows that are text in memory at once


@dataclass(frozen=True, eq=False)
class _Group:
    """Files, and the fingerprints of all their rows, sorted."""

    paths: frozenset[str]
    prints: npt.NDArray[np.int64]


class KeyIndex:
    """Fingerprints of some columns of all rows, by the files they stand in: 8 bytes a row.

    A fingerprint that is not there proves that no row has that key. One that is there proves nothing: the files it may
    stand in have to be asked. After a commit only files that are new are read, and not those of a compaction, which
    hold what their predecessors held.

    Args:
        columns: of text, whose values together are the key.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = list(columns)
        self._groups: list[_Group] = []
        self._version: int | None = None

    def refresh(self, table: Table, paths: Iterable[str] | None = None) -> None:
        """Follow a table to the snapshot that it was refreshed to, and learn what stands in these of its files.

        Args:
            paths: all without it; what was learnt of others is kept as long as the snapshot has them.
        """
        there = {file.path for file in table.files}
        if not self._known() <= there:
            for exchange in table.exchanges(self._version):
                self._follow(exchange.removed, exchange.added)
            self._groups = [group for group in self._groups if group.paths <= there]
        for path in (there if paths is None else set(paths)).difference(self._known()):
            prints = np.sort(fingerprints(table.scan(self._columns, files=[path])))
            self._groups.append(_Group(frozenset([path]), prints))
        self._version = table.version

    def files_of(self, keys: pa.Table) -> tuple[set[str], npt.NDArray[np.bool_]]:
        """The files that may hold any of some keys, among those that the index knows.

        Args:
            keys: a table with the index's columns.

        Returns:
            Their paths, and for each key whether any file may hold it, ``[keys]``.
        """
        wanted = fingerprints(keys.select(self._columns))
        found = np.zeros(len(wanted), bool)
        paths: set[str] = set()
        for group in self._groups:
            hits = held(wanted, group.prints)
            if hits.any():
                paths |= group.paths
                found |= hits
        return paths, found

    def _known(self) -> set[str]:
        return {path for group in self._groups for path in group.paths}

    def _follow(self, removed: frozenset[str], added: frozenset[str]) -> None:
        """Where all files that were exchanged are known, so is what stands in their successors."""
        gone = [group for group in self._groups if group.paths & removed]
        if added and gone and removed <= {path for group in gone for path in group.paths}:
            left = frozenset(path for group in gone for path in group.paths) - removed
            prints = np.sort(np.concatenate([group.prints for group in gone]), kind="stable")
            self._groups = [group for group in self._groups if group not in gone]
            self._groups.append(_Group(left | added, prints))


def fingerprints(table: pa.Table) -> npt.NDArray[np.int64]:
    """A number of 64 bits for each row's values of text, ``[rows]``: equal for equal rows, in this process alone."""
    parts = []
    for batch in table.to_batches(max_chunksize=_CHUNK):
        rows: Any = batch.column(0).to_pylist()
        if batch.num_columns > 1:
            rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
        parts.append(np.fromiter(map(hash, rows), np.int64, batch.num_rows))
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def held(wanted: npt.NDArray[np.int64], prints: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """For each of some fingerprints whether it stands among others, which are sorted, ``[wanted]``."""
    if not len(prints):
        return np.zeros(len(wanted), bool)
    places = np.minimum(np.searchsorted(prints, wanted), len(prints) - 1)
    return prints[places] == wanted
