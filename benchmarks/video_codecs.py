"""Video codecs through PyAV, as a control: pictures to packets with key frames where asked, and one picture back.

Pictures become 4:2:0 in full range as JPEG does it (Pillow's YCbCr; chroma averaged, and enlarged with cubics), at
full or reduced size. What a stream costs is its packets and, once, the decoder's configuration (``extradata``): an
elementary stream. A container's boxes and indices and the transport's headers are left out, in the codec's favour.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from rinr.frames import Pixels, resize

RATE = 10
"""Frames a second."""

SMALLEST_SIDE = 64
"""In pixels: SVT-AV1 aborts the process on smaller pictures."""

_X265 = "pools=none:frame-threads=1:info=0:log-level=none:scenecut=0:open-gop=0:range=full"


@dataclass(frozen=True)
class Codec:
    """A video codec with its settings.

    Attributes:
        name: for tables.
        encoder: FFmpeg's name.
        decoder: likewise.
        preset: the encoder's trade of time for bytes.
        qualities: constant rate factors of the curve by scale, by rising quality. SVT-AV1's worst is too good for our
            PSNRs at full size.
    """

    name: str
    encoder: str
    decoder: str
    preset: str
    qualities: Mapping[int, tuple[int, ...]]

    def options(self, quality: int, key_distance: int) -> dict[str, str]:
        """One thread, best PSNR, key frames at fixed distances that no frame refers across."""
        common = {"preset": self.preset, "crf": str(quality)}
        if self.encoder == "libsvtav1":
            return common | {"svtav1-params": "lp=1:tune=1:scd=0"}
        return common | {"tune": "psnr", "x265-params": f"{_X265}:keyint={key_distance}:min-keyint={key_distance}"}


SVT_AV1 = Codec("SVT-AV1", "libsvtav1", "libdav1d", "4", {1: (63, 55, 46), 2: (60, 48), 4: (50, 35)})
X265 = Codec("x265", "libx265", "hevc", "slow", {1: (51, 46, 40, 34), 2: (46, 38), 4: (38, 28)})
CODECS = (SVT_AV1, X265)


@dataclass(frozen=True)
class Stream:
    """Pictures as a codec wrote them.

    Attributes:
        codec: which.
        size: ``(width, height)`` of the pictures that were given.
        packets: in decoding order, each with whether it is a key frame's and the number of the picture it shows.
        extradata: the decoder's configuration.
    """

    codec: Codec
    size: tuple[int, int]
    coded_size: tuple[int, int]
    packets: tuple[tuple[bytes, bool, int], ...]
    extradata: bytes

    @property
    def bytes_total(self) -> int:
        """Packets and configuration."""
        return len(self.extradata) + sum(len(data) for data, _, _ in self.packets)


def encode(pictures: Sequence[Pixels], codec: Codec, quality: int, key_distance: int, scale: int = 1) -> Stream:
    """One stream of pictures of one size.

    Args:
        pictures: ``[height, width, 3]`` each.
        codec: with which settings.
        quality: its constant rate factor; lower is better.
        key_distance: frames from one key frame to the next.
        scale: the stream's pictures have the sides divided by this, in even numbers of pixels.

    Raises:
        ImportError: PyAV is not installed.
        ValueError: a side of the stream's pictures would be below :data:`SMALLEST_SIDE`.
    """
    import av

    _quiet(av)
    size = pictures[0].shape[1], pictures[0].shape[0]
    coded = tuple(max(2 * round(side / scale / 2), 2) for side in size)
    width, height = coded
    if min(coded) < SMALLEST_SIDE:
        raise ValueError(f"{codec.name} of {width}x{height} pixels: sides have at least {SMALLEST_SIDE}")
    context: Any = av.CodecContext.create(codec.encoder, "w")
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.framerate, context.time_base = Fraction(RATE), Fraction(1, RATE)
    context.gop_size, context.thread_count = key_distance, 1
    context.flags |= av.codec.context.Flags.global_header
    context.options = codec.options(quality, key_distance)
    packets = []
    for number, picture in enumerate(pictures):
        planes = to_planes(resize(picture, (width, height)))
        frame = av.VideoFrame.from_ndarray(_packed(planes), format="yuv420p")
        frame.pts, frame.time_base, frame.color_range = number, Fraction(1, RATE), _FULL_RANGE
        packets += context.encode(frame)
    packets += context.encode(None)
    return Stream(
        codec,
        size,
        (width, height),
        tuple((bytes(packet), bool(packet.is_keyframe), int(packet.pts)) for packet in packets),
        bytes(context.extradata or b""),
    )


def decode(stream: Stream) -> list[Pixels]:
    """All pictures, in the order in which they were given."""
    shown = dict(_decoded(stream, stream.packets))
    return [from_planes(_unpacked(shown[number], stream.coded_size), stream.size) for number in sorted(shown)]


def decode_one(stream: Stream, number: int) -> Pixels:
    """One picture, from the nearest key frame before it with a new decoder: what random access costs."""
    starts = [at for at, (_, key, shown) in enumerate(stream.packets) if key and shown <= number]
    for shown, samples in _decoded(stream, stream.packets[starts[-1] :]):
        if shown == number:
            return from_planes(_unpacked(samples, stream.coded_size), stream.size)
    raise ValueError(f"picture {number} is not in the stream")


Planes = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]

_FULL_RANGE = 2  # FFmpeg's AVCOL_RANGE_JPEG


def to_planes(pixels: Pixels) -> Planes:
    """Luma and two chroma planes of half the sides, full range."""
    luma, *chroma = Image.fromarray(pixels).convert("YCbCr").split()
    half = (pixels.shape[1] // 2, pixels.shape[0] // 2)
    blue, red = (np.asarray(plane.resize(half, Image.Resampling.BOX)) for plane in chroma)
    return np.asarray(luma), blue, red


def from_planes(planes: Planes, size: tuple[int, int]) -> Pixels:
    """The inverse of :func:`to_planes`, resampled to ``(width, height)``."""
    luma, *chroma = (Image.fromarray(plane) for plane in planes)
    blue, red = (plane.resize(luma.size, Image.Resampling.BICUBIC) for plane in chroma)
    return resize(np.asarray(Image.merge("YCbCr", (luma, blue, red)).convert("RGB")), size)


def _packed(planes: Planes) -> npt.NDArray[np.uint8]:
    return np.concatenate([plane.reshape(-1) for plane in planes]).reshape(-1, planes[0].shape[1])


def _unpacked(samples: npt.NDArray[np.uint8], size: tuple[int, int]) -> Planes:
    width, height = size
    flat, area = samples.reshape(-1), width * height
    luma, blue, red = np.split(flat, [area, area * 5 // 4])
    half = (height // 2, width // 2)
    return (luma.reshape(height, width), blue.reshape(half), red.reshape(half))


def _decoded(stream: Stream, packets: Sequence[tuple[bytes, bool, int]]) -> Any:
    """``(number, samples)`` as the decoder lets go of them."""
    import av

    _quiet(av)
    context: Any = av.CodecContext.create(stream.codec.decoder, "r")
    context.thread_count = 1
    context.extradata = stream.extradata
    for data, _, shown in packets:
        packet = av.Packet(data)
        packet.pts, packet.time_base = shown, Fraction(1, RATE)
        for frame in context.decode(packet):
            yield frame.pts, frame.to_ndarray()
    for frame in context.decode(None):
        yield frame.pts, frame.to_ndarray()


def _quiet(av: Any) -> None:
    av.logging.set_level(av.logging.ERROR)
