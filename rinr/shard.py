"""The Arrow schema in which encoded frames travel, and the way between its rows and frames.

A row is an image's id and its frame payload, which holds boxes, labels and sizes; or the hash of what frames of a clip
share, and that.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from rinr.codec.bytestream import PayloadError
from rinr.codec.clip import MAGIC, NAME_BYTES, part_id, unpack_part
from rinr.codec.frame import EncodedFrame, pack_frame, part_needed, unpack_frame

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


@dataclass(frozen=True)
class ShardPart:
    """What frames of a clip share, as it travels: once, however many frames need it.

    Attributes:
        payload: as :func:`rinr.codec.clip.pack_part` writes it.
    """

    payload: bytes

    @cached_property
    def part_id(self) -> str:
        """Its SHA-256 in hexadecimal, which stands in the row's ``image_id``."""
        return part_id(self.payload)


def to_table(rows: Sequence[ShardRow | ShardPart]) -> pa.Table:
    """Rows as an Arrow table with the schema :data:`SHARD`.

    Raises:
        ValueError: an image id is no SHA-256 in hexadecimal, or a frame is beyond what a payload may hold.
    """
    ids = [bytes.fromhex(row_id(row)) for row in rows]
    for row, raw in zip(rows, ids, strict=True):
        if len(raw) != 32:
            raise ValueError(f"the image id {row_id(row)[:80]!r} has {len(raw)} bytes, expected 32")
    payloads = [row.payload if isinstance(row, ShardPart) else pack_frame(row.frame) for row in rows]
    columns = [pa.array(ids, SHARD.field("image_id").type), pa.array(payloads, pa.binary())]
    return pa.table(columns, schema=SHARD)


def from_table(table: pa.Table) -> list[ShardRow]:
    """The frames of a table as :func:`to_table` makes it; :func:`parts_in` gives what they share.

    Columns that a shard does not have are passed over.

    Raises:
        ValueError: a column of :data:`SHARD` is missing, of another type, or has an empty field; the message names it.
        rinr.codec.bytestream.PayloadError: a payload is malformed.
    """
    check_columns(table)
    frames = table.filter(pc.invert(are_parts(table["payload"])))
    rows = zip((raw.hex() for raw in frames["image_id"].to_pylist()), frames["payload"].to_pylist(), strict=True)
    return [ShardRow(image_id, _frame(image_id, payload)) for image_id, payload in rows]


def parts_in(table: pa.Table) -> list[ShardPart]:
    """The shared parts of a table as :func:`to_table` makes it; their networks are not read.

    Raises:
        ValueError: as :func:`from_table`.
        rinr.codec.bytestream.PayloadError: a part is malformed, or its hash is not its id; the message names it and all
            frames of the table that need it.
    """
    check_columns(table)
    parts = table.filter(are_parts(table["payload"]))
    payloads = parts["payload"].to_pylist()
    for raw, payload in zip(parts["image_id"].to_pylist(), payloads, strict=True):
        try:
            check_part(raw.hex(), payload)
        except PayloadError as error:
            rows = zip(table["image_id"].to_pylist(), table["payload"].to_pylist(), strict=True)
            needing = [image_id.hex() for image_id, frame in rows if part_needed(frame) == raw[:NAME_BYTES]]
            raise PayloadError(f"{error}; {needing_told(needing)}") from None
    return [ShardPart(payload) for payload in payloads]


def are_parts(payloads: pa.ChunkedArray) -> pa.ChunkedArray:
    """Which payloads are those of shared parts rather than of frames, by their first bytes, ``[rows]`` of bool."""
    return pc.equal(pc.binary_slice(payloads, 0, len(MAGIC)), pa.scalar(MAGIC, pa.binary()))


def check_part(identity: str, payload: bytes) -> None:
    """Refuse a shared part that is malformed, or is not the one that its id says.

    Args:
        identity: 64 hexadecimal digits.
        payload: the part.

    Raises:
        rinr.codec.bytestream.PayloadError: it is so.
    """
    if (found := part_id(payload)) != identity:
        raise PayloadError(f"the shared part {identity}: its SHA-256 is {found}: it is damaged, or another one")
    try:
        unpack_part(payload)
    except PayloadError as error:
        raise PayloadError(f"the shared part {identity}: {error}") from None


def needing_told(image_ids: Sequence[str]) -> str:
    """Which frames need a part, in words that name them all."""
    if not image_ids:
        return "no frame here needs it"
    return f"{len(image_ids):,} {'frame needs' if len(image_ids) == 1 else 'frames need'} it: {', '.join(image_ids)}"


def row_id(row: ShardRow | ShardPart) -> str:
    """What stands in the column ``image_id`` of a row, in hexadecimal."""
    return row.part_id if isinstance(row, ShardPart) else row.image_id


def frames_among(rows: Iterable[ShardRow | ShardPart]) -> list[ShardRow]:
    """The rows that are frames."""
    return [row for row in rows if isinstance(row, ShardRow)]


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
    rows = zip(table["image_id"].to_pylist(), table["payload"].to_pylist(), strict=True)
    return [_frame(image_id, payload) for image_id, payload in rows]


def _frame(image_id: str, payload: bytes) -> EncodedFrame:
    try:
        return unpack_frame(payload)
    except PayloadError as error:
        raise PayloadError(f"the frame of image {image_id}: {error}") from None
