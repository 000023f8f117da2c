import hashlib
import zlib
from dataclasses import replace

import pytest

from rinr.codec.bytestream import PayloadError, Reader, varint
from rinr.codec.clip import (
    MAX_PART_BYTES,
    MAX_SHIFT,
    MAX_TIME,
    MAX_ZOOM,
    ClipPlace,
    SharedPart,
    is_part,
    pack_part,
    pack_place,
    part_id,
    part_name,
    read_place,
    unpack_part,
)
from rinr.codec.frame import EncodedFrame, pack_frame, unpack_frame

PART = SharedPart(700, 400, b"network")
PLACE = ClipPlace(bytes(range(8)), 3, (-40, 17), (5, -900))


def sealed(body):
    return body + zlib.crc32(body).to_bytes(4, "little")


def test_a_part_comes_back_and_is_called_by_its_hash():
    data = pack_part(PART)
    assert unpack_part(data) == PART
    assert part_id(data) == hashlib.sha256(data).hexdigest()
    assert part_name(data).hex() == part_id(data)[:16]


def test_parts_and_frames_are_told_apart_by_their_first_bytes():
    frame = pack_frame(EncodedFrame(9, 9, b"x"))
    assert is_part(pack_part(PART))
    assert not is_part(frame)
    assert not is_part(b"RINR\x01")
    with pytest.raises(PayloadError, match="magic"):
        unpack_frame(pack_part(PART))
    with pytest.raises(PayloadError, match="magic"):
        unpack_part(frame)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "truncated at magic"),
        (sealed(b"RS\x02\x09\x09"), "version 2 is not known"),
        (pack_part(PART)[:-1], "checksum"),
        (pack_part(PART)[:5] + b"!" + pack_part(PART)[6:], "checksum"),
        (sealed(b"RS\x01\x00\x09"), "width is 0"),
        (sealed(b"RS\x01\x80\x20\x80\x20"), "4096x4096 pixels"),
        (b"RS\x01" + bytes(MAX_PART_BYTES), "more than"),
    ],
)
def test_a_part_that_lies_is_refused_by_the_name_of_its_field(data, says):
    with pytest.raises(PayloadError, match=says):
        unpack_part(data)


def test_a_canvas_over_the_limits_is_not_written():
    with pytest.raises(ValueError, match="4097x9 pixels is over the limits"):
        pack_part(replace(PART, width=4097, height=9))


@pytest.mark.parametrize(
    "place",
    [
        PLACE,
        ClipPlace(bytes(8)),
        ClipPlace(bytes(8), MAX_TIME),
        ClipPlace(bytes(8), 0, (MAX_ZOOM, -MAX_ZOOM), (MAX_SHIFT, -MAX_SHIFT)),
        ClipPlace(bytes(8), 0, (0, 0), (0, -1)),
    ],
)
def test_a_place_comes_back_in_a_frame_with_and_without_objects(place):
    reader = Reader(pack_place(place), "a place")
    assert read_place(reader) == place
    reader.expect_end()
    frame = EncodedFrame(64, 48, b"background", clip=place)
    assert unpack_frame(pack_frame(frame)) == frame
    assert frame.bytes_overhead == len(pack_frame(frame)) - len(b"background")


def test_a_place_without_moves_takes_nine_bytes():
    assert len(pack_place(ClipPlace(bytes(8)))) == 9


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (bytes(7), "truncated at shared part"),
        (bytes(8) + varint(2 * MAX_TIME + 2), "time is 131072"),
        (bytes(8) + b"\x01\x00\x00\x00\x00", "moves are all zero"),
        (bytes(8) + b"\x01" + varint(2 * MAX_ZOOM + 1), "zoom across is 8193"),
        (bytes(8) + b"\x01\x00\x00" + varint(2 * MAX_SHIFT + 1), "shift across is 65537"),
        (bytes(8) + b"\x01\x00\x00\x00", "truncated at shift down"),
    ],
)
def test_a_place_that_lies_is_refused_by_the_name_of_its_field(data, says):
    with pytest.raises(PayloadError, match=says):
        read_place(Reader(data, "a place"))


@pytest.mark.parametrize(
    "place",
    [
        ClipPlace(b"short"),
        ClipPlace(bytes(8), -1),
        ClipPlace(bytes(8), MAX_TIME + 1),
        ClipPlace(bytes(8), 0, (MAX_ZOOM + 1, 0)),
        ClipPlace(bytes(8), 0, (0, 0), (0, -MAX_SHIFT - 1)),
    ],
)
def test_a_place_beyond_what_a_payload_may_say_is_not_written(place):
    with pytest.raises(ValueError, match="ClipPlace"):
        pack_place(place)


def test_the_window_takes_the_frames_edges_to_where_its_pixels_lie():
    across, right, down, lower = PLACE.window((64, 48), (100, 80))
    for edge, pixel in ((-1, 0), (1, 64)):
        assert (across * edge + right + 1) / 2 * 100 == pytest.approx(50 + 5 / 8 + (1 - 40 / 8192) * (pixel - 32))
    for edge, pixel in ((-1, 0), (1, 48)):
        assert (down * edge + lower + 1) / 2 * 80 == pytest.approx(40 - 900 / 8 + (1 + 17 / 8192) * (pixel - 24))
