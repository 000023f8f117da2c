"""Writes golden payloads beside it, with the pictures that they decode to: ``python -m tests.golden.make [NAME...]``.

They are made once and then stay: tests ask of each version of the codec that it decodes them, not that it would write
them again. Whoever changes the format adds payloads under new names; those that users may have stored keep theirs.
Only while a version of the format has not been released may its payloads be made anew.

Pictures are parts of photographs that scikit-image ships and that are in the public domain or under CC0: `astronaut`
(NASA), `coffee` (Rachel Michetti, CC0) and `chelsea` (Stefan van der Walt, CC0). `version1-siren` was written by the
format's first version, which is gone.
"""

import io
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage import data

from rinr.boxes import Box
from rinr.codec.bytestream import varint
from rinr.codec.clip import ClipPlace, SharedPart, pack_part, part_name
from rinr.codec.frame import EncodedFrame, pack_frame
from rinr.decoder import decode
from rinr.networks.cosine import COSINE
from rinr.networks.cosine_time import COSINE_TIME
from rinr.networks.payload import Member, write_networks
from rinr.networks.settings import CosineSettings, CosineTimeSettings, Schedule, SirenSettings
from rinr.networks.siren import SIREN
from rinr.networks.siren_coding import EMPTY, Shape, SirenNetwork
from rinr.weights import parts_of

HERE = Path(__file__).parent
BACKGROUND = CosineSettings(200, (24, 32), 0.12, 12, 0.1, 3, axes=True, offset=True)
OBJECT = CosineSettings(24, (12,), 0.06, 12, 0.12, 3)
LARGE = CosineSettings(30, (16,), 0.2, 12, 0.12, 2)
TINY = CosineSettings(300, (16,), 0.0, 2, 0.1, 1, offset=True)
STEEP = CosineSettings(1.2, (8,), 0.0, 8, 0.0, 1)
SMALL_SIREN = SirenSettings(Shape(10, 4), 10, 8, Schedule(200, 1e-2, True, 512), price=4e-7)
WIDE_SIREN = SirenSettings(Shape(6, 3), 10, 14, Schedule(200, 1e-2, True, 512))


def photograph(name: str, part: tuple[int, int, int, int], size: tuple[int, int]) -> np.ndarray:
    """A part (left, top, right, bottom) of a photograph at some size, ``[height, width, 3]``."""
    return np.asarray(Image.fromarray(getattr(data, name)()).resize(size, Image.Resampling.LANCZOS, box=part))


def cosine(pixels: np.ndarray, settings: CosineSettings) -> Member:
    """A network fitted to values from 0 to 1."""
    return Member(COSINE, COSINE.fit([torch.tensor(pixels, dtype=torch.float32)], settings)[0])


def siren(pixels: np.ndarray, settings: SirenSettings) -> Member:
    """A network fitted to values from 0 to 1."""
    return Member(SIREN, SIREN.fit([torch.tensor(pixels, dtype=torch.float32)], settings)[0])


def residual(pixels: np.ndarray, frame: EncodedFrame, box: Box) -> np.ndarray:
    """What a background lacks inside a box."""
    return ((pixels.astype(float) - decode(frame)) / 255)[box.slices]


def tiny() -> EncodedFrame:
    """The one that docs/format.md takes apart byte by byte."""
    pixels = photograph("astronaut", (160, 40, 280, 160), (16, 16))
    return EncodedFrame(16, 16, write_networks([cosine(pixels / 255, TINY)]))


def background() -> EncodedFrame:
    """A background alone, of sides that tiles do not divide."""
    pixels = photograph("coffee", (100, 0, 500, 300), (97, 71))
    return EncodedFrame(97, 71, write_networks([cosine(pixels / 255, BACKGROUND)]))


def objects() -> EncodedFrame:
    """Residuals: two layouts, boxes that overlap, one without a network, one of a single pixel, two labels."""
    pixels = photograph("chelsea", (40, 20, 360, 260), (96, 72))
    frame = EncodedFrame(96, 72, write_networks([cosine(pixels / 255, BACKGROUND)]))
    boxes = (
        Box(0, 3, 1, 1, "ear"),
        Box(20, 14, 22, 15, "eye"),
        Box(30, 10, 40, 50, "face"),
        Box(50, 16, 24, 18, "eye"),
        Box(60, 40, 31, 9, "ear"),
    )
    kinds = (OBJECT, OBJECT, LARGE, None, OBJECT)
    networks = [k and cosine(residual(pixels, frame, b), k) for k, b in zip(kinds, boxes, strict=True)]
    return replace(frame, boxes=boxes, objects=write_networks(networks))


def pasted() -> EncodedFrame:
    """Pixels in place of residuals, on no background at all; weights that need the escape code and 16 bits."""
    pixels = photograph("astronaut", (150, 0, 310, 120), (64, 48))
    boxes = (Box(5, 4, 24, 30, "face"), Box(20, 20, 30, 20, "suit"))
    kinds = (STEEP, replace(OBJECT, offset=True))
    networks = [cosine(pixels[b.slices] / 255, k) for k, b in zip(kinds, boxes, strict=True)]
    return EncodedFrame(64, 48, write_networks([None]), boxes, write_networks(networks), pasted=True)


def sirens() -> EncodedFrame:
    """SIREN: 8 and 14 bits, an equal shape, an empty network, and a cosine network beside them."""
    pixels = photograph("coffee", (100, 0, 500, 300), (80, 60))
    frame = EncodedFrame(80, 60, write_networks([siren(pixels / 255, replace(SMALL_SIREN, shape=Shape(12, 4)))]))
    boxes = tuple(Box(8 * n, 5 + 4 * n, 20, 16, "cup") for n in range(6))
    kinds = (SMALL_SIREN, SMALL_SIREN, WIDE_SIREN, OBJECT, SMALL_SIREN, WIDE_SIREN)
    networks = [
        (cosine if isinstance(kind, CosineSettings) else siren)(residual(pixels, frame, box), kind)
        for kind, box in zip(kinds, boxes, strict=True)
    ]
    networks[4] = Member(SIREN, SirenNetwork(EMPTY, 8, (), np.zeros(0, dtype=np.int32)))
    return replace(frame, boxes=boxes, objects=write_networks(networks))


def jpegs() -> EncodedFrame:
    """Files of the codec family jpeg at their regions' sizes, put together by hand; two crops are pasted."""
    pixels = photograph("chelsea", (40, 20, 360, 260), (96, 72))
    boxes = (Box(20, 14, 22, 15, "eye"), Box(50, 16, 24, 18, "eye"))
    first, second = (_jpeg(pixels[box.slices], 60) for box in boxes)
    background = bytes([4 | 128]) + _jpeg(pixels, 10)
    crops = bytes([4 | 128]) + varint(len(first)) + first + second
    return EncodedFrame(96, 72, background, boxes, crops, pasted=True)


def shared() -> bytes:
    """The shared part of a clip: a canvas larger than its frame."""
    pixels = photograph("coffee", (60, 0, 580, 360), (130, 90))
    return pack_part(SharedPart(130, 90, write_networks([cosine(pixels / 255, BACKGROUND)])))


def clip() -> EncodedFrame:
    """A frame of a clip, moved and zoomed, with a background of its own and an object over it."""
    pixels = photograph("coffee", (100, 0, 500, 300), (96, 72))
    place = ClipPlace(part_name(shared()), 0, (35, -20), (-44, -35))
    parts = parts_of([shared()])
    bare = EncodedFrame(96, 72, write_networks([None]), clip=place)
    own = (pixels.astype(float) - decode(bare, parts=parts)) / 255
    frame = replace(bare, background=write_networks([cosine(own, replace(BACKGROUND, axes=False, offset=False))]))
    box = Box(20, 16, 40, 30, "cup")
    left = ((pixels.astype(float) - decode(frame, parts=parts)) / 255)[box.slices]
    return replace(frame, boxes=(box,), objects=write_networks([cosine(left, OBJECT)]))


def film() -> bytes:
    """The shared part of a clip whose canvas changes over time: a picture that comes nearer and darkens."""
    frames = [
        photograph("coffee", (60 + 6 * n, 0, 580 - 6 * n, 360 - 3 * n), (110, 80)) / 255 * (1 - 0.03 * n)
        for n in range(9)
    ]
    laid = torch.tensor(np.stack(frames), dtype=torch.float32).permute(0, 3, 1, 2)
    network = COSINE_TIME.fit_canvas(laid, CosineTimeSettings((160,), (24, 32), 0.12, 12, 0.1, 3))
    return pack_part(SharedPart(110, 80, write_networks([Member(COSINE_TIME, network)])))


def filmed() -> EncodedFrame:
    """A frame of that clip, the seventh of nine, moved and zoomed."""
    place = ClipPlace(part_name(film()), 6, (-40, 25), (20, -30))
    return EncodedFrame(96, 72, write_networks([None]), clip=place)


def _jpeg(pixels: np.ndarray, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


GOLDEN = {
    "version2-tiny": tiny,
    "version2-background": background,
    "version2-objects": objects,
    "version2-pasted": pasted,
    "version2-siren": sirens,
    "version2-jpeg": jpegs,
    "clip-1/frame": clip,
    "clip-2/frame": filmed,
}


def main(names: list[str]) -> None:
    """Write some of them, or all."""
    torch.set_num_threads(1)
    for folder, part in (("clip-1", shared()), ("clip-2", film())):
        (HERE / folder).mkdir(exist_ok=True)
        (HERE / folder / "part.rinrp").write_bytes(part)
    for name in names or GOLDEN:
        frame = GOLDEN[name]()
        payload = pack_frame(frame)
        (HERE / f"{name}.rinr").write_bytes(payload)
        Image.fromarray(decode(frame, parts=parts_of([shared(), film()]))).save(HERE / f"{name}.png", optimize=True)
        print(f"{name}: {len(payload)} bytes, {frame.width}x{frame.height} pixels, {len(frame.boxes)} boxes")


if __name__ == "__main__":
    main(sys.argv[1:])
