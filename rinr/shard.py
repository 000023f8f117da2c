"""The Arrow schema in which encoded frames travel, and the way between its rows and frames.

A row is an image's id and its frame payload, which holds boxes, labels and sizes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from rinr.codec.bytestream import PayloadError
from rinr.codec.frame import EncodedFrame, pack_frame, unpack_frame

SHARD = pa.schema(
    [
        pa.field("image_id", pa.binary(32), nullable=False),
        pa.field("payload", pa.binary(), nullable=False),
    ]
)


@dataclass(frozen=True)
class ShardRow:
    """One encoded image as it travels.

    Attributes:
        image_id: 64 hexadecimal digits.
        frame: its networks, boxes and labels.
    """

    image_id: str
    frame: EncodedFrame


def to_table(rows: Sequence[ShardRow]) -> pa.Table:
    """Rows as an Arrow table with the schema :data:`SHARD`.

    Raises:
        ValueError: an image id is no SHA-256 in hexadecimal, or a frame is beyond what a payload may hold.
    """
    ids = [bytes.fromhex(row.image_id) for row in rows]
    for row, raw in zip(rows, ids, strict=True):
        if len(raw) != 32:
            raise ValueError(f"the image id {row.image_id[:80]!r} has {len(raw)} bytes, expected 32")
    columns = [pa.array(ids, SHARD.field("image_id").type), pa.array([pack_frame(row.frame) for row in rows])]
    return pa.table(columns, schema=SHARD)


def from_table(table: pa.Table) -> list[ShardRow]:
    """The inverse of :func:`to_table`; columns that a shard does not have are passed over.

    Raises:
        ValueError: a column of :data:`SHARD` is missing, of another type, or has an empty field; the message names it.
        rinr.codec.bytestream.PayloadError: a payload is malformed.
    """
    check_columns(table)
    ids = [raw.hex() for raw in table["image_id"].to_pylist()]
    return [ShardRow(image_id, frame) for image_id, frame in zip(ids, _frames(ids, table["payload"]), strict=True)]


def check_columns(table: pa.Table) -> None:
    """Refuse a table that has not the columns of :data:`SHARD`.

    Raises:
        ValueError: a column is missing, of another type, or has an empty field; the message names it.
    """
    missing = [name for name in SHARD.names if name not in table.column_names]
    if missing:
        raise ValueError(f"not a table of encoded frames: no column {', '.join(missing)}")
    for field in SHARD:
        column = table[field.name]
        if column.type != field.type:
            raise ValueError(f"not a table of encoded frames: {field.name} is {column.type}, expected {field.type}")
        if column.null_count:
            raise ValueError(f"not a table of encoded frames: {field.name} has an empty field")


def frames_of(table: pa.Table) -> list[EncodedFrame]:
    """The frames of a table of the weight store, in the order of its rows.

    Args:
        table: with the columns ``image_id``, in hexadecimal, and ``payload``.

    Raises:
        rinr.codec.bytestream.PayloadError: a payload is malformed.
    """
    return _frames(table["image_id"].to_pylist(), table["payload"])


def _frames(image_ids: Sequence[str], payloads: pa.ChunkedArray) -> list[EncodedFrame]:
    frames = []
    for image_id, payload in zip(image_ids, payloads.to_pylist(), strict=True):
        try:
            frames.append(unpack_frame(payload))
        except PayloadError as error:
            raise PayloadError(f"the frame of image {image_id}: {error}") from None
    return frames
