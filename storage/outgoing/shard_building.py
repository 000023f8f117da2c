"""Making a shard from the store's rows: the same keys make the same bytes, as often as it has to be made."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rinr.codec.bytestream import PayloadError
from rinr.codec.frame import unpack_frame
from rinr.shard import ShardRow
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
        keys: of its rows, in their order.
        data: the shard file.
        sha256: of it.
        payload_bytes: sum of the frames' payloads.
    """

    encoding_id: str
    keys: tuple[Key, ...]
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
) -> BuiltShard | None:
    """The shard of some keys, in their order, as far as the store has them; ``None`` where it has none.

    Args:
        store: where the rows are.
        keys: of one encoding; no image stands twice.
        encoding_id: the encoding.
        newest: only rows whose labels are still the newest.
        damaged: is told of rows whose payload cannot be read, in a sentence; they are left out.

    Raises:
        StoreError: the store cannot be read.
    """
    columns = ["image_id", "labels_id", "payload"]
    found = store.lookup([image_id for image_id, _ in keys], columns, encoding_id=encoding_id, superseded=not newest)
    ids = zip(found["image_id"].to_pylist(), found["labels_id"].to_pylist(), strict=True)
    payloads = dict(zip(ids, found["payload"].to_pylist(), strict=True))
    rows: list[ShardRow] = []
    there: list[Key] = []
    for key in keys:
        try:
            if payloads.get(key) is not None:
                rows.append(ShardRow(key[0], unpack_frame(payloads[key])))
                there.append(key)
        except PayloadError as error:
            damaged(f"image {key[0][:16]} is damaged in the store ({error}); run `rinr store verify`")
    if not rows:
        return None
    data = write_shard(rows)
    payload_bytes = sum(len(payloads[key]) for key in there)
    return BuiltShard(encoding_id, tuple(there), data, hashlib.sha256(data).hexdigest(), payload_bytes)
