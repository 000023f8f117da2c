"""Making a shard from the store's rows: the same keys make the same bytes, as often as it has to be made."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rinr.codec.bytestream import PayloadError
from rinr.codec.clip import NAME_BYTES
from rinr.codec.frame import EncodedFrame, unpack_frame
from rinr.shard import ShardPart, ShardRow, check_part
from storage.shards.manifest import Manifest
from storage.shards.shard_file import write_shard
from storage.store import Store

LONGEST_TIME = datetime(2000, 1, 1, 0, 0, 0, 1, UTC)
"""A time whose spelling is as long as that of any other."""

Key = tuple[str, str]
"""Image id and labels id."""


@dataclass(frozen=True)
class BuiltShard:
    """A shard that no device has yet.

    Attributes:
        encoding_id: of its rows.
        keys: of its images, in their order.
        part_ids: of the shared parts that it carries, before them.
        data: the shard file.
        sha256: of it.
        payload_bytes: sum of all payloads, those of shared parts included.
    """

    encoding_id: str
    keys: tuple[Key, ...]
    part_ids: tuple[str, ...]
    data: bytes
    sha256: str
    payload_bytes: int

    def manifest(self, device: str, generation: int, sequence: int, created_at: datetime = LONGEST_TIME) -> Manifest:
        """The manifest with which it goes to a device."""
        return Manifest(
            device=device,
            generation=generation,
            sequence=sequence,
            encoding_id=self.encoding_id,
            image_ids=tuple(image_id for image_id, _ in self.keys),
            sha256=self.sha256,
            bytes=len(self.data),
            payload_bytes=self.payload_bytes,
            created_at=created_at,
        )


def build_shard(
    store: Store,
    keys: Sequence[Key],
    encoding_id: str,
    *,
    newest: bool,
    damaged: Callable[[str], None],
    part_ids: Sequence[str] = (),
    carried: Collection[str] = (),
) -> BuiltShard | None:
    """The shard of some keys, in their order, as far as the store has them; ``None`` where it has none.

    Args:
        store: where the rows are.
        keys: of one encoding; no image stands twice.
        encoding_id: the encoding.
        newest: only rows whose labels are still the newest.
        damaged: is told of rows whose payload cannot be read, or that need a shared part which is lost, in a sentence;
            they are left out.
        part_ids: of shared parts that it has to carry, as it did before.
        carried: of those that shards before it carry; what its frames need besides it carries too.

    Raises:
        StoreError: the store cannot be read.
    """
    columns = ["image_id", "labels_id", "part_id", "payload"]
    found = store.lookup([image_id for image_id, _ in keys], columns, encoding_id=encoding_id, superseded=not newest)
    by_key = {(row["image_id"], row["labels_id"]): row for row in found.to_pylist()}
    rows: dict[Key, ShardRow] = {}
    for key in (key for key in keys if key in by_key):
        try:
            rows[key] = ShardRow(key[0], _frame(by_key[key]))
        except PayloadError as error:
            damaged(f"image {key[0][:16]} is damaged in the store ({error}); run `rinr store verify`")
    needed = {key: part_id for key in rows if (part_id := by_key[key]["part_id"]) and part_id not in carried}
    parts = _parts(store, dict.fromkeys([*part_ids, *needed.values()]))
    for lost in dict.fromkeys(part_id for part_id in needed.values() if part_id not in parts):
        ids = [key[0][:16] for key, part_id in needed.items() if part_id == lost]
        damaged(f"the shared part {lost} is lost, and with it {', '.join(ids)}; run `rinr store verify`")
    there = tuple(key for key in rows if key not in needed or needed[key] in parts)
    if not there:
        return None
    wanted = [*part_ids, *(needed[key] for key in there if key in needed)]
    brought = [parts[part_id] for part_id in dict.fromkeys(wanted) if part_id in parts]
    data = write_shard([*brought, *(rows[key] for key in there)])
    payloads = [*(part.payload for part in brought), *(by_key[key]["payload"] for key in there)]
    return BuiltShard(
        encoding_id=encoding_id,
        keys=there,
        part_ids=tuple(part.part_id for part in brought),
        data=data,
        sha256=hashlib.sha256(data).hexdigest(),
        payload_bytes=sum(map(len, payloads)),
    )


def _frame(row: Mapping[str, Any]) -> EncodedFrame:
    """The frame of a row of ``images``, which needs the part that the row says."""
    if row["payload"] is None:
        raise PayloadError("it has no payload")
    frame = unpack_frame(row["payload"])
    said = (row["part_id"] or "")[: 2 * NAME_BYTES]
    if said != (frame.clip.part.hex() if frame.clip else ""):
        raise PayloadError(f"its payload does not need the shared part {said or 'that is none'}")
    return frame


def _parts(store: Store, part_ids: Iterable[str]) -> dict[str, ShardPart]:
    """Shared parts by their ids, as far as the store has them undamaged."""
    parts = {}
    for part_id, payload in store.parts(part_ids).items():
        with suppress(PayloadError):
            check_part(part_id, payload)
            parts[part_id] = ShardPart(payload)
    return parts
