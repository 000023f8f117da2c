# mypy: ignore-errors
"""Delivery: what a device lacks of the store, as one shard in its inbox, never an image twice."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from rinr.shard import SHARD, ShardRow, from_table
from storage.credentials import Secrets, environment
from storage.fleet import Device
from storage.inbox import Inbox
from storage.shards.faults import ShardError
from storage.shards.manifest import MAX_ROWS, Manifest
from storage.store import Store
from storage.tables import DELIVERIES, IMAGES, SOURCES, Delivery

Key = tuple[str, str, str]
_KEY = ["image_id", "labels_id", "encoding_id"]


def deliver(store: Store, device: Device, *, encoding_id: str, secrets: Secrets = environment) -> Delivery | None:
    """Put the images that a device lacks into its inbox, as one shard, and write that down.

    A device lacks an image that it did not capture itself and that was not delivered to it. An image whose
    labels were corrected counts as another: it is delivered again. A run that was cut off is finished by
    the next one: what lies in the inbox with a manifest counts as delivered, and its row of ``deliveries``
    is written where it is missing. One run at a time for one device: two at once could both send an image
    that was encoded between them.

    Args:
        store: where images and deliveries stand.
        device: to whom.
        encoding_id: of the encoding to send.
        secrets: gives the secrets that the inbox's options refer to.

    Returns:
        The delivery made, or the last one that an earlier run put into the inbox without writing it down;
        ``None`` where there was nothing to do. At most ``storage.inbox.MAX_ROWS`` images go at once, the
        next run takes the rest.

    Raises:
        StoreError: the store cannot be read or written.
        InboxError: the inbox cannot be read or written.
        ShardError: the inbox holds a malformed manifest or one of another device.
    """
    inbox = Inbox(device.inbox, device.inbox_options, secrets)
    manifests = inbox.manifests()
    for manifest in manifests:
        if manifest.device != device.name:
            raise ShardError(
                f"{manifest.shard}.json in {device.inbox} is addressed to {manifest.device}, "
                f"not to {device.name}; check `inbox` of both devices in the fleet file"
            )
    written = store.scan(DELIVERIES, where=pc.field("device") == device.name)
    shards = set(written["shard"].to_pylist())
    unwritten = [_delivery(manifest) for manifest in manifests if manifest.shard not in shards]
    store.append(unwritten)

    sent = {key for manifest in manifests for key in manifest.keys} | _delivered(written)
    lacking = _lacking(store, device.name, encoding_id, sent)[:MAX_ROWS]
    rows = _rows(store, lacking) if lacking else []
    if not rows:
        return unwritten[-1] if unwritten else None
    delivery = _delivery(inbox.put(rows, device.name))
    store.append([delivery])
    return delivery


def _lacking(store: Store, device: str, encoding_id: str, sent: set[Key]) -> list[Key]:
    own = set(store.scan(SOURCES, ["image_id"], pc.field("device") == device)["image_id"].to_pylist())
    table = store.scan(IMAGES, _KEY, pc.field("encoding_id") == encoding_id)
    keys = zip(*(table[name].to_pylist() for name in _KEY), strict=True)
    return sorted(key for key in keys if key[0] not in own and key not in sent)


def _rows(store: Store, keys: Sequence[Key]) -> list[ShardRow]:
    """The rows of these keys, in their order, less those that newer labels have overtaken since: the next run's."""
    rows = from_table(store.lookup([key[0] for key in keys], SHARD.names, encoding_id=keys[0][2]))
    chosen = {(row.image_id, row.labels_id, row.encoding_id): row for row in rows}
    return [chosen[key] for key in keys if key in chosen]


def _delivered(deliveries: pa.Table) -> set[Key]:
    ids = (deliveries[name].to_pylist() for name in ("image_ids", "labels_ids", "encoding_ids"))
    return {key for lists in zip(*ids, strict=True) for key in zip(*lists, strict=True)}


def _delivery(manifest: Manifest) -> Delivery:
    return Delivery(
        device=manifest.device,
        shard=manifest.shard,
        sha256=manifest.sha256,
        bytes=manifest.bytes,
        payload_bytes=manifest.payload_bytes,
        keys=manifest.keys,
        delivered_at=manifest.created_at,
    )
