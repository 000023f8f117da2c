"""The weight store: Delta tables of encoded images, their sources, what was refused and what was delivered.

Every table is written by one private verb that appends rows exactly once by their key, whoever else writes
at the same time; every table is read through its snapshot, because the folder also holds files that a
compaction replaced or that a refused commit left behind.
"""

import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pa_fs
from deltalake import (
    ColumnProperties,
    CommitProperties,
    DeltaTable,
    Transaction,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from fsspec.implementations.local import LocalFileSystem

from rinr.codec.encoded import EncodedImage
from rinr.metrics import mean_db
from storage.tables import (
    DELIVERIES,
    IMAGES,
    QUARANTINE,
    SOURCES,
    Delivery,
    Layout,
    Pending,
    Refusal,
    Source,
    Summary,
    annotated_size,
    delivery_row,
    image_row,
    refusal_row,
    source_row,
)

ROW_GROUP = 512
"""Rows of a Parquet row group at most: with more, looking up one image takes ten times as long."""

_ATTEMPTS = 60
_LONGEST_PAUSE = 0.5  # seconds


Row = EncodedImage | Source | Refusal | Delivery
"""What can be appended."""

_KINDS: dict[type, tuple[Layout, Callable[[Any], dict[str, Any]]]] = {
    EncodedImage: (IMAGES, image_row),
    Source: (SOURCES, source_row),
    Refusal: (QUARANTINE, refusal_row),
    Delivery: (DELIVERIES, delivery_row),
}


class StoreError(RuntimeError):
    """A store that cannot be read or written; the message names its URL and says what to do."""


class Store:
    """The weight store at an fsspec URL or a plain folder.

    Example::

        store = Store("demo/store")
        store.append(encoded)
        store.scan(IMAGES, ["image_id", "bytes_total"], where=pc.field("family") == "siren")
    """

    def __init__(self, url: str) -> None:
        try:
            file_system, root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise StoreError(f"the store {url} cannot be opened: {error}; check its URL") from None
        # Plain folders become absolute once, so that every process that is handed this URL finds the same
        # place.
        self.url = root.rstrip("/") if isinstance(file_system, LocalFileSystem) else url.rstrip("/")

    def create(self) -> None:
        """Make the tables that are missing: a store that cannot be written is so known before any work.

        Raises:
            StoreError: it cannot be written.
        """
        for layout in (IMAGES, SOURCES, QUARANTINE, DELIVERIES):
            with self._errors("written"):
                self._made(layout)

    def append(self, rows: Sequence[Row]) -> int:
        """Append rows of one kind to their table in one commit, each exactly once whoever else writes.

        An image counts as present by its (image, labels, encoding); a source or a refusal where it is what the
        newest row of its file says; a delivery by its device and shard.

        Args:
            rows: encoded images, sources, refusals or deliveries, not mixed.

        Returns:
            The rows really added.

        Raises:
            StoreError: the store cannot be written.
            TypeError: rows of several kinds.
        """
        if not rows:
            return 0
        layout, as_row = _KINDS[type(rows[0])]
        if any(type(row) is not type(rows[0]) for row in rows):
            raise TypeError(f"rows of several kinds: {', '.join(sorted({type(row).__name__ for row in rows}))}")
        return self._append(layout, [as_row(row) for row in rows])

    def scan(
        self, layout: Layout, columns: Sequence[str] | None = None, where: pc.Expression | None = None
    ) -> pa.Table:
        """Rows of a table; of each image and encoding only the row with its newest labels.

        Args:
            layout: one of :data:`storage.tables.LAYOUTS`.
            columns: all without it.
            where: picks rows first; the newest is then taken among those.

        Returns:
            A table with the layout's schema or the columns asked for; empty where there is no store yet.

        Raises:
            StoreError: the store cannot be read.
        """
        if layout is not IMAGES:
            return self._read(layout, columns, where)
        wanted = list(columns) if columns is not None else IMAGES.schema.names
        table = self._read(IMAGES, list(dict.fromkeys([*wanted, *IMAGES.key, IMAGES.order])), where)
        return table.filter(self._newest_labels(table)).select(wanted)

    def missing(self, encoding_id: str) -> list[Pending]:
        """Images whose newest labels have no row of this encoding, in the order of device and path.

        Raises:
            StoreError: the store cannot be read.
        """
        columns = [*SOURCES.key, "labels", "annotated_width", "annotated_height", SOURCES.order]
        current = _current_sources(self._read(SOURCES, columns, None).to_pylist())
        encoded = self._read(IMAGES, ["image_id", "labels_id"], pc.field("encoding_id") == encoding_id)
        done = set(zip(*(column.to_pylist() for column in encoded.columns), strict=True))
        return [
            Pending(
                image_id=row["image_id"],
                labels_id=row["labels_id"],
                labels=row["labels"].encode(),
                annotated_size=annotated_size(row),
                device=row["device"],
                path=row["path"],
            )
            for row in sorted(current.values(), key=lambda row: (row["device"], row["path"], row["image_id"]))
            if (row["image_id"], row["labels_id"]) not in done
        ]

    def summary(self, encoding_id: str | None = None) -> Summary:
        """Sums and means over all images, or those of one encoding.

        Raises:
            StoreError: the store cannot be read.
        """
        where = None if encoding_id is None else pc.field("encoding_id") == encoding_id
        numbers = [field.name for field in fields(Summary) if field.name in IMAGES.schema.names]
        table = self.scan(IMAGES, [*numbers, "family"], where)
        return Summary(
            images=table.num_rows,
            bytes_total=sum(table["bytes_total"].to_pylist()),
            bytes_background=sum(table["bytes_background"].to_pylist()),
            bytes_objects=sum(table["bytes_objects"].to_pylist()),
            bytes_overhead=sum(table["bytes_overhead"].to_pylist()),
            background_db=mean_db(table["background_db"].to_pylist()),
            object_db=mean_db(table["object_db"].to_pylist()),
            families=tuple(sorted(set(table["family"].to_pylist()))),
        )

    def table_url(self, name: str) -> str:
        """The URL under which a table can be opened by any reader of Delta Lake: ``<store>/<name>``."""
        return f"{self.url}/{name}"

    def _append(self, layout: Layout, rows: list[dict[str, Any]]) -> int:
        """Append the rows whose key is not present; the only way anything is written.

        The snapshot that the keys are compared with is the one that is committed on, and every commit
        carries the next number of one transaction for the whole table: of two writers that looked at the
        same snapshot, one is refused, looks again and drops what the other wrote. (One transaction per
        batch would let two batches that overlap both through.)
        """
        if not rows:
            return 0
        transaction = f"rinr-{layout.name}"
        with self._errors("written"):
            for attempt in range(_ATTEMPTS):
                table = self._made(layout)
                lacking = _without(rows, _present(layout, table, rows), layout.key)
                if not lacking:
                    return 0
                number = (table.transaction_version(transaction) or 0) + 1
                try:
                    write_deltalake(
                        table,
                        # Only a table of one chunk keeps the order of its rows.
                        pa.Table.from_pylist(lacking, schema=layout.schema).combine_chunks(),
                        mode="append",
                        # Stores of earlier versions lack columns that were added since.
                        schema_mode="merge" if _lacking(layout.schema.names, table) else None,
                        writer_properties=_writer_properties(layout),
                        commit_properties=CommitProperties(app_transactions=[Transaction(transaction, number)]),
                    )
                except CommitFailedError:
                    time.sleep(random.uniform(0, min(_LONGEST_PAUSE, 0.01 * 2**attempt)))
                    continue
                return len(lacking)
        raise StoreError(
            f"the table {self.table_url(layout.name)} was written by others at each of {_ATTEMPTS} attempts; "
            "try again with fewer writers"
        )

    def _read(self, layout: Layout, columns: Sequence[str] | None, where: pc.Expression | None) -> pa.Table:
        wanted = list(columns) if columns is not None else layout.schema.names
        schema = pa.schema([layout.schema.field(name) for name in wanted])
        with self._errors("read"):
            table = self._opened(layout)
            if table is None:
                return schema.empty_table()
            lacking = _lacking(wanted, table)
            found = _scanned(table, [name for name in wanted if name not in lacking], where)
            for name in lacking:  # written before the column was: nothing is known
                found = found.append_column(name, pa.nulls(len(found), schema.field(name).type))
            return found.select(wanted).cast(schema)

    def _opened(self, layout: Layout) -> DeltaTable | None:
        try:
            return DeltaTable(self.table_url(layout.name))
        except TableNotFoundError:
            return None

    def _made(self, layout: Layout) -> DeltaTable:
        table = self._opened(layout)
        if table is not None:
            return table
        try:
            return DeltaTable.create(self.table_url(layout.name), layout.schema, mode="ignore")
        except DeltaError:
            # Another first writer may have come before; if none did, the store cannot be written.
            table = self._opened(layout)
            if table is None:
                raise
            return table

    def _newest_labels(self, table: pa.Table) -> pa.Array:
        """Which rows to take, one per image and encoding: with its sources' labels of now, else the last."""
        keys = list(zip(*(table[name].to_pylist() for name in IMAGES.key), strict=True))
        places: dict[tuple[str, str], list[int]] = {}
        for place, (image, _, encoding) in enumerate(keys):
            places.setdefault((image, encoding), []).append(place)
        several = {image for (image, _), found in places.items() if len(found) > 1}
        if not several:
            return pa.array([True] * len(keys), pa.bool_())
        columns = [*SOURCES.key, "labels", SOURCES.order]
        # With all that stood under their paths: a file that is another picture by now says nothing of this one.
        paths = set(self._read(SOURCES, ["path"], _among("image_id", several))["path"].to_pylist())
        current = _current_sources(self._read(SOURCES, columns, _among("path", paths)).to_pylist())
        written = table[IMAGES.order].to_pylist()

        def newness(place: int) -> tuple[bool, Any, int]:
            image, labels, _ = keys[place]
            return image in current and current[image]["labels_id"] == labels, written[place], place

        taken = {max(found, key=newness) for found in places.values()}
        return pa.array([place in taken for place in range(len(keys))], pa.bool_())

    @contextmanager
    def _errors(self, done: str) -> Iterator[None]:
        try:
            yield
        except (DeltaError, OSError, pa.ArrowException) as error:
            reason = str(error).strip().split("\n")[0]
            advice = "check that the place exists or can be made, and that you may write there"
            if done == "read":
                advice = "check its URL and that you may read there"
            raise StoreError(f"the store {self.url} cannot be {done}: {reason}; {advice}") from error


def _scanned(table: DeltaTable, columns: Sequence[str], where: pc.Expression | None) -> pa.Table:
    """Rows of a snapshot.

    By default deltalake reads through a file system written in Python. Arrow's threads may still hold on to one when
    the interpreter ends, and then abort the process ("terminate called without an active exception") after its
    work was done: so Arrow's own file system is taken where it surely finds the same files, and no threads elsewhere.
    """
    if table.table_uri.startswith("file://"):
        file_system, folder = pa_fs.FileSystem.from_uri(table.table_uri)
        dataset = table.to_pyarrow_dataset(filesystem=pa_fs.SubTreeFileSystem(folder, file_system))
        return dataset.to_table(columns=list(columns), filter=where)
    return table.to_pyarrow_dataset().to_table(columns=list(columns), filter=where, use_threads=False)


def _lacking(columns: Sequence[str], table: DeltaTable) -> list[str]:
    """Columns that a table does not have."""
    there = {field.name for field in table.schema().fields}
    return [name for name in columns if name not in there]


def _present(layout: Layout, table: DeltaTable, rows: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    columns = list(dict.fromkeys([*layout.key, layout.order]))
    where = _among(layout.probe, {row[layout.probe] for row in rows})
    present = _scanned(table, columns, where).to_pylist()
    if layout.subject:
        present = list(_newest(present, layout.subject, lambda row: row[layout.order]).values())
    return {tuple(row[name] for name in layout.key) for row in present}


def _without(rows: list[dict[str, Any]], present: set[tuple[Any, ...]], key: Sequence[str]) -> list[dict[str, Any]]:
    """Rows whose key is neither present nor that of a row before them."""
    lacking: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        lacking.setdefault(tuple(row[name] for name in key), row)
    return [row for values, row in lacking.items() if values not in present]


def _current_sources(rows: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """For each image the source whose labels count.

    Only what a file says now counts, not what it said before. Of several files of one image a labelled one
    goes before one without boxes, so that an unlabelled copy does not hide the labels; then the newest.
    """
    states = _newest(rows, SOURCES.subject, lambda row: row["ingested_at"])
    return _newest(
        states.values(),
        ("image_id",),
        lambda row: (row["labels"] != "[]", row["ingested_at"], row["device"], row["path"]),
    )


def _newest(
    rows: Iterable[dict[str, Any]], subject: Sequence[str], newness: Callable[[dict[str, Any]], Any]
) -> dict[Any, dict[str, Any]]:
    """For each subject (a single column's value, or a tuple) the row of greatest newness."""
    newest: dict[Any, dict[str, Any]] = {}
    for row in rows:
        of = row[subject[0]] if len(subject) == 1 else tuple(row[name] for name in subject)
        if of not in newest or newness(row) > newness(newest[of]):
            newest[of] = row
    return newest


def _among(column: str, values: Collection[str]) -> pc.Expression:
    return pc.field(column).isin(pa.array(sorted(values), pa.string()))


def _writer_properties(layout: Layout) -> WriterProperties:
    # Properties of nested columns are ignored, so statistics and dictionaries are off by default, where
    # they would only cost bytes beside compressed weights, and on for the columns that queries filter by.
    return WriterProperties(
        max_row_group_size=ROW_GROUP,
        compression="ZSTD",
        compression_level=1,
        default_column_properties=ColumnProperties(dictionary_enabled=False, statistics_enabled="NONE"),
        column_properties={
            name: ColumnProperties(dictionary_enabled=True, statistics_enabled="CHUNK") for name in layout.filters
        },
    )
