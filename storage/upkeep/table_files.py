"""A table's Parquet files one by one, whatever state they are in: which there are, and what can be read of them.

Files are read row group by row group, so that memory stays bounded.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs as pa_fs
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from fsspec.implementations.local import LocalFileSystem

from storage.folder import Folder
from storage.tables import DELIVERIES, IMAGES, QUARANTINE, SOURCES, Layout

BROKEN = (OSError, pa.ArrowException, ValueError, OverflowError, MemoryError)
"""What reading a damaged Parquet file raises."""

_BUFFER = 1 << 20  # bytes read at once, whatever the size of a row group
_BATCH, _BATCH_BYTES = 256, 1 << 23  # rows, and bytes of them, in memory at once
_MAX_SHOWN = 120  # characters of a value in a finding

_ADDED = {
    IMAGES.name: ("payload", "bytes_shared", "part_id", "clip"),
    SOURCES.name: ("etag", "labels_state"),
    QUARANTINE.name: ("etag", "status"),
    DELIVERIES.name: (
        "generation",
        "sequence",
        "status",
        "number",
        "encoding_id",
        "part_ids",
        "reason",
        "encoding_ids",
    ),
}
"""Columns that not all versions of the schema have: files may lack them."""


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


def lying_files(folder: Folder) -> tuple[dict[str, int], int]:
    """What lies in a table's folder: sizes in bytes of its Parquet files by path, and the bytes of its log."""
    root = folder.root.lstrip("/")
    sizes: dict[str, int] = {}
    log_bytes = 0
    for path, entry in folder.file_system.find(folder.root, detail=True).items():
        name = path.lstrip("/").removeprefix(root).lstrip("/")
        if name.startswith("_delta_log/"):
            log_bytes += int(entry["size"] or 0)
        elif name.endswith(".parquet"):
            sizes[name] = int(entry["size"] or 0)
    return sizes, log_bytes


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
