import hashlib
from dataclasses import replace

import pyarrow as pa
import pytest

from rinr.boxes import Box
from rinr.codec.bytestream import PayloadError
from rinr.codec.clip import ClipPlace, SharedPart, pack_part, part_name
from rinr.codec.frame import EncodedFrame, pack_frame, part_needed
from rinr.shard import SHARD, ShardPart, ShardRow, frames_among, frames_of, from_table, parts_in, to_table

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


PART = ShardPart(pack_part(SharedPart(80, 60, b"network")))
OF_CLIP = [
    ShardRow(
        image_id, EncodedFrame(64, 48, b"own", clip=ClipPlace(part_name(PART.payload), number, (0, 0), (number, 0)))
    )
    for number, image_id in enumerate(IDS)
]


def test_a_shared_part_travels_in_a_row_named_by_its_hash():
    table = to_table([PART, *OF_CLIP, ROWS[1]])
    assert table["image_id"].to_pylist()[0] == hashlib.sha256(PART.payload).digest()
    assert table["payload"].to_pylist()[0] == PART.payload
    assert from_table(table) == [*OF_CLIP, ROWS[1]] == frames_among([PART, *OF_CLIP, ROWS[1]])
    assert parts_in(table) == [PART]
    assert parts_in(to_table(ROWS)) == []


@pytest.mark.parametrize("harm", ["another part's id", "damaged", "malformed"])
def test_a_part_that_is_not_what_its_id_says_is_refused_and_all_its_frames_are_named(harm: str):
    payload, identity = PART.payload, bytes.fromhex(PART.part_id)
    if harm == "another part's id":
        payload = pack_part(SharedPart(80, 60, b"another"))
    elif harm == "damaged":
        payload = payload[:-1] + bytes([payload[-1] ^ 1])
    else:
        payload = payload[:-1]
        identity = hashlib.sha256(payload).digest()
    rows = to_table(OF_CLIP).to_pylist()
    if harm == "malformed":  # frames that mean just these bytes
        frames = [replace(row.frame, clip=ClipPlace(identity[:8])) for row in OF_CLIP]
        rows = [
            {"image_id": bytes.fromhex(row.image_id), "payload": pack_frame(frame)}
            for row, frame in zip(OF_CLIP, frames, strict=True)
        ]
    table = pa.Table.from_pylist([{"image_id": identity, "payload": payload}, *rows], schema=SHARD)
    with pytest.raises(PayloadError, match=f"the shared part {identity.hex()}: ") as caught:
        parts_in(table)
    assert f"2 frames need it: {IDS[0]}, {IDS[1]}" in str(caught.value)
    assert ("its SHA-256 is" in str(caught.value)) == (harm != "malformed")


def test_which_part_a_frame_needs_stands_at_its_beginning():
    for row in OF_CLIP:
        assert part_needed(pack_frame(row.frame)) == part_name(PART.payload)
        assert part_needed(pack_frame(row.frame)[:6]) is None
    for other in (pack_frame(FRAMES[0]), b"", b"RI", b"RINR\x01" + bytes(30), b"RI\xff" + bytes(20), PART.payload):
        assert part_needed(other) is None
