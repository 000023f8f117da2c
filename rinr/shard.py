"""The Arrow schema in which encoded frames travel, a frame payload and its key, and the way between rows and frames.

The weight store's ``images`` table holds these columns and more, so that a reader of one reads the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from rinr.codec.bytestream import PayloadError
from rinr.codec.frame import EncodedFrame, pack_frame, unpack_frame

SHARD = pa.schema(
    [
        ("image_id", pa.string()),
        ("labels_id", pa.string()),
        ("encoding_id", pa.string()),
        ("payload", pa.binary()),
    ]
)


@dataclass(frozen=True)
class ShardRow:
    """One encoded image as it travels: its key and its frame."""

    image_id: str
    labels_id: str
    encoding_id: str
    frame: EncodedFrame


def to_table(rows: Sequence[ShardRow]) -> pa.Table:
    """Rows as an Arrow table with the schema :data:`SHARD`."""
    keys = ("image_id", "labels_id", "encoding_id")
    return pa.Table.from_pylist(
        [{key: getattr(row, key) for key in keys} | {"payload": pack_frame(row.frame)} for row in rows], schema=SHARD
    )


def from_table(table: pa.Table) -> list[ShardRow]:
    """The inverse of :func:`to_table`; columns that a shard does not have are passed over.

    Raises:
        ValueError: a column of :data:`SHARD` is missing; its name is in the message.
        rinr.codec.bytestream.PayloadError: a payload is malformed.
    """
    missing = [name for name in SHARD.names if name not in table.column_names]
    if missing:
        raise ValueError(f"not a table of encoded frames: no column {', '.join(missing)}")
    rows = []
    for row in table.select(SHARD.names).to_pylist():
        try:
            frame = unpack_frame(row["payload"])
        except PayloadError as error:
            raise PayloadError(f"the frame of image {row['image_id']}: {error}") from None
        rows.append(ShardRow(row["image_id"], row["labels_id"], row["encoding_id"], frame))
    return rows
