"""The weight store's five tables: their columns, their keys and what one row of each is."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from rinr.codec.clip import part_id, unpack_part
from rinr.codec.encoded import EncodedClip, EncodedImage
from rinr.codec.frame import pack_frame

_TIME = pa.timestamp("us", tz="UTC")
_TEXTS = pa.list_(pa.string())
_OBJECT = pa.struct([("label", pa.string()), *((name, pa.int32()) for name in ("x", "y", "width", "height"))])
_OBJECT_FIELDS = tuple(field.name for field in _OBJECT)


@dataclass(frozen=True)
class Layout:
    """How one table lies in the store.

    Attributes:
        name: of its folder under the store's URL.
        key: the columns that no two rows have in common.
        probe: the column by which rows are looked up: a compaction sorts by it.
        index: columns of text that all rows of a key, or of a subject, have in common.
        subject: where given, a row counts as present only while it is the newest (by ``order``) of those
            equal in these columns: what comes back to an earlier state is a new row.
        order: the column that says which row is newer.
        fill: columns, and what their null means in rows of earlier versions.
    """

    name: str
    schema: pa.Schema
    key: tuple[str, ...]
    probe: str
    index: tuple[str, ...]
    order: str
    subject: tuple[str, ...] = ()
    fill: tuple[tuple[str, str | int | float], ...] = ()


IMAGES = Layout(
    name="images",
    schema=pa.schema(
        [
            ("image_id", pa.string()),
            ("labels_id", pa.string()),
            ("encoding_id", pa.string()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("source_width", pa.int32()),
            ("source_height", pa.int32()),
            ("family", pa.string()),
            ("preset", pa.string()),
            ("picked", pa.string()),
            ("stopped", pa.string()),
            ("payload", pa.binary()),
            ("objects", pa.list_(_OBJECT)),
            ("bytes_total", pa.int64()),
            ("bytes_background", pa.int64()),
            ("bytes_objects", pa.int64()),
            ("bytes_overhead", pa.int64()),
            ("bytes_shared", pa.float64()),
            ("background_db", pa.float64()),
            ("object_db", pa.float64()),
            ("fit_seconds", pa.float64()),
            ("codec_version", pa.string()),
            ("part_id", pa.string()),
            ("clip", pa.string()),
            ("created_at", _TIME),
        ]
    ),
    key=("image_id", "labels_id", "encoding_id"),
    probe="image_id",
    index=("image_id", "labels_id", "encoding_id"),
    order="created_at",
    fill=(("bytes_shared", 0.0), ("clip", "")),
)

PARTS = Layout(
    name="parts",
    schema=pa.schema(
        [
            ("part_id", pa.string()),
            ("encoding_id", pa.string()),
            ("payload", pa.binary()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("frames", pa.int32()),
            ("bytes", pa.int64()),
            ("created_at", _TIME),
        ]
    ),
    key=("part_id",),
    probe="part_id",
    index=("part_id",),
    order="created_at",
)

SOURCES = Layout(
    name="sources",
    schema=pa.schema(
        [
            ("image_id", pa.string()),
            ("labels_id", pa.string()),
            ("device", pa.string()),
            ("path", pa.string()),
            ("size", pa.int64()),
            ("modified", _TIME),
            ("etag", pa.string()),
            ("captured_at", _TIME),
            ("captured_from", pa.string()),
            ("labels", pa.string()),
            ("labels_state", pa.string()),
            ("annotated_width", pa.int32()),
            ("annotated_height", pa.int32()),
            ("notes", _TEXTS),
            ("ingested_at", _TIME),
        ]
    ),
    key=("device", "path", "image_id", "labels_id", "size", "modified", "etag", "labels_state"),
    probe="path",
    index=("device", "path"),
    order="ingested_at",
    subject=("device", "path"),
)

QUARANTINE = Layout(
    name="quarantine",
    schema=pa.schema(
        [
            ("device", pa.string()),
            ("path", pa.string()),
            ("size", pa.int64()),
            ("modified", _TIME),
            ("etag", pa.string()),
            ("reason", pa.string()),
            ("image_id", pa.string()),
            ("status", pa.string()),
            ("quarantined_at", _TIME),
        ]
    ),
    key=("device", "path", "size", "modified", "reason", "status"),
    probe="path",
    index=("device", "path"),
    order="quarantined_at",
    subject=("device", "path", "size", "modified", "reason"),
    fill=(("status", "refused"),),
)

DELIVERIES = Layout(
    name="deliveries",
    schema=pa.schema(
        [
            ("device", pa.string()),
            ("generation", pa.int64()),
            ("sequence", pa.int64()),
            ("shard", pa.string()),
            ("status", pa.string()),
            ("number", pa.int64()),
            ("encoding_id", pa.string()),
            ("sha256", pa.string()),
            ("bytes", pa.int64()),
            ("payload_bytes", pa.int64()),
            ("rows", pa.int64()),
            ("image_ids", _TEXTS),
            ("labels_ids", _TEXTS),
            ("part_ids", _TEXTS),
            ("reason", pa.string()),
            ("delivered_at", _TIME),
            # Written before version 3 alone, whose rows say nothing of generations.
            ("encoding_ids", _TEXTS),
        ]
    ),
    key=("device", "shard", "status", "number"),
    probe="device",
    index=("device", "shard"),
    order="delivered_at",
    fill=(("generation", 0), ("sequence", 0), ("status", "delivered"), ("number", 0)),
)

LAYOUTS = (IMAGES, PARTS, SOURCES, QUARANTINE, DELIVERIES)


def among(column: str, values: Collection[str]) -> pc.Expression:
    """The condition that a column of text has one of some values; of none, no row has it."""
    return pc.field(column).isin(pa.array(sorted(values), pa.string()))


def now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Source:
    """Where one image came from: a row of ``sources``.

    Attributes:
        path: relative to the device's storage, as the device named it.
        size: of the file, in bytes.
        modified: the file's time.
        etag: the storage's own token for this version of the file, where it has one.
        captured_at: time of capture.
        captured_from: what said so: ``exif``, ``coco`` or ``file``.
        labels: canonical JSON of the boxes, in pixels of the captured picture.
        labels_state: size, time and etag of the file that the labels were read from, where there is one.
        annotated_size: ``(width, height)`` in pixels as annotated, where the labels say it.
        notes: what was done to boxes, in words.
    """

    image_id: str
    labels_id: str
    device: str
    path: str
    size: int
    modified: datetime
    captured_at: datetime
    captured_from: str
    labels: str
    annotated_size: tuple[int, int] | None = None
    etag: str | None = None
    labels_state: str | None = None
    notes: tuple[str, ...] = ()
    ingested_at: datetime = field(default_factory=now)


@dataclass(frozen=True)
class Refusal:
    """What was not taken, and why: a row of ``quarantine``.

    Attributes:
        path: in a safe spelling: control characters escaped, at most 300 characters.
        size: of the file in bytes; ``None`` where there is no file.
        modified: the file's time; ``None`` where there is no file.
        reason: names the file and says what to do.
        image_id: SHA-256 of the bytes, where they were read.
        etag: the storage's own token for this version of the file, where it has one.
        status: of the same file state and reason the newest row counts: ``refused``, so that the file is not read
            again; ``retry``, so that the next ingestion reads it; ``dropped``, given up and no longer listed.
    """

    device: str
    path: str
    size: int | None
    modified: datetime | None
    reason: str
    image_id: str | None = None
    etag: str | None = None
    status: str = "refused"
    quarantined_at: datetime = field(default_factory=now)


DeliveryStatus = Literal["planned", "sent", "acknowledged", "asked", "resent", "refused", "heard", "reset"]


@dataclass(frozen=True)
class Delivery:
    """Something that happened to a shard on its way to a device: a row of ``deliveries``, which is a log.

    Attributes:
        generation: 1 or more; a reset begins the next one, in which all is sent anew.
        sequence: of the shard within its generation, 1 or more; 0 where the row is about no shard.
        status: ``planned``: these images are this shard's, and no other's; ``sent``: it lies in the inbox;
            ``acknowledged``: the device has verified and stored it; ``asked``: it has to be sent again; ``resent``: it
            was; ``refused``: the device did not take it; ``heard``: an acknowledgement said nothing new; ``reset``: a
            generation begins.
        number: of the acknowledgement that this follows from; 0 where from none; where a shard was missing in the
            inbox, -1 the first time, -2 the second and so on.
        sha256: of the shard file.
        bytes: of the shard file and its manifest.
        payload_bytes: sum of the rows' ``bytes_total``, and of the shared parts' bytes.
        image_ids: of the rows, in their order. Of the rows of a shard the newest that lists any counts.
        labels_ids: likewise.
        part_ids: likewise, of the shared parts that the shard carries: what its frames need and no shard before it in
            the generation carries.
        reason: why it is asked for, or was refused.
    """

    device: str
    generation: int
    sequence: int
    status: DeliveryStatus
    number: int = 0
    encoding_id: str | None = None
    sha256: str | None = None
    bytes: int = 0
    payload_bytes: int = 0
    rows: int = 0
    image_ids: tuple[str, ...] = ()
    labels_ids: tuple[str, ...] = ()
    part_ids: tuple[str, ...] = ()
    reason: str | None = None
    delivered_at: datetime = field(default_factory=now)

    @property
    def shard(self) -> str:
        """The shard's name."""
        return f"shard-{self.generation:04d}-{self.sequence:08d}"


@dataclass(frozen=True)
class Pending:
    """An image with its newest labels that waits to be encoded.

    Attributes:
        labels: canonical JSON of the boxes, UTF-8.
        annotated_size: ``(width, height)`` in pixels as annotated, where the labels say it.
        device: one that has the file.
        path: relative to that device's storage.
        captured_at: by that device; ``None`` where nothing says it.
    """

    image_id: str
    labels_id: str
    labels: bytes
    annotated_size: tuple[int, int] | None
    device: str
    path: str
    captured_at: datetime | None = None


@dataclass(frozen=True)
class Summary:
    """What a store holds: sums of bytes and means of dB over its images.

    Attributes:
        images: rows, the newest per image and encoding.
        background_db: ``None`` where no image has a background outside its boxes.
        object_db: ``None`` without boxes.
        families: names, sorted.
        bytes_shared: their shares in what frames of clips share, in whole bytes; beside ``bytes_total``.
    """

    images: int
    bytes_total: int
    bytes_background: int
    bytes_objects: int
    bytes_overhead: int
    background_db: float | None
    object_db: float | None
    families: tuple[str, ...]
    bytes_shared: int = 0


def pending_from_row(row: dict[str, Any]) -> Pending:
    """The image of a row of ``sources``, to be encoded with that row's labels."""
    return Pending(
        image_id=row["image_id"],
        labels_id=row["labels_id"],
        labels=row["labels"].encode(),
        annotated_size=annotated_size(row),
        device=row["device"],
        path=row["path"],
        captured_at=row["captured_at"],
    )


def image_row(image: EncodedImage, created_at: datetime) -> dict[str, Any]:
    """An encoded image as a row of ``images``."""
    frame, payload = image.frame, pack_frame(image.frame)
    return {
        "image_id": image.image_id,
        "labels_id": image.labels_id,
        "encoding_id": image.encoding_id,
        "source_width": image.source_size[0],
        "source_height": image.source_size[1],
        "family": image.family,
        "preset": image.preset,
        "picked": image.picked,
        "stopped": image.stopped,
        "bytes_total": len(payload),
        "bytes_background": frame.bytes_background,
        "bytes_objects": frame.bytes_objects,
        "bytes_overhead": len(payload) - frame.bytes_background - frame.bytes_objects,
        "background_db": _to_1024th(image.background_db),
        "object_db": _to_1024th(image.object_db),
        "fit_seconds": _to_1024th(image.fit_seconds),
        "codec_version": image.codec_version,
        "created_at": created_at,
        "width": frame.width,
        "height": frame.height,
        "payload": payload,
        "part_id": image.part_id,
        "bytes_shared": image.bytes_shared,
        "clip": image.clip,
        "objects": [{name: getattr(box, name) for name in _OBJECT_FIELDS} for box in frame.boxes],
    }


def part_row(clip: EncodedClip, created_at: datetime) -> dict[str, Any]:
    """What frames of a clip share as a row of ``parts``.

    Raises:
        ValueError: there is no such part, or it is malformed.
    """
    if clip.part is None:
        raise ValueError("a clip without a shared part has no row of parts")
    part = unpack_part(clip.part)
    return {
        "part_id": part_id(clip.part),
        "encoding_id": clip.images[0].encoding_id,
        "payload": clip.part,
        "width": part.width,
        "height": part.height,
        "frames": len(clip.images),
        "bytes": len(clip.part),
        "created_at": created_at,
    }


def _to_1024th(value: float | None) -> float | None:
    """Rounded by less than anybody would read, to few bits: noise in the others would cost 6 bytes a column and row."""
    return None if value is None else round(value * 1024) / 1024


def source_row(source: Source) -> dict[str, Any]:
    """A source as a row of ``sources``."""
    width, height = source.annotated_size or (None, None)
    row = {name: getattr(source, name) for name in SOURCES.schema.names if not name.startswith("annotated_")}
    return row | {"annotated_width": width, "annotated_height": height, "notes": list(source.notes)}


def source_from_row(row: dict[str, Any]) -> Source:
    """The inverse of :func:`source_row`."""
    values = {name: value for name, value in row.items() if not name.startswith("annotated_")}
    return Source(**values | {"annotated_size": annotated_size(row), "notes": tuple(row["notes"])})


def annotated_size(row: dict[str, Any]) -> tuple[int, int] | None:
    """``(width, height)`` of a row of ``sources``, where it has both."""
    width, height = row["annotated_width"], row["annotated_height"]
    return None if width is None or height is None else (width, height)


def refusal_row(refusal: Refusal) -> dict[str, Any]:
    """A refusal as a row of ``quarantine``."""
    return {name: getattr(refusal, name) for name in QUARANTINE.schema.names}


def delivery_row(delivery: Delivery) -> dict[str, Any]:
    """An event of a delivery as a row of ``deliveries``."""
    lists = ("image_ids", "labels_ids", "part_ids")
    row = {name: getattr(delivery, name) for name in DELIVERIES.schema.names if name != "encoding_ids"}
    return row | {name: list(row[name]) or None for name in lists} | {"encoding_ids": None}
