"""Residual-INR: training images as tiny neural networks (arXiv 2408.05617).

Example::

    import rinr

    frame = rinr.working_frame(jpeg_bytes, labels)
    (image,) = rinr.encode([frame], rinr.find_preset("balanced"))
    payload = rinr.pack_frame(image.frame)  # what travels
    pixels = rinr.decode(rinr.unpack_frame(payload))

    dataset = rinr.RinrDataset("shard.parquet")  # to train a detector on: docs/training.md
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rinr.codec.bytestream import PayloadError
    from rinr.codec.encoded import EncodedImage
    from rinr.codec.frame import EncodedFrame, pack_frame, unpack_frame
    from rinr.decoder import decode, decode_background, load
    from rinr.encoder import encode
    from rinr.frames import Frame, ImageError, working_frame
    from rinr.labels import LabelError, parse_coco
    from rinr.outcome import Outcome
    from rinr.presets import encoding_id, find_preset
    from rinr.training.dataset import RinrDataset
    from rinr.version import __version__

__all__ = [
    "EncodedFrame",
    "EncodedImage",
    "Frame",
    "ImageError",
    "LabelError",
    "Outcome",
    "PayloadError",
    "RinrDataset",
    "__version__",
    "decode",
    "decode_background",
    "encode",
    "encoding_id",
    "find_preset",
    "load",
    "pack_frame",
    "parse_coco",
    "unpack_frame",
    "working_frame",
]

# Names are imported when they are first asked for: most of this package, and all that only moves its bytes about,
# needs no torch, which takes seconds to import.
_HOMES = {
    "EncodedFrame": "rinr.codec.frame",
    "EncodedImage": "rinr.codec.encoded",
    "Frame": "rinr.frames",
    "ImageError": "rinr.frames",
    "LabelError": "rinr.labels",
    "Outcome": "rinr.outcome",
    "PayloadError": "rinr.codec.bytestream",
    "RinrDataset": "rinr.training.dataset",
    "__version__": "rinr.version",
    "decode": "rinr.decoder",
    "decode_background": "rinr.decoder",
    "encode": "rinr.encoder",
    "encoding_id": "rinr.presets",
    "find_preset": "rinr.presets",
    "load": "rinr.decoder",
    "pack_frame": "rinr.codec.frame",
    "parse_coco": "rinr.labels",
    "unpack_frame": "rinr.codec.frame",
    "working_frame": "rinr.frames",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
