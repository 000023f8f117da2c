"""What frames of one clip share, and where a frame lies in it.

A *clip* is a run of frames of one camera that resemble each other. They share one network, of a *canvas* that all of
them lie on: the mosaic of a camera that moves, or a function of time. It travels once, in a *shared part*::

    magic "RS" | version u8 (1) | width varint | height varint (of the canvas, in pixels)
    networks (rinr.networks.payload): one | crc32 u32 of all before

A frame says in its payload which part it means, by the first 8 bytes of the part's SHA-256, and where it lies::

    part 8 bytes | varint: time * 2 + moved
    where moved: zoom across, zoom down, shift across, shift down: a zigzag varint each

Pixel ``x`` of a frame ``w`` wide lies at ``W / 2 + shift / 8 + (1 + zoom / 8192) * (x - w / 2)`` of a canvas ``W``
wide, likewise down; time is the number of the frame, for networks that are functions of time.
"""

import hashlib
import zlib
from dataclasses import dataclass

from rinr.codec.bytestream import PayloadError, Reader, varint

MAGIC = b"RS"
VERSION = 1
NAME_BYTES = 8
ZOOM_UNIT, SHIFT_UNIT = 8192, 8
MAX_ZOOM, MAX_SHIFT, MAX_TIME = ZOOM_UNIT // 2, 4096 * SHIFT_UNIT, 65_535
MAX_PART_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class ClipPlace:
    """Where a frame lies in what its clip shares.

    Attributes:
        part: the first bytes of the shared part's SHA-256.
        time: number of the frame, for networks that are functions of time; otherwise zero.
        zoom: across and down, in 8192ths beyond one.
        shift: across and down of the frame's centre from the canvas's, in eighths of a canvas's pixel.
    """

    part: bytes
    time: int = 0
    zoom: tuple[int, int] = (0, 0)
    shift: tuple[int, int] = (0, 0)

    def window(self, frame: tuple[int, int], canvas: tuple[int, int]) -> tuple[float, float, float, float]:
        """Scale and offset across, scale and offset down, from points of the frame to points of the canvas, both from
        -1 to 1: ``canvas x = scale * frame x + offset``.

        Args:
            frame: ``(width, height)`` of the frame, in pixels.
            canvas: likewise of the canvas.
        """
        (across, right), (down, lower) = (
            ((1 + zoom / ZOOM_UNIT) * own / whole, 2 * shift / SHIFT_UNIT / whole)
            for zoom, shift, own, whole in zip(self.zoom, self.shift, frame, canvas, strict=True)
        )
        return across, right, down, lower


@dataclass(frozen=True)
class SharedPart:
    """What frames of a clip share.

    Attributes:
        width: of the canvas, in pixels.
        height: likewise.
        network: one network, as :mod:`rinr.networks.payload` writes it.
    """

    width: int
    height: int
    network: bytes


def part_id(data: bytes) -> str:
    """The SHA-256 of a shared part's bytes, in hexadecimal: its name in the store and in shards."""
    return hashlib.sha256(data).hexdigest()


def part_name(data: bytes) -> bytes:
    """By what frames call a shared part."""
    return hashlib.sha256(data).digest()[:NAME_BYTES]


def is_part(data: bytes) -> bool:
    """Whether a payload is that of a shared part rather than of a frame, by its first bytes."""
    return data[:2] == MAGIC and data[:4] != b"RINR"


def pack_part(part: SharedPart) -> bytes:
    """Write a shared part. The inverse of :func:`unpack_part`.

    Raises:
        ValueError: the canvas is larger than a payload may say.
    """
    from rinr.codec.frame import MAX_FRAME_PIXELS, MAX_SIDE

    if max(part.width, part.height) > MAX_SIDE or part.width * part.height > MAX_FRAME_PIXELS:
        raise ValueError(f"a canvas of {part.width}x{part.height} pixels is over the limits of docs/format.md")
    body = b"".join([MAGIC, bytes([VERSION]), varint(part.width), varint(part.height), part.network])
    return body + zlib.crc32(body).to_bytes(4, "little")


def unpack_part(data: bytes) -> SharedPart:
    """Read a shared part. The inverse of :func:`pack_part`.

    Raises:
        PayloadError: no shared part, of a newer version, truncated, damaged, or over a limit.
    """
    from rinr.codec.frame import read_size

    if len(data) > MAX_PART_BYTES:
        raise PayloadError(f"shared part: more than {MAX_PART_BYTES:,} bytes")
    reader = Reader(data, "shared part")
    if reader.take(2, "magic") != MAGIC:
        raise PayloadError(f"shared part: magic is {data[:2]!r}, expected {MAGIC!r}")
    if (version := reader.u8("version")) != VERSION:
        raise PayloadError(f"shared part: version {version} is not known here (this reads {VERSION})")
    reader.check_crc32()
    return SharedPart(*read_size(reader), reader.rest())


def pack_place(place: ClipPlace) -> bytes:
    """Write where a frame lies. The inverse of :func:`read_place`.

    Raises:
        ValueError: a number is beyond what a payload may say.
    """
    moves = (*place.zoom, *place.shift)
    limits = (MAX_ZOOM, MAX_ZOOM, MAX_SHIFT, MAX_SHIFT)
    if len(place.part) != NAME_BYTES or not 0 <= place.time <= MAX_TIME:
        raise ValueError(f"{place}: its part has {NAME_BYTES} bytes, its time is 0 to {MAX_TIME:,}")
    if any(abs(move) > limit for move, limit in zip(moves, limits, strict=True)):
        raise ValueError(f"{place}: zooms are at most {MAX_ZOOM:,} either way, shifts {MAX_SHIFT:,}")
    moved = any(moves)
    numbers = [place.time * 2 + moved, *((2 * abs(move) - (move < 0) for move in moves) if moved else ())]
    return place.part + b"".join(varint(number) for number in numbers)


def read_place(reader: Reader) -> ClipPlace:
    """Read where a frame lies. The inverse of :func:`pack_place`.

    Raises:
        PayloadError: truncated, over a limit, or moves that are all zero.
    """
    part = reader.take(NAME_BYTES, "shared part")
    time, moved = divmod(reader.varint("time", high=2 * MAX_TIME + 1), 2)
    if not moved:
        return ClipPlace(part, time)
    fields = (
        ("zoom across", MAX_ZOOM),
        ("zoom down", MAX_ZOOM),
        ("shift across", MAX_SHIFT),
        ("shift down", MAX_SHIFT),
    )
    coded = [reader.varint(name, high=2 * limit) for name, limit in fields]
    across, down, right, lower = (-(number + 1) // 2 if number % 2 else number // 2 for number in coded)
    if not any(coded):
        raise PayloadError("frame payload: a place in a clip whose moves are all zero")
    return ClipPlace(part, time, (across, down), (right, lower))
