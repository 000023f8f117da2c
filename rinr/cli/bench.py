"""``rinr bench``: ours beside the controls, over the same frames in the same run."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from rinr.accelerator import torch_device
from rinr.cli.console import fail, out, progress_bar
from rinr.controls import Row, compare
from rinr.encoder import encode
from rinr.folders import FolderError, frames_of, labelled_folders
from rinr.frames import Frame
from rinr.presets import find_preset


def bench(
    folders: Annotated[list[Path], typer.Argument(help="Folders of JPEGs with annotations.json.")],
    preset: Annotated[str, typer.Option(help="How ours are encoded.")] = "fast",
    frames: Annotated[int, typer.Option(min=1, help="Frames a folder at most, evenly spread.")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    device: Annotated[str, typer.Option(help="Where to fit: auto, cpu or cuda.")] = "auto",
) -> None:
    """Bytes and PSNR of the captured JPEG, JPEG 90, two-stream JPEG and ours, as means over the same frames.

    Bytes are all that would travel: headers, boxes and labels included. Object PSNR is measured over the union of the
    boxes, background PSNR outside it.

    Exit codes: 0 all done; 1 failed; 2 wrong usage.
    """
    try:
        chosen, place = find_preset(preset), torch_device(device)
        found = [each for folder in folders for each in labelled_folders(folder)]
    except (ValueError, FolderError) as error:
        raise fail(str(error), code=2) from None
    read = [
        (frame, file.stat().st_size)
        for folder in found
        for file, frame in frames_of(folder, frames)
        if isinstance(frame, Frame)
    ]
    if not read:
        raise fail("none of the files can be read as a picture")
    with progress_bar(f"encoding {len(read)} frames") as tell:
        images = encode([frame for frame, _ in read], chosen, device=place, progress=tell)
    rows = compare(
        [(frame, size, image.frame) for (frame, size), image in zip(read, images, strict=True)], f"ours, {preset}"
    )
    if as_json:
        print(json.dumps({"preset": preset, "rows": [asdict(row) for row in rows]}))
        return
    out.print(table(rows, f"{len(read)} frames, folders: {len(found)}, preset: {preset}"))


def table(rows: Sequence[Row], title: str) -> Table:
    """A comparison for people."""
    drawn = Table(title=title)
    drawn.add_column("")
    for name in ("bytes a frame", "background", "object"):
        drawn.add_column(name, justify="right")
    for row in rows:
        values = [f"{value:.2f} dB" if value is not None else "–" for value in (row.background_db, row.object_db)]
        drawn.add_row(row.name, f"{row.bytes_a_frame:,.0f}", *values)
    return drawn
