"""The encoded frame: what travels for one image, and its one byte count.

A *frame payload* is the whole of it in one file (``.rinr``), which a decoder needs nothing besides::

    magic "RI" | version and flags u8 (version in the low four bits; 16: it has objects; 32: they are pasted; 64: it is
      one of a clip)
    width varint | height varint
    of a clip:        where it lies in what the clip shares (rinr.codec.clip), to which the background is added
    without objects:  background networks, all that is left
    with objects:     background length varint | background networks
                      labels: count varint, then each: length varint, UTF-8
                      boxes: count varint, length varint, one mixed-radix integer (see below)
                      object networks, all that is left
    crc32 u32 of all before

Integers are little-endian; a varint is LEB128. How networks are written stands in :mod:`rinr.networks.payload`.

Boxes are digits of one integer, the first box's first digit lowest, each in the smallest base that holds it: x less
the x of the box before, of ``width`` less that x; y of ``height``; the box's width less one of what x leaves of
``width``; its height less one likewise; the label's index of the number of labels. Boxes stand in their canonical
order, by rising x.

The first version (magic ``RINR``, then 1) is read as well: see :mod:`rinr.codec.version1`. All of it, limits
included, is written for readers of other languages in ``docs/format.md``.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from rinr.boxes import Box
from rinr.codec.bytestream import PayloadError, Reader, varint
from rinr.codec.clip import ClipPlace, pack_place, read_place
from rinr.labels import MAX_BOXES_PER_IMAGE, MAX_LABEL_BYTES

MAGIC = b"RI"
VERSION = 2
# Working frames have 640 pixels a side; 2560x1600 is let through. What a payload costs to decode grows with these.
MAX_SIDE = 4_096
MAX_FRAME_PIXELS = 1 << 22
MAX_PAYLOAD_BYTES = 16 * 1024 * 1024
MAX_BOX_BYTES = 8  # of a box of the largest frame and as many labels as boxes: its digits take 60 bits
_VERSION_BITS, _HAS_OBJECTS, _PASTED, _OF_A_CLIP = 0x0F, 0x10, 0x20, 0x40


@dataclass(frozen=True)
class EncodedFrame:
    """One image as networks: all that a decoder needs.

    Attributes:
        width: of the working frame, in pixels.
        height: of the working frame, in pixels.
        background: the background's network.
        boxes: labelled boxes of the working frame, in their canonical order.
        objects: the objects' networks, one a box; empty without boxes.
        pasted: whether object networks hold pixels that replace the background; otherwise residuals to add to it.
        clip: where the frame lies in what its clip shares; the background's network is added to that. ``None``: the
            frame stands alone.
    """

    width: int
    height: int
    background: bytes
    boxes: tuple[Box, ...] = ()
    objects: bytes = b""
    pasted: bool = False
    clip: ClipPlace | None = None

    @property
    def bytes_total(self) -> int:
        """Bytes that travel for this image: the length of its frame payload, headers, boxes and labels included."""
        return len(pack_frame(self))

    @property
    def bytes_background(self) -> int:
        """Bytes of the background's network."""
        return len(self.background)

    @property
    def bytes_objects(self) -> int:
        """Bytes of all objects' networks."""
        return len(self.objects)

    @property
    def bytes_overhead(self) -> int:
        """Bytes of the rest: header, boxes, labels, lengths and checksum."""
        return self.bytes_total - self.bytes_background - self.bytes_objects


def pack_frame(frame: EncodedFrame) -> bytes:
    """Write a frame payload. The inverse of :func:`unpack_frame`.

    Raises:
        ValueError: the frame or its boxes are beyond what a payload may hold.
    """
    if max(frame.width, frame.height) > MAX_SIDE or frame.width * frame.height > MAX_FRAME_PIXELS:
        raise ValueError(f"a frame of {frame.width}x{frame.height} pixels is over the limits of docs/format.md")
    flags = VERSION | (_HAS_OBJECTS if frame.boxes else 0) | (_PASTED if frame.pasted else 0)
    flags |= _OF_A_CLIP if frame.clip else 0
    parts = [MAGIC, bytes([flags]), varint(frame.width), varint(frame.height)]
    if frame.clip:
        parts.append(pack_place(frame.clip))
    if frame.boxes:
        labels = sorted({box.label for box in frame.boxes})
        texts = [label.encode() for label in labels]
        for label, text in zip(labels, texts, strict=True):
            if len(text) > MAX_LABEL_BYTES or not label.isprintable():
                raise ValueError(f"label {label!r} is not printable, or longer than {MAX_LABEL_BYTES} bytes of UTF-8")
        if len(frame.boxes) > MAX_BOXES_PER_IMAGE:
            raise ValueError(f"{len(frame.boxes):,} boxes; a payload holds at most {MAX_BOXES_PER_IMAGE:,}")
        boxes = _pack_boxes(frame.boxes, labels, (frame.width, frame.height))
        parts += [varint(len(frame.background)), frame.background, varint(len(labels))]
        parts += [part for text in texts for part in (varint(len(text)), text)]
        parts += [varint(len(frame.boxes)), varint(len(boxes)), boxes, frame.objects]
    else:
        parts.append(frame.background)
    body = b"".join(parts)
    return body + zlib.crc32(body).to_bytes(4, "little")


def unpack_frame(data: bytes) -> EncodedFrame:
    """Read a frame payload. The inverse of :func:`pack_frame`.

    Raises:
        PayloadError: not a frame payload, of a newer version, truncated, damaged, or over a limit.
    """
    if len(data) > MAX_PAYLOAD_BYTES:
        raise PayloadError(f"frame payload: more than {MAX_PAYLOAD_BYTES:,} bytes")
    from rinr.codec import version1

    if version1.is_version_1(data):
        return version1.unpack_frame(data)
    reader = Reader(data, "frame payload")
    if reader.take(2, "magic") != MAGIC:
        raise PayloadError(f"frame payload: magic is {data[:2]!r}, expected {MAGIC!r}")
    flags = reader.u8("version and flags")
    if flags & _VERSION_BITS != VERSION:
        raise PayloadError(
            f"frame payload: version {flags & _VERSION_BITS} is not known here (this reads 1 and {VERSION})"
        )
    if flags & ~(_VERSION_BITS | _HAS_OBJECTS | _PASTED | _OF_A_CLIP):
        raise PayloadError(f"frame payload: flags are {flags >> 4:x}, of which some are not known here")
    reader.check_crc32()
    width, height = read_size(reader)
    clip = read_place(reader) if flags & _OF_A_CLIP else None
    pasted = bool(flags & _PASTED)
    if not flags & _HAS_OBJECTS:
        return EncodedFrame(width, height, reader.rest(), pasted=pasted, clip=clip)
    background = reader.take(reader.varint("background length"), "background")
    labels = read_labels(reader)
    count = reader.varint("box count", low=1, high=MAX_BOXES_PER_IMAGE)
    coded = reader.take(reader.varint("boxes length", high=MAX_BOX_BYTES * count), "boxes")
    boxes = _unpack_boxes(coded, count, labels, (width, height))
    return EncodedFrame(width, height, background, boxes, reader.rest(), pasted, clip)


def part_needed(data: bytes) -> bytes | None:
    """By what name a frame payload calls the shared part that it needs; ``None`` where the frame stands alone.

    The beginning of the payload alone is read, without its checksum: of a malformed one it may say anything.
    """
    if data[:2] != MAGIC or len(data) < 3 or data[2] & (_VERSION_BITS | _OF_A_CLIP) != VERSION | _OF_A_CLIP:
        return None
    reader = Reader(data, "frame payload")
    reader.take(3, "magic, version and flags")
    try:
        read_size(reader)
        return read_place(reader).part
    except PayloadError:
        return None


def read_size(reader: Reader) -> tuple[int, int]:
    """Width and height, two varints, within the limits."""
    width = reader.varint("width", low=1, high=MAX_SIDE)
    height = reader.varint("height", low=1, high=MAX_SIDE)
    check_pixels(width, height)
    return width, height


def check_pixels(width: int, height: int) -> None:
    """Refuse frames that would take too much memory."""
    if width * height > MAX_FRAME_PIXELS:
        raise PayloadError(f"frame payload: {width}x{height} pixels, expected at most {MAX_FRAME_PIXELS:,}")


def read_labels(reader: Reader) -> list[str]:
    """A varint, then so many labels. They end up in terminals and in file names, so they have to be printable."""
    labels = []
    for _ in range(reader.varint("label count", high=MAX_BOXES_PER_IMAGE)):
        text = reader.take(reader.varint("label length", high=MAX_LABEL_BYTES), "label")
        try:
            labels.append(text.decode())
        except UnicodeDecodeError:
            raise PayloadError("frame payload: a label is not UTF-8") from None
        if not labels[-1].isprintable():
            raise PayloadError(f"frame payload: label {labels[-1]!r} is not printable")
    return labels


def _pack_boxes(boxes: Sequence[Box], labels: Sequence[str], size: tuple[int, int]) -> bytes:
    width, height = size
    if list(boxes) != sorted(boxes):
        raise ValueError("boxes must stand in their canonical order")
    number, unit, before = 0, 1, 0
    for box in boxes:
        digits = (
            (box.x - before, width - before),
            (box.y, height),
            (box.width - 1, width - box.x),
            (box.height - 1, height - box.y),
            (labels.index(box.label), len(labels)),
        )
        for digit, base in digits:
            if not 0 <= digit < base:
                raise ValueError(f"{box} does not lie in a frame of {width}x{height}")
            number += digit * unit
            unit *= base
        before = box.x
    return number.to_bytes((number.bit_length() + 7) // 8, "little")


def _unpack_boxes(data: bytes, count: int, labels: Sequence[str], size: tuple[int, int]) -> tuple[Box, ...]:
    width, height = size
    if not labels:
        raise PayloadError("frame payload: boxes without labels")
    number, before = int.from_bytes(data, "little"), 0
    boxes = []
    for _ in range(count):
        number, step = divmod(number, width - before)
        x = before + step
        number, y = divmod(number, height)
        number, wide = divmod(number, width - x)
        number, high = divmod(number, height - y)
        number, label = divmod(number, len(labels))
        boxes.append(Box(x, y, wide + 1, high + 1, labels[label]))
        before = x
    if number or (data and not data[-1]):
        raise PayloadError("frame payload: boxes are followed by digits that no box accounts for")
    if boxes != sorted(boxes):
        raise PayloadError("frame payload: boxes do not stand in their canonical order")
    return tuple(boxes)
