"""A captured file as a background of its own: the last resort where every coding of its pixels would take more bytes.

It can be one where it is a JPEG of the working size that needs neither turning nor another colour space, so that what
decodes is the working frame itself. What a camera writes beside the picture, place and serial number among it, stays
behind.
"""

import numpy as np

from rinr.codec.bytestream import PayloadError
from rinr.frames import Frame
from rinr.networks.codecs import JPEG
from rinr.networks.payload import Member

_START, _START_OF_SCAN, _END = 0xFFD8, 0xFFDA, b"\xff\xd9"
_LEFT_OUT = frozenset((*range(0xFFE1, 0xFFEE), 0xFFEF, 0xFFFE))
"""APP1 to APP13, APP15 and comments (ITU-T T.81, table B.1). APP0 is JFIF's, APP14 says what the colours are."""


def captured_member(frame: Frame) -> Member | None:
    """The file as a network of the family ``jpeg``; ``None`` where it is none that decodes to the frame's pixels."""
    if frame.file is None:
        return None
    body = without_metadata(frame.file)
    try:
        (network,) = JPEG.read(body, [frame.size]) if body else (None,)
    except PayloadError:
        return None
    same = network is not None and np.array_equal(network.pixels, frame.pixels)
    return Member(JPEG, network) if network is not None and same else None


def without_metadata(jpeg: bytes) -> bytes:
    """A JPEG without comments and applications' segments; empty where its segments cannot be followed."""
    if int.from_bytes(jpeg[:2], "big") != _START:
        return b""
    kept, at = [jpeg[:2]], 2
    while at + 4 <= len(jpeg):
        marker, length = int.from_bytes(jpeg[at : at + 2], "big"), int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if marker < 0xFFC0 or length < 2:
            return b""
        if marker == _START_OF_SCAN:
            return b"".join([*kept, jpeg[at : jpeg.rindex(_END) + 2]]) if _END in jpeg[at:] else b""
        if marker not in _LEFT_OUT:
            kept.append(jpeg[at : at + 2 + length])
        at += 2 + length
    return b""
