"""Clips to look at: a film strip of a few frames, bytes a frame as bars, and the two as an animated picture."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rinr.folders import spread
from rinr.frames import Pixels, resize
from rinr.metrics import psnr

MOST_SHOWN = 6
"""Frames of a film strip."""

WIDTH = 320
"""Pixels' width that frames are kept at."""

ANIMATED = {".webp": "WEBP", ".gif": "GIF", ".png": "PNG"}
"""Formats of animated pictures, by the ends of their files' names."""

_Item = TypeVar("_Item")

_CELL, _GAP, _LINE, _BARS = 240, 8, 18, 72
_TALLEST = 1.5  # of a picture's width
_SHEET = 960  # pixels' width of bars that stand alone
_PAPER, _INK, _FAINT = (250, 250, 248), (25, 25, 25), (110, 110, 110)
_OWN, _SHARED, _NOW = (60, 110, 160), (200, 170, 90), (220, 60, 30)
_WEBP_QUALITY = 80


@dataclass(frozen=True)
class ClipFrame:
    """One frame of a sequence, as it was and as it came out, reduced to what is shown.

    Attributes:
        decoded: ``[height, width, 3]``, at most ``WIDTH`` wide.
        original: likewise; ``None`` where it is not at hand.
        db: PSNR of the whole frame; ``None`` without the original.
        bytes_own: of its payload.
        bytes_shared: its part of what its clip shares; zero where it stands alone.
        name: for people.
    """

    decoded: Pixels
    original: Pixels | None
    db: float | None
    bytes_own: int
    bytes_shared: float
    name: str = ""


def clip_frame(
    decoded: Pixels, original: Pixels | None, bytes_own: int, bytes_shared: float, name: str = ""
) -> ClipFrame:
    """A frame to be shown, of pictures of any size.

    Args:
        decoded: ``[height, width, 3]``.
        original: of the same size, where it is at hand.
        bytes_own: of its payload.
        bytes_shared: its part of what its clip shares.
        name: for people.
    """
    db = None if original is None or original.shape != decoded.shape else psnr(original, decoded)
    small = None if original is None else reduced(original)
    return ClipFrame(reduced(decoded), small, db, bytes_own, bytes_shared, name)


def reduced(pixels: Pixels, width: int = WIDTH) -> Pixels:
    """A picture ``[height, width, 3]``, at most so wide."""
    scale = min(width / pixels.shape[1], 1.0)
    return resize(pixels, (max(round(pixels.shape[1] * scale), 1), max(round(pixels.shape[0] * scale), 1)))


def film_strip(frames: Sequence[ClipFrame], sizes: Sequence[tuple[float, float]], title: str) -> Image.Image:
    """A few frames, originals above what was decoded, over the bytes of all frames as bars.

    Args:
        frames: some of a sequence, in the order of time; ``MOST_SHOWN`` of them are shown, evenly spread.
        sizes: own and shared bytes of all its frames.
        title: for the line above.

    Raises:
        ValueError: there are no frames.
    """
    shown = spread(_some(frames), MOST_SHOWN)
    height = max(_scaled(one.decoded, _CELL).height for one in shown)
    width = max(_GAP + len(shown) * (_CELL + _GAP), 2 * _CELL)
    rows = 2 if any(one.original is not None for one in shown) else 1
    top = 2 * _GAP + _LINE
    sheet = Image.new("RGB", (width, top + rows * (height + _GAP) + _LINE + _bars_height()), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_GAP, _GAP), title, fill=_INK, font=ImageFont.load_default(14))
    small = ImageFont.load_default(11)
    for number, one in enumerate(shown):
        left = _GAP + number * (_CELL + _GAP)
        cells = [one.decoded] if rows == 1 else [one.original, one.decoded]
        for row, pixels in enumerate(cells):
            if pixels is not None:
                sheet.paste(_scaled(pixels, _CELL), (left, top + row * (height + _GAP)))
        pen.text((left, top + rows * (height + _GAP)), _caption(one), fill=_FAINT, font=small)
    sheet.paste(byte_bars(sizes, width), (0, sheet.height - _bars_height()))
    return sheet


def rows_of_runs(runs: Sequence[tuple[str, Sequence[Pixels]]]) -> Image.Image:
    """Runs of frames one below another, a few frames of each.

    Args:
        runs: what is said of each, and its frames, ``[height, width, 3]``, in the order of time.

    Raises:
        ValueError: there are no runs, or one has no frames.
    """
    shown = [
        (words, [_scaled(pixels, _CELL) for pixels in spread(_some(frames), MOST_SHOWN)]) for words, frames in runs
    ]
    heights = [max(cell.height for cell in cells) + _LINE + _GAP for _, cells in _some(shown)]
    width = max(_GAP + max(len(cells) for _, cells in shown) * (_CELL + _GAP), 2 * _CELL)
    sheet = Image.new("RGB", (width, sum(heights) + _GAP), _PAPER)
    pen, small, top = ImageDraw.Draw(sheet), ImageFont.load_default(12), _GAP
    for (words, cells), height in zip(shown, heights, strict=True):
        pen.text((_GAP, top), words, fill=_INK, font=small)
        for number, cell in enumerate(cells):
            sheet.paste(cell, (_GAP + number * (_CELL + _GAP), top + _LINE))
        top += height
    return sheet


def byte_bars(sizes: Sequence[tuple[float, float]], width: int = _SHEET, now: int | None = None) -> Image.Image:
    """Bytes a frame over time, a bar each: own bytes below, the share of what its clip shares on top.

    Args:
        sizes: own and shared bytes of each frame, in the order of time.
        width: of the picture, in pixels. Where frames are more than columns, the mean of those of a column is shown.
        now: the frame that is marked.

    Raises:
        ValueError: there are no frames.
    """
    sheet = Image.new("RGB", (width, _bars_height()), _PAPER)
    pen = ImageDraw.Draw(sheet)
    small = ImageFont.load_default(11)
    count = len(_some(sizes))
    mean = [sum(each) / count for each in zip(*sizes, strict=True)]
    legend = f"bytes a frame: {mean[0]:,.0f} own + {mean[1]:,.0f} shared in the mean of {count}"
    pen.text((_GAP, 2), legend, fill=_FAINT, font=small)
    room, base = width - 2 * _GAP, _bars_height() - _GAP
    columns = min(count, room)
    edges = [_GAP + room * column // columns for column in range(columns + 1)]
    firsts = [count * column // columns for column in range(columns + 1)]
    means = [
        tuple(float(np.mean([size[kind] for size in sizes[one:other]])) for kind in (0, 1))
        for one, other in pairwise(firsts)
    ]
    highest = max(max(sum(each) for each in means), 1.0)
    pen.text((width - _GAP, 2), f"at most {highest:,.0f}", fill=_FAINT, font=small, anchor="ra")
    for column, (own, shared) in enumerate(means):
        left, right = edges[column], max(edges[column + 1] - 1 - (columns * 3 < room), edges[column])
        middle, top = (base - round(_BARS * value / highest) for value in (own, own + shared))
        marked = now is not None and firsts[column] <= now < firsts[column + 1]
        if top < middle:
            pen.rectangle((left, top, right, middle), fill=_SHARED)
        if middle < base:
            pen.rectangle((left, middle, right, base), fill=_NOW if marked else _OWN)
        if marked:
            pen.line((left, base + 3, right, base + 3), fill=_NOW, width=3)
    return sheet


def animated(frames: Sequence[ClipFrame], file_format: str, seconds: float, width: int = 640) -> bytes:
    """Frames one after another, original and decoded side by side over their bytes as bars.

    Args:
        frames: in the order of time.
        file_format: one of ``ANIMATED``'s: a GIF has 256 colours, a PNG is exact and large.
        seconds: that each is shown.
        width: of the picture, in pixels.

    Returns:
        The file.

    Raises:
        ValueError: there are no frames.
    """
    first, *others = _pages(_some(frames), width)
    if file_format == "GIF":  # whose palettes Pillow would look for a hundred times as long
        first, *others = (page.quantize(256, method=Image.Quantize.FASTOCTREE) for page in (first, *others))
    options: dict[str, object] = {"quality": _WEBP_QUALITY, "method": 2} if file_format == "WEBP" else {}
    buffer = io.BytesIO()
    duration = max(round(1000 * seconds), 20)
    first.save(buffer, file_format, save_all=True, append_images=others, duration=duration, loop=0, **options)
    return buffer.getvalue()


def _pages(frames: Sequence[ClipFrame], width: int) -> Iterator[Image.Image]:
    sizes = [(one.bytes_own, one.bytes_shared) for one in frames]
    columns = 2 if any(one.original is not None for one in frames) else 1
    cell = (width - _GAP * (columns + 1)) // columns
    height = max(_scaled(one.decoded, cell).height for one in frames)
    small = ImageFont.load_default(12)
    for number, one in enumerate(frames):
        page = Image.new("RGB", (width, height + 2 * _LINE + _bars_height()), _PAPER)
        pen = ImageDraw.Draw(page)
        cells = [("decoded", one.decoded)] if columns == 1 else [("original", one.original), ("decoded", one.decoded)]
        for column, (title, pixels) in enumerate(cells):
            left = _GAP + column * (cell + _GAP)
            pen.text((left, 2), title if pixels is not None else f"{title}: not at hand", fill=_INK, font=small)
            if pixels is not None:
                page.paste(_scaled(pixels, cell), (left, _LINE))
        said = f"{number + 1} of {len(frames)} {one.name}: {_caption(one)}"
        pen.text((_GAP, _LINE + height + 2), said, fill=_FAINT, font=small)
        page.paste(byte_bars(sizes, width, number), (0, page.height - _bars_height()))
        yield page


def _caption(one: ClipFrame) -> str:
    said = (
        f"{one.bytes_own:,} + {one.bytes_shared:,.0f} bytes" if one.bytes_shared else f"{one.bytes_own:,} bytes, alone"
    )
    return said + (f", {one.db:.1f} dB" if one.db is not None else "")


def _scaled(pixels: Pixels, width: int) -> Image.Image:
    """So wide; a tall picture no taller than half as much again."""
    scale = min(width / pixels.shape[1], _TALLEST * width / pixels.shape[0])
    return Image.fromarray(resize(pixels, tuple(max(round(side * scale), 1) for side in pixels.shape[1::-1])))


def _bars_height() -> int:
    return _BARS + _LINE + _GAP


def _some(items: Sequence[_Item]) -> Sequence[_Item]:
    if not items:
        raise ValueError("there are no frames to show")
    return items
