"""The encoded frame: what travels for one image, and its one byte count.

A *frame payload* is the whole of it in one file (``.rinr``), which a decoder needs nothing besides::

    magic "RINR" | version u8 | width u16 | height u16
    background: length varint, network payload
    labels: count varint, then each: length varint, UTF-8
    objects: count varint, then each: x, y, width, height varints | label's index varint | length varint, payload
    crc32 u32 of all before

Integers are little-endian; a varint is LEB128. Network payloads are described in :mod:`rinr.codec.payload`.
"""

import zlib
from dataclasses import dataclass

from rinr.boxes import Box
from rinr.codec.bytestream import PayloadError, Reader, varint
from rinr.labels import MAX_BOXES_PER_IMAGE, MAX_LABEL_BYTES

MAGIC = b"RINR"
VERSION = 1
MAX_SIDE = 65_535
MAX_NETWORK_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class EncodedObject:
    """One residual object: its box in the working frame and its network payload."""

    box: Box
    payload: bytes


@dataclass(frozen=True)
class EncodedFrame:
    """One image as networks: all that a decoder needs.

    Attributes:
        width: of the working frame, in pixels.
        height: of the working frame, in pixels.
        background: the background's network payload.
        objects: in the order of their boxes.
    """

    width: int
    height: int
    background: bytes
    objects: tuple[EncodedObject, ...]

    @property
    def bytes_total(self) -> int:
        """Bytes that travel for this image: the length of its frame payload, headers, boxes and labels included."""
        return len(pack_frame(self))

    @property
    def bytes_background(self) -> int:
        """Bytes of the background's network payload."""
        return len(self.background)

    @property
    def bytes_objects(self) -> int:
        """Bytes of all objects' network payloads."""
        return sum(len(item.payload) for item in self.objects)

    @property
    def bytes_overhead(self) -> int:
        """Bytes of the rest: header, boxes, labels, lengths and checksum."""
        return self.bytes_total - self.bytes_background - self.bytes_objects


def pack_frame(frame: EncodedFrame) -> bytes:
    """Write a frame payload. The inverse of :func:`unpack_frame`."""
    labels = sorted({item.box.label for item in frame.objects})
    parts = [
        MAGIC,
        bytes([VERSION]),
        frame.width.to_bytes(2, "little"),
        frame.height.to_bytes(2, "little"),
        varint(len(frame.background)),
        frame.background,
        varint(len(labels)),
    ]
    for label in labels:
        text = label.encode()
        parts += [varint(len(text)), text]
    parts.append(varint(len(frame.objects)))
    for item in frame.objects:
        box = item.box
        numbers = (box.x, box.y, box.width, box.height, labels.index(box.label), len(item.payload))
        parts += [*map(varint, numbers), item.payload]
    body = b"".join(parts)
    return body + zlib.crc32(body).to_bytes(4, "little")


def unpack_frame(data: bytes) -> EncodedFrame:
    """Read a frame payload. The inverse of :func:`pack_frame`.

    Raises:
        PayloadError: not a frame payload, of a newer version, truncated, damaged, or over a limit.
    """
    reader = Reader(data, "frame payload")
    if reader.take(4, "magic") != MAGIC:
        raise PayloadError(f"frame payload: magic is {data[:4]!r}, expected {MAGIC!r}")
    version = reader.u8("version")
    if version != VERSION:
        raise PayloadError(f"frame payload: version {version} is not known here (this reads {VERSION})")
    reader.check_crc32()
    width = reader.uint(2, "width", low=1)
    height = reader.uint(2, "height", low=1)
    background = reader.take(reader.varint("background length", high=MAX_NETWORK_BYTES), "background")
    labels = []
    for _ in range(reader.varint("label count", high=MAX_BOXES_PER_IMAGE)):
        text = reader.take(reader.varint("label length", high=MAX_LABEL_BYTES), "label")
        try:
            labels.append(text.decode())
        except UnicodeDecodeError:
            raise PayloadError("frame payload: a label is not UTF-8") from None
    objects = []
    for _ in range(reader.varint("object count", high=MAX_BOXES_PER_IMAGE)):
        x = reader.varint("box x", high=width - 1)
        y = reader.varint("box y", high=height - 1)
        box_width = reader.varint("box width", low=1, high=width - x)
        box_height = reader.varint("box height", low=1, high=height - y)
        label = reader.varint("label index", high=len(labels) - 1)
        payload = reader.take(reader.varint("object length", high=MAX_NETWORK_BYTES), "object")
        objects.append(EncodedObject(Box(x, y, box_width, box_height, labels[label]), payload))
    reader.expect_end()
    return EncodedFrame(width, height, background, tuple(objects))
