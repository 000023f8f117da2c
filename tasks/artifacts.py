"""Artifacts: the tables and pictures that stand on a run in the pages."""

import base64
import io
import re
from collections.abc import Mapping, Sequence

from prefect.artifacts import create_markdown_artifact, create_table_artifact

Cell = str | int | float | None

# Pictures travel inside the artifact's text, which the server keeps in its database.
_PICTURE_WIDTH = 1200
_PICTURE_BYTES = 600_000


def publish_table(key: str, description: str, rows: Sequence[Mapping[str, Cell]]) -> None:
    """A table, with a line a row.

    Args:
        key: names the artifact over all runs; brought to lower-case letters, digits and hyphens.
        rows: by column; ``None`` is shown as an empty cell, numbers with a fraction to four digits.
    """
    shown = [{name: _cell(value) for name, value in row.items()} for row in rows]
    create_table_artifact(shown, key=artifact_key(key), description=description)


def publish_picture(key: str, description: str, picture: bytes) -> None:
    """A picture, reduced to what the server's database takes.

    Args:
        picture: a PNG or JPEG file. An image artifact would show its address as text, here megabytes of it, so that
            the picture stands in a Markdown artifact.
    """
    markdown = f"![{description}](data:image/jpeg;base64,{base64.b64encode(reduced(picture)).decode()})"
    create_markdown_artifact(markdown, key=artifact_key(key), description=description)


def artifact_key(text: str) -> str:
    """Text as an artifact's key: lower-case letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def reduced(picture: bytes) -> bytes:
    """A picture as a JPEG of at most 1,200 pixels' width and 600,000 bytes."""
    # Flows that publish no picture start sooner without Pillow.
    from PIL import Image

    image = Image.open(io.BytesIO(picture)).convert("RGB")
    width = min(_PICTURE_WIDTH, image.width)
    while True:
        size = (width, max(1, round(image.height * width / image.width)))
        buffer = io.BytesIO()
        image.resize(size, Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=85)
        if buffer.tell() <= _PICTURE_BYTES or width < 100:
            return buffer.getvalue()
        width = width * 3 // 4


def _cell(value: Cell) -> str | int | float:
    if value is None:
        return ""
    return round(value, 4) if isinstance(value, float) else value
