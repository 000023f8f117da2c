"""Delivery: what a device lacks of the store goes into its inbox as signed shards, and never an image twice.

One contact with a device is three steps, each of which another contact may have left half done:

1. Its acknowledgement is read; what it has stored leaves the inbox.
2. What was planned and not sent is sent; what it asks for, and what is missing in the inbox, is sent again.
3. What it lacks is planned and sent, as long as there is room.

A row of status ``planned`` claims its images before anything is sent: of two contacts that plan at once, the second
one's claim adds no row, and it looks again. After a kill the same rows make the same bytes. The protocol for people
stands in ``docs/delivery.md``.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from storage.credentials import Secrets, environment
from storage.fleet import Device
from storage.inbox import Inbox
from storage.outbox import Outbox
from storage.outgoing.candidates import ROW_BYTES, Candidates, Places, candidates
from storage.outgoing.delivery_log import (
    MAX_WAITING,
    DeviceLog,
    Shard,
    Standing,
    carried_parts,
    delivered_keys,
    news_of,
    read_log,
    shard_lists,
    standing,
    standings,
)
from storage.outgoing.routing import bringing, choose, costs
from storage.outgoing.shard_building import BuiltShard, build_shard
from storage.places.device_paths import safe_spelling
from storage.shards.acknowledgement import Acknowledgement, AcknowledgementError, RefusedShard, open_acknowledgement
from storage.shards.faults import Fault, KeyringError, ShardError
from storage.shards.manifest import MANIFEST, MAX_ROWS, open_manifest, shard_place, write_manifest
from storage.shards.signing import PublicKey, SigningKey
from storage.store import Store
from storage.tables import Delivery

__all__ = [
    "MAX_SHARD_BYTES",
    "MAX_WAITING",
    "Candidates",
    "DeliveryReport",
    "Heard",
    "SentShard",
    "Standing",
    "candidates",
    "deliver",
    "hear",
    "reset",
    "standings",
    "waits",
]

MAX_SHARD_BYTES = 64 * 1024 * 1024
"""Payload bytes of one shard at most."""

_ATTEMPTS = 100  # at a plan, while others plan for the same device


@dataclass(frozen=True)
class SentShard:
    """A shard that a contact put into an inbox.

    Attributes:
        name: the shard's.
        images: in it.
        bytes: of its file and its manifest.
        again: it had been sent before.
    """

    name: str
    images: int
    bytes: int
    again: bool = False


@dataclass(frozen=True)
class DeliveryReport:
    """What one contact with a device did.

    Attributes:
        device: its name.
        generation: the present one.
        sequence: of the last shard that was sent, now or earlier; 0 without one.
        sent: now.
        acknowledged: names of shards that the device was found to have stored since the last contact.
        asked: names of shards that were asked for again, or missing in the inbox, with why.
        refused: what the device refused since, as it says.
        left_out: images that it may have and that found no room now.
        notes: what was refused of the device's message, and what else is worth knowing, in sentences.
        standing: how the device stands after the contact.
        trained: the report of the device's training on all that was sent to it; ``None`` where it sent none yet.
    """

    device: str
    generation: int
    sequence: int
    sent: tuple[SentShard, ...]
    acknowledged: tuple[str, ...]
    asked: tuple[tuple[str, str], ...]
    refused: tuple[RefusedShard, ...]
    left_out: int
    notes: tuple[str, ...]
    standing: Standing
    trained: bytes | None

    @property
    def training_due(self) -> bool:
        """Whether anything was sent that the device has not reported a training on."""
        return self.sequence > 0 and self.trained is None

    @property
    def images(self) -> int:
        """Sent now."""
        return sum(shard.images for shard in self.sent)

    @property
    def bytes(self) -> int:
        """Sent now."""
        return sum(shard.bytes for shard in self.sent)

    @property
    def idle(self) -> bool:
        """Whether nothing was sent, acknowledged or found wrong."""
        return not (self.sent or self.acknowledged or self.asked or self.notes)


@dataclass(frozen=True)
class Heard:
    """What a device said that was new; the fields are those of :class:`DeliveryReport`."""

    acknowledged: tuple[str, ...]
    asked: tuple[tuple[str, str], ...]
    refused: tuple[RefusedShard, ...]
    notes: tuple[str, ...]


def deliver(
    store: Store, device: Device, candidates: Candidates, signer: SigningKey, *, secrets: Secrets = environment
) -> DeliveryReport:
    """Hear what a device has, and send what it lacks. May be killed at any moment and run again, also by others.

    Args:
        store: where images and deliveries stand.
        device: to whom, with its rule.
        candidates: what may be sent; one reading of the store serves all devices.
        signer: signs the manifests.
        secrets: gives the secrets that the options of inbox and outbox refer to.

    Raises:
        StoreError: the store cannot be read or written.
        InboxError: the inbox cannot be read or written.
        OutboxError: the outbox cannot be read.
    """
    contact = _Contact(store=store, device=device, secrets=secrets, candidates=candidates, signer=signer)
    contact.hear()
    contact.finish()
    contact.plan()
    return contact.report()


def waits(
    store: Store,
    device: Device,
    candidates: Candidates,
    *,
    secrets: Secrets = environment,
    trained: Callable[[bytes], bool] = bool,
) -> bool:
    """Whether :func:`deliver` would do anything, or the device has yet to store or to train. Nothing is changed.

    Args:
        store: where images and deliveries stand.
        device: the device.
        candidates: what may be sent.
        secrets: gives the secrets that the outbox's options refer to.
        trained: whether a report is of a training as it is wanted; any is without it.

    Raises:
        StoreError: the store cannot be read.
        OutboxError: the outbox cannot be read.
    """
    log = read_log(store, device.name)
    if log.unacknowledged:
        return True
    said, notes = _acknowledgement(device, secrets)
    news = news_of(log, said) if said else None
    if notes or (news and (news.events or news.notes)):
        return True
    report = _trained(log, said if news and news.believed else None)
    if log.sent and (report is None or not trained(report)):
        return True
    carried = candidates.numbered(_carried(store, log, candidates))
    return bool(len(choose(candidates, device, _delivered(store, log, candidates), carried).rows))


def hear(store: Store, device: Device, *, secrets: Secrets = environment) -> Heard:
    """Write down what a device says, and send nothing; what it has stored leaves its inbox.

    Raises:
        StoreError: the store cannot be read or written.
        InboxError: the inbox cannot be read or written.
        OutboxError: the outbox cannot be read.
    """
    hearing = _Hearing(store=store, device=device, secrets=secrets)
    hearing.hear()
    return Heard(tuple(hearing.acknowledged), tuple(hearing.asked.items()), hearing.refused, tuple(hearing.notes))


def reset(store: Store, device: str) -> int:
    """Begin a device's next generation, in which everything is sent anew: for one that lost what it had.

    Returns:
        The generation.

    Raises:
        StoreError: the store cannot be read or written.
    """
    generation = read_log(store, device).generation + 1
    store.append([Delivery(device, generation, 0, "reset")])
    return generation


@dataclass(kw_only=True)
class _Hearing:
    """What one device says, and what was written down of it so far."""

    store: Store
    device: Device
    secrets: Secrets
    said: Acknowledgement | None = None
    acknowledged: list[str] = field(default_factory=list)
    asked: dict[str, str] = field(default_factory=dict)
    refused: tuple[RefusedShard, ...] = ()
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.log = read_log(self.store, self.device.name)
        self.inbox = Inbox(self.device.inbox, self.device.inbox_options, self.secrets)

    def hear(self) -> None:
        """Write down what the device says; what it has stored, and what is of earlier generations, leaves the inbox."""
        said, notes = _acknowledgement(self.device, self.secrets)
        self.notes += notes
        if said is not None:
            news = news_of(self.log, said)
            self.notes += news.notes
            self.said = said if news.believed else None
            self.refused = news.refused
            self.write(news.events)
            self.acknowledged = [event.shard for event in news.events if event.status == "acknowledged"]
            self.asked = {event.shard: event.reason or "" for event in news.events if event.status == "asked"}
        self.there = self.inbox.names()
        self.inbox.remove(name for name in self.there if self._is_done(*(shard_place(name) or (0, 0))))

    def write(self, events: Sequence[Delivery]) -> int:
        """Write events down; how many were new. The log is then as if read again, as far as nobody else wrote."""
        added = self.store.append(events)
        # The time of a plan may be later than asked for, and stands in the manifest.
        if added < len(events) or any(event.status == "planned" for event in events):
            self.log = read_log(self.store, self.device.name)
        else:
            self.log.add(events)
        return added

    def _is_done(self, generation: int, sequence: int) -> bool:
        """Whether the device has a shard, or has no more use for it."""
        shard = self.log.shards.get(sequence)
        is_taken = generation == self.log.generation and shard is not None and shard.taken
        return generation < self.log.generation or is_taken


@dataclass(kw_only=True)
class _Contact(_Hearing):
    """One contact with one device, and what it came to so far."""

    candidates: Candidates
    signer: SigningKey
    sent: list[SentShard] = field(default_factory=list)
    left_out: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.unsendable = np.zeros(len(self.candidates), bool)

    def hear(self) -> None:
        """Likewise; a shard that a stranger signed in the fog's place counts as missing."""
        super().hear()
        self.replaced = {name for name in self.there if self._is_replaced(name)}
        self.there = [name for name in self.there if name not in self.replaced]

    def finish(self) -> None:
        """Send what is planned and not sent, and again what is asked for or missing."""
        for sequence in sorted(self.log.shards):
            if self._is_owed(sequence):
                self.log = read_log(self.store, self.device.name)  # others may have come before
                if self._is_owed(sequence):
                    self._finish_one(self.log.shards[sequence])

    def plan(self) -> None:
        """Plan and send what the device lacks, a shard at a time, as long as there is room."""
        budget = self.device.receives.budget
        for _ in range(_ATTEMPTS):
            open_ = self.log.unacknowledged
            room = None if budget is None else max(0, budget - sum(shard.bytes for shard in open_))
            delivered = _delivered(self.store, self.log, self.candidates) | self.unsendable
            carried = _carried(self.store, self.log, self.candidates)
            known = self.candidates.numbered(carried)
            choice = choose(self.candidates, self.device, delivered, known, room=room)
            self.left_out = choice.left_out + len(choice.rows)
            # What little is left of a budget waits until it is a fair part of one: for few shards.
            is_little = budget is not None and room is not None and bool(open_) and room * MAX_WAITING < budget
            if not len(choice.rows) or len(open_) >= MAX_WAITING or is_little:
                return
            rows = _of_one_shard(self.candidates, choice.rows, known)
            built = self._built_within(rows, carried, room)
            if built is not None and self._claim(built):
                self.left_out -= len(built.keys)
                if len(rows) == len(choice.rows):
                    return

    def report(self) -> DeliveryReport:
        """What the contact did."""
        return DeliveryReport(
            device=self.device.name,
            generation=self.log.generation,
            sequence=self.log.sent,
            sent=tuple(self.sent),
            acknowledged=tuple(self.acknowledged),
            asked=tuple(self.asked.items()),
            refused=self.refused,
            left_out=self.left_out,
            notes=tuple(self.notes),
            standing=standing(self.log, self.device),
            trained=_trained(self.log, self.said),
        )

    def _is_owed(self, sequence: int) -> bool:
        """Whether something has to be done about a shard: it is not sent, asked for, or missing in the inbox."""
        shard = self.log.shards.get(sequence)
        if shard is None:
            return False
        is_missing = shard.waits and self.log.name(sequence) not in self.there
        return shard.sent_at is None or bool(shard.owed) or is_missing

    def _finish_one(self, shard: Shard) -> None:
        name = self.log.name(shard.sequence)
        if shard.sent_at is None and (shard.taken or self._stands(shard, name)):
            # It was put there and not written down: its manifest, which is written last, or the device says so.
            sizes = {key: getattr(shard, key) for key in ("encoding_id", "sha256", "bytes", "payload_bytes")}
            self.write([self.log.event(shard.sequence, "sent", rows=shard.images, **sizes)])
            self.sent.append(SentShard(name, shard.images, shard.bytes))
        elif shard.sent_at is None:
            self._send(shard)
        else:
            if name not in self.there and not any(number < 0 for number in shard.owed):
                reason = "another one lies in its place" if name in self.replaced else "it is missing in the inbox"
                number = min(0, *shard.asked, 0) - 1
                self.asked[name] = reason
                self.write([self.log.event(shard.sequence, "asked", number=number, reason=reason)])
            again = self.log.shards.get(shard.sequence)
            if again is not None and again.owed:
                self._send(again)

    def _stands(self, shard: Shard, name: str) -> bool:
        """Whether the inbox holds a planned shard with its manifest, signed by the fog."""

        def own(key_id: str) -> PublicKey:
            if key_id != self.signer.public.id:
                raise ShardError(Fault.UNKNOWN_KEY, f"{name} is signed by the key {key_id}")
            return self.signer.public

        try:
            found = open_manifest(self.inbox.manifest(name), f"{name}{MANIFEST}", own)
        except ShardError:
            return False
        return (found.device, found.sha256) == (self.device.name, shard.sha256)

    def _is_replaced(self, name: str) -> bool:
        """Whether the device does not know who signed a shard, and that was not the fog: then nothing of it is there.

        Where it was the fog, sending it again would not help.
        """
        unknown = self.said is not None and any(
            one.name == name and one.fault is Fault.UNKNOWN_KEY for one in self.said.refused
        )
        generation, sequence = shard_place(name) or (0, 0)
        shard = self.log.shards.get(sequence) if generation == self.log.generation else None
        return unknown and shard is not None and shard.waits and not self._stands(shard, name)

    def _send(self, shard: Shard) -> None:
        """Make a planned shard from the store and send it, for the first time or again."""
        keys, part_ids = shard_lists(self.store, self.log, shard.sequence)
        built = build_shard(
            self.store,
            keys,
            shard.encoding_id,
            newest=False,
            damaged=self.notes.append,
            part_ids=part_ids,
            carried=carried_parts(self.store, self.log, before=shard.sequence),
        )
        if built is None:
            self.notes.append(
                f"{self.log.name(shard.sequence)} cannot be made: none of its {len(keys):,} images has a row in the "
                "store; it is sent once they are encoded again"
            )
        else:
            self._put(shard, built, is_whole=len(built.keys) == len(keys) and built.part_ids == part_ids)

    def _built_within(self, rows: Places, carried: Collection[str], room: int | None) -> BuiltShard | None:
        """A shard of candidates, with what they share where that was not sent; of fewer where it would be larger than
        the room, ``None`` where none can be sent.

        What cannot be sent, because newer labels came since or because it is damaged, is left to another contact.
        """
        while len(rows):
            ids = (self.candidates.image_ids.take(rows), self.candidates.labels_ids.take(rows))
            keys = list(zip(*(part.to_pylist() for part in ids), strict=True))
            built = build_shard(
                self.store,
                keys,
                self.candidates.encoding_id,
                newest=True,
                damaged=self.notes.append,
                carried=carried,
            )
            sendable = set(built.keys if built else ())
            self.unsendable[rows] = [key not in sendable for key in keys]
            if built is None or room is None:
                return built
            size = self._bytes(built)
            if size <= room:
                return built
            rows = rows[: min(len(rows) * room // size, len(rows) - 1)]
        return None

    def _bytes(self, built: BuiltShard) -> int:
        """Of a shard with its manifest, as it would be the next one."""
        manifest = built.manifest(self.device.name, self.log.generation, self.log.planned + 1)
        return len(built.data) + len(write_manifest(manifest, self.signer))

    def _claim(self, built: BuiltShard) -> bool:
        """Plan a shard as the next one, and send it; where another contact was faster, help that one instead."""
        sequence = self.log.planned + 1
        values = _values(built, self._bytes(built)) | _lists(built)
        added = self.write([self.log.event(sequence, "planned", **values)])
        planned = self.log.shards.get(sequence)
        if added and planned and planned.sha256 == built.sha256:
            if planned.sent_at is None:  # else another contact was so kind
                self._put(planned, built)
            return True
        self.there = self.inbox.names()
        self.finish()
        return False

    def _put(self, shard: Shard, built: BuiltShard, *, is_whole: bool = True) -> None:
        """Put a shard into the inbox, then write that down."""
        manifest = built.manifest(self.device.name, self.log.generation, shard.sequence, shard.planned_at)
        signed = write_manifest(manifest, self.signer)
        self.inbox.put(manifest.name, built.data, signed)
        size = len(built.data) + len(signed)
        # Of a shard of which rows or parts are not in the store any more, what was sent counts: the others may be
        # planned again.
        values = _values(built, size) | ({} if is_whole else _lists(built))
        self.sent.append(SentShard(manifest.name, len(built.keys), size, again=shard.sent_at is not None))
        if shard.sent_at is None:
            events = [self.log.event(shard.sequence, "sent", **values)]
        else:  # once for each that asked; the bytes count once
            first, *others = (self.log.event(shard.sequence, "resent", number=n, **values) for n in shard.owed)
            events = [first, *(replace(other, bytes=0) for other in others)]
        self.write(events)


def _of_one_shard(candidates: Candidates, rows: Places, carried: npt.NDArray[np.bool_]) -> Places:
    """As many of some candidates, from the first on, as one shard takes with what they share: one at least."""
    rows = rows[:MAX_ROWS]
    count = np.cumsum(1 + bringing(candidates, rows, carried))
    payload_bytes = np.cumsum(costs(candidates, rows, carried)) - ROW_BYTES * count
    is_within = (payload_bytes <= MAX_SHARD_BYTES) & (count <= MAX_ROWS)
    return rows[: max(1, int(is_within.sum()))]


def _delivered(store: Store, log: DeviceLog, candidates: Candidates) -> npt.NDArray[np.bool_]:
    """Which candidates are planned or sent in a log's generation, ``[candidates]``."""
    delivered = np.zeros(len(candidates), bool)
    if log.shards:
        delivered[candidates.places(*delivered_keys(store, log, candidates.encoding_id))] = True
    return delivered


def _carried(store: Store, log: DeviceLog, candidates: Candidates) -> set[str]:
    """Shared parts that a log's generation carries; none are looked for where no candidate needs one."""
    return carried_parts(store, log) if len(candidates.part_ids) else set()


def _acknowledgement(device: Device, secrets: Secrets) -> tuple[Acknowledgement | None, list[str]]:
    """What a device says; and why it is refused, in a sentence."""
    data = Outbox(device.outbox, device.outbox_options, secrets).read_acknowledgement()
    if data is None:
        return None, []
    try:
        return open_acknowledgement(data, device), []
    except (AcknowledgementError, KeyringError) as error:
        return None, [f"its acknowledgement is refused: {safe_spelling(str(error))}"]


def _trained(log: DeviceLog, said: Acknowledgement | None) -> bytes | None:
    """The report of a training on all that was sent, as the device has it."""
    is_of_all = said is not None and (said.generation, said.taken) >= (log.generation, log.sent)
    return said.report if said is not None and is_of_all else None


def _values(built: BuiltShard, size: int) -> dict[str, Any]:
    return {
        "encoding_id": built.encoding_id,
        "sha256": built.sha256,
        "bytes": size,
        "payload_bytes": built.payload_bytes,
        "rows": len(built.keys),
    }


def _lists(built: BuiltShard) -> dict[str, Any]:
    image_ids, labels_ids = zip(*built.keys, strict=True)
    return {"image_ids": image_ids, "labels_ids": labels_ids, "part_ids": built.part_ids}
