"""The mosaic: what a receiver gets, beside what was captured, for people who would rather look than read."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rinr.codec.frame import EncodedFrame
from rinr.controls import jpeg_of_size
from rinr.decoder import decode, decode_background
from rinr.frames import Frame, Pixels, resize
from rinr.metrics import frame_psnr
from rinr.weights import NO_PARTS, Parts

RESIDUAL_GAIN = 2
_CELL, _GAP, _LINE = 380, 12, 20
_PAPER, _INK, _FAINT, _BOX = (250, 250, 248), (25, 25, 25), (110, 110, 110), (255, 80, 0)


@dataclass(frozen=True)
class _Cell:
    title: str
    caption: str
    pixels: Pixels


def mosaic(
    frames: Sequence[tuple[Frame, EncodedFrame]],
    title: str = "Residual-INR",
    *,
    parts: Parts = NO_PARTS,
    shared: Sequence[float] = (),
) -> Image.Image:
    """One row a frame: original, decoded background, decoded frame, residual, and a JPEG of the same bytes.

    Captions give bytes and PSNR. The residual, original minus decoded background, is shown around grey and doubled.

    Args:
        frames: working frames with their encodings.
        title: for the line above.
        parts: the shared parts that they need, where they are of clips.
        shared: each frame's part of the bytes of those; none without it.

    Raises:
        MissingPartError: a frame needs a part that is not there.
        ValueError: there are no frames.
    """
    if not frames:
        raise ValueError("a mosaic needs at least one frame")
    shares = [round(size) for size in shared] or [0] * len(frames)
    rows = [_cells(frame, encoded, parts, share) for (frame, encoded), share in zip(frames, shares, strict=True)]
    heights = [max(round(_CELL * c.pixels.shape[0] / c.pixels.shape[1]) for c in cells) for cells in rows]
    width = _GAP + len(rows[0]) * (_CELL + _GAP)
    top = _GAP + 2 * _LINE
    sheet = Image.new("RGB", (width, top + sum(h + 2 * _LINE + 2 * _GAP for h in heights)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    total = sum(encoded.bytes_total for _, encoded in frames) + sum(shares)
    mean = total / len(frames)
    line = f"{title}: {_count(len(frames), 'frame')} in {total:,} bytes, {mean:,.0f} a frame, headers included"
    draw.text((_GAP, _GAP), line, fill=_INK, font=ImageFont.load_default(18))
    small, smaller = ImageFont.load_default(14), ImageFont.load_default(12)
    for cells, height in zip(rows, heights, strict=True):
        for number, cell in enumerate(cells):
            x = _GAP + number * (_CELL + _GAP)
            draw.text((x, top), cell.title, fill=_INK, font=small)
            draw.text((x, top + _LINE), cell.caption, fill=_FAINT, font=smaller)
            shape = (_CELL, round(_CELL * cell.pixels.shape[0] / cell.pixels.shape[1]))
            sheet.paste(Image.fromarray(resize(cell.pixels, shape)), (x, top + 2 * _LINE))
        top += height + 2 * _LINE + 2 * _GAP
    return sheet


def _cells(frame: Frame, encoded: EncodedFrame, parts: Parts, shared: int) -> list[_Cell]:
    background, decoded = decode_background(encoded, parts=parts), decode(encoded, parts=parts)
    total = encoded.bytes_total + shared
    same = jpeg_of_size(frame, total)
    return [
        _Cell("original", f"{frame.size[0]}x{frame.size[1]}, {_count(len(frame.boxes), 'object')}", _outlined(frame)),
        _Cell("background", _caption(frame, background, encoded.bytes_background + shared), background),
        _Cell("decoded", _caption(frame, decoded, total), decoded),
        _Cell(
            f"residual x{RESIDUAL_GAIN}",
            f"{encoded.bytes_objects:,} bytes for what lies in the boxes",
            _around_grey(frame.pixels, background),
        ),
        _Cell(same.name, _caption(frame, same.pixels, same.bytes_total), same.pixels),
    ]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _caption(frame: Frame, pixels: Pixels, size: int) -> str:
    background, inside = frame_psnr(frame.pixels, pixels, frame.boxes)
    parts = [f"{size:,} bytes"]
    parts += [f"background {background:.1f} dB"] if background is not None else []
    parts += [f"object {inside:.1f} dB"] if inside is not None else []
    return ", ".join(parts)


def _around_grey(original: Pixels, background: Pixels) -> Pixels:
    residual = (original.astype(np.int16) - background) * RESIDUAL_GAIN + 128
    return residual.clip(0, 255).astype(np.uint8)


def _outlined(frame: Frame) -> Pixels:
    image = Image.fromarray(frame.pixels.copy())
    draw = ImageDraw.Draw(image)
    for box in frame.boxes:
        draw.rectangle((box.x, box.y, box.x + box.width - 1, box.y + box.height - 1), outline=_BOX)
    return np.asarray(image)
