"""The quarantine: what was not taken, each with its reason, and what was decided of it since.

Rows of the table are only ever appended. Rows that are equal in device, path, size, time and reason are one *case*, and
the newest says its status. A case is *open* while its status is ``refused`` and nothing has come after it: neither a
source of the same file nor, where the picture could not be read for encoding, its encoding. One that was to be read
again is likewise *taken* after that.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from storage.devices import DeviceFile
from storage.places.device_paths import MAX_SPELLING, safe_spelling
from storage.tables import QUARANTINE, SOURCES, Pending, Refusal, among, now

if TYPE_CHECKING:  # a device reads its labels with what is here, and has no store
    from storage.store import Store

REFUSED, RETRY, DROPPED = "refused", "retry", "dropped"
KILLED = (
    "each process that fitted it was killed, for want of memory or by a fault in a library: look at the workers' logs, "
    "then say `rinr quarantine retry` or `drop`"
)
"""Reason of a picture that is not fitted again until somebody says so."""

ID_DIGITS = 12
MAX_REASON = 1_000

_ID = re.compile(r"[0-9a-f]{4,64}")
_SLICE = 4_096
_SPELLED = 280


class QuarantineError(ValueError):
    """An id that names no case, or several; the message says what to do."""


@dataclass(frozen=True)
class Case:
    """One thing that was not taken.

    Attributes:
        refusal: the case's newest row.
        first: when it was refused first.
        taken: whether its file was taken, or its picture encoded, since.
    """

    refusal: Refusal
    first: datetime
    taken: bool = False

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that are the same for ever: of the hash of what the case's rows share."""
        return case_id(self.refusal)

    @property
    def standing(self) -> str:
        """``open``, ``taken``, ``retry`` (read again by the next ingestion that finds the file) or ``dropped``."""
        if self.taken:
            return "taken"
        return "open" if self.refusal.status == REFUSED else self.refusal.status

    @property
    def killed(self) -> bool:
        """Whether it is a picture that killed whatever fitted it."""
        return self.refusal.image_id is not None and self.refusal.reason.endswith(KILLED)


def cases(store: "Store", device: str | None = None) -> list[Case]:
    """All cases, the newest first.

    Args:
        store: the store.
        device: only this device's.

    Raises:
        StoreError: the store cannot be read.
    """
    rows = _refusals(store, device)
    newest = _newest_of_each_case(rows)
    first: dict[tuple[Any, ...], datetime] = {}
    for refusal in rows:
        key = _case_key(refusal)
        first[key] = min(first.get(key, refusal.quarantined_at), refusal.quarantined_at)
    taken = _overtaken(store, [case for case in newest.values() if case.status != DROPPED], device)
    found = [Case(refusal, first[key], key in taken) for key, refusal in newest.items()]
    return sorted(found, key=lambda case: (case.refusal.quarantined_at, case.id), reverse=True)


def find_case(found: Sequence[Case], given: str) -> Case:
    """The case of an id, or of the first digits of one.

    Raises:
        QuarantineError: it is no id, or names no case or several.
    """
    shown = safe_spelling(given[:80])
    if not _ID.fullmatch(given):
        raise QuarantineError(
            f"`{shown}` is no id: expected {ID_DIGITS} hexadecimal digits (4 of them at least) as "
            "`rinr quarantine list` shows them"
        )
    matching = [case for case in found if case.id.startswith(given)]
    if not matching:
        raise QuarantineError(f"no case has the id {shown}; `rinr quarantine list --all` shows those there are")
    if len(matching) > 1:
        some = ", ".join(case.id for case in matching[:5])
        raise QuarantineError(f"{len(matching)} cases have ids that start with {shown}: {some}; give more digits")
    return matching[0]


def retry(store: "Store", chosen: Iterable[Case]) -> int:
    """Have the next ingestion read these cases' files again; returns how many that changes.

    Raises:
        StoreError: the store cannot be written.
    """
    return _decide(store, chosen, RETRY)


def drop(store: "Store", chosen: Iterable[Case]) -> int:
    """Give these cases up: their files stay out, as long as they do not change, and are no longer listed.

    Raises:
        StoreError: the store cannot be written.
    """
    return _decide(store, chosen, DROPPED)


def without_dropped(store: "Store", pending: Sequence[Pending]) -> list[Pending]:
    """Of images that wait to be encoded those that nobody gave up: a picture that is nowhere any more stays missing.

    Raises:
        StoreError: the store cannot be read.
    """
    return _without(store, pending, lambda case: case.standing == DROPPED)


def worth_fitting(store: "Store", pending: Sequence[Pending]) -> list[Pending]:
    """Of images that wait to be encoded those that nobody gave up, and that did not kill the process that fitted them.

    Raises:
        StoreError: the store cannot be read.
    """
    return _without(store, pending, lambda case: case.standing == DROPPED or (case.standing == "open" and case.killed))


def unfitted(pending: Pending, reason: str) -> Refusal:
    """A row that refuses an image that was taken and cannot be encoded."""
    return Refusal(
        device=pending.device,
        path=quarantine_path(pending.path),
        size=None,
        modified=None,
        reason=f"{safe_spelling(pending.path)}: {reason}"[:MAX_REASON],
        image_id=pending.image_id,
    )


def refusal_of(device: str, file: DeviceFile, reason: str, image_id: str | None = None) -> Refusal:
    """A row that refuses a file of a device in the state that it has."""
    return Refusal(
        device,
        quarantine_path(file.path),
        file.size,
        file.modified,
        f"{safe_spelling(file.path)}: {reason}"[:MAX_REASON],
        image_id,
        file.etag,
    )


def refuse(store: "Store", refusals: Sequence[Refusal]) -> int:
    """Append refusals, less those of cases that were given up; returns the rows added.

    Raises:
        StoreError: the store cannot be written.
    """
    if not refusals:
        return 0
    dropped = _dropped(store, refusals)
    return store.append([refusal for refusal in refusals if _case_key(refusal) not in dropped])


def case_id(refusal: Refusal) -> str:
    """See :attr:`Case.id`."""
    modified = refusal.modified.astimezone(UTC).isoformat() if refusal.modified else ""
    parts = (refusal.device, refusal.path, str(refusal.size), modified, refusal.reason)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:ID_DIGITS]


def quarantine_path(path: str) -> str:
    """How a device's path stands in the quarantine: fit to be printed, and no two paths alike.

    Where a path cannot be spelled as it is, the start of its hash follows its spelling: otherwise a file could be held
    for another one that was refused.
    """
    if len(path) <= MAX_SPELLING and path.isprintable():
        return path
    spelled = safe_spelling(path)
    digest = hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()[:ID_DIGITS]
    return f"{spelled[:_SPELLED]}~{digest}"


class Refused:
    """What the quarantine says of one device's files, for ingestion to pass them over.

    Raises:
        StoreError: the store cannot be read.
    """

    def __init__(self, store: "Store", device: str) -> None:
        self._newest = _newest_of_each_case(_refusals(store, device))
        self._states: dict[tuple[str, int | None, datetime | None, str | None], Refusal] = {}
        for refusal in sorted(self._newest.values(), key=lambda row: row.quarantined_at):
            self._states[refusal.path, refusal.size, refusal.modified, refusal.etag] = refusal

    def holds(self, file: DeviceFile) -> Refusal | None:
        """The refusal of a file in this very state, unless it is to be read again."""
        if not self._states:
            return None
        state = (quarantine_path(file.path), file.size, file.modified)
        # Rows of before etags were written down have none.
        refusal = self._states.get((*state, file.etag)) or self._states.get((*state, None))
        return refusal if refusal and refusal.status != RETRY else None

    def of_no_file(self) -> list[Refusal]:
        """The newest rows of cases that no file belongs to: of labels that speak of none."""
        return [row for row in self._newest.values() if row.size is None and row.image_id is None]

    def outdated(self, files: Iterable[DeviceFile]) -> list[Refusal]:
        """Rows that take cases off the list whose files are gone or have changed.

        They ask for a retry: should the file come back as it was, it is judged again.

        Args:
            files: all that are there now.
        """
        refused = {state: row for state, row in self._states.items() if row.size is not None and row.status == REFUSED}
        if not refused:
            return []
        paths = {row.path for row in refused.values()}
        there = set()
        for file in files:
            spelled = quarantine_path(file.path)
            if spelled in paths:
                there |= {(spelled, file.size, file.modified, etag) for etag in (file.etag, None)}
        return [_decided(row, RETRY) for state, row in refused.items() if state not in there]


def closed(refusals: Iterable[Refusal], still: Iterable[Refusal]) -> list[Refusal]:
    """Rows that take cases off the list which no longer hold.

    Args:
        refusals: the newest rows of the cases.
        still: what is refused now.
    """
    holding = {_case_key(refusal) for refusal in still}
    return [_decided(row, RETRY) for row in refusals if row.status == REFUSED and _case_key(row) not in holding]


def _without(store: "Store", pending: Sequence[Pending], left_out: Callable[[Case], bool]) -> list[Pending]:
    """Pending images less those with a case of some kind."""
    if not pending:
        return []
    images = {case.refusal.image_id for case in cases(store) if left_out(case)}
    return [item for item in pending if item.image_id not in images]


def _decide(store: "Store", chosen: Iterable[Case], status: str) -> int:
    return store.append([_decided(case.refusal, status) for case in chosen if case.refusal.status != status])


def _decided(refusal: Refusal, status: str) -> Refusal:
    return replace(refusal, status=status, quarantined_at=now())


def _refusals(store: "Store", device: str | None, where: pc.Expression | None = None) -> list[Refusal]:
    if device is not None:
        of_device = pc.field("device") == device
        where = of_device if where is None else where & of_device
    return [Refusal(**row) for row in store.scan(QUARANTINE, where=where).to_pylist()]


def _newest_of_each_case(rows: Iterable[Refusal]) -> dict[tuple[Any, ...], Refusal]:
    newest: dict[tuple[Any, ...], Refusal] = {}
    for row in rows:
        key = _case_key(row)
        if key not in newest or row.quarantined_at >= newest[key].quarantined_at:
            newest[key] = row
    return newest


def _case_key(refusal: Refusal) -> tuple[Any, ...]:
    return tuple(getattr(refusal, name) for name in QUARANTINE.subject)


def _dropped(store: "Store", refusals: Sequence[Refusal]) -> set[tuple[Any, ...]]:
    found: list[Refusal] = []
    paths = sorted({refusal.path for refusal in refusals})
    for start in range(0, len(paths), _SLICE):
        found += _refusals(store, None, among("path", paths[start : start + _SLICE]))
    return {key for key, row in _newest_of_each_case(found).items() if row.status == DROPPED}


def _overtaken(store: "Store", refused: Sequence[Refusal], device: str | None) -> set[tuple[Any, ...]]:
    """Keys of the cases whose file was taken, or picture encoded, later."""
    overtaken: set[tuple[Any, ...]] = set()
    newest = _newest_sources(store, {(row.device, row.path) for row in refused}, device)
    unread = [row for row in refused if row.size is None and row.image_id is not None]
    encoded = _encoded(store, sorted({row.image_id for row in unread if row.image_id}))
    for row in refused:
        taken = newest.get((row.device, row.path))
        made = encoded.get(row.image_id) if row.size is None and row.image_id else None
        if any(time is not None and time > row.quarantined_at for time in (taken, made)):
            overtaken.add(_case_key(row))
    return overtaken


def _newest_sources(
    store: "Store", wanted: set[tuple[str, str]], device: str | None
) -> dict[tuple[str, str], datetime]:
    """When the newest source of each of these devices and paths (as the quarantine spells them) was taken."""
    paths = sorted({path for _, path in wanted})
    columns = ["device", "path", "ingested_at"]
    tables = []
    if any("~" in path for path in paths):  # some may be spelled otherwise in `sources`
        tables.append(store.scan(SOURCES, columns, None if device is None else pc.field("device") == device))
    else:
        for start in range(0, len(paths), _SLICE):
            tables.append(store.scan(SOURCES, columns, among("path", paths[start : start + _SLICE])))
    newest: dict[tuple[str, str], datetime] = {}
    for table in tables:
        rows = zip(*(table[name].to_pylist() for name in columns), strict=True)
        for of, path, ingested_at in rows:
            key = (of, quarantine_path(path))
            if key in wanted:
                newest[key] = max(newest.get(key, ingested_at), ingested_at)
    return newest


def _encoded(store: "Store", image_ids: Sequence[str]) -> dict[str, datetime]:
    encoded: dict[str, datetime] = {}
    table = store.lookup(image_ids, ["image_id", "created_at"])
    for identity, created in zip(table["image_id"].to_pylist(), table["created_at"].to_pylist(), strict=True):
        encoded[identity] = max(encoded.get(identity, created), created)
    return encoded
