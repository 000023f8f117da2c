"""The shard file: rows of :data:`rinr.shard.SHARD` as Parquet, uncompressed: payloads are entropy-coded already.

Shared parts of clips are rows as frames are; its manifest speaks of the images alone, since a part's id is its hash.
"""

import hashlib
import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rinr.codec.bytestream import PayloadError
from rinr.shard import SHARD, ShardPart, ShardRow, are_parts, from_table, parts_in, to_table
from storage.places.device_paths import safe_spelling
from storage.shards.faults import Fault, ShardError
from storage.shards.manifest import DATA, MAX_ROWS, Manifest

MAX_TOLD = 80 * MAX_ROWS
"""Characters of what is wrong with a shard: all images of the largest one are named, where it is what they share."""

_ROWS_AT_ONCE = 64


def write_shard(rows: Sequence[ShardRow | ShardPart]) -> bytes:
    """A shard file: equal rows make equal bytes.

    Args:
        rows: 1 to ``MAX_ROWS``, shared parts among them.

    Raises:
        ValueError: no rows, too many, or a row beyond what a shard may hold.
    """
    if not 0 < len(rows) <= MAX_ROWS:
        raise ValueError(f"a shard of {len(rows):,} rows: must have 1 to {MAX_ROWS:,}")
    sink = io.BytesIO()
    # Compression, dictionaries and statistics would only cost bytes; the lengths of payloads take the less room when
    # they stand together. The rows are written as one group: a shard is read as a whole.
    pq.write_table(
        to_table(rows),
        sink,
        row_group_size=MAX_ROWS,
        compression="none",
        use_dictionary=False,
        column_encoding={"image_id": "PLAIN", "payload": "DELTA_LENGTH_BYTE_ARRAY"},
        write_statistics=False,
        store_schema=False,
    )
    return sink.getvalue()


def read_shard(data: bytes, manifest: Manifest) -> list[ShardRow | ShardPart]:
    """The rows of a shard, shared parts first, once its bytes, its hash, its rows and its payloads were checked.

    What is inside networks is not looked at.

    Args:
        data: the shard file.
        manifest: opened, so that it is known to be authentic.

    Raises:
        ShardError: ``TRUNCATED``, ``EDITED``, or ``MALFORMED`` where the bytes are those that were signed.
    """
    name = f"{manifest.name}{DATA}"
    if len(data) != manifest.bytes:
        fault = Fault.TRUNCATED if len(data) < manifest.bytes else Fault.EDITED
        raise ShardError(
            fault, f"{name} has {len(data):,} bytes, its manifest says {manifest.bytes:,}; have it sent again"
        )
    found = hashlib.sha256(data).hexdigest()
    if found != manifest.sha256:
        raise ShardError(
            Fault.EDITED, f"{name} has the SHA-256 {found}, its manifest says {manifest.sha256}; have it sent again"
        )
    try:
        table = _table(data, manifest)
        parts, rows = parts_in(table), from_table(table)
    except (pa.ArrowException, OSError, OverflowError, ValueError) as error:
        what = str(error) if isinstance(error, PayloadError | _ContentError) else f"no Parquet file of a shard: {error}"
        raise ShardError(Fault.MALFORMED, f"{name}: {safe_spelling(what, MAX_TOLD)}") from None
    if tuple(row.image_id for row in rows) != manifest.image_ids:
        raise ShardError(Fault.MALFORMED, f"{name}: its rows are not the images that its manifest says, in their order")
    if len({part.part_id for part in parts}) < len(parts):
        raise ShardError(Fault.MALFORMED, f"{name}: a shared part stands twice")
    return [*parts, *rows]


class _ContentError(ValueError):
    """A Parquet file that is no shard's."""


def _table(data: bytes, manifest: Manifest) -> pa.Table:
    file = pq.ParquetFile(io.BytesIO(data))
    if not file.schema_arrow.equals(SHARD):
        raise _ContentError(f"the columns are {str(file.schema_arrow)[:200]!r}, not those of a shard")
    if file.metadata.num_rows > MAX_ROWS:
        raise _ContentError(f"{file.metadata.num_rows:,} rows, a shard has at most {MAX_ROWS:,}")
    # In what is neither compressed nor put into dictionaries there is never less than what comes out.
    batches, taken = [], 0
    for batch in file.iter_batches(_ROWS_AT_ONCE, use_threads=False):
        taken += batch.nbytes
        if taken > 2 * len(data) + 1024 * _ROWS_AT_ONCE:
            raise _ContentError("it unpacks to more bytes than it has")
        batches.append(batch)
    table = pa.Table.from_batches(batches, file.schema_arrow)
    images = table.num_rows - (pc.sum(are_parts(table["payload"])).as_py() or 0)
    if images != manifest.rows:
        raise _ContentError(f"{images:,} rows of images, its manifest says {manifest.rows:,}")
    payload_bytes = pc.sum(pc.cast(pc.binary_length(table["payload"]), pa.int64())).as_py() or 0
    if payload_bytes != manifest.payload_bytes:
        raise _ContentError(f"its payloads have {payload_bytes:,} bytes, its manifest says {manifest.payload_bytes:,}")
    return table
