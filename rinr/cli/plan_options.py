"""What ``rinr plan`` is told in words: rates, parts, uploads."""

import math
import re

from rinr.presets import CODEC_GRAMMAR, Preset, find_preset

CAPTURED = "jpeg"
"""The upload of captured files as they are."""

_RATE = re.compile(r"\s*([-+]?[0-9.]+(?:e[-+]?[0-9]+)?|[-+]?nan|[-+]?inf)\s*([kMG]?)(B|bit|byte|bytes)?(?:/s|ps)?\s*")
_PREFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}


def rate(text: str) -> float:
    """Bytes a second of ``2MB/s``, ``500kB/s``, ``1.5Mbit/s``, ``2000000``; prefixes are powers of 1,000.

    Raises:
        ValueError: it is none, or not more than 0.
    """
    found = _RATE.fullmatch(text)
    expected = "expected a rate above 0 such as 2MB/s, 500kB/s, 1.5Mbit/s, or a number of bytes a second"
    try:
        value = float(found[1]) * _PREFIXES[found[2]] / (8 if found[3] == "bit" else 1) if found else math.nan
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ValueError(f"--radio is {text[:40]!r}, {expected}")
    return value


def part(text: str, name: str) -> float:
    """A part of one, as ``1%`` or ``0.01``; its bounds are the traffic model's.

    Raises:
        ValueError: it is no number.
    """
    words = text.strip()
    try:
        value = float(words.removesuffix("%")) / (100 if words.endswith("%") else 1)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"--{name} is {text[:40]!r}, expected a part such as 1% or 0.01")
    return value


def upload(text: str) -> Preset | None:
    """The codec preset of uploads; ``None`` of captured JPEGs.

    Raises:
        ValueError: it is neither ``jpeg`` nor one file of an image codec.
    """
    if text == CAPTURED:
        return None
    expected = (
        f"expected jpeg, the captured file, or one file of an image codec such as webp:50 or avif:40 ({CODEC_GRAMMAR})"
    )
    try:
        preset = find_preset(text)
    except ValueError:
        raise ValueError(f"--upload is {text[:40]!r}, {expected}") from None
    if preset.objects or preset.background.family not in ("jpeg", "webp", "avif"):
        raise ValueError(f"--upload is {text[:40]!r}, {expected}")
    return preset
