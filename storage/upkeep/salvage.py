"""Salvage: what a repair reads of damaged tables, row by row: what is good, what is double and what is lost."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import pyarrow as pa

from storage.folder import Folder
from storage.tables import Layout
from storage.upkeep.row_faults import faults
from storage.upkeep.row_prints import identity, identity_columns
from storage.upkeep.table_files import BROKEN, DataFile, batch_rows, fault_of_file, parquet, readable_rows

_RESCUED, _RESCUED_BYTES = 512, 1 << 23  # rows, and bytes of payloads, in memory at once while a file is rescued


def is_whole(layout: Layout, folder: Folder, file: DataFile) -> bool:
    """Whether all of a file can be read after all."""
    try:
        if fault_of_file(layout, folder, file) is not None:
            return False
        rows = 0
        for _, _, values, _ in readable_rows(folder, file.path):
            if values is None:
                return False
            rows += 1
    except BROKEN:
        return False
    return file.rows is None or rows == file.rows


def rows_of(
    layout: Layout, folder: Folder, files: Iterable[DataFile], probes: set[str | None]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """All rows of a snapshot with these values in the probe column, each after its file's path.

    No filter is used: on what other programs write it may fail.
    """
    for file in files:
        with parquet(folder, file.path) as opened:
            for group in range(opened.num_row_groups):
                column = opened.read_row_group(group, [layout.probe], use_threads=False)[layout.probe].to_pylist()
                if probes.isdisjoint(column):
                    continue
                for batch in opened.iter_batches(batch_rows(opened, group), [group], use_threads=False):
                    values = batch.column(batch.schema.names.index(layout.probe)).to_pylist()
                    places = [place for place, value in enumerate(values) if value in probes]
                    for row in batch.take(pa.array(places, pa.int64())).to_pylist():
                        yield file.path, row


def identities(layout: Layout, folder: Folder, files: Iterable[DataFile]) -> set[bytes]:
    """Identities of all rows that files hold, as far as they can be read."""
    prints = set()
    for file in files:
        if not folder.exists(file.path):
            continue
        try:
            for _, _, values, _ in readable_rows(folder, file.path, identity_columns(layout)):
                if values is not None:
                    prints.add(identity(layout, values))
        except BROKEN:
            continue
    return prints


def rescued_batches(
    layout: Layout, folder: Folder, path: str, others: set[bytes], lost_parts: Collection[str] = ()
) -> Iterator[pa.RecordBatch]:
    """The good rows of a file that stand in no other, each once; frames of lost parts are not good."""
    waiting: list[dict[str, Any]] = []
    size = 0
    try:
        for _, _, values, _ in readable_rows(folder, path):
            if values is None or values.get("part_id") in lost_parts or faults(layout, values):
                continue
            own = identity(layout, values)
            if own in others:
                continue
            others.add(own)
            waiting.append(values)
            size += len(values.get("payload") or b"")
            if len(waiting) == _RESCUED or size > _RESCUED_BYTES:
                yield pa.RecordBatch.from_pylist(waiting, schema=layout.schema)
                waiting, size = [], 0
    except BROKEN:
        pass  # the rest of the file is lost
    if waiting:
        yield pa.RecordBatch.from_pylist(waiting, schema=layout.schema)


def parted(
    layout: Layout, rows: list[dict[str, Any]], lost_parts: Collection[str] = ()
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows to keep, and rows to drop: damaged ones, frames of lost parts, and of several of one identity all but the
    oldest."""
    kept: dict[bytes, dict[str, Any]] = {}
    dropped = []
    for row in sorted(rows, key=lambda row: str(row.get(layout.order))):
        own = identity(layout, row)
        if own in kept or row.get("part_id") in lost_parts or faults(layout, row):
            dropped.append(row)
        else:
            kept[own] = row
    return list(kept.values()), dropped
