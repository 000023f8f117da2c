import hashlib

import pyarrow as pa
import pytest

from rinr.boxes import Box
from rinr.codec.bytestream import PayloadError
from rinr.codec.frame import EncodedFrame, pack_frame
from rinr.shard import SHARD, ShardRow, frames_of, from_table, to_table

FRAMES = [
    EncodedFrame(64, 48, b"background", (Box(1, 2, 3, 4, "boat"),), b"objects"),
    EncodedFrame(640, 360, b"another"),
]
IDS = [hashlib.sha256(bytes([number])).hexdigest() for number in range(2)]
ROWS = [ShardRow(image_id, frame) for image_id, frame in zip(IDS, FRAMES, strict=True)]


def test_rows_and_tables_are_each_others_inverse():
    table = to_table(ROWS)
    assert table.schema == SHARD
    assert table.to_pylist() == [
        {"image_id": bytes.fromhex(image_id), "payload": pack_frame(frame)}
        for image_id, frame in zip(IDS, FRAMES, strict=True)
    ]
    assert from_table(table) == ROWS
    assert from_table(to_table([])) == []
    assert from_table(table.append_column("more", pa.array([1, 2]))) == ROWS


@pytest.mark.parametrize("image_id", ["", "ab", "0" * 66, "x" * 64, "../../etc"])
def test_an_id_that_is_no_hash(image_id: str):
    with pytest.raises(ValueError, match=r"image id|hexadecimal"):
        to_table([ShardRow(image_id, FRAMES[0])])


def column(name: str, values: list, kind: pa.DataType) -> pa.Table:
    table = to_table(ROWS)
    return table.set_column(SHARD.names.index(name), pa.field(name, kind), pa.array(values, kind))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (to_table(ROWS).drop_columns(["payload"]), "no column payload"),
        (to_table(ROWS).select([]), "no column image_id, payload"),
        (column("image_id", IDS, pa.string()), "image_id is string, expected fixed_size_binary"),
        (column("payload", [1, 2], pa.int64()), "payload is int64, expected binary"),
        (column("payload", [b"", None], pa.binary()), "payload has an empty field"),
        (column("image_id", [bytes(32), None], pa.binary(32)), "image_id has an empty field"),
    ],
)
def test_what_is_no_table_of_frames_is_refused_by_column(table: pa.Table, message: str):
    with pytest.raises(ValueError, match=f"not a table of encoded frames: {message}"):
        from_table(table)


def test_a_malformed_frame_is_told_by_its_image():
    table = column("payload", [pack_frame(FRAMES[0]), b"RI\x02"], pa.binary())
    with pytest.raises(PayloadError, match=f"the frame of image {IDS[1]}: frame payload: truncated"):
        from_table(table)


def test_frames_of_the_weight_store():
    payloads = [pack_frame(frame) for frame in FRAMES]
    table = pa.table({"image_id": IDS, "payload": payloads, "labels_id": IDS})
    assert frames_of(table) == FRAMES
    broken = table.set_column(1, "payload", pa.array([payloads[0], payloads[1][:-1]]))
    with pytest.raises(PayloadError, match=f"the frame of image {IDS[1]}: "):
        frames_of(broken)
