"""``rinr mosaic``: originals, backgrounds, decoded frames, residuals and JPEGs of the same bytes on one picture."""

from pathlib import Path
from typing import Annotated

import typer

from rinr.cli.console import fail, out, progress_bar
from rinr.cli.store_access import open_store
from rinr.codec.frame import EncodedFrame
from rinr.encoder import encode
from rinr.folders import FolderError, frames_of, labelled_folders
from rinr.frames import Frame
from rinr.mosaic import mosaic as draw
from rinr.presets import find_preset
from rinr.shard import frames_of as stored_frames
from rinr.weights import NO_PARTS, Parts, parts_of


def mosaic(
    folder: Annotated[Path, typer.Argument(help="The captured JPEGs, with annotations.json.")],
    store: Annotated[
        str | None, typer.Option(help="Weight store with their encodings; without it they are encoded now.")
    ] = None,
    out_file: Annotated[Path, typer.Option("--out", help="The PNG to write.")] = Path("mosaic.png"),
    frames: Annotated[int, typer.Option(min=1, max=50, help="How many frames, evenly spread.")] = 4,
    preset: Annotated[str, typer.Option(help="Preset, where frames are encoded now.")] = "balanced",
) -> None:
    """Draw frames as a receiver gets them, beside what was captured and a JPEG of the same bytes.

    Exit codes: 0 all done; 1 failed; 2 wrong usage.
    """
    try:
        chosen = find_preset(preset)
        folders = labelled_folders(folder)
    except (ValueError, FolderError) as error:
        raise fail(str(error), code=2) from None
    share = -(-frames // len(folders))
    found = [frame for each in folders for _, frame in frames_of(each, share) if isinstance(frame, Frame)][:frames]
    if not found:
        raise fail(f"{folder} holds no picture that can be read")
    rows, parts, shared = _stored(store, found) if store is not None else (_encoded(found, chosen.name), NO_PARTS, ())
    out_file.parent.mkdir(parents=True, exist_ok=True)
    draw(rows, folder.resolve().name, parts=parts, shared=shared).save(out_file, format="PNG")
    out.print(f"{len(rows)} frames in {out_file}")


def _encoded(frames: list[Frame], preset: str) -> list[tuple[Frame, EncodedFrame]]:
    with progress_bar(f"encoding {len(frames)} frames") as tell:
        images = encode(frames, find_preset(preset), progress=tell)
    return [(frame, image.frame) for frame, image in zip(frames, images, strict=True)]


def _stored(url: str, frames: list[Frame]) -> tuple[list[tuple[Frame, EncodedFrame]], Parts, list[float]]:
    """The frames' newest encodings, and of frames of clips what these share and how much of it is theirs."""
    store = open_store(url)
    from storage.store import StoreError

    try:
        columns = ["image_id", "payload", "part_id", "bytes_shared", "created_at"]
        table = store.lookup([frame.image_id for frame in frames], columns).sort_by("created_at")
        parts = parts_of(store.parts(table["part_id"].to_pylist()).values())
    except StoreError as error:
        raise fail(str(error)) from None
    newest = dict(zip(table["image_id"].to_pylist(), stored_frames(table), strict=True))
    rows = [(frame, newest[frame.image_id]) for frame in frames if frame.image_id in newest]
    if not rows:
        raise fail(f"none of these frames is in the store {url}; run: rinr encode FOLDER --store {url}")
    shares = dict(zip(table["image_id"].to_pylist(), table["bytes_shared"].to_pylist(), strict=True))
    return rows, parts, [shares[frame.image_id] for frame, _ in rows]
