"""Ingestion: a device's new JPEGs are read, checked, named by their hash and landed; the broken are refused.

What was seen before stands in the store alone: the newest row of ``sources`` of each path, and the quarantine.
Whatever happens to one file, the rest goes on. A file lands before its row of ``sources`` is written, so that a kill at
any point loses nothing and the next run does what is left.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import TypeVar

import numpy as np
import pyarrow as pa

from rinr.frames import MAX_JPEG_BYTES, Frame, ImageError, IncompleteJpeg, JpegFacts, fit_annotations, working_frame
from rinr.labels import ImageLabels, boxes_from_canonical, canonical_labels, image_id, labels_id
from storage.credentials import Secrets, environment
from storage.device_labels import (
    CocoLabels,
    LabelFileError,
    PictureLabels,
    UnreadableError,
    UnsettledError,
    labels_of,
    read_listed,
)
from storage.devices import DeviceError, DeviceFile, DeviceStorage, Listing, path_fault, safe_spelling
from storage.fleet import Device
from storage.known_files import NONE, Flags, Rows, load_known
from storage.landing import Landing
from storage.originals import original_places, retire
from storage.quarantine import MAX_REASON, RETRY, Refused, closed, quarantine_path, refuse
from storage.store import Store, StoreError
from storage.tables import Pending, Refusal, Source, now
from storage.validation import PoisonError, Validator

CHUNK = 256
"""Files that are landed before their rows are committed together."""

MAX_NOTES = 300
"""Notes of one report; of more only the number is said."""

_READS = 8  # files that are read at once: on a network most of the time is waiting
_AHEAD = 64  # files that are begun before the first of them is asked for: work goes on while rows are committed
_BYTES_AHEAD = 192 * 1024 * 1024  # of files that are being read and checked
_LEAST_SETTLE = 2.0  # seconds: the times of some storages are no finer
_MAX_SIDE = 1_000_000  # pixels; an annotated size beyond says nothing
_GIVE_UP_FILES, _GIVE_UP_SECONDS = 8, 60.0  # of nothing but failures: the device is gone

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class IngestReport:
    """What one run of ingestion did.

    Attributes:
        device: its name.
        found: JPEGs listed in its storage.
        new: rows of ``sources`` written: new files, and known files whose labels changed.
        known: files of which an earlier run took or refused what they hold now.
        refused: rows of ``quarantine`` written.
        notes: what was done to boxes and what was left for the next run, each with the file's name; at most
            ``MAX_NOTES`` and the number of the others.
        waiting: files whose labels are broken.
        left: files that are being written or could not be read.
        backlog: files that were not looked at for the limit of the run.
        retired: originals that were moved or deleted on the device.
    """

    device: str
    found: int
    new: int
    known: int
    refused: int
    notes: tuple[str, ...]
    waiting: int = 0
    left: int = 0
    backlog: int = 0
    retired: int = 0


def ingest(
    device: Device,
    store: Store,
    *,
    secrets: Secrets = environment,
    limit: int | None = None,
    validator: Validator | None = None,
) -> IngestReport:
    """Take what is new in a device's storage into the store, the oldest first.

    A file that was taken or refused before, and has the same size, time and etag, is not read again; where only its
    labels changed, a new source is written of the known image. Labels that no longer speak of a file change nothing.
    While a file that speaks of all pictures is broken it lies in the quarantine and the device's images wait: encoded
    without their labels they would be wrong. A picture whose own label file is broken waits alone.

    Args:
        device: where to look.
        store: where to write.
        secrets: gives the secrets that the device's options refer to.
        limit: new files to take or refuse at most in this run, instead of the device's own limit.
        validator: checks the files; without it worker processes are started for this run.

    Raises:
        DeviceError: the device's storage does not exist, cannot be listed, or fails for file after file.
        StoreError: the store cannot be written.
    """
    storage = DeviceStorage(device, secrets)
    listing = storage.list()
    store.create()
    with ExitStack() as stack:
        run = _Run(storage, store, listing, device.limit if limit is None else limit, stack, validator)
        run.go()
    return run.report()


def read_frame(
    pending: Pending, store_url: str, devices: Mapping[str, Device], secrets: Secrets = environment
) -> Frame:
    """The working frame of an image that waits to be encoded.

    Its bytes come from the landing place, or where they are not there (any more) from the device that has
    the file.

    Args:
        pending: from :meth:`storage.store.Store.missing`.
        store_url: of the store with the landing place.
        devices: by name.
        secrets: gives the secrets that their options refer to.

    Raises:
        DeviceError: neither place has these bytes; the message says what to do.
        rinr.frames.ImageError: they are not a picture, which ingestion would have refused.
    """
    jpeg = Landing(store_url).get(pending.image_id)
    if jpeg is None:
        jpeg = _read_again(pending, devices, secrets)
    labels = ImageLabels(pending.path, pending.annotated_size, None, boxes_from_canonical(pending.labels))
    return working_frame(jpeg, labels)


def _read_again(pending: Pending, devices: Mapping[str, Device], secrets: Secrets) -> bytes:
    name = f"{safe_spelling(pending.path)} of device {pending.device}"
    if pending.device not in devices:
        raise DeviceError(f"{name} has not landed, and the fleet has no such device; add it to the fleet file")
    storage = DeviceStorage(devices[pending.device], secrets)
    failure: DeviceError | None = None
    for place in original_places(pending.path, pending.image_id):
        if path_fault(place):
            continue
        try:
            jpeg = storage.read(place)
        except DeviceError as error:
            if place == pending.path:
                failure = error
            continue
        if image_id(jpeg) == pending.image_id:
            return jpeg
    if failure:
        raise failure
    raise DeviceError(f"{name} has not landed, and the device's file has other content now; ingest it anew")


@dataclass(frozen=True)
class _Outcome:
    """What became of one file.

    Attributes:
        row: to be committed.
        waits: its labels are broken.
        left: for the next run.
        unreadable: its storage did not give it.
    """

    row: Source | Refusal | None = None
    notes: tuple[str, ...] = ()
    waits: bool = False
    left: bool = False
    unreadable: bool = False


@dataclass
class _Notes:
    """The first notes, and the number of the others."""

    kept: list[str] = field(default_factory=list)
    others: int = 0

    def add(self, notes: Iterable[str]) -> None:
        for note in notes:
            if len(self.kept) < MAX_NOTES:
                self.kept.append(note)
            else:
                self.others += 1

    def all(self) -> tuple[str, ...]:
        return (*self.kept, f"and {self.others:,} more notes like these") if self.others else tuple(self.kept)


class _Run:
    """One run over one device."""

    def __init__(
        self,
        storage: DeviceStorage,
        store: Store,
        listing: Listing,
        limit: int | None,
        stack: ExitStack,
        validator: Validator | None,
    ) -> None:
        self._storage, self._store, self._listing, self._limit = storage, store, listing, limit
        self._device = storage.device.name
        self._stack, self._validator = stack, validator
        self._landing = Landing(store.url)
        self._labels = labels_of(storage, listing)
        self._refused = Refused(store, self._device)
        self._known = load_known(store, self._device)
        self._rewritten: list[int] = []  # known rows that this run has written anew with other labels
        self._room = _Room(_BYTES_AHEAD)
        self._notes = _Notes()
        self._new = self._passed = self._refusals = self._waiting = self._left = self._backlog = self._retired = 0

    def go(self) -> None:
        files = self._listing.jpegs
        rows = self._known.rows_of([file.path for file in files])
        same = self._known.unchanged(files, rows)
        self._store.append(self._refused.outdated(_states(self._listing)))
        fresh: list[DeviceFile] = []
        for place in np.flatnonzero(~same).tolist():
            if self._refused and self._is_refused(files[place]):
                self._passed += 1
            else:
                fresh.append(files[place])
        pending = self._relabel(fresh, self._rows_as_taken(rows, same))
        self._passed += int((same & ~np.isin(rows, self._rewritten)).sum())
        if pending is None:
            self._waiting += len(fresh)
            return
        self._retire(rows, same, pending)
        self._take_all(fresh)

    def report(self) -> IngestReport:
        return IngestReport(
            device=self._device,
            found=len(self._listing.jpegs),
            new=self._new,
            known=self._passed,
            refused=self._refusals,
            notes=self._notes.all(),
            waiting=self._waiting,
            left=self._left,
            backlog=self._backlog,
            retired=self._retired,
        )

    def _is_refused(self, file: DeviceFile) -> bool:
        return self._refused.holds(file.path, file.size, file.modified, file.etag) is not None

    def _rows_as_taken(self, rows: Rows, same: Flags) -> Rows:
        """Known rows whose file is as it was taken, or is gone; a file that has changed is looked at anew."""
        there = np.ones(len(self._known), dtype=bool)
        there[rows[~same & (rows != NONE)]] = False
        return np.flatnonzero(there)

    def _relabel(self, fresh: Sequence[DeviceFile], rows: Rows) -> Rows | None:
        """Write new sources of known images whose labels changed.

        Returns:
            Rows whose labels have changed or may have; ``None`` where all pictures have to wait.
        """
        if isinstance(self._labels, CocoLabels):
            return self._relabel_by_one_file(self._labels, fresh, rows)
        return self._relabel_by_own_files(self._labels, fresh, rows)

    def _relabel_by_one_file(self, labels: CocoLabels, fresh: Sequence[DeviceFile], rows: Rows) -> Rows | None:
        strays = self._refused.of_no_file()
        if labels.state is None:
            self._store.append(closed(strays, ()))
            return np.arange(0)
        # All that is known is compared, and what changed is committed in one piece, before anything new is taken. So
        # one row that was read from this state of the file proves that all older rows have been compared with
        # it, and after a kill no table of its own has to say how far the last run came.
        stale = self._known.labels_to_compare(labels.state)
        compared = np.intersect1d(stale, rows)
        if not (fresh or len(compared) or self._asks_again(strays)):
            return compared
        refusals = self._prepared(labels, self._known.paths.to_pylist())
        if refusals is None:
            return None
        self._refusals += refuse(self._store, refusals)
        self._store.append(closed(strays, refusals))
        changed = [row for row in compared.tolist() if self._labels_changed(labels, row)]
        written = changed
        if len(stale) < len(self._known):
            written = compared.tolist()  # of a run that raced with another one: these say so themselves
        elif not changed:
            written = compared[-1:].tolist()  # one row says it for all
        sources = self._known.sources(self._store, np.asarray(written, dtype=np.int64))
        outcomes = [self._relabelled(source, labels.read(source.path, None)) for source in sources]
        added = self._store.append([outcome.row for outcome in outcomes if isinstance(outcome.row, Source)])
        self._new += min(added, len(changed))
        self._rewritten += changed
        for source, outcome in zip(sources, outcomes, strict=True):
            if isinstance(outcome.row, Source) and outcome.row.labels_id != source.labels_id:
                self._notes.add(outcome.notes)
        return np.asarray(changed, dtype=np.int64)

    def _asks_again(self, strays: Sequence[Refusal]) -> bool:
        """Whether somebody asked for another look at labels that speak of no picture."""
        asked = [row.quarantined_at for row in strays if row.status == RETRY]
        taken = self._known.last
        return bool(asked) and (taken is None or max(asked) > taken)

    def _labels_changed(self, labels: CocoLabels, row: int) -> bool:
        entry = labels.read(self._known.path(row), None)
        return entry is not None and labels_id(entry.boxes) != self._known.table["labels_id"][row].as_py()

    def _relabel_by_own_files(self, labels: PictureLabels, fresh: Sequence[DeviceFile], rows: Rows) -> Rows | None:
        paths = self._known.paths.take(pa.array(rows)).to_pylist()
        differing = rows[self._known.labels_differ(rows, [labels.state_of(path) for path in paths])]
        waiting = []
        for row in differing.tolist():
            file = labels.file_of(self._known.path(row))
            if file and not self._is_refused(file):
                waiting.append(row)
        if not (fresh or waiting):
            return differing
        refusals = self._prepared(labels, paths)
        if refusals is None:
            return None
        self._store.append(closed(self._refused.of_no_file(), refusals))

        def label_again(source: Source) -> tuple[Source, _Outcome]:
            return source, self._label_again(labels, source)

        row_of = {self._known.path(row): row for row in waiting}
        outcomes: list[_Outcome] = []
        with closing(self._in_threads(self._sources_of(waiting), label_again, self._limit)) as done:
            for source, outcome in done:
                # These pictures are known and stay so, whatever is the matter with their labels.
                outcomes.append(replace(outcome, waits=False, left=False))
                if isinstance(outcome.row, Source):
                    self._rewritten.append(row_of[source.path])
                if len(outcomes) == CHUNK:
                    self._commit(outcomes)
                    outcomes = []
        self._commit(outcomes)
        return differing

    def _sources_of(self, rows: Sequence[int]) -> Iterator[Source]:
        for start in range(0, len(rows), CHUNK):
            yield from self._known.sources(self._store, np.asarray(rows[start : start + CHUNK], dtype=np.int64))

    def _label_again(self, labels: PictureLabels, source: Source) -> _Outcome:
        path = source.path
        spelled = safe_spelling(path)
        if labels.needs_size and source.annotated_size is None:
            # Taken when the device's labels were none, or in another format: the picture has to say its size.
            if path in self._listed:
                return self._take(self._listed[path])
            return _Outcome(notes=(f"{spelled}: its labels say nothing without the picture's size in pixels",))
        try:
            return self._relabelled(source, labels.read(path, source.annotated_size))
        except UnsettledError as error:
            return _Outcome(notes=(f"{spelled}: its labels are left for the next run: {error}",), left=True)
        except LabelFileError as error:
            return self._broken_labels(error, "the picture keeps the labels it has until then")

    @cached_property
    def _listed(self) -> dict[str, DeviceFile]:
        return {file.path: file for file in self._listing.jpegs}

    def _prepared(self, labels: CocoLabels | PictureLabels, known: Sequence[str]) -> list[Refusal] | None:
        """Read what speaks of all pictures; ``None``, with a note, where they have to wait for it."""
        file = labels.file if isinstance(labels, CocoLabels) else labels.classes_file
        held = "no image of the device is taken until it is repaired"
        if file and (refusal := self._refused.holds(file.path, file.size, file.modified, file.etag)):
            self._notes.add([f"{refusal.reason[:MAX_REASON]}; {held}"])
            return None
        try:
            return labels.prepare([file.path for file in self._listing.jpegs], known)
        except UnsettledError as error:
            name = safe_spelling(file.path if file else "")
            self._notes.add([f"{name}: left for the next run: {error}; no image of the device is taken before"])
        except LabelFileError as error:
            spelled = safe_spelling(error.path)
            if error.file and self._may_be_written(error.file):
                self._notes.add([f"{spelled}: left for the next run: {error}, but it may still be written; {held}"])
                return None
            reason = f"{error}; repair it: no image of the device is taken before"
            if error.file:
                refusal = self._refusal(error.file, reason)
            else:
                refusal = Refusal(self._device, quarantine_path(error.path), None, None, f"{spelled}: {reason}")
                self._store.append(closed(self._refused.of_no_file(), [refusal]))
            self._refusals += refuse(self._store, [refusal])
            self._notes.add([f"{spelled}: {error}; {held}"])
        return None

    def _retire(self, rows: Rows, same: Flags, pending: Rows) -> None:
        if self._storage.device.after == "keep":
            return
        places = np.flatnonzero(same)
        places = places[~np.isin(rows[places], pending)]
        files = [self._listing.jpegs[place] for place in places.tolist()]
        try:
            retired = retire(self._storage, self._store, files, self._known, rows[places], self._limit)
        except StoreError as error:  # what cannot be read proves nothing; new files are taken all the same
            self._notes.add([f"originals stay where they are: {error}"])
            return
        self._retired = retired.files
        self._notes.add(retired.notes)

    def _take_all(self, fresh: Sequence[DeviceFile]) -> None:
        """Read, check and land files, and commit their rows."""
        ready = []
        for file in fresh:
            if self._waits_for_labels(file):
                self._waiting += 1
            else:
                ready.append(file)
        outcomes: list[_Outcome] = []
        begun = failures = 0
        failing_since = 0.0
        with closing(self._in_threads(ready, lambda file: (file, self._take(file)), self._limit)) as done:
            for _, outcome in done:
                begun += 1
                outcomes.append(outcome)
                if len(outcomes) == CHUNK:
                    self._commit(outcomes)
                    outcomes = []
                if not outcome.unreadable:
                    failures = 0
                    continue
                failures += 1
                failing_since = time.monotonic() if failures == 1 else failing_since
                if failures >= _GIVE_UP_FILES and time.monotonic() - failing_since > _GIVE_UP_SECONDS:
                    self._commit(outcomes)
                    raise DeviceError(
                        f"device {self._device} has given none of the last {failures} files: {outcome.notes[0]}; "
                        f"{self._new} new files are taken, the others wait for the next run"
                    )
        self._commit(outcomes)
        self._backlog = len(ready) - begun

    def _waits_for_labels(self, file: DeviceFile) -> bool:
        if isinstance(self._labels, CocoLabels):
            return False
        labels = self._labels.file_of(file.path)
        return labels is not None and bool(self._refused) and self._is_refused(labels)

    def _commit(self, outcomes: Sequence[_Outcome]) -> None:
        sources = [outcome.row for outcome in outcomes if isinstance(outcome.row, Source)]
        added = self._store.append(sources)
        self._new += added
        self._passed += len(sources) - added
        self._refusals += refuse(self._store, [o.row for o in outcomes if isinstance(o.row, Refusal)])
        self._waiting += sum(outcome.waits for outcome in outcomes)
        self._left += sum(outcome.left for outcome in outcomes)
        for outcome in outcomes:
            self._notes.add(outcome.notes)

    def _in_threads(
        self, items: Iterable[_Item], work: Callable[[_Item], tuple[_Item, _Outcome]], limit: int | None
    ) -> Generator[tuple[_Item, _Outcome], None, None]:
        """Items with their outcomes, in order; of them so many are begun that at most ``limit`` are not left."""
        coming = iter(items)
        under_way: deque[Future[tuple[_Item, _Outcome]]] = deque()
        settled = 0
        pool = ThreadPoolExecutor(_READS, thread_name_prefix="ingest")
        try:
            while True:
                while len(under_way) < _AHEAD and (limit is None or settled + len(under_way) < limit):
                    item = next(coming, None)
                    if item is None:
                        break
                    under_way.append(pool.submit(work, item))
                if not under_way:
                    return
                item, outcome = under_way.popleft().result()
                settled += not outcome.left
                yield item, outcome
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _take(self, file: DeviceFile) -> _Outcome:
        """Read, check and land one file."""
        fault = path_fault(file.path)
        if fault:
            return _Outcome(self._refusal(file, f"{fault}; rename it"))
        if not file.regular:
            return _Outcome(self._refusal(file, "it is a link or no regular file; put the file itself there"))
        if file.size > MAX_JPEG_BYTES:
            sizes = f"the file has {file.size:,} bytes; at most {MAX_JPEG_BYTES:,} are taken"
            return _Outcome(self._refusal(file, f"{sizes}; replace the file on the device or remove it"))
        with self._room.of(file.size):
            return self._take_bytes(file)

    def _take_bytes(self, file: DeviceFile) -> _Outcome:
        spelled = safe_spelling(file.path)
        identity: str | None = None
        try:
            jpeg = read_listed(self._storage, file)
            identity = image_id(jpeg)
            facts = self._checked(jpeg)
            labels = self._labels.read(file.path, facts.size)
        except UnsettledError as error:
            unreadable = isinstance(error, UnreadableError)
            return _Outcome(None, (f"{spelled}: left for the next run: {error}",), left=True, unreadable=unreadable)
        except LabelFileError as error:
            return self._broken_labels(error, "the picture waits for it")
        except IncompleteJpeg as error:
            if self._may_be_written(file):
                note = f"{spelled}: left for the next run: {error}; it may still be written"
                return _Outcome(None, (note,), left=True)
            reason = f"incomplete: {error}; it is read again once it changes"
            return _Outcome(self._refusal(file, reason, identity))
        except PoisonError as error:
            return _Outcome(self._refusal(file, str(error), identity))
        except ImageError as error:
            reason = f"{error}; replace the file on the device or remove it"
            return _Outcome(self._refusal(file, reason, identity))
        self._landing.put(identity, jpeg)
        _, notes = fit_annotations(labels, facts)
        captured_at, captured_from = _captured(facts.captured_at, labels, file)
        boxes = labels.boxes if labels else ()
        source = Source(
            image_id=identity,
            labels_id=labels_id(boxes),
            device=self._device,
            path=file.path,
            size=file.size,
            modified=file.modified,
            etag=file.etag,
            captured_at=captured_at,
            captured_from=captured_from,
            labels=canonical_labels(boxes).decode(),
            labels_state=self._labels.state_of(file.path),
            annotated_size=facts.size if self._labels.needs_size else _annotated_size(labels),
            notes=notes,
        )
        return _Outcome(source, tuple(f"{spelled}: {note}" for note in notes))

    def _checked(self, jpeg: bytes) -> JpegFacts:
        return self._checker().submit(jpeg).result()

    def _checker(self) -> Validator:
        with self._room.lock:
            if self._validator is None:  # workers take a moment to start: none are where there is nothing to check
                self._validator = self._stack.enter_context(Validator())
            return self._validator

    def _relabelled(self, source: Source, labels: ImageLabels | None) -> _Outcome:
        """The source with its labels of now, or with those it has where nothing speaks of it any more."""
        state = self._labels.state_of(source.path)
        if labels is None:
            return _Outcome(replace(source, labels_state=state, ingested_at=now()))
        size = source.annotated_size if self._labels.needs_size else _annotated_size(labels)
        # The picture is not read again for its size: without an annotated one nothing is noted, and boxes are
        # still clipped when it is encoded.
        notes = fit_annotations(labels, JpegFacts(size, 1, None))[1] if size else ()
        captured = (source.captured_at, source.captured_from)
        if source.captured_from != "exif" and labels.captured_at:
            captured = (labels.captured_at, "coco")
        changed = replace(
            source,
            labels_id=labels_id(labels.boxes),
            labels=canonical_labels(labels.boxes).decode(),
            labels_state=state,
            annotated_size=size,
            captured_at=captured[0],
            captured_from=captured[1],
            notes=notes,
            ingested_at=now(),
        )
        return _Outcome(changed, tuple(f"{safe_spelling(source.path)}: {note}" for note in notes))

    def _broken_labels(self, error: LabelFileError, meanwhile: str) -> _Outcome:
        assert error.file is not None
        spelled = safe_spelling(error.path)
        if self._may_be_written(error.file):
            note = f"{spelled}: left for the next run: {error}, but it may still be written"
            return _Outcome(None, (note,), left=True)
        return _Outcome(self._refusal(error.file, f"{error}; repair it: {meanwhile}"), waits=True)

    def _may_be_written(self, file: DeviceFile) -> bool:
        """Whether a file changed so short a time ago that it may not be whole yet.

        A time in the future, of a clock that is wrong, says nothing. With a ``settle`` of zero nobody is waited for.
        """
        settle = self._storage.device.settle
        settle = max(settle, _LEAST_SETTLE) if settle else 0.0
        return abs((now() - file.modified).total_seconds()) < settle

    def _refusal(self, file: DeviceFile, reason: str, identity: str | None = None) -> Refusal:
        return Refusal(
            self._device,
            quarantine_path(file.path),
            file.size,
            file.modified,
            f"{safe_spelling(file.path)}: {reason}"[:MAX_REASON],
            identity,
            file.etag,
        )


class _Room:
    """Memory for files under way: who needs more than is left waits, unless nobody else is there."""

    def __init__(self, total: int) -> None:
        self.lock = threading.RLock()
        self._free = threading.Condition()
        self._total, self._held = total, 0

    @contextmanager
    def of(self, size: int) -> Iterator[None]:
        with self._free:
            self._free.wait_for(lambda: self._held == 0 or self._held + size <= self._total)
            self._held += size
        try:
            yield
        finally:
            with self._free:
                self._held -= size
                self._free.notify_all()


def _states(listing: Listing) -> Iterator[tuple[str, int, datetime, str | None]]:
    for files in (listing.jpegs, listing.others.values()):
        for file in files:
            yield file.path, file.size, file.modified, file.etag


def _captured(exif: datetime | None, labels: ImageLabels | None, file: DeviceFile) -> tuple[datetime, str]:
    if exif:
        return exif, "exif"
    if labels and labels.captured_at:
        return labels.captured_at, "coco"
    return file.modified, "file"


def _annotated_size(labels: ImageLabels | None) -> tuple[int, int] | None:
    size = labels.size if labels else None
    return size if size and all(0 < side <= _MAX_SIDE for side in size) else None
