"""One Delta table, held open: refreshed before each use, scanned through its snapshot, appended to.

What a handle learnt about a snapshot (its files, what range of keys each holds, the footers that were read) is kept
until the snapshot changes: of a table of a million rows, one row is then found in a few milliseconds.
"""

import json
import math
import os
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, cast
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pa_fs
from deltalake import (
    ColumnProperties,
    CommitProperties,
    DeltaTable,
    PostCommitHookProperties,
    Transaction,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler
from deltalake.transaction import AddAction, RemoveAction

from storage.tables import Layout

ROW_GROUP = 512
"""Rows of a Parquet row group at most: with more, looking up one image takes ten times as long."""

# A look through all of the log for what has expired costs more than the commit that it follows: a vacuum does it.
_AFTER_COMMIT = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)
_CHECKPOINT_EVERY = 10  # commits
_MAX_CHECKPOINT_BYTES = 1_000_000
_VACUUM_ATTEMPTS = 10
_RETENTIONS = ("delta.deletedFileRetentionDuration", "delta.logRetentionDuration")


Encoding = Literal["DELTA_BINARY_PACKED", "DELTA_LENGTH_BYTE_ARRAY"]


@dataclass(frozen=True)
class DataFile:
    """One Parquet file of a snapshot.

    Attributes:
        path: within the table's folder.
        low: the least value of the layout's probe column; ``None`` where the log does not say.
        high: likewise the greatest.
    """

    path: str
    rows: int
    bytes: int
    low: str | None
    high: str | None

    def may_hold(self, low: str, high: str) -> bool:
        """Whether a value from ``low`` to ``high`` may stand in it."""
        return self.low is None or self.high is None or (self.low <= high and low <= self.high)


@dataclass(frozen=True)
class Exchange:
    """A commit that put files in the place of others that held the same rows: paths within the table's folder."""

    removed: frozenset[str]
    added: frozenset[str]


class Table:
    """A Delta table at a URL, which need not exist yet.

    Its methods raise what deltalake and Arrow raise: ``DeltaError``, ``OSError``, ``pyarrow.ArrowException``.
    """

    def __init__(self, url: str, layout: Layout) -> None:
        self.url = url
        self.layout = layout
        self._delta: DeltaTable | None = None
        self._version: int | None = None
        self._files: tuple[DataFile, ...] = ()
        self._fragments: dict[str, ds.Fragment] = {}
        self._file_system: pa_fs.FileSystem | None = None
        self._newest: datetime | None = None

    @property
    def files(self) -> tuple[DataFile, ...]:
        """Of the snapshot last refreshed to."""
        return self._files

    @property
    def version(self) -> int | None:
        """Of the snapshot last refreshed to; ``None`` without a table."""
        return self._version

    @property
    def newest(self) -> datetime | None:
        """No row's order column is later than this; ``None`` without rows, or where no file says."""
        return self._newest

    @property
    def file_system(self) -> pa_fs.FileSystem:
        """Arrow's file system, rooted in the table's folder."""
        if self._file_system is None:
            self._file_system = _file_system(self.url, cast(DeltaTable, self._delta))
        return self._file_system

    def refresh(self, *, anew: bool = False) -> bool:
        """Look at the table as it is now.

        Args:
            anew: forget what is known of it.

        Returns:
            Whether there is a table.
        """
        if self._delta is None or anew:
            self._delta, self._version, self._files, self._fragments = None, None, (), {}
            try:
                self._delta = DeltaTable(self.url)
            except TableNotFoundError:
                return False
        else:
            try:
                self._delta.update_incremental()
            except DeltaError:  # the log that leads from there to here is no longer kept
                return self.refresh(anew=True)
        if self._delta.version() != self._version:
            self._read_log(self._delta)
        return True

    def make(self) -> None:
        """Refresh, and make the table where there is none."""
        if self.refresh():
            return
        try:
            DeltaTable.create(self.url, self.layout.schema, mode="ignore")
        except DeltaError:
            # Another first writer may have come before; if none did, the table cannot be written.
            if not self.refresh():
                raise
        self.refresh()

    def scan(
        self,
        columns: Sequence[str],
        where: pc.Expression | None = None,
        files: Collection[str] | None = None,
    ) -> pa.Table:
        """Rows of the snapshot last refreshed to.

        Columns that a file of an earlier version lacks are null.

        Args:
            columns: their names.
            where: which rows.
            files: only those of these files; all without it.
        """
        return self.dataset(files).to_table(columns=list(columns), filter=where)

    def dataset(self, files: Collection[str] | None = None) -> ds.Dataset:
        """The snapshot as a pyarrow dataset with the layout's schema; with ``files``, only those.

        Not deltalake's own: its datasets take a column without statistics in the log for one without values, so that a
        filter on it silently finds nothing; and its file system, written in Python, may abort the process at its end.
        """
        chosen = [fragment for file, fragment in self.fragments() if files is None or file.path in files]
        return ds.FileSystemDataset(chosen, self.layout.schema, ds.ParquetFileFormat())

    def fragments(self) -> Iterator[tuple[DataFile, ds.Fragment]]:
        """The files of the snapshot as pyarrow has them; what was read of their footers stays known."""
        format = ds.ParquetFileFormat()
        for file in self._files:
            if file.path not in self._fragments:
                self._fragments[file.path] = format.make_fragment(
                    file.path, self.file_system, partition_expression=self._range(file)
                )
            yield file, self._fragments[file.path]

    def append(self, rows: pa.Table, transaction: str) -> bool:
        """Append rows to the snapshot last refreshed to, in one commit.

        Every commit carries the next number of the named transaction: of two writers that looked at the same snapshot
        one is refused.

        Returns:
            False where another writer came first; nothing is written then.
        """
        delta = cast(DeltaTable, self._delta)
        number = (delta.transaction_version(transaction) or 0) + 1
        there = {field.name for field in delta.schema().fields}
        try:
            write_deltalake(
                delta,
                rows.combine_chunks(),  # only a table of one chunk keeps the order of its rows
                mode="append",
                # Stores of earlier versions lack columns that were added since.
                schema_mode=None if there.issuperset(rows.column_names) else "merge",
                writer_properties=writer_properties(self.layout),
                commit_properties=CommitProperties(app_transactions=[Transaction(transaction, number)]),
                post_commithook_properties=_AFTER_COMMIT,
            )
        except CommitFailedError:
            return False
        return True

    def schema(self) -> pa.Schema:
        """Of the table itself, which may be older than the layout, or hold columns that others added."""
        return pa.schema(cast(DeltaTable, self._delta).schema().to_arrow())

    def exchange(self, actions: Sequence[AddAction | RemoveAction], transaction: str) -> bool:
        """Put files in the place of others that hold the same rows, in one commit; rows appended meanwhile stay.

        Args:
            actions: the files to add and to remove.
            transaction: of two that look at the same snapshot and name the same transaction, one is refused.

        Returns:
            False where one of the files was replaced by others since; nothing is changed then.
        """
        self.refresh()
        if not {file.path for file in self._files}.issuperset(
            action.path for action in actions if isinstance(action, RemoveAction)
        ):
            return False
        delta = cast(DeltaTable, self._delta)
        number = (delta.transaction_version(transaction) or 0) + 1
        try:
            delta.create_write_transaction(
                list(actions),
                mode="append",  # said of the actions: what is removed stands among them
                schema=delta.schema(),
                commit_properties=CommitProperties(app_transactions=[Transaction(transaction, number)]),
                post_commithook_properties=_AFTER_COMMIT,
            )
        except CommitFailedError:
            return False
        return True

    def exchanges(self, since: int | None) -> list[Exchange]:
        """The exchanges from a version to the one last refreshed to, as far as the log still has all of that time."""
        found: list[Exchange] = []
        if since is None or self._version is None:
            return found
        for version in range(since + 1, self._version + 1):
            try:
                with self.file_system.open_input_stream(f"_delta_log/{version:020}.json") as file:
                    actions = [json.loads(line) for line in file.read().splitlines()]
            except (FileNotFoundError, ValueError):
                return []
            added = [action["add"] for action in actions if "add" in action]
            removed = [action["remove"] for action in actions if "remove" in action]
            if removed and not any(action.get("dataChange", True) for action in added):
                paths = (frozenset(unquote(action["path"]) for action in of) for of in (removed, added))
                found.append(Exchange(*paths))
        return found

    def checkpoint(self) -> None:
        """Sum the log up in one file, from which others open the table faster."""
        cast(DeltaTable, self._delta).create_checkpoint()

    def vacuum(self, keep: timedelta) -> int:
        """Remove what is no longer needed to read the table as it was at any time of the last ``keep``.

        That is files that no snapshot of that time names, older log, and what killed writers left unfinished.

        Returns:
            How many files were removed, those of the log apart.
        """
        for _ in range(_VACUUM_ATTEMPTS - 1):
            try:
                return self._vacuum(keep)
            except CommitFailedError:  # it commits as well, and a compaction came first
                self.refresh()
        return self._vacuum(keep)

    def _vacuum(self, keep: timedelta) -> int:
        delta = cast(DeltaTable, self._delta)
        hours = math.ceil(keep / timedelta(hours=1))
        kept = dict.fromkeys(_RETENTIONS, f"interval {hours} hours")
        if {name: delta.metadata().configuration.get(name) for name in kept} != kept:
            delta.alter.set_table_properties(kept)
        # A vacuum of nothing would be two more commits an hour.
        removed = delta.vacuum(retention_hours=hours, dry_run=True, enforce_retention_duration=False, full=True)
        if removed:
            delta.vacuum(retention_hours=hours, dry_run=False, enforce_retention_duration=False, full=True)
        if removed or delta.version() - self._checkpointed() >= _CHECKPOINT_EVERY:
            delta.create_checkpoint()
            delta.cleanup_metadata()
        return len(removed) + _remove_unfinished(delta, keep)

    def _checkpointed(self) -> int:
        """The version of the last checkpoint; -1 where there is none."""
        try:
            with self.file_system.open_input_stream("_delta_log/_last_checkpoint") as file:
                return int(json.loads(file.read(_MAX_CHECKPOINT_BYTES))["version"])
        except (FileNotFoundError, ValueError, KeyError):
            return -1

    def _read_log(self, delta: DeltaTable) -> None:
        probe, order = self.layout.probe, self.layout.order
        actions = pa.table(delta.get_add_actions(flatten=True))
        columns = {name: actions[name].to_pylist() for name in ("path", "num_records", "size_bytes")}
        for bound, name in (("min", probe), ("max", probe), ("max", order)):
            known = f"{bound}.{name}" in actions.column_names
            columns[f"{bound}.{name}"] = actions[f"{bound}.{name}"].to_pylist() if known else [None] * len(actions)
        self._files = tuple(
            DataFile(unquote(path), rows or 0, size, low, high)
            for path, rows, size, low, high in zip(
                columns["path"],
                columns["num_records"],
                columns["size_bytes"],
                columns[f"min.{probe}"],
                columns[f"max.{probe}"],
                strict=True,
            )
        )
        self._newest = max((time for time in columns[f"max.{order}"] if time is not None), default=None)
        there = {file.path for file in self._files}
        self._fragments = {path: fragment for path, fragment in self._fragments.items() if path in there}
        self._version = delta.version()

    def _range(self, file: DataFile) -> pc.Expression:
        probe = pc.field(self.layout.probe)
        if file.low is None or file.high is None:
            return pc.scalar(True)
        return (probe >= file.low) & (probe <= file.high)


def writer_properties(layout: Layout) -> WriterProperties:
    """How a table's Parquet files are written.

    Statistics stand on all plain columns: readers that build a dataset by deltalake find nothing by a filter on a
    column without them.
    """
    bare = ColumnProperties(dictionary_enabled=False, statistics_enabled="NONE")
    encoded = {
        name: ColumnProperties(dictionary_enabled=False, statistics_enabled="CHUNK", encoding=encoding)
        for name, encoding in encodings(layout).items()
    }
    return WriterProperties(
        max_row_group_size=ROW_GROUP,
        compression="ZSTD",
        compression_level=1,
        default_column_properties=ColumnProperties(dictionary_enabled=True, statistics_enabled="CHUNK"),
        column_properties=encoded | {field.name: bare for field in layout.schema if pa.types.is_binary(field.type)},
    )


def encodings(layout: Layout) -> dict[str, Encoding]:
    """Columns that are written in other ways than with a dictionary, which would only make them larger.

    Hashes never repeat, and all have one length; times of files rise in small steps along their paths. (The times of
    commits repeat.)
    """
    times = (field.name for field in layout.schema if pa.types.is_timestamp(field.type) and field.name != layout.order)
    hashes = (name for name in ("image_id", "labels_id") if name in layout.schema.names)
    chosen: dict[str, Encoding] = dict.fromkeys(times, "DELTA_BINARY_PACKED")
    return chosen | dict.fromkeys(hashes, "DELTA_LENGTH_BYTE_ARRAY")


def _remove_unfinished(delta: DeltaTable, keep: timedelta) -> int:
    """Files of a local table that a killed writer had not yet given their names; object stores show no such files."""
    if not delta.table_uri.startswith("file://"):
        return 0
    folder = Path(pa_fs.FileSystem.from_uri(delta.table_uri)[1])
    removed = 0
    for path in (*folder.glob("*#*"), *folder.glob("_delta_log/*#*"), *folder.glob("_delta_log/*.tmp")):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime >= keep.total_seconds():
                path.unlink()
                removed += 1
    return removed


def _file_system(url: str, delta: DeltaTable) -> pa_fs.FileSystem:
    """Arrow's own file system where it surely finds the same files, rooted in the table's folder."""
    if url.startswith("s3://"):
        parts = urlsplit(url)
        return pa_fs.SubTreeFileSystem(f"{parts.netloc}{parts.path}", _s3())
    if delta.table_uri.startswith("file://"):
        file_system, folder = pa_fs.FileSystem.from_uri(delta.table_uri)
        return pa_fs.SubTreeFileSystem(folder, file_system)
    return pa_fs.PyFileSystem(DeltaStorageHandler.from_table(delta._table))


def _s3() -> pa_fs.FileSystem:
    # Arrow reads credentials from the environment by itself, but not whether an endpoint of one's own speaks TLS.
    endpoint = urlsplit(os.environ.get("AWS_ENDPOINT_URL", ""))
    options = {"endpoint_override": endpoint.netloc, "scheme": endpoint.scheme} if endpoint.netloc else {}
    return pa_fs.S3FileSystem(region=os.environ.get("AWS_REGION", "us-east-1"), **options)
