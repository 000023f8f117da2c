import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rinr.codec.frame import EncodedFrame, pack_frame
from rinr.shard import SHARD, ShardPart, ShardRow, to_table
from storage.shards import shard_file
from storage.shards.faults import Fault, ShardError
from storage.shards.manifest import MAX_ROWS, Manifest, write_manifest
from storage.shards.shard_file import read_shard, write_shard
from tests.storage.examples import digest, shared_part
from tests.storage.shards.examples import DATA, FOG, MANIFEST, ROWS, manifest_of, row

PACKED = pack_frame(ROWS[0].frame)


def authentic(data: bytes, rows: Sequence[ShardRow] = ROWS, **changes: Any) -> Manifest:
    """A manifest of any bytes, with the right size and hash."""
    return manifest_of(rows, data, **changes)


def refused(data: bytes, manifest: Manifest) -> ShardError:
    with pytest.raises(ShardError, match=r"^shard-0001-00000002\.parquet") as error:
        read_shard(data, manifest)
    assert str(error.value).isprintable()
    return error.value


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def with_column(name: str, values: list[Any], nullable: bool = False) -> pa.Table:
    fields = [pa.field(f.name, f.type, nullable=nullable) for f in SHARD]
    columns = {f.name: to_table(ROWS)[f.name] for f in SHARD} | {name: pa.array(values, SHARD.field(name).type)}
    return pa.table(list(columns.values()), schema=pa.schema(fields))


def test_what_is_written_is_read():
    assert read_shard(DATA, MANIFEST) == ROWS
    assert write_shard(ROWS) == DATA
    one = [row(7)]
    assert read_shard(write_shard(one), manifest_of(one, write_shard(one))) == one


def test_it_is_the_file_that_is_documented():
    file = pq.ParquetFile(io.BytesIO(DATA))
    assert file.schema_arrow == SHARD
    assert [(f.name, f.physical_type, f.max_definition_level) for f in (file.schema.column(i) for i in (0, 1))] == [
        ("image_id", "FIXED_LEN_BYTE_ARRAY", 0),
        ("payload", "BYTE_ARRAY", 0),
    ]
    assert file.metadata.num_row_groups == 1
    columns = [file.metadata.row_group(0).column(i) for i in (0, 1)]
    assert [c.compression for c in columns] == ["UNCOMPRESSED"] * 2
    assert ["PLAIN" in columns[0].encodings, "DELTA_LENGTH_BYTE_ARRAY" in columns[1].encodings] == [True, True]
    table = file.read()
    assert [value.hex() for value in table["image_id"].to_pylist()] == [one.image_id for one in ROWS]
    assert table["payload"].to_pylist() == [pack_frame(one.frame) for one in ROWS]


@pytest.mark.parametrize("count", [0, MAX_ROWS + 1])
def test_no_rows_or_too_many_make_no_shard(count: int):
    with pytest.raises(ValueError, match="must have 1 to 20,000"):
        write_shard([ROWS[0]] * count)


def test_what_a_frame_costs_besides_its_payload():
    """An id in the file and in the manifest: 32 bytes, and 43 in base64; lengths take two; the rest is for all."""
    for count, a_frame in ((512, 79.0), (5_000, 77.0)):
        sizes = np.random.default_rng(count).integers(3_000, 9_000, count).tolist()
        rows = [ShardRow(digest(str(i)), EncodedFrame(640, 360, os.urandom(size))) for i, size in enumerate(sizes)]
        data = write_shard(rows)
        manifest = manifest_of(rows, data)
        total = len(data) + len(write_manifest(manifest, FOG)) - manifest.payload_bytes
        print(f"{count:,} frames: {total / count:.1f} bytes a frame besides its payload")
        assert 75 * count < total <= a_frame * count
    # What a shard of one frame has besides: Parquet's footer, the manifest's words and its signature.
    one = len(DATA) + len(write_manifest(MANIFEST, FOG)) - MANIFEST.payload_bytes - 77 * len(ROWS)
    print(f"and {one} bytes a shard")
    assert one < 900


@pytest.mark.parametrize(
    ("data", "fault", "message"),
    [
        (b"", Fault.TRUNCATED, "has 0 bytes, its manifest says"),
        (DATA[:-1], Fault.TRUNCATED, "bytes, its manifest says"),
        (DATA + b"x", Fault.EDITED, "bytes, its manifest says"),
        (DATA[:50] + bytes([DATA[50] ^ 1]) + DATA[51:], Fault.EDITED, "has the SHA-256"),
    ],
)
def test_a_damaged_shard_is_refused(data: bytes, fault: Fault, message: str):
    error = refused(data, MANIFEST)
    assert error.fault is fault
    assert message in str(error)
    assert "have it sent again" in str(error)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (to_table(ROWS[:2]), "2 rows of images, its manifest says 3"),
        (to_table([*ROWS, row(3)]), "4 rows of images, its manifest says 3"),
        (to_table(ROWS[::-1]), "its rows are not the images that its manifest says"),
        (to_table([*ROWS[:2], replace(ROWS[2], image_id="0" * 64)]), "its rows are not the images"),
        (to_table(ROWS).drop_columns(["payload"]), "not those of a shard"),
        (to_table(ROWS).select(["payload", "image_id"]), "not those of a shard"),
        (to_table(ROWS).append_column("more", pa.array([1, 2, 3])), "not those of a shard"),
        (to_table(ROWS).set_column(1, "payload", pa.array([1, 2, 3])), "not those of a shard"),
        (with_column("payload", [b"1", None, b"2"], nullable=True), "not those of a shard"),
        (with_column("payload", [PACKED, b"", PACKED]), "its payloads have"),
    ],
)
def test_an_authentic_shard_of_wrong_contents_is_refused(table: pa.Table, message: str):
    data = parquet(table)
    error = refused(data, authentic(data))
    assert error.fault is Fault.MALFORMED
    assert message in str(error)


def test_an_authentic_shard_with_a_malformed_frame_is_refused():
    data = parquet(with_column("payload", [PACKED[:-1] + b"x", PACKED, PACKED]))
    error = refused(data, authentic(data, payload_bytes=3 * len(PACKED)))
    assert error.fault is Fault.MALFORMED
    assert f"the frame of image {ROWS[0].image_id}: frame payload: checksum is" in str(error)


@pytest.mark.parametrize("data", [b"x", b"PAR1", b"PAR1 nonsense PAR1", b"PAR1" + bytes(1_000) + b"PAR1"])
def test_what_is_no_parquet(data: bytes):
    assert refused(data, authentic(data)).fault is Fault.MALFORMED


@pytest.mark.parametrize("options", [{"compression": "zstd"}, {"compression": "none", "use_dictionary": True}])
def test_what_unpacks_to_more_than_it_is_stops_early(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    """Frames of 50 MB in a file of some kB: no more than a few of them are taken out."""
    rows = [replace(ROWS[0], image_id=digest(str(i)), frame=EncodedFrame(64, 48, bytes(100_000))) for i in range(500)]
    data = parquet(to_table(rows), row_group_size=500, **options)
    assert len(data) < 1_000_000
    monkeypatch.setattr(shard_file, "from_table", lambda _: pytest.fail("a frame is looked at"))
    manifest = authentic(data, rows, payload_bytes=1)
    error = refused(data, manifest)
    assert error.fault is Fault.MALFORMED
    assert "unpacks to more bytes than it has" in str(error)


def test_shared_parts_stand_before_the_frames_and_are_named_by_their_hash():
    parts = [ShardPart(shared_part(1)), ShardPart(shared_part(2))]
    rows = [*parts, *ROWS]
    data = write_shard(rows)
    manifest = authentic(data, payload_bytes=sum(len(part.payload) for part in parts) + MANIFEST.payload_bytes)
    assert manifest.image_ids == MANIFEST.image_ids
    assert read_shard(data, manifest) == rows
    table = pq.read_table(io.BytesIO(data)).to_pylist()
    assert [row["payload"][:2] for row in table] == [b"RS", b"RS", b"RI", b"RI", b"RI"]
    assert all(row["image_id"] == hashlib.sha256(row["payload"]).digest() for row in table[:2])
    mixed = write_shard([ROWS[0], parts[1], *ROWS[1:], parts[0]])  # another fog's order: frames in theirs
    assert read_shard(mixed, replace(manifest, sha256=hashlib.sha256(mixed).hexdigest(), bytes=len(mixed))) == [
        parts[1],
        parts[0],
        *ROWS,
    ]


def test_a_part_that_stands_twice_is_damaged_or_not_counted_is_refused():
    part = ShardPart(shared_part(1))
    size = MANIFEST.payload_bytes + len(part.payload)
    twice = write_shard([part, part, *ROWS])
    assert "a shared part stands twice" in str(refused(twice, authentic(twice, payload_bytes=size + len(part.payload))))
    once = write_shard([part, *ROWS])
    assert "its payloads have" in str(refused(once, authentic(once)))
    table = to_table([part, *ROWS])
    spoilt = [part.payload[:-1] + b"!", *table["payload"].to_pylist()[1:]]
    data = parquet(table.set_column(1, SHARD.field("payload"), pa.array(spoilt, pa.binary())))
    error = refused(data, authentic(data, payload_bytes=size))
    assert error.fault is Fault.MALFORMED
    assert f"the shared part {part.part_id}: its SHA-256 is" in str(error)
    alone = write_shard([part])
    assert "0 rows of images" in str(refused(alone, authentic(alone, payload_bytes=len(part.payload))))


def test_ids_are_hashes():
    for image_id in ("", "ab", "0" * 66, "x" * 64):
        with pytest.raises(ValueError, match=r"image id|hexadecimal"):
            write_shard([replace(ROWS[0], image_id=image_id)])
    assert hashlib.sha256(DATA).hexdigest() == MANIFEST.sha256
