"""Compaction: the rows of many small files, sorted into few files of disjoint ranges, in bounded memory.

deltalake's own rewrites do not fit: its compaction does not sort, and its Z-order needs memory that grows with the
table (rows with their weights are large, and it merges them thousands at a time). So the files are written here, and
the exchange is committed through it: the new files added and the old ones removed, in one commit.

::

    unsorted files ──sort, 64 MB at a time──▶ runs ──┐
                                                      ├──for each range of keys: read, sort, write──▶ new files
    sorted files ─────────────────────────────────────┘
"""

import fcntl
import json
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pa_fs
import pyarrow.parquet as pq
from deltalake.transaction import AddAction, RemoveAction

from storage.weights.delta import ROW_GROUP, DataFile, Table, encodings

FILE_BYTES = 32 * 1024 * 1024
"""Bytes of a file that a compaction aims at."""

_RUN_BYTES = 64 * 1024 * 1024  # of files that are sorted in memory together
_SMALL = FILE_BYTES // 8
_SAMPLE = 100_000  # keys that say where to cut

_FRUGAL = ds.ParquetFragmentScanOptions(pre_buffer=False, use_buffered_stream=True)
_TRANSACTION = "rinr-compaction"
_FOLDER = "rinr-compaction-"
_UNLOCKED_SECONDS = 60.0  # in which a folder that has just been made is surely locked


def loose(files: Sequence[DataFile]) -> int:
    """Files that a compaction would do good: small ones, and those whose range of keys overlaps that of another."""
    if len(files) < 2:
        return 0
    found = {file.path for file in files if file.bytes < _SMALL or file.low is None or file.high is None}
    reach: DataFile | None = None
    for file in sorted((file for file in files if file.low is not None), key=lambda file: file.low or ""):
        if reach is not None and (file.low or "") <= (reach.high or ""):
            found |= {file.path, reach.path}
        if reach is None or (file.high or "") > (reach.high or ""):
            reach = file
    return len(found)


def compact(table: Table) -> bool:
    """Sort all rows of the snapshot last refreshed to by the layout's probe column.

    Others may read and append meanwhile. The replaced files stay for readers of earlier snapshots, until a vacuum.

    Returns:
        False where another compaction came first; what was written then is left to a vacuum.
    """
    schema = table.schema()
    with _temporary_folder() as folder:
        fragments = list(_sorted_runs(table, schema, folder))
        dataset = ds.FileSystemDataset(fragments, schema, ds.ParquetFileFormat())
        probe = pc.field(table.layout.probe)
        added = []
        for low, high in _ranges(table, dataset):
            where = pc.scalar(True) if low is None else probe >= low
            if high is not None:
                where &= probe < high
            rows = _read(dataset, where).sort_by(table.layout.probe)
            if rows.num_rows:
                added.append(_written(table, rows.combine_chunks()))
            del rows
            pa.default_memory_pool().release_unused()
    replaced = [RemoveAction(file.path, True, int(time.time() * 1000), file.bytes) for file in table.files]
    return table.exchange([*added, *replaced], _TRANSACTION)


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """A folder for runs; those of compactions that were killed are removed first.

    Whose process lives is locked: a number of a process would say nothing in another container.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        with suppress(OSError):  # in use, another user's, or gone
            if time.time() - left.stat().st_mtime < _UNLOCKED_SECONDS:
                continue
            with _locked(left):
                shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=_FOLDER) as name, _locked(Path(name)):
        yield Path(name)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, or raise ``BlockingIOError``; it ends with the process."""
    number = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(number)


def _read(source: ds.Dataset | ds.Fragment, where: pc.Expression | None = None) -> pa.Table:
    # Arrow would read far ahead, and keep what it read: here memory counts for more than a few seconds.
    return source.to_table(filter=where, use_threads=False, batch_readahead=1, fragment_scan_options=_FRUGAL)


def _as(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Rows of a file that may lack columns of the table, or have them in another of Arrow's types for text."""
    there = set(rows.column_names)
    return pa.Table.from_arrays(
        [
            rows[field.name].cast(field.type) if field.name in there else pa.nulls(rows.num_rows, field.type)
            for field in schema
        ],
        schema=schema,
    )


def _sorted_runs(table: Table, schema: pa.Schema, folder: Path) -> Iterator[ds.Fragment]:
    """The table's sorted files as they are, and the others sorted into temporary ones."""
    waiting: list[ds.Fragment] = []
    size = 0

    def run() -> ds.Fragment:
        rows = pa.concat_tables([_as(_read(fragment), schema) for fragment in waiting])
        path = folder / f"{uuid.uuid4().hex}.parquet"
        rows = rows.sort_by(table.layout.probe)
        pq.write_table(rows, path, row_group_size=ROW_GROUP, compression="none", use_dictionary=False)
        return ds.ParquetFileFormat().make_fragment(str(path), pa_fs.LocalFileSystem())

    for file, fragment in table.fragments():
        if _is_sorted(fragment, table.layout.probe):
            yield fragment
            continue
        waiting.append(fragment)
        size += file.bytes
        if size >= _RUN_BYTES:
            yield run()
            waiting, size = [], 0
    if waiting:
        yield run()


def _is_sorted(fragment: ds.Fragment, probe: str) -> bool:
    """Whether each row group's keys come after those of the one before, so that a range of keys is read alone."""
    if pa.types.is_string_view(fragment.physical_schema.field(probe).type):
        return False  # as Delta Lake's own deletes write it, and Arrow does not filter it
    bounds: list[Any] = [(group.statistics or {}).get(probe) for group in fragment.row_groups]
    if len(bounds) < 2 or None in bounds:
        return False
    return all(before["max"] <= after["min"] for before, after in pairwise(bounds))


def _ranges(table: Table, dataset: ds.Dataset) -> list[tuple[str | None, str | None]]:
    """Ranges of keys, from the least to below the next, whose rows make a file of about ``FILE_BYTES`` each."""
    parts = round(sum(file.bytes for file in table.files) / FILE_BYTES)
    if parts < 2:
        return [(None, None)]
    every = max(1, sum(file.rows for file in table.files) // _SAMPLE)
    keys: list[str] = []
    for batch in dataset.to_batches(columns=[table.layout.probe], use_threads=False):
        keys += batch.column(0).take(np.arange(0, batch.num_rows, every)).to_pylist()
    keys.sort()
    cuts = sorted({keys[number * len(keys) // parts] for number in range(1, parts)})
    return list(zip([None, *cuts], [*cuts, None], strict=True))


def _written(table: Table, rows: pa.Table) -> AddAction:
    """Write a file into the table's folder, where nobody sees it before it is committed."""
    name = f"part-{uuid.uuid4()}-c000.zstd.parquet"
    leaves = _leaves(rows.schema)
    encoded = encodings(table.layout)
    weights = [field.name for field in rows.schema if pa.types.is_binary(field.type)]
    numbers = [path for path in leaves if path.startswith("objects.") and not path.endswith(".label")]
    with table.file_system.open_output_stream(name) as stream:
        with pq.ParquetWriter(
            stream,
            rows.schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=[path for path in leaves if path not in {*encoded, *weights, *numbers}],
            write_statistics=[path for path in leaves if path not in weights],
            column_encoding={name: encoding for name, encoding in encoded.items() if name in leaves},
        ) as writer:
            writer.write_table(rows, row_group_size=ROW_GROUP)
        size = stream.tell()
    return AddAction(name, size, {}, int(time.time() * 1000), False, json.dumps(_statistics(rows)))


def _leaves(schema: pa.Schema) -> list[str]:
    """Paths of a schema's Parquet columns."""
    buffer = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), buffer)
    columns = pq.ParquetFile(pa.BufferReader(buffer.getvalue())).schema
    return [columns.column(number).path for number in range(len(columns))]


def _statistics(rows: pa.Table) -> dict[str, Any]:
    """What the log says of a file, as Delta Lake's protocol has it."""
    least: dict[str, Any] = {}
    greatest: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for field in rows.schema:
        if pa.types.is_nested(field.type) or pa.types.is_binary(field.type):
            continue
        nulls[field.name] = rows[field.name].null_count
        bounds = pc.min_max(rows[field.name]).as_py()
        if bounds["min"] is not None:
            least[field.name], greatest[field.name] = _plain(bounds["min"]), _plain(bounds["max"])
    return {"numRecords": rows.num_rows, "minValues": least, "maxValues": greatest, "nullCount": nulls}


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
