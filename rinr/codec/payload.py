"""The envelope of a network payload: one network, background or object, that says itself what it is.

::

    magic and version u8 (0xA0 | version) | family u8 | body, as the family writes it | crc16 u16 of all before

The checksum is the low half of CRC-32. What stands in the body is in the family's file, in :mod:`rinr.networks`.
"""

import zlib

from rinr.codec.bytestream import PayloadError, Reader

VERSION = 1
_MAGIC = 0xA0


def seal(family: int, body: bytes) -> bytes:
    """Put a family's body in its envelope. The inverse of :func:`unseal`."""
    data = bytes([_MAGIC | VERSION, family]) + body
    return data + (zlib.crc32(data) & 0xFFFF).to_bytes(2, "little")


def unseal(data: bytes) -> tuple[int, Reader]:
    """The family's code, and a reader that stands at the body and ends with it.

    Raises:
        PayloadError: not a network payload, of a newer version, truncated or damaged.
    """
    reader = Reader(data, "network payload")
    first = reader.u8("magic")
    if first & 0xF0 != _MAGIC:
        raise PayloadError(f"network payload: magic is {first >> 4:x}, expected {_MAGIC >> 4:x}")
    if first & 0x0F != VERSION:
        raise PayloadError(f"network payload: version {first & 0x0F} is not known here (this reads {VERSION})")
    reader.check_crc16()
    return reader.u8("family"), reader
