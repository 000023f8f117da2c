"""Frame payloads of the first version, read and never written.

::

    magic "RINR" | version u8 (1) | width u16 | height u16
    background: length varint, network payload
    labels: count varint, then each: length varint, UTF-8
    objects: count varint, then each: x, y, width, height varints | label's index varint | length varint, payload
    crc32 u32 of all before

    network payload: 0xA1 | family u8 (1: SIREN) | body | crc16 u16 of all before (the low half of CRC-32)

What is given back is a frame of today whose networks are of the family ``siren-1`` (:mod:`rinr.networks.siren1`), all
in one group.
"""

from rinr.boxes import Box
from rinr.codec.bytestream import PayloadError, Reader, varint
from rinr.codec.frame import MAX_SIDE, EncodedFrame, check_pixels, read_labels
from rinr.labels import MAX_BOXES_PER_IMAGE

_MAGIC = b"RINR\x01"
_NETWORK_MAGIC = 0xA1
_SIREN = 1
_MAX_NETWORK_BYTES = 4 * 1024 * 1024
_LAST = 0x80


def is_version_1(data: bytes) -> bool:
    """Whether a frame payload says that it is of the first version."""
    return data.startswith(_MAGIC)


def unpack_frame(data: bytes) -> EncodedFrame:
    """Read a frame payload of the first version.

    Raises:
        PayloadError: truncated, damaged, or over a limit.
    """
    reader = Reader(data, "frame payload")
    reader.take(len(_MAGIC), "magic")
    reader.check_crc32()
    width = reader.uint(2, "width", low=1, high=MAX_SIDE)
    height = reader.uint(2, "height", low=1, high=MAX_SIDE)
    check_pixels(width, height)
    background = _body(reader.take(reader.varint("background length", high=_MAX_NETWORK_BYTES), "background"))
    labels = read_labels(reader)
    objects = []
    for _ in range(reader.varint("object count", high=MAX_BOXES_PER_IMAGE)):
        x = reader.varint("box x", high=width - 1)
        y = reader.varint("box y", high=height - 1)
        box_width = reader.varint("box width", low=1, high=width - x)
        box_height = reader.varint("box height", low=1, high=height - y)
        label = reader.varint("label index", high=len(labels) - 1)
        body = _body(reader.take(reader.varint("object length", high=_MAX_NETWORK_BYTES), "object"))
        objects.append((Box(x, y, box_width, box_height, labels[label]), body))
    reader.expect_end()
    objects.sort(key=lambda item: item[0])
    bodies = [body for _, body in objects]
    return EncodedFrame(
        width, height, _networks([background]), tuple(box for box, _ in objects), _networks(bodies) if bodies else b""
    )


def _body(data: bytes) -> bytes:
    reader = Reader(data, "network payload")
    magic = reader.u8("magic")
    if magic != _NETWORK_MAGIC:
        raise PayloadError(f"network payload: magic is {magic:x}, expected {_NETWORK_MAGIC:x}")
    reader.check_crc16()
    family = reader.u8("family")
    if family != _SIREN:
        raise PayloadError(f"network payload: family {family} is not known here")
    return reader.rest()


def _networks(bodies: list[bytes]) -> bytes:
    """Bodies as today's networks are written."""
    return bytes([_SIREN | _LAST]) + b"".join(part for body in bodies for part in (varint(len(body)), body))
