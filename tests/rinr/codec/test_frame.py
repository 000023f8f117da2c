import struct
import zlib

import pytest

from rinr.boxes import Box
from rinr.codec.bytestream import PayloadError, Reader, varint
from rinr.codec.frame import EncodedFrame, EncodedObject, pack_frame, unpack_frame

FRAME = EncodedFrame(
    640,
    360,
    b"background",
    (EncodedObject(Box(1, 2, 300, 4, "car"), b"one"), EncodedObject(Box(0, 0, 640, 360, "bus"), b"")),
)


def test_the_bytes_are_those_of_the_written_format():
    # Written out by hand from the format in the module's docstring.
    body = b"RINR\x01" + struct.pack("<HH", 640, 360)
    body += b"\x0abackground" + b"\x02" + b"\x03bus" + b"\x03car" + b"\x02"
    body += b"\x01\x02\xac\x02\x04\x01\x03one" + b"\x00\x00\x80\x05\xe8\x02\x00\x00"
    assert pack_frame(FRAME) == body + struct.pack("<I", zlib.crc32(body))


def test_a_frame_comes_back_and_its_bytes_are_all_counted():
    assert unpack_frame(pack_frame(FRAME)) == FRAME
    assert FRAME.bytes_total == len(pack_frame(FRAME))
    assert FRAME.bytes_background == 10
    assert FRAME.bytes_objects == 3
    assert FRAME.bytes_overhead == FRAME.bytes_total - 13


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


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"RINR\x02" + bytes(20), "version 2"),
        (b"RINR\x01\x00\x00\x01\x00\x00\x00\x00", "width is 0"),
        (b"RINR\x01\x09\x00\x09\x00\xff\xff\xff\xff\x7f", "longer than 32 bits|background length"),
        (b"RINR\x01\x09\x00\x09\x00\xff\xff\xff\x01", "background length is 4194303|truncated at background"),
        (b"RINR\x01\x09\x00\x09\x00\x00\xff\xff\x7f", "label count"),
        (b"RINR\x01\x09\x00\x09\x00\x00\x01\x01\xff\x00", "not UTF-8"),
        (b"RINR\x01\x09\x00\x09\x00\x00\x01\x01a\x01\x09", "box x is 9, expected 0 to 8"),
        (
            b"RINR\x01\x09\x00\x09\x00\x00\x01\x01a\x01\x05\x05\x05\x01\x00\x00",
            "box width is 5, expected 1 to 4",
        ),
        (b"RINR\x01\x09\x00\x09\x00\x00\x01\x01a\x01\x05\x05\x01\x01\x01\x00", "label index is 1"),
        (b"RINR\x01\x09\x00\x09\x00\x00\x00\x00junk", "4 bytes left over"),
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
