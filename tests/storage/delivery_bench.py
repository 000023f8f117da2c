"""What tests of delivery stand on: a store in memory, and a device that takes shards by the rules and says so.

The device is written from the protocol, not from the project's: what stands in its folder is all that it knows.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from rinr.codec.clip import part_id
from rinr.codec.encoded import EncodedClip
from rinr.shard import ShardPart, frames_among
from storage.delivery import DeliveryReport, candidates, deliver
from storage.fleet import Device
from storage.inbox import Inbox
from storage.outbox import Outbox
from storage.shards.acknowledgement import Acknowledgement, RefusedShard, write_acknowledgement
from storage.shards.faults import Fault, ShardError
from storage.shards.manifest import Manifest, open_manifest
from storage.shards.shard_file import read_shard
from storage.shards.signing import PublicKey, SigningKey
from storage.store import _KINDS
from storage.tables import IMAGES, LAYOUTS, Delivery, Layout

FOG = SigningKey.new()


class MemoryStore:
    """A store that appends rows once by their key and reads them, as the real one does, without a disk."""

    url = "memory"

    def __init__(self) -> None:
        self.rows: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = {layout.name: {} for layout in LAYOUTS}
        self.commits = 0
        self.before: Callable[[str], None] = lambda step: None
        """Called before and after each commit, with what is about to happen: it may raise."""
        self._clock = datetime(2026, 6, 1, tzinfo=UTC)

    def append(self, rows: Iterable[Any]) -> int:
        added = 0
        rows = list(rows)
        if not rows:
            return 0
        self.before("append")
        for row in rows:
            if isinstance(row, EncodedClip):
                if row.part is not None:
                    values = {"part_id": part_id(row.part), "payload": row.part, "bytes": len(row.part)}
                    self.rows["parts"].setdefault((values["part_id"],), values)
                added += self.append(row.images)
                continue
            layout, as_row = _KINDS[type(row)]
            self._clock += timedelta(milliseconds=1)
            values = as_row(row, self._clock) | {layout.order: self._clock}
            key = tuple(values[name] for name in layout.key)
            if key not in self.rows[layout.name]:
                self.rows[layout.name][key] = values
                added += 1
        self.commits += 1
        self.before("appended")
        return added

    def scan(self, layout: Layout, columns: Any = None, where: Any = None, *, superseded: bool = False) -> pa.Table:
        rows: Iterable[dict[str, Any]] = self.rows[layout.name].values()
        if layout is IMAGES and not superseded:
            rows = {(row["image_id"], row["encoding_id"]): row for row in rows}.values()  # the last written
        table = pa.Table.from_pylist(list(rows), schema=layout.schema)
        return (table.filter(where) if where is not None else table).select(columns or layout.schema.names)

    def lookup(
        self, image_ids: Any, columns: Any = None, *, encoding_id: str | None = None, superseded: bool = False
    ) -> pa.Table:
        where = pc.field("image_id").isin(pa.array(list(image_ids), pa.string()))
        if encoding_id is not None:
            where &= pc.field("encoding_id") == encoding_id
        return self.scan(IMAGES, columns, where, superseded=superseded)

    def parts(self, part_ids: Iterable[str | None]) -> dict[str, bytes]:
        return {one: self.rows["parts"][one,]["payload"] for one in part_ids if (one,) in self.rows["parts"]}

    def events(self, status: str | None = None) -> list[dict[str, Any]]:
        rows = self.rows["deliveries"].values()
        return [row for row in rows if status in (None, row["status"])]


@dataclass
class Edge:
    """A device at the other end.

    Attributes:
        held: of its generation, by sequence: the manifest and the rows.
        copies: how often each (image, payload) was stored in this generation.
    """

    device: Device
    key: SigningKey | None = None
    generation: int = 0
    held: dict[int, tuple[Manifest, list[Any]]] = field(default_factory=dict)
    copies: dict[tuple[str, Any], int] = field(default_factory=dict)
    number: int = 0
    refused: list[RefusedShard] = field(default_factory=list)

    @property
    def taken(self) -> int:
        return max(self.held, default=0)

    @property
    def images(self) -> dict[str, Any]:
        """The newest frame of each image."""
        return {row.image_id: row.frame for _, (_, rows) in sorted(self.held.items()) for row in frames_among(rows)}

    @property
    def parts(self) -> dict[int, list[str]]:
        """Ids of the shared parts that each shard carried, of those that carried any."""
        found = {n: [row.part_id for row in rows if isinstance(row, ShardPart)] for n, (_, rows) in self.held.items()}
        return {sequence: ids for sequence, ids in found.items() if ids}

    def receive(self, at_most: int = 100) -> int:
        """Take what comes next in the inbox; how many shards."""
        self.refused = []
        inbox = Inbox(self.device.inbox)
        taken = 0
        for name in inbox.names():
            if taken == at_most:
                break
            try:
                manifest = open_manifest(inbox.manifest(name), f"{name}.manifest", self._trusted)
                if manifest.device != self.device.name:
                    raise ShardError(Fault.FOREIGN, "another's")
                if manifest.generation < self.generation or (
                    manifest.generation == self.generation and manifest.sequence <= self.taken
                ):
                    continue
                last = self.taken if manifest.generation == self.generation else 0
                if manifest.sequence != last + 1:
                    raise ShardError(Fault.OUT_OF_ORDER, "a gap")
                data = Path(self.device.inbox, f"{name}.parquet").read_bytes()
                rows = read_shard(data, manifest)
            except FileNotFoundError:
                self.refused.append(RefusedShard(name, Fault.MISSING, "no data"))
            except ShardError as error:
                self.refused.append(RefusedShard(name, error.fault, str(error)[:200].replace("\n", " ")))
            else:
                if manifest.generation > self.generation:
                    self.generation, self.held, self.copies = manifest.generation, {}, {}
                self.held[manifest.sequence] = (manifest, rows)
                for row in frames_among(rows):
                    key = (row.image_id, row.frame)
                    self.copies[key] = self.copies.get(key, 0) + 1
                taken += 1
        return taken

    def acknowledge(self, **changes: Any) -> None:
        """Say how far it is."""
        self.number += 1
        wanted = {
            int(one.name[-8:])
            for one in self.refused
            if one.fault not in (Fault.UNKNOWN_KEY, Fault.OUT_OF_ORDER) and int(one.name[6:10]) == self.generation
        }
        if any(one.fault is Fault.OUT_OF_ORDER for one in self.refused):
            wanted.add(self.taken + 1)
        values = {
            "device": self.device.name,
            "number": self.number,
            "generation": self.generation,
            "taken": self.taken,
            "wanted": tuple(sorted(sequence for sequence in wanted if sequence > self.taken)),
            "refused": tuple(self.refused),
            "created_at": datetime.now(UTC),
        }
        said = Acknowledgement(**values | changes)
        Outbox(self.device.outbox).write_acknowledgement(write_acknowledgement(said, self.key))

    def _trusted(self, key_id: str) -> PublicKey:
        if key_id != FOG.public.id:
            raise ShardError(Fault.UNKNOWN_KEY, key_id)
        return FOG.public


def contact(store: Any, device: Device, encoding_id: str, signer: SigningKey = FOG) -> DeliveryReport:
    """A contact with candidates of its own."""
    return deliver(store, device, candidates(store, encoding_id), signer)


def inbox_bytes(device: Device) -> int:
    """Bytes of all files of shards in an inbox."""
    return sum(file.stat().st_size for file in Path(device.inbox).glob("shard-*"))


def statuses(store: Any, device: str) -> list[tuple[int, str, int]]:
    """``(sequence, status, number)`` of a device's events, in their order."""
    from storage.tables import DELIVERIES

    rows = store.scan(DELIVERIES, ["device", "sequence", "status", "number", "delivered_at"]).to_pylist()
    rows = sorted((row for row in rows if row["device"] == device), key=lambda row: row["delivered_at"])
    return [(row["sequence"], row["status"], row["number"]) for row in rows]


def reset_row(device: str, generation: int) -> Delivery:
    return Delivery(device, generation, 0, "reset")
