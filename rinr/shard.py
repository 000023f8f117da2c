"""The Arrow schema in which encoded frames are stored and travel, and the way between rows and frames.

A shard holds :data:`SHARD`'s columns; the weight store's ``images`` table holds the same and more, so that a reader
of one reads the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from rinr.boxes import Box
from rinr.codec.frame import EncodedFrame, EncodedObject

BOX = pa.struct([(name, pa.int32()) for name in ("x", "y", "width", "height")])
OBJECT = pa.struct([("box", BOX), ("label", pa.string()), ("payload", pa.binary())])

SHARD = pa.schema(
    [
        ("image_id", pa.string()),
        ("labels_id", pa.string()),
        ("encoding_id", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("background", pa.binary()),
        ("objects", pa.list_(OBJECT)),
    ]
)


@dataclass(frozen=True)
class ShardRow:
    """One encoded image as it travels: its key and its frame."""

    image_id: str
    labels_id: str
    encoding_id: str
    frame: EncodedFrame


def frame_columns(frame: EncodedFrame) -> dict[str, Any]:
    """A frame as the columns ``width``, ``height``, ``background`` and ``objects``."""
    return {
        "width": frame.width,
        "height": frame.height,
        "background": frame.background,
        "objects": [
            {
                "box": {"x": o.box.x, "y": o.box.y, "width": o.box.width, "height": o.box.height},
                "label": o.box.label,
                "payload": o.payload,
            }
            for o in frame.objects
        ],
    }


def frame_from_columns(row: dict[str, Any]) -> EncodedFrame:
    """The inverse of :func:`frame_columns`."""
    objects = tuple(EncodedObject(Box(**item["box"], label=item["label"]), item["payload"]) for item in row["objects"])
    return EncodedFrame(row["width"], row["height"], row["background"], objects)


def to_table(rows: Sequence[ShardRow]) -> pa.Table:
    """Rows as an Arrow table with the schema :data:`SHARD`."""
    keys = ("image_id", "labels_id", "encoding_id")
    return pa.Table.from_pylist(
        [{key: getattr(row, key) for key in keys} | frame_columns(row.frame) for row in rows], schema=SHARD
    )


def from_table(table: pa.Table) -> list[ShardRow]:
    """The inverse of :func:`to_table`; columns that a shard does not have are passed over.

    Raises:
        ValueError: a column of :data:`SHARD` is missing; its name is in the message.
    """
    missing = [name for name in SHARD.names if name not in table.column_names]
    if missing:
        raise ValueError(f"not a table of encoded frames: no column {', '.join(missing)}")
    return [
        ShardRow(row["image_id"], row["labels_id"], row["encoding_id"], frame_from_columns(row))
        for row in table.select(SHARD.names).to_pylist()
    ]
