"""How networks are written: those of one family together, in one body, so that what they share is written once.

::

    groups, until every network is accounted for; each:
      family u8: the family's code (0: no network at all), plus 128 in the last group
      in the last group:  body, all that is left; it holds every network that no group before it holds
      in the others:      bitmap of ceil(n / 8) bytes over the n networks left, lowest bit first
                          body length varint | body

A background is one network; a frame's objects are one a box. Bodies are described in the families' files. Limits hold
for all groups together, since every group costs time and memory, however few bytes it has.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rinr.codec.bytestream import PayloadError, Reader, varint
from rinr.networks.families import family_of_code
from rinr.networks.family import Family

MAX_GROUPS = 64
MAX_REGION_PIXELS = 1 << 24
"""Pixels of the regions of all networks, overlaps counted as often as they are covered."""
MAX_MULTIPLICATIONS = 1 << 36
"""Of evaluating all networks once at every pixel of their regions."""
_LAST = 0x80
_NONE = 0

Size = tuple[int, int]


@dataclass(frozen=True)
class Member:
    """A network with its family; ``None`` stands for no network: nothing is added there."""

    family: Family
    network: Any

    @property
    def group(self) -> Hashable:
        """Members of equal groups can be stacked."""
        return self.family.name, self.network.group


def write_networks(members: Sequence[Member | None]) -> bytes:
    """Write networks. The inverse of :func:`read_networks`.

    Raises:
        ValueError: they are of so many kinds that a payload cannot hold them.
    """
    groups: dict[Hashable, list[int]] = {}
    for index, member in enumerate(members):
        groups.setdefault((member.family.code, member.network.shared) if member else None, []).append(index)
    parts: list[bytes] = []
    left = list(range(len(members)))
    order = sorted(groups.values(), key=len)  # the last group needs no bitmap
    if len(order) > MAX_GROUPS:
        raise ValueError(f"networks of {len(order)} kinds in one frame; a payload holds at most {MAX_GROUPS}")
    for mine in order:
        inside = [member for index in mine if (member := members[index])]
        code = inside[0].family.code if inside else _NONE
        body = inside[0].family.write([member.network for member in inside]) if inside else b""
        if mine is order[-1]:
            parts += [bytes([code | _LAST]), body]
        else:
            some = set(mine)
            bits = sum(1 << place for place, index in enumerate(left) if index in some)
            parts += [bytes([code]), bits.to_bytes((len(left) + 7) // 8, "little"), varint(len(body)), body]
            left = [index for index in left if index not in some]
    return b"".join(parts)


def read_networks(data: bytes, sizes: Sequence[Size]) -> list[Member | None]:
    """Read and entropy decode networks. The inverse of :func:`write_networks`.

    Args:
        data: as written.
        sizes: ``(width, height)`` of the regions that the networks cover, in pixels; one a network.

    Raises:
        PayloadError: malformed, over a limit, or of a family that is not known here.
    """
    members: list[Member | None] = [None] * len(sizes)
    pixels = multiplications = 0
    for group in read_groups(data, len(sizes)):
        if group.code == _NONE:
            if group.body:
                raise PayloadError(f"networks: {len(group.body)} bytes for networks that are not there")
            continue
        family, regions = family_of_code(group.code), [sizes[index] for index in group.mine]
        pixels += sum(width * height for width, height in regions)
        if pixels > MAX_REGION_PIXELS:
            raise PayloadError(f"networks: regions of {pixels:,} pixels, expected at most {MAX_REGION_PIXELS:,} in all")
        for index, network in zip(group.mine, family.read(group.body, regions), strict=True):
            members[index] = Member(family, network)
            multiplications += network.multiplications * sizes[index][0] * sizes[index][1]
        if multiplications > MAX_MULTIPLICATIONS:
            raise PayloadError(f"networks: {multiplications:,} multiplications, expected at most 2 ** 36 in all")
    return members


@dataclass(frozen=True)
class Group:
    """Networks that were written together.

    Attributes:
        code: of their family; zero for those that are not there.
        mine: which networks.
        body: their bytes.
    """

    code: int
    mine: tuple[int, ...]
    body: bytes


def read_groups(data: bytes, count: int) -> Iterator[Group]:
    """The groups of ``count`` networks, whose bodies are not looked into.

    Raises:
        PayloadError: malformed, or of a family that is not known here.
    """
    left = list(range(count))
    reader = Reader(data, "networks")
    groups = 0
    while left:
        groups += 1
        if groups > MAX_GROUPS:
            raise PayloadError(f"networks: more than {MAX_GROUPS} groups")
        code = reader.u8("family")
        if code & ~_LAST != _NONE:
            family_of_code(code & ~_LAST)
        if code & _LAST:
            mine, body, left = left, reader.rest(), []
        else:
            bits = int.from_bytes(reader.take((len(left) + 7) // 8, "bitmap"), "little")
            if not bits or bits >> len(left):
                raise PayloadError(f"networks: bitmap of {len(left)} networks is {bits:x}")
            mine = [index for place, index in enumerate(left) if bits >> place & 1]
            left = [index for place, index in enumerate(left) if not bits >> place & 1]
            body = reader.take(reader.varint("body length"), "body")
        yield Group(code & ~_LAST, tuple(mine), body)
    reader.expect_end()
