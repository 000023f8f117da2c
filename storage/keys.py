"""Which of a table's files may hold which keys, in memory: an append need not read what is there already."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage.delta import Table

_CHUNK = 65_536  # rows that are text in memory at once


class KeyIndex:
    """Fingerprints of some columns of all rows, file by file: 8 bytes a row.

    A fingerprint that is not there proves that no row has that key. One that is there proves nothing: the files it
    stands in have to be asked. Files never change, so that after a commit only those that are new are read.

    Args:
        columns: of text, whose values together are the key.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = list(columns)
        self._files: dict[str, npt.NDArray[np.int64]] = {}

    def refresh(self, table: Table, paths: Iterable[str] | None = None) -> None:
        """Follow a table to the snapshot that it was refreshed to, and learn what stands in these of its files.

        Args:
            paths: all without it; what was learnt of others is kept as long as the snapshot has them.
        """
        there = {file.path for file in table.files}
        self._files = {path: prints for path, prints in self._files.items() if path in there}
        for path in (there if paths is None else set(paths)).difference(self._files):
            self._files[path] = np.sort(fingerprints(table.scan(self._columns, files=[path])))

    def files_of(self, keys: pa.Table) -> tuple[set[str], npt.NDArray[np.bool_]]:
        """The files that may hold any of some keys, among those that the index knows.

        Args:
            keys: a table with the index's columns.

        Returns:
            Their paths, and for each key whether any file may hold it, ``[keys]``.
        """
        wanted = fingerprints(keys.select(self._columns))
        found = np.zeros(len(wanted), bool)
        paths = set()
        for path, prints in self._files.items():
            hits = held(wanted, prints)
            if hits.any():
                paths.add(path)
                found |= hits
        return paths, found


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
