"""Reading and writing bytes with bounds: every field is named, so that a malformed payload says where."""

import zlib


class PayloadError(ValueError):
    """A payload that cannot be decoded; the message names the field and what was expected."""


def varint(value: int) -> bytes:
    """An unsigned integer in LEB128: seven bits a byte, low ones first."""
    if value < 0:
        raise ValueError(f"varint of {value}: must not be negative")
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Reader:
    """A cursor over bytes that were not trusted; all its errors are :class:`PayloadError`."""

    def __init__(self, data: bytes, what: str) -> None:
        self.data = data
        self.what = what
        self.position = 0
        self.end = len(data)

    def take(self, count: int, field: str) -> bytes:
        """The next ``count`` bytes."""
        if count > self.end - self.position:
            left = self.end - self.position
            raise PayloadError(f"{self.what}: truncated at {field}: {count} bytes needed, {left} left")
        self.position += count
        return self.data[self.position - count : self.position]

    def rest(self) -> bytes:
        """All bytes that are left."""
        return self.take(self.end - self.position, "the rest")

    def u8(self, field: str, low: int = 0, high: int = 255) -> int:
        """One byte within bounds."""
        return self.uint(1, field, low, high)

    def uint(self, size: int, field: str, low: int = 0, high: int | None = None) -> int:
        """A little-endian unsigned integer of ``size`` bytes within bounds."""
        return self._bounded(int.from_bytes(self.take(size, field), "little"), field, low, high)

    def varint(self, field: str, low: int = 0, high: int | None = None) -> int:
        """A LEB128 integer of at most 32 bits within bounds."""
        value = 0
        for shift in range(0, 35, 7):
            byte = self.take(1, field)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return self._bounded(value, field, low, high)
        raise PayloadError(f"{self.what}: {field} is longer than 32 bits")

    def check_crc32(self) -> None:
        """Check the last four bytes against all before them, and leave them out of what follows."""
        self._check(4, zlib.crc32(self.data[: self.end - 4]))

    def check_crc16(self) -> None:
        """Check the last two bytes (the low half of CRC-32) against all before them, and leave them out."""
        self._check(2, zlib.crc32(self.data[: self.end - 2]) & 0xFFFF)

    def expect_end(self) -> None:
        """Refuse bytes that no field accounts for."""
        if self.position != self.end:
            raise PayloadError(f"{self.what}: {self.end - self.position} bytes left over at the end")

    def _check(self, size: int, computed: int) -> None:
        if self.end - self.position < size:
            raise PayloadError(f"{self.what}: truncated at checksum")
        stored = int.from_bytes(self.data[self.end - size : self.end], "little")
        if stored != computed:
            raise PayloadError(f"{self.what}: checksum is {stored:08x}, computed {computed:08x}: damaged")
        self.end -= size

    def _bounded(self, value: int, field: str, low: int, high: int | None) -> int:
        if value < low or (high is not None and value > high):
            raise PayloadError(f"{self.what}: {field} is {value}, expected {low} to {high}")
        return value
