"""The weight store: Delta tables of encoded images, what frames of clips share, sources, refusals and deliveries.

Every table is written by one private verb that appends rows exactly once by their key, whoever else writes
at the same time; every table is read through its snapshot, because the folder also holds files that a
compaction replaced or that a refused commit left behind.
"""

import random
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from deltalake.exceptions import DeltaError
from fsspec.implementations.local import LocalFileSystem

from rinr.codec.encoded import EncodedClip, EncodedImage
from storage.folder import Folder
from storage.places.device_paths import safe_spelling
from storage.tables import (
    DELIVERIES,
    IMAGES,
    LAYOUTS,
    PARTS,
    QUARANTINE,
    SOURCES,
    Delivery,
    Layout,
    Pending,
    Refusal,
    Source,
    Summary,
    among,
    delivery_row,
    image_row,
    now,
    part_row,
    pending_from_row,
    refusal_row,
    source_row,
)
from storage.weights import compaction
from storage.weights.delta import Table
from storage.weights.key_index import KeyIndex, fingerprints, held
from storage.weights.versions import VERSION, StoreVersionError, check_version, write_version

if TYPE_CHECKING:
    from storage.upkeep.verification import Damage

LOOSE_FILES = 16
"""Files that lie small or unsorted before a table is rewritten: a rewrite costs the whole table."""

KEEP = timedelta(days=7)
"""How long what was replaced is kept: for readers that are at it, and to read the store as it was."""

LEAST_KEPT = timedelta(hours=1)
"""Below it, a vacuum could take a file that a writer is about to commit."""

_ATTEMPTS = 60
_LONGEST_PAUSE = 0.5  # seconds
_LABELLED = ("image_id", "labels_id")
_FEW_ROWS = 4_096  # of a file that is not looked up by its row groups' statistics

_ARROW = re.compile("\x1b\\[[0-9]*m|\u21b3")  # how deltalake shows which error came of which
_MESSAGE = re.compile("<Message>([^<]{1,300})</Message>")

Row = EncodedImage | EncodedClip | Source | Refusal | Delivery
"""What can be appended."""

_KINDS: dict[type, tuple[Layout, Callable[[Any, datetime], dict[str, Any]]]] = {
    EncodedImage: (IMAGES, image_row),
    Source: (SOURCES, lambda source, _: source_row(source)),
    Refusal: (QUARANTINE, lambda refusal, _: refusal_row(refusal)),
    Delivery: (DELIVERIES, lambda delivery, _: delivery_row(delivery)),
}


class StoreError(RuntimeError):
    """A store that cannot be read or written; the message names its URL and says what to do."""


@dataclass(frozen=True)
class Rewrite:
    """What a compaction did to one table.

    Attributes:
        table: its name.
        files_before: Parquet files of its snapshot.
        files_after: likewise.
    """

    table: str
    files_before: int
    files_after: int


@dataclass(eq=False)
class _Waiting:
    """Rows that wait to be appended, and once they were how many of them were new."""

    rows: list[dict[str, Any]]
    added: int | None = None


class Store:
    """The weight store at an fsspec URL or a plain folder.

    A handle is kept as long as one likes, the longer the better: what it learnt of the tables makes the next look-up
    and append cheap, and every read and write sees what others have committed. It may be used by several threads.

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
        self._tables = {layout.name: Table(self.table_url(layout.name), layout) for layout in LAYOUTS}
        self._present = {layout.name: KeyIndex(layout.index) for layout in LAYOUTS}
        self._images = KeyIndex(["image_id"])
        self._lock = threading.RLock()
        self._waiting: deque[_Waiting] = deque()
        self._known_version: int | None = None

    def create(self) -> None:
        """Make the tables that are missing: a store that cannot be written is so known before any work.

        Raises:
            StoreError: it cannot be written.
        """
        with self._errors("written"), self._lock:
            self._check_version(writing=True)
            for table in self._tables.values():
                table.make()

    def append(self, rows: Sequence[Row]) -> int:
        """Append rows of one kind to their table in one commit, each exactly once whoever else writes.

        An image counts as present by its (image, labels, encoding); a source or a refusal where it is what the
        newest row of its file says; a delivery by its device and shard. Of clips what their frames share is committed
        before the frames are: a kill between leaves a part that nothing needs, until the clip is appended again.

        Args:
            rows: encoded images, clips, sources, refusals or deliveries, not mixed.

        Returns:
            The rows really added; of clips, the images.

        Raises:
            StoreError: the store cannot be written.
            TypeError: rows of several kinds.
        """
        if not rows:
            return 0
        if any(type(row) is not type(rows[0]) for row in rows):
            raise TypeError(f"rows of several kinds: {', '.join(sorted({type(row).__name__ for row in rows}))}")
        appended_at = now()
        clips = [row for row in rows if isinstance(row, EncodedClip)]
        if clips:
            if parts := [part_row(clip, appended_at) for clip in clips if clip.part is not None]:
                self._append(PARTS, parts)
            return self.append([image for clip in clips for image in clip.images])
        layout, as_row = _KINDS[type(rows[0])]
        written = [as_row(row, appended_at) for row in rows]
        # Deliveries to many devices at once would each be a commit of a row or two.
        return self._append_together(layout, written) if layout is DELIVERIES else sum(self._append(layout, written))

    def scan(
        self,
        layout: Layout,
        columns: Sequence[str] | None = None,
        where: pc.Expression | None = None,
        *,
        superseded: bool = False,
    ) -> pa.Table:
        """Rows of a table; of each image and encoding only the row with its newest labels.

        Args:
            layout: one of :data:`storage.tables.LAYOUTS`.
            columns: all without it.
            where: picks rows first; the newest is then taken among those.
            superseded: also the rows of images with labels that were corrected since.

        Returns:
            A table with the layout's schema or the columns asked for; empty where there is no store yet.

        Raises:
            StoreError: the store cannot be read.
        """
        if layout is not IMAGES or superseded:
            return self._read(layout, columns, where)
        return self._newest_labels(lambda needed: self._read(IMAGES, needed, where), columns)

    def lookup(
        self,
        image_ids: Collection[str],
        columns: Sequence[str] | None = None,
        *,
        encoding_id: str | None = None,
        superseded: bool = False,
    ) -> pa.Table:
        """The rows of some images, of each encoding that with the newest labels: milliseconds for one of a million.

        Args:
            image_ids: any number; those that have no row are passed over.
            columns: all without it.
            encoding_id: only rows of this encoding.
            superseded: also the rows with labels that were corrected since.

        Raises:
            StoreError: the store cannot be read.
        """
        if not image_ids:
            return IMAGES.schema.empty_table().select(columns or IMAGES.schema.names)
        where = among("image_id", image_ids)
        if encoding_id is not None:
            where &= pc.field("encoding_id") == encoding_id

        def read(needed: Sequence[str] | None) -> pa.Table:
            return self._read(IMAGES, needed, where, lambda table: self._holding(table, image_ids))

        return read(columns) if superseded else self._newest_labels(read, columns)

    def parts(self, part_ids: Iterable[str | None]) -> dict[str, bytes]:
        """Payloads of shared parts by their ids, as far as the store has them.

        Args:
            part_ids: as they stand in the column ``part_id`` of images, nulls among them.

        Raises:
            StoreError: the store cannot be read.
        """
        wanted = {part_id for part_id in part_ids if part_id is not None}
        if not wanted:
            return {}

        def holding(table: Table) -> Collection[str]:
            index = self._present[PARTS.name]
            index.refresh(table)
            return index.files_of(pa.table({"part_id": pa.array(wanted, pa.string())}))[0]

        found = self._read(PARTS, ["part_id", "payload"], among("part_id", wanted), holding)
        return dict(zip(found["part_id"].to_pylist(), found["payload"].to_pylist(), strict=True))

    def missing(
        self,
        encoding_id: str,
        image_ids: Collection[str] | None = None,
        *,
        limit: int | None = None,
        after: str = "",
    ) -> list[Pending]:
        """Images whose newest labels have no row of this encoding, in the order of device and path.

        Args:
            encoding_id: of the encoding.
            image_ids: only among these; among all without it.
            limit: so many at most, those whose ids come first: a store may lack more than fits in memory.
            after: only images whose id comes after this one. The greatest id of one answer gives the next one.

        Raises:
            StoreError: the store cannot be read.
        """
        sources, encoded = self._lacking(encoding_id, image_ids)
        identities = pc.unique(sources["image_id"]).sort()
        identities = identities.filter(pc.greater(identities, after))
        slice_rows = limit or len(identities) or 1
        found: list[Pending] = []
        # Of a picture with several labels or files some may lack what does not count: then a slice gives fewer.
        for start in range(0, len(identities), slice_rows):
            part = self._current_sources(identities.slice(start, slice_rows).to_pylist())
            rows = sorted(part.values(), key=lambda row: row["image_id"])
            schema = pa.schema([SOURCES.schema.field(name) for name in _LABELLED])
            done = held(fingerprints(pa.Table.from_pylist(rows, schema=schema)), encoded)
            found += [pending_from_row(row) for row, is_done in zip(rows, done, strict=True) if not is_done]
            if limit and len(found) >= limit:
                break
        return sorted(found[:limit], key=lambda pending: (pending.device, pending.path, pending.image_id))

    def missing_in_order(self, encoding_id: str) -> list[str]:
        """Ids of the images that :meth:`missing` may give, each device's in the order of capture.

        An image with several labels may be among them that lacks none; one that several devices have comes with the
        first of them.

        Raises:
            StoreError: the store cannot be read.
        """
        lacking, _ = self._lacking(encoding_id, None)
        columns = ["image_id", "device", "captured_at", "path"]
        sources = self._read(SOURCES, columns, None)
        sources = sources.filter(pc.is_in(sources["image_id"], pc.unique(lacking["image_id"])))
        order = [("device", "ascending"), ("captured_at", "ascending"), ("path", "ascending")]
        ids: list[str] = pc.unique(sources.sort_by(order)["image_id"]).to_pylist()
        return ids

    def count_missing(self, encoding_id: str) -> int:
        """How many images :meth:`missing` may give, without looking at each: an image with several labels may count
        that lacks none.

        Raises:
            StoreError: the store cannot be read.
        """
        sources, _ = self._lacking(encoding_id, None)
        return len(pc.unique(sources["image_id"]))

    def summary(self, encoding_id: str | None = None) -> Summary:
        """Sums and means over all images, or those of one encoding.

        Raises:
            StoreError: the store cannot be read.
        """
        where = None if encoding_id is None else pc.field("encoding_id") == encoding_id
        numbers = [field.name for field in fields(Summary) if field.name in IMAGES.schema.names]
        table = self.scan(IMAGES, [*numbers, "family"], where)
        sums = {name: round(pc.sum(table[name]).as_py() or 0) for name in numbers if name.startswith("bytes_")}
        means = {name: pc.mean(table[name]).as_py() for name in numbers if name.endswith("_db")}
        families = tuple(sorted(table["family"].unique().to_pylist()))
        return Summary(images=table.num_rows, families=families, **sums, **means)

    def compact(self, *, loose: int = LOOSE_FILES) -> list[Rewrite]:
        """Rewrite the tables in which many files lie small or unsorted, and sum up their logs.

        Rows are sorted by image (or path, or shard) into files of disjoint ranges; none is lost, added or changed.
        Others may read and write meanwhile.

        Args:
            loose: a table with fewer such files is left as it is.

        Returns:
            What was rewritten.

        Raises:
            StoreError: the store cannot be read or written.
        """
        rewrites = []
        with self._errors("written"):
            self._check_version()
            for layout in LAYOUTS:
                table = Table(self.table_url(layout.name), layout)  # of its own: appends through this handle go on
                if not table.refresh() or compaction.loose(table.files) < max(loose, 1):
                    continue
                before = len(table.files)
                if compaction.compact(table):
                    table.checkpoint()
                    table.refresh()
                    rewrites.append(Rewrite(layout.name, before, len(table.files)))
        return rewrites

    def vacuum(self, keep: timedelta = KEEP, *, exclusive: bool = False) -> int:
        """Remove files that no table names any more, and what killed writers left behind.

        Args:
            keep: what was replaced less than this ago stays: for readers that opened the store before, and to read it
                as it was.
            exclusive: nobody else reads or writes the store meanwhile: ``keep`` may then be anything.

        Returns:
            How many files were removed.

        Raises:
            StoreError: the store cannot be read or written.
            ValueError: ``keep`` is shorter than ``LEAST_KEPT``, and not ``exclusive``.
        """
        if keep < LEAST_KEPT and not exclusive:
            raise ValueError(
                f"keep is {keep}, at least {LEAST_KEPT} is needed: a vacuum could take a file that a writer is about "
                "to commit; say `exclusive` where nobody else reads or writes"
            )
        with self._errors("written"):
            self._check_version()
            tables = [Table(self.table_url(layout.name), layout) for layout in LAYOUTS]
            removed = sum(table.vacuum(keep) for table in tables if table.refresh())
            # Beside the tables: store.json and landed JPEGs that a killed writer had not yet given their names.
            places = (self.url, f"{self.url}/landing")
            return removed + sum(Folder(place).clean(keep.total_seconds()) for place in places)

    def verify(self, progress: Callable[[int, int], None] | None = None) -> "Damage":
        """Read everything and check it: see :func:`storage.upkeep.verification.verify`."""
        from storage.upkeep.verification import verify  # which is built on this module

        return verify(self.url, progress)

    def table_url(self, name: str) -> str:
        """The URL under which a table can be opened by any reader of Delta Lake: ``<store>/<name>``."""
        return f"{self.url}/{name}"

    def _append_together(self, layout: Layout, rows: list[dict[str, Any]]) -> int:
        """Append rows in one commit with those of other threads that wait meanwhile; how many of one's own were new."""
        own = _Waiting(rows)
        self._waiting.append(own)
        with self._lock:
            if own.added is None:
                batch = [own]
                with suppress(IndexError):
                    while True:
                        batch.append(self._waiting.popleft())
                batch = list(dict.fromkeys(batch))
                added = iter(self._append(layout, [row for one in batch for row in one.rows]))
                for one in batch:
                    one.added = sum(islice(added, len(one.rows)))
        return own.added or 0

    def _append(self, layout: Layout, rows: list[dict[str, Any]]) -> list[bool]:
        """Append the rows whose key is not present; the only way anything is written.

        The snapshot that the keys are compared with is the one that is committed on, and every commit
        carries the next number of one transaction for the whole table: of two writers that looked at the
        same snapshot, one is refused, looks again and drops what the other wrote. (One transaction per
        batch would let two batches that overlap both through.)

        Times are never before those that stand there: where a clock went back, what is newer is still what came later.

        Returns:
            For each row whether it was added.
        """
        table, index = self._tables[layout.name], self._present[layout.name]
        asked = rows
        rows = list({tuple(row[name] for name in layout.key): row for row in reversed(rows)}.values())[::-1]
        keys = pa.Table.from_pylist(rows, schema=pa.schema([layout.schema.field(name) for name in layout.index]))
        with self._errors("written"), self._lock:
            self._check_version(writing=True)
            for attempt in range(_ATTEMPTS):
                table.make()
                index.refresh(table)
                paths, maybe = index.files_of(keys)
                present = _present(table, [row for row, hit in zip(rows, maybe, strict=True) if hit], paths)
                lacking = [row for row in rows if tuple(row[name] for name in layout.key) not in present]
                if not lacking:
                    return [False] * len(asked)
                stamped = _not_before(table.newest, lacking, layout.order)
                if table.append(pa.Table.from_pylist(stamped, schema=layout.schema), f"rinr-{layout.name}"):
                    added = {id(row) for row in lacking}
                    return [id(row) in added for row in asked]
                time.sleep(random.uniform(0, min(_LONGEST_PAUSE, 0.01 * 2**attempt)))
        raise StoreError(
            f"the table {self.table_url(layout.name)} was written by others at each of {_ATTEMPTS} attempts; "
            "try again with fewer writers"
        )

    def _read(
        self,
        layout: Layout,
        columns: Sequence[str] | None,
        where: pc.Expression | None,
        files: Callable[[Table], Collection[str]] | None = None,
    ) -> pa.Table:
        wanted = list(columns) if columns is not None else layout.schema.names
        table = self._tables[layout.name]
        with self._errors("read"), self._lock:
            self._check_version()
            for anew in (False, True):
                if not table.refresh(anew=anew):
                    break
                try:
                    found = table.scan(wanted, where, files(table) if files else None)
                except FileNotFoundError:  # replaced, and vacuumed, since this handle looked
                    if anew:
                        raise
                    continue
                return _filled(found, layout)
        return pa.schema([layout.schema.field(name) for name in wanted]).empty_table()

    def _lacking(self, encoding_id: str, image_ids: Collection[str] | None) -> tuple[pa.Table, npt.NDArray[np.int64]]:
        """Rows of ``sources`` (image and labels) that have no row of an encoding, and the sorted prints of those."""
        asked = pc.scalar(True) if image_ids is None else among("image_id", image_ids)
        rows = self._read(IMAGES, _LABELLED, asked & (pc.field("encoding_id") == encoding_id))
        encoded = np.sort(fingerprints(rows))
        sources = self._read(SOURCES, _LABELLED, asked)
        return sources.filter(pa.array(~held(fingerprints(sources), encoded))), encoded

    def _holding(self, table: Table, image_ids: Collection[str]) -> set[str]:
        """Files that may hold rows of some images: by their ranges, and where these overlap by what stands in them."""
        low, high = min(image_ids), max(image_ids)
        ranged = [file for file in table.files if file.may_hold(low, high)]
        few = [file.path for file in ranged if file.rows <= _FEW_ROWS]
        self._images.refresh(table, few)
        holding, _ = self._images.files_of(pa.table({"image_id": pa.array(image_ids, pa.string())}))
        return holding | {file.path for file in ranged if file.rows > _FEW_ROWS}

    def _newest_labels(self, read: Callable[[list[str]], pa.Table], columns: Sequence[str] | None) -> pa.Table:
        """Of what is read, one row an image and encoding: with its sources' labels of now, else the last written."""
        wanted = list(columns) if columns is not None else IMAGES.schema.names
        table = read(list(dict.fromkeys([*wanted, *IMAGES.key, IMAGES.order])))
        several = _repeated(fingerprints(table.select(["image_id", "encoding_id"])))
        if not several.any():
            return table.select(wanted)
        places = np.flatnonzero(several)
        rows = table.select([*IMAGES.key, IMAGES.order]).take(places).to_pylist()
        current = self._current_sources({row["image_id"] for row in rows})

        def newness(numbered: tuple[int, dict[str, Any]]) -> tuple[bool, datetime, int]:
            place, row = numbered
            source = current.get(row["image_id"])
            return source is not None and source["labels_id"] == row["labels_id"], row[IMAGES.order], place

        newest: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {}
        for numbered in zip(places.tolist(), rows, strict=True):
            of = (numbered[1]["image_id"], numbered[1]["encoding_id"])
            newest[of] = max(newest.get(of, numbered), numbered, key=newness)
        taken = ~several
        taken[[place for place, _ in newest.values()]] = True
        return table.select(wanted).filter(pa.array(taken))

    def _current_sources(self, image_ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """For each of some images the source whose labels count.

        Of several, one whose file still is this image goes before one whose file is another by now (which is still a
        picture that was taken); then a labelled one before one without boxes, so that an unlabelled copy does not
        hide the labels; then the newest.
        """
        if not image_ids:
            return {}
        state = [*SOURCES.subject, SOURCES.order]
        columns = ["image_id", "labels_id", *state, "captured_at", "labels", "annotated_width", "annotated_height"]
        rows = self._read(SOURCES, columns, among("image_id", image_ids)).to_pylist()
        of_paths = self._read(SOURCES, state, among("path", {row["path"] for row in rows})).to_pylist()
        now_there = _newest(of_paths, SOURCES.subject, lambda row: row[SOURCES.order])
        said_last = _newest(rows, (*SOURCES.subject, "image_id"), lambda row: row[SOURCES.order])
        return _newest(
            said_last.values(),
            ("image_id",),
            lambda row: (
                now_there[row["device"], row["path"]][SOURCES.order] == row[SOURCES.order],
                row["labels"] != "[]",
                row["ingested_at"],
                row["device"],
                row["path"],
            ),
        )

    def _check_version(self, *, writing: bool = False) -> None:
        """Once a handle: refuse a store of a newer version; before the first write, say of which version it is."""
        if self._known_version is None or (writing and self._known_version < VERSION):
            self._known_version = write_version(self.url) if writing else check_version(self.url)

    @contextmanager
    def _errors(self, done: str) -> Iterator[None]:
        try:
            yield
        except StoreVersionError as error:
            raise StoreError(str(error)) from None
        except (DeltaError, OSError, pa.ArrowException) as error:
            reason = _told(error)
            advice = (
                "check that the place exists or can be made, and that you may write there; "
                "`rinr store verify` names what is damaged"
            )
            if done == "read":
                advice = "check its URL and that you may read there; `rinr store verify` names what is damaged"
            raise StoreError(f"the store {self.url} cannot be {done}: {reason}; {advice}") from error


def _told(error: Exception) -> str:
    """An error's first line; where that says no more than where, also the last one, which says what is the matter."""
    lines = [_ARROW.sub("", line).strip() for line in str(error).strip().split("\n")]
    deepest = _MESSAGE.search(lines[-1])
    last = deepest[1] if deepest else lines[-1]
    return safe_spelling(f"{lines[0]}: {last}" if last and lines[0].endswith(" error") else lines[0])


def _present(table: Table, rows: list[dict[str, Any]], paths: Collection[str]) -> set[tuple[Any, ...]]:
    """The keys of those rows that the snapshot has; of layouts with a subject, only as the newest of theirs."""
    layout = table.layout
    if not rows:
        return set()
    columns = list(dict.fromkeys([*layout.key, layout.order]))
    where = among(layout.probe, {row[layout.probe] for row in rows})
    present = _filled(table.scan(columns, where, paths), layout).to_pylist()
    if layout.subject:
        present = list(_newest(present, layout.subject, lambda row: row[layout.order]).values())
    return {tuple(row[name] for name in layout.key) for row in present}


def _filled(found: pa.Table, layout: Layout) -> pa.Table:
    """What older versions did not write, as they meant it."""
    for name, value in layout.fill:
        if name in found.column_names:
            found = found.set_column(found.column_names.index(name), name, pc.fill_null(found[name], value))
    return found


def _not_before(newest: datetime | None, rows: list[dict[str, Any]], order: str) -> list[dict[str, Any]]:
    """Rows whose times are after all that stand there, in their order among themselves."""
    if newest is None or all(row[order] > newest for row in rows):
        return rows
    # The log rounds times to milliseconds.
    return [
        row | {order: max(row[order], newest + timedelta(milliseconds=1, microseconds=number))}
        for number, row in enumerate(rows)
    ]


def _repeated(prints: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which fingerprints stand there more than once, ``[rows]``."""
    order = np.argsort(prints, kind="stable")
    equal = prints[order][1:] == prints[order][:-1]
    repeated = np.zeros(len(prints), bool)
    repeated[order[1:][equal]] = True
    repeated[order[:-1][equal]] = True
    return repeated


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
