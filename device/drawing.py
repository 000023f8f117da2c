"""Detections drawn on pictures: what is labelled in white, what was found in orange with its score."""

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from rinr.folders import spread
from rinr.training.evaluate import Findings
from rinr.training.pictures import Pictures
from rinr.training.sizes import SHOWN_SCORE

MAX_DRAWN = 12
"""Pictures, spread evenly over all."""

_WIDTH = 560  # pixels of one drawn picture
_COLUMNS = 3
_QUALITY = 82
_LABELLED, _FOUND, _EDGE = (255, 255, 255), (255, 140, 0), (0, 0, 0)


def draw_detections(pictures: Pictures, findings: Findings) -> list[Image.Image]:
    """A few of the pictures with their labels and what was found with a score of ``SHOWN_SCORE`` or more.

    Args:
        pictures: that were tested.
        findings: in them, in their order.
    """
    return [_drawn(pictures, findings, place) for place in spread(range(len(findings.truths)), MAX_DRAWN)]


def as_jpeg(picture: Image.Image) -> bytes:
    """A picture as the bytes of a JPEG."""
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=_QUALITY)
    return data.getvalue()


def sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one size side by side on one."""
    width, height = pictures[0].size
    columns = min(_COLUMNS, len(pictures))
    rows = -(-len(pictures) // columns)
    drawn = Image.new("RGB", (columns * width, rows * height), (128, 128, 128))
    for place, picture in enumerate(pictures):
        drawn.paste(picture, (place % columns * width, place // columns * height))
    return drawn


def _drawn(pictures: Pictures, findings: Findings, place: int) -> Image.Image:
    image = next(iter(pictures.batches(1, start=place))).images[0]
    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    scale = _WIDTH / pixels.shape[1]
    size = (_WIDTH, max(1, round(pixels.shape[0] * scale)))
    drawn = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(drawn)
    font = ImageFont.load_default(size=16)
    for box in findings.truths[place].tolist():
        _frame(pen, box, scale, _LABELLED)
    found = findings.found[place]
    for box, score in reversed(list(zip(found.boxes.tolist(), found.scores.tolist(), strict=True))):
        if score >= SHOWN_SCORE:
            _frame(pen, box, scale, _FOUND)
            text, corner = f"{score:.2f}", (max(box[0] * scale, 0), max(box[1] * scale - 21, 0))
            pen.rectangle((corner, (corner[0] + pen.textlength(text, font) + 6, corner[1] + 20)), fill=_FOUND)
            pen.text((corner[0] + 3, corner[1] + 1), text, _EDGE, font)
    return drawn


def _frame(pen: ImageDraw.ImageDraw, box: Sequence[float], scale: float, color: tuple[int, int, int]) -> None:
    """A rectangle with an edge, which shows on any ground."""
    x0, y0, x1, y1 = (side * scale for side in box)
    around = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
    pen.rectangle(around, outline=_EDGE, width=5)
    pen.rectangle(
        (around[0] + 1, around[1] + 1, max(around[2] - 1, around[0] + 1), max(around[3] - 1, around[1] + 1)),
        outline=color,
        width=3,
    )
