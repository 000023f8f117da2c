"""Residual-INR: training images as tiny neural networks (arXiv 2408.05617).

Example::

    import rinr

    frame = rinr.working_frame(jpeg_bytes, labels)
    (image,) = rinr.encode([frame], rinr.find_preset("fast"))
    payload = rinr.pack_frame(image.frame)  # what travels
    pixels = rinr.decode(rinr.unpack_frame(payload))
"""

from rinr.codec.bytestream import PayloadError
from rinr.codec.encoded import EncodedImage
from rinr.codec.frame import EncodedFrame, EncodedObject, pack_frame, unpack_frame
from rinr.decoder import decode, decode_background, load
from rinr.encoder import encode
from rinr.frames import Frame, ImageError, working_frame
from rinr.labels import LabelError, parse_coco
from rinr.presets import encoding_id, find_preset
from rinr.version import __version__

__all__ = [
    "EncodedFrame",
    "EncodedImage",
    "EncodedObject",
    "Frame",
    "ImageError",
    "LabelError",
    "PayloadError",
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
