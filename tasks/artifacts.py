"""Artifacts: the summaries, tables and pictures that stand on a run in the pages."""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.utilities.urls import url_for

Cell = str | int | float | None

# Pictures travel inside the artifact's text, which the server keeps in its database.
_PICTURE_WIDTH = 1200
_PICTURE_BYTES = 600_000

_MOST_LINES = 100  # of one list
_MOST_TEXT = 500  # characters of what comes from elsewhere
_MARKS = re.compile(r"([\\`*_{}\[\]()!|~])")


@dataclass(frozen=True)
class Summary:
    """What a run's page says first: each a list of lines of Markdown.

    Attributes:
        did: what was done; a run that did nothing has no summary.
        cost: in seconds, bytes and images a second.
        left: what waits, lies in quarantine or is away.
    """

    did: Sequence[str]
    cost: Sequence[str]
    left: Sequence[str]


def publish_summary(key: str, description: str, summary: Summary) -> None:
    """What a run did, what it cost and what is left, under three headings.

    Args:
        key: names the artifact over all runs.
        description: stands over it.
        summary: text from elsewhere in it has gone through :func:`plain`.
    """
    sections = (("Did", summary.did), ("Cost", summary.cost), ("Left", summary.left))
    lines: list[str] = []
    for heading, items in sections:
        shown = [f"- {item}" for item in items[:_MOST_LINES]] or ["nothing"]
        if len(items) > _MOST_LINES:
            shown.append(f"- and {len(items) - _MOST_LINES:,} more")
        lines += [f"## {heading}", "", *shown, ""]
    create_markdown_artifact("\n".join(lines), key=artifact_key(key), description=description)


def publish_table(key: str, description: str, rows: Sequence[Mapping[str, Cell]]) -> None:
    """A table, with a line a row.

    Args:
        key: names the artifact over all runs; brought to lower-case letters, digits and hyphens.
        description: stands over it.
        rows: by column; ``None`` is shown as an empty cell, numbers with a fraction to four digits.
    """
    shown = [{name: _cell(value) for name, value in row.items()} for row in rows]
    create_table_artifact(shown, key=artifact_key(key), description=description)


def publish_markdown(key: str, description: str, text: str) -> None:
    """Markdown as it is.

    Args:
        key: names the artifact over all runs.
        description: stands over it.
        text: what comes from elsewhere in it has gone through :func:`plain`.
    """
    create_markdown_artifact(text, key=artifact_key(key), description=description)


def publish_picture(key: str, description: str, picture: bytes) -> None:
    """A picture, reduced to what the server's database takes.

    Args:
        key: names the artifact over all runs.
        description: stands over it.
        picture: a PNG or JPEG file. An image artifact would show its address as text, here megabytes of it, so that
            the picture stands in a Markdown artifact.
    """
    markdown = f"![{description}](data:image/jpeg;base64,{base64.b64encode(reduced(picture)).decode()})"
    create_markdown_artifact(markdown, key=artifact_key(key), description=description)


def artifact_key(text: str) -> str:
    """Text as an artifact's key: lower-case letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def run_link(text: str, flow_run_id: str) -> str:
    """A link in Markdown to a flow run's page, or the text alone where no address of the pages is known."""
    address = url_for("flow-run", flow_run_id)
    return f"[{plain(text)}]({address})" if address else plain(text)


def plain(text: str) -> str:
    """Text from elsewhere as Markdown that shows it as it is: one line, no marks, no tags."""
    short = text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]} ..."
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in short)
    return _MARKS.sub(r"\\\1", line).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


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
