"""A fog node for a device's tests: it signs and delivers shards, and reads what the device says."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rinr.shard import ShardPart, ShardRow, frames_among, to_table
from storage.fleet import Device
from storage.inbox import Inbox
from storage.outbox import Outbox
from storage.shards.acknowledgement import Acknowledgement, open_acknowledgement
from storage.shards.keyring import Keyring
from storage.shards.manifest import Manifest, write_manifest
from storage.shards.shard_file import write_shard
from storage.shards.signing import SigningKey


@dataclass
class Fog:
    """The fog node's side of one device.

    Attributes:
        device: the one that it delivers to.
        keyring: its own.
        sent: how many shards of the generation were delivered.
    """

    device: Device
    keyring: Keyring
    generation: int = 1
    sent: int = 0
    made: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)

    @classmethod
    def beside(cls, device: Device, folder: Path) -> "Fog":
        """A new fog node whose key the device trusts."""
        keyring = Keyring(folder)
        Keyring(Path(device.keyring)).trust(keyring.new().text, "fog")
        return cls(device, keyring)

    @property
    def inbox(self) -> Inbox:
        return Inbox(self.device.inbox, self.device.inbox_options)

    @property
    def folder(self) -> Path:
        return Path(self.device.inbox)

    def shard(
        self, rows: Sequence[ShardRow | ShardPart], sequence: int, key: SigningKey | None = None, **fields: Any
    ) -> tuple[Manifest, bytes, bytes]:
        """A manifest, its shard file, and the manifest signed; ``fields`` are the manifest's where they differ."""
        data = fields.pop("data", None) or write_shard(rows)
        manifest = Manifest(
            device=self.device.name,
            generation=self.generation,
            sequence=sequence,
            encoding_id="instant-1",
            image_ids=tuple(row.image_id for row in frames_among(rows)),
            sha256=hashlib.sha256(data).hexdigest(),
            bytes=len(data),
            payload_bytes=sum(map(len, to_table(rows)["payload"].to_pylist())),
            created_at=datetime(2026, 1, 2, tzinfo=UTC),
        )
        manifest = replace(manifest, **fields)
        return manifest, data, write_manifest(manifest, key or self.keyring.signer())

    def deliver(self, rows: Sequence[ShardRow | ShardPart], **fields: Any) -> Manifest:
        """The next shard into the inbox."""
        self.sent += 1
        manifest, data, signed = self.shard(rows, self.sent, **fields)
        self.made[manifest.name] = (data, signed)
        self.inbox.put(manifest.name, data, signed)
        return manifest

    def again(self, name: str) -> None:
        """Send a shard once more, as it was."""
        self.inbox.put(name, *self.made[name])

    def heard(self) -> Acknowledgement:
        """What the device said last."""
        data = Outbox(self.device.outbox, self.device.outbox_options).read_acknowledgement()
        assert data is not None, "the device said nothing"
        return open_acknowledgement(data, self.device)
