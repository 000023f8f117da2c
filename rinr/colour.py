"""Colour: from what a decoded picture's numbers mean to sRGB.

An embedded ICC profile says it; cameras that write Adobe RGB often say so in EXIF alone, by the interoperability index
R03 (DCF 2.0), which needs a profile that is made here.
"""

import io
import struct
from functools import cache

from PIL import Image, ImageCms

_ADOBE_RGB_GAMMA = 0x0233
"""563/256 = 2.19921875, as an ICC `u8Fixed8Number` (Adobe RGB (1998) colour image encoding, section 4.3.1.2)."""

_D50 = (0.9642, 1.0, 0.8249)
# The colorants of Adobe RGB (1998) adapted from its white, D65, to that of the connection space.
_ADOBE_RGB_COLORANTS = {
    b"rXYZ": (0.60974, 0.31111, 0.01947),
    b"gXYZ": (0.20528, 0.62567, 0.06087),
    b"bXYZ": (0.14919, 0.06322, 0.74457),
    b"wtpt": _D50,
}


def to_srgb(image: Image.Image, *, adobe_rgb: bool = False) -> Image.Image:
    """A picture in RGB, mode ``RGB``, converted to sRGB by its profile where it has one.

    Args:
        image: decoded: RGB, grey or CMYK. A damaged profile is passed over.
        adobe_rgb: whether an RGB picture without a profile is in Adobe RGB (1998).
    """
    profile = image.info.get("icc_profile")
    if not profile and adobe_rgb and image.mode == "RGB":
        profile = adobe_rgb_profile()
    if profile and image.mode in ("RGB", "CMYK"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            return image.convert("RGB")  # a damaged profile says nothing; the picture still does
        if converted is not None:
            return converted
    return image.convert("RGB")


@cache
def adobe_rgb_profile() -> bytes:
    """Adobe RGB (1998) as a minimal ICC profile, version 2: three colorants and a gamma."""
    gamma = b"curv" + struct.pack(">IIHxx", 0, 1, _ADOBE_RGB_GAMMA)
    name = b"Adobe RGB (1998)\0"
    tags = {
        b"desc": b"desc" + struct.pack(">II", 0, len(name)) + name + bytes(11 + 67),
        b"cprt": b"text" + bytes(4) + b"none\0",
        **{tag: b"XYZ " + bytes(4) + _fixed(*values) for tag, values in _ADOBE_RGB_COLORANTS.items()},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), gamma),
    }
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for tag, data in tags.items():
        table += tag + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(
        ">I4sI4s4s4s12s4s28s12s48s",
        start + len(body),
        bytes(4),
        0x02100000,  # version 2.1
        b"mntr",
        b"RGB ",
        b"XYZ ",
        struct.pack(">6H", 2000, 1, 1, 0, 0, 0),
        b"acsp",
        bytes(28),
        _fixed(*_D50),
        bytes(48),
    )
    return header + table + body


def _fixed(*values: float) -> bytes:
    """Numbers as ICC `s15Fixed16Number`."""
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))
