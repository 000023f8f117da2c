"""The log of deliveries, device by device: what was sent, what of it is acknowledged, and what an acknowledgement adds.

Nothing here sends anything: a log is read, and a device's message is judged against it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from storage.fleet import Device, Fleet
from storage.shards.acknowledgement import Acknowledgement, RefusedShard
from storage.shards.faults import Fault
from storage.shards.manifest import shard_name, shard_place
from storage.store import Store
from storage.tables import DELIVERIES, Delivery, delivery_row, now

MAX_WAITING = 4
"""Shards of a device that it does not have at most: for one that is away, all else waits for fewer, larger ones."""

HEARD_EVERY = timedelta(hours=1)
"""How often an acknowledgement that says nothing new is written down: a device that lives need not fill the log."""

_SHOWN = 5  # shards in one note
_IDS = ("image_ids", "labels_ids", "part_ids", "encoding_ids")
_COLUMNS = [name for name in DELIVERIES.schema.names if name not in (*_IDS, "shard")]


@dataclass
class Shard:
    """How far one shard is.

    Attributes:
        sequence: within its generation.
        bytes: of its two files, as planned or as last sent.
        images: in it.
        planned_at: the time that its manifest carries.
        sent_at: when it was first put into the inbox; ``None`` before.
        acknowledged_at: when the device was last known to have it; ``None`` before.
        acknowledged: number of the acknowledgement that said so; 0 before.
        asked: numbers for which it has to be sent again, with why.
        resent: those of them for which it was.
        refused: the newest reason for which the device refused it; ``None`` once it was taken.
    """

    sequence: int
    encoding_id: str
    bytes: int
    payload_bytes: int
    images: int
    sha256: str
    planned_at: datetime
    sent_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged: int = 0
    asked: dict[int, str] = field(default_factory=dict)
    resent: set[int] = field(default_factory=set)
    refused: str | None = None

    @property
    def taken(self) -> bool:
        """Whether the device has it: it said so, and has not asked for it since."""
        return self.acknowledged_at is not None and self.acknowledged > max(self.asked, default=0)

    @property
    def waits(self) -> bool:
        """Whether it was sent, and the device does not have it."""
        return self.sent_at is not None and not self.taken

    @property
    def owed(self) -> list[int]:
        """Numbers for which it has yet to be sent again."""
        return [number for number in self.asked if number not in self.resent] if self.waits else []


@dataclass
class DeviceLog:
    """How far the delivery to one device is.

    Attributes:
        device: its name.
        generation: the present one.
        shards: of this generation, by sequence.
        taken: the highest sequence that the device ever acknowledged.
        number: of the newest acknowledgement of this generation that was written down; 0 without one.
        heard_at: when that was.
        sent_bytes: of all files ever put into its inbox, in all generations.
    """

    device: str
    generation: int = 1
    shards: dict[int, Shard] = field(default_factory=dict)
    taken: int = 0
    number: int = 0
    heard_at: datetime | None = None
    sent_bytes: int = 0

    @property
    def planned(self) -> int:
        """The highest sequence that is anybody's plan; 0 without one."""
        return max(self.shards, default=0)

    @property
    def sent(self) -> int:
        """The highest sequence that was put into the inbox; 0 without one."""
        return max((shard.sequence for shard in self.shards.values() if shard.sent_at), default=0)

    @property
    def unacknowledged(self) -> list[Shard]:
        """Planned shards that the device does not have, sent or not."""
        return [shard for _, shard in sorted(self.shards.items()) if not shard.taken]

    def add(self, events: Sequence[Delivery]) -> None:
        """Enter events that were written down since the log was read, of this generation and of shards that it has."""
        self.sent_bytes += sum(event.bytes for event in events if event.status in ("sent", "resent"))
        for event in events:
            _enter(self, delivery_row(event))

    def name(self, sequence: int) -> str:
        """A shard's name in this generation."""
        return shard_name(self.generation, sequence)

    def event(self, sequence: int, status: Any, **values: Any) -> Delivery:
        """Something that happened to a shard of this generation."""
        return Delivery(self.device, self.generation, sequence, status, **values)


@dataclass(frozen=True)
class News:
    """What an acknowledgement adds to a log.

    Attributes:
        events: to be written down.
        refused: shards that it refuses, as far as that is new.
        notes: what is wrong with it, or worth knowing, in sentences.
        believed: whether it is no replay, and possible after what was sent.
    """

    events: tuple[Delivery, ...] = ()
    refused: tuple[RefusedShard, ...] = ()
    notes: tuple[str, ...] = ()
    believed: bool = False


@dataclass(frozen=True)
class Standing:
    """How a device stands with its deliveries, in its present generation.

    Attributes:
        sequence: of the last shard that was sent; 0 without one.
        shards_planned: of which no file may be in the inbox yet.
        shards_sent: put into the inbox, acknowledged or not.
        shards_acknowledged: the device has verified and stored them.
        images_sent: in the shards sent.
        images_acknowledged: in the shards acknowledged.
        bytes_sent: files and manifests, with all that was sent again; in all generations.
        bytes_waiting: of the shards that wait for an acknowledgement.
        waiting_since: when the first of them was sent; ``None`` where none waits.
        last_heard: when the newest acknowledgement was written down; ``None`` without one.
        wanted: names of shards that have to be sent again.
        refused: shard and reason of those that wait and that the device refused.
        resent: how often shards were sent again.
        silent: something waits, and nothing was heard since, for longer than the fleet file allows.
    """

    device: str
    generation: int
    sequence: int
    shards_planned: int
    shards_sent: int
    shards_acknowledged: int
    images_sent: int
    images_acknowledged: int
    bytes_sent: int
    bytes_waiting: int
    waiting_since: datetime | None
    last_heard: datetime | None
    wanted: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]
    resent: int
    silent: bool

    @property
    def shards_waiting(self) -> int:
        """Shards sent and not acknowledged."""
        return self.shards_sent - self.shards_acknowledged

    @property
    def images_waiting(self) -> int:
        """Images in them."""
        return self.images_sent - self.images_acknowledged


def read_log(store: Store, device: str) -> DeviceLog:
    """The log of one device, without the lists of images.

    Raises:
        StoreError: the store cannot be read.
    """
    rows = store.scan(DELIVERIES, _COLUMNS, (pc.field("device") == device) & (pc.field("generation") >= 1))
    return log_of(device, rows.to_pylist())


def read_logs(store: Store) -> dict[str, DeviceLog]:
    """The logs of all devices that have any, in one scan.

    Raises:
        StoreError: the store cannot be read.
    """
    by_device: dict[str, list[dict[str, Any]]] = {}
    for row in store.scan(DELIVERIES, _COLUMNS, pc.field("generation") >= 1).to_pylist():
        by_device.setdefault(row["device"], []).append(row)
    return {device: log_of(device, rows) for device, rows in by_device.items()}


def log_of(device: str, rows: Sequence[dict[str, Any]]) -> DeviceLog:
    """The log that rows of ``deliveries`` make: those of one device."""
    log = DeviceLog(device, generation=max((row["generation"] for row in rows), default=1))
    log.sent_bytes = sum(row["bytes"] for row in rows if row["status"] in ("sent", "resent"))
    present = [row for row in rows if row["generation"] == log.generation]
    for row in sorted(present, key=lambda row: (row["status"] != "planned", row["delivered_at"])):
        _enter(log, row)
    return log


def delivered_keys(store: Store, log: DeviceLog, encoding_id: str) -> tuple[pa.Array, pa.Array]:
    """Image ids and labels ids of all that is planned or sent in a log's generation, in one encoding.

    Raises:
        StoreError: the store cannot be read.
    """
    lists = _lists(store, log, pc.field("encoding_id") == encoding_id, ["image_ids", "labels_ids"])
    images, labels = (pc.list_flatten(lists[name]).combine_chunks() for name in ("image_ids", "labels_ids"))
    return images, labels


def shard_lists(store: Store, log: DeviceLog, sequence: int) -> tuple[list[tuple[str, str]], tuple[str, ...]]:
    """``(image_id, labels_id)`` of a shard's images, and the ids of the shared parts that it carries, in their order.

    Raises:
        StoreError: the store cannot be read.
    """
    rows = _lists(store, log, pc.field("sequence") == sequence, ["image_ids", "labels_ids", "part_ids"]).to_pylist()
    if not rows:
        return [], ()
    (row,) = rows
    return list(zip(row["image_ids"], row["labels_ids"], strict=True)), tuple(row["part_ids"] or ())


def carried_parts(store: Store, log: DeviceLog, before: int | None = None) -> set[str]:
    """Ids of the shared parts that a log's generation carries, in whatever encoding: no shard carries them again.

    Args:
        store: where the log stands.
        log: of a device.
        before: only shards of a lower sequence.

    Raises:
        StoreError: the store cannot be read.
    """
    earlier = pc.scalar(True) if before is None else pc.field("sequence") < before
    return set(pc.list_flatten(_lists(store, log, earlier, ["part_ids"])["part_ids"]).to_pylist())


def news_of(log: DeviceLog, said: Acknowledgement, at: datetime | None = None) -> News:
    """What a device's acknowledgement adds to its log; what does not fit changes nothing and is noted.

    Args:
        log: of that device.
        said: opened, so that it is known to be the device's.
        at: the present time.
    """
    at = at or now()
    if said.number < log.number:
        return News(
            notes=(f"its acknowledgement {said.number} was replaced by {log.number}: it is an old one, replayed",)
        )
    if said.generation > log.generation:
        return News(
            notes=(
                f"it speaks of generation {said.generation}, and {log.generation} is the newest that was begun; if the "
                "store was brought back from a copy, run `rinr device reset`",
            )
        )
    present = said.generation == log.generation
    taken = said.taken if present else 0
    if taken > log.planned:
        return News(
            notes=(
                f"it says that it took {taken:,} shards, and {log.planned:,} were sent; if the store was brought back "
                "from a copy, run `rinr device reset`",
            )
        )
    if present and taken < log.taken and not said.wanted:
        return News(
            notes=(
                f"it says that it has {taken:,} shards, and acknowledged {log.taken:,} before; if it was wiped, run "
                "`rinr device reset` to have all sent again",
            )
        )
    open_ = {shard.sequence: shard for shard in log.unacknowledged}
    events = [log.event(sequence, "acknowledged", number=said.number) for sequence in open_ if sequence <= taken]
    waiting = {sequence: shard for sequence, shard in open_.items() if sequence > taken}
    refused, strange = _refused(log, said, waiting)
    wanted = said.wanted if present else _wanted_of_refused(refused)
    # What it lost of what it had, as far as there is room for more to wait; and always what it needs first, without
    # which it takes nothing of what waits.
    lost = [sequence for sequence in wanted if sequence in log.shards and log.shards[sequence].taken]
    is_first = bool(lost) and lost[0] < min(waiting, default=lost[0] + 1)
    lost = lost[: max(int(is_first), MAX_WAITING - len(waiting))]
    waiting |= {sequence: log.shards[sequence] for sequence in lost}
    notes = []
    if said.number > log.number:
        notes = [*_noted_strange(log, strange), *_noted_unsent(log, wanted), *_noted_lost(log, lost)]
    known = {sequence: _told(one) for sequence, one in refused.items()}
    news = {sequence: one for sequence, one in refused.items() if waiting[sequence].refused != known[sequence]}
    events += [
        log.event(sequence, "asked", number=said.number, reason=known.get(sequence, "it has not come"))
        for sequence in wanted
        if sequence in waiting and waiting[sequence].sent_at and said.number not in waiting[sequence].asked
    ]
    events += [log.event(sequence, "refused", number=said.number, reason=known[sequence]) for sequence in news]
    is_due = bool(notes) or log.heard_at is None or at - log.heard_at >= HEARD_EVERY
    if not events and said.number > log.number and is_due:
        events = [log.event(0, "heard", number=said.number)]
    told = (*news.values(), *(strange if notes else ()))
    return News(tuple(events), told, tuple(notes), believed=True)


def standing(log: DeviceLog, device: Device | None = None, at: datetime | None = None) -> Standing:
    """How the device of a log stands; it is called silent by what the fleet file says of it."""
    at = at or now()
    shards = list(log.shards.values())
    sent = [shard for shard in shards if shard.sent_at]
    waiting = [shard for shard in shards if shard.waits]
    taken = [shard for shard in shards if shard.taken]
    since = min((shard.sent_at for shard in waiting if shard.sent_at), default=None)
    last = max((time for time in (since, log.heard_at) if time), default=None)
    return Standing(
        device=log.device,
        generation=log.generation,
        sequence=log.sent,
        shards_planned=len(shards),
        shards_sent=len(sent),
        shards_acknowledged=len(taken),
        images_sent=sum(shard.images for shard in sent),
        images_acknowledged=sum(shard.images for shard in taken),
        bytes_sent=log.sent_bytes,
        bytes_waiting=sum(shard.bytes for shard in waiting),
        waiting_since=since,
        last_heard=log.heard_at,
        wanted=tuple(log.name(shard.sequence) for shard in waiting if shard.owed),
        refused=tuple((log.name(shard.sequence), shard.refused) for shard in waiting if shard.refused),
        resent=sum(len(shard.resent) for shard in shards),
        silent=bool(device and since and last and at - last > timedelta(hours=device.silent_after)),
    )


def standings(store: Store, fleet: Fleet, at: datetime | None = None) -> list[Standing]:
    """How all devices of a fleet stand, in the order of its file: one scan.

    Raises:
        StoreError: the store cannot be read.
    """
    logs = read_logs(store)
    return [standing(logs.get(device.name, DeviceLog(device.name)), device, at) for device in fleet.devices]


def _refused(
    log: DeviceLog, said: Acknowledgement, waiting: Mapping[int, Shard]
) -> tuple[dict[int, RefusedShard], list[RefusedShard]]:
    """What is refused of what waits, by sequence; and what else, less what the device has by now."""
    refused, strange = {}, []
    for one in said.refused:
        generation, sequence = shard_place(one.name) or (0, 0)
        if generation == log.generation and sequence in waiting:
            refused[sequence] = one
        elif generation != log.generation or sequence > log.planned:
            strange.append(one)
    return refused, strange


def _wanted_of_refused(refused: Mapping[int, RefusedShard]) -> tuple[int, ...]:
    """What a device wants that has nothing of a generation yet: it speaks of the sequences of an earlier one."""
    unhelpful = (Fault.UNKNOWN_KEY, Fault.OUT_OF_ORDER)
    return tuple(sequence for sequence, one in sorted(refused.items()) if one.fault not in unhelpful)


def _noted_strange(log: DeviceLog, strange: Sequence[RefusedShard]) -> list[str]:
    if not strange:
        return []
    names = ", ".join(f"{one.name} ({one.fault})" for one in strange[:_SHOWN])
    more = f" and {len(strange) - _SHOWN} more" if len(strange) > _SHOWN else ""
    return [f"it refused what is not waiting for it in generation {log.generation}: {names}{more}"]


def _noted_unsent(log: DeviceLog, wanted: Sequence[int]) -> list[str]:
    unsent = [sequence for sequence in wanted if sequence > log.planned]
    return [f"it asks for shard {unsent[0]} again, and {log.planned} is the last that was sent"] if unsent else []


def _noted_lost(log: DeviceLog, lost: Sequence[int]) -> list[str]:
    if not lost:
        return []
    names = ", ".join(log.name(sequence) for sequence in lost)
    return [f"it lost {names}, which it had acknowledged, and gets it again; look at its disk"]


def _told(refused: RefusedShard) -> str:
    return f"{refused.fault}: {refused.reason}"


def _enter(log: DeviceLog, row: dict[str, Any]) -> None:
    """Enter one row, of the log's generation; ``planned`` ones come before all others."""
    number, at, status = row["number"], row["delivered_at"], row["status"]
    if status != "resent" and number > 0 and number >= log.number:
        log.number, log.heard_at = number, max(filter(None, (log.heard_at, at)))
    if status == "planned":
        log.shards[row["sequence"]] = Shard(
            sequence=row["sequence"],
            encoding_id=row["encoding_id"],
            bytes=row["bytes"],
            payload_bytes=row["payload_bytes"],
            images=row["rows"],
            sha256=row["sha256"],
            planned_at=at,
        )
        return
    shard = log.shards.get(row["sequence"])
    if shard is None:
        return
    if status in ("sent", "resent"):
        shard.bytes, shard.sha256 = row["bytes"] or shard.bytes, row["sha256"]
        shard.images, shard.payload_bytes = row["rows"], row["payload_bytes"]
        shard.sent_at = shard.sent_at or at
        if status == "resent":
            shard.resent.add(number)
    elif status == "acknowledged":
        if number >= shard.acknowledged:
            shard.acknowledged_at, shard.acknowledged, shard.refused = at, number, None
        log.taken = max(log.taken, shard.sequence)
    elif status == "asked":
        shard.asked[number] = row["reason"] or ""
    elif status == "refused" and number > shard.acknowledged:
        shard.refused = row["reason"]


def _lists(store: Store, log: DeviceLog, where: pc.Expression, lists: Sequence[str]) -> pa.Table:
    """Lists of a log's shards, one row a shard: of each the newest that there is."""
    where &= (pc.field("device") == log.device) & (pc.field("generation") == log.generation)
    columns = ["sequence", "delivered_at", *lists]
    found = store.scan(DELIVERIES, columns, where & pc.field("image_ids").is_valid())
    newest = {
        row["sequence"]: place
        for place, row in sorted(
            enumerate(found.select(["sequence", "delivered_at"]).to_pylist()), key=lambda item: item[1]["delivered_at"]
        )
    }
    return found.take(pa.array(sorted(newest.values()), pa.int64()))
