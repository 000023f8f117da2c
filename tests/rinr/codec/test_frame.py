import struct
import zlib
from dataclasses import replace

import pytest

from rinr.boxes import Box
from rinr.codec.bytestream import PayloadError, Reader, varint
from rinr.codec.frame import EncodedFrame, pack_frame, unpack_frame

BOXES = (Box(0, 0, 640, 360, "bus"), Box(1, 2, 300, 4, "car"))
FRAME = EncodedFrame(640, 360, b"background", BOXES, b"one")


def number(digits: list[tuple[int, int]]) -> bytes:
    """(digit, base) pairs, the lowest first, as one integer."""
    value, unit = 0, 1
    for digit, base in digits:
        value, unit = value + digit * unit, unit * base
    return value.to_bytes(-(-value.bit_length() // 8), "little")


def test_the_bytes_are_those_of_the_written_format():
    # Written out by hand from the format in the module's docstring.
    boxes = number(
        [(0, 640), (0, 360), (639, 640), (359, 360), (0, 2), (1, 640), (2, 360), (299, 639), (3, 358), (1, 2)]
    )
    body = b"RI\x12" + b"\x80\x05" + b"\xe8\x02" + b"\x0abackground" + b"\x02" + b"\x03bus" + b"\x03car"
    body += b"\x02" + bytes([len(boxes)]) + boxes + b"one"
    assert pack_frame(FRAME) == body + struct.pack("<I", zlib.crc32(body))
    bare = b"RI\x22" + b"\x80\x05" + b"\xe8\x02" + b"background"
    frame = EncodedFrame(640, 360, b"background", pasted=True)
    assert pack_frame(frame) == bare + struct.pack("<I", zlib.crc32(bare))


def test_a_frame_comes_back_and_its_bytes_are_all_counted():
    for frame in (FRAME, replace(FRAME, pasted=True), EncodedFrame(1, 1, b""), EncodedFrame(7, 5, b"b")):
        assert unpack_frame(pack_frame(frame)) == frame
    assert FRAME.bytes_total == len(pack_frame(FRAME))
    assert FRAME.bytes_background == 10
    assert FRAME.bytes_objects == 3
    assert FRAME.bytes_overhead == FRAME.bytes_total - 13


def test_a_box_costs_four_to_five_bytes_where_coordinates_would_take_eight():
    boxes = tuple(sorted(Box(20 * n, 7 * n, 30, 20, "car") for n in range(28)))
    many = EncodedFrame(640, 360, b"background", boxes, b"one")
    one = EncodedFrame(640, 360, b"background", boxes[:1], b"one")
    assert unpack_frame(pack_frame(many)) == many
    assert (many.bytes_total - one.bytes_total) / 27 < 4.5


def test_boxes_that_are_not_in_the_frame_or_not_in_order_are_not_written():
    with pytest.raises(ValueError, match="order"):
        pack_frame(replace(FRAME, boxes=BOXES[::-1]))
    with pytest.raises(ValueError, match="does not lie in"):
        pack_frame(replace(FRAME, boxes=(Box(639, 0, 2, 1, "a"),)))


def test_what_could_not_be_read_back_is_not_written():
    with pytest.raises(ValueError, match="not printable"):
        pack_frame(replace(FRAME, boxes=(Box(0, 0, 2, 1, "a\x1b"),)))
    with pytest.raises(ValueError, match="4,097 boxes"):
        pack_frame(replace(FRAME, boxes=(Box(0, 0, 2, 1, "a"),) * 4097))
    with pytest.raises(ValueError, match="5000x10 pixels"):
        pack_frame(replace(FRAME, width=5000, height=10))


def test_every_flipped_bit_and_every_truncation_is_noticed():
    data = pack_frame(FRAME)
    for position in range(len(data)):
        with pytest.raises(PayloadError):
            unpack_frame(data[:position])
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises(PayloadError):
                unpack_frame(bytes(damaged))


def resealed(body: bytes) -> bytes:
    return body + struct.pack("<I", zlib.crc32(body))


HEAD = b"RI\x12\x09\x09"  # 9x9 pixels, with objects


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"RX\x02" + bytes(20), "magic"),
        (b"RI\x03" + bytes(20), "version 3"),
        (b"RI\x82" + bytes(20), "flags are 8"),
        (b"RI\x02\x00\x01", "width is 0"),
        (b"RI\x02\xff\xff\x04\x01", "width is 81919"),
        (b"RI\x02\x80\x20\x80\x20", "4096x4096 pixels"),
        (HEAD + b"\xff\xff\xff\xff\xff\x7f", "background length is longer than 32 bits"),
        (HEAD + b"\xff\xff\xff\x01", "truncated at background"),
        (HEAD + b"\x00\xff\xff\x7f", "label count"),
        (HEAD + b"\x00\x01\x01\xff\x00", "not UTF-8"),
        (HEAD + b"\x00\x01\x02a\x1b", "label 'a.x1b' is not printable"),
        (HEAD + b"\x00\x00\x01\x00", "boxes without labels"),
        (HEAD + b"\x00\x01\x01a\x00", "box count is 0"),
        (HEAD + b"\x00\x01\x01a\x01\x20", "boxes length"),
        (HEAD + b"\x00\x01\x01a\x01\x04\xff\xff\xff\xff", "digits that no box accounts for"),
        (HEAD + b"\x00\x01\x01a\x01\x02\x01\x00", "digits that no box accounts for"),
        # The second box has the first one's x and a smaller y.
        (HEAD + b"\x00\x01\x01a\x02\x01" + number([(0, 9), (1, 9)]), "canonical order"),
    ],
)
def test_a_well_sealed_lie_is_refused_by_the_name_of_its_field(body, says):
    with pytest.raises(PayloadError, match=says):
        unpack_frame(resealed(body))


def test_varints():
    assert varint(0) == b"\x00"
    assert varint(300) == b"\xac\x02"
    for value in (0, 127, 128, 16_383, 16_384, 2**32 - 1):
        assert Reader(varint(value), "test").varint("value") == value
    with pytest.raises(ValueError, match="negative"):
        varint(-1)
