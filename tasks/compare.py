"""Comparing what is in the store with JPEG, for the same frames: the table and the mosaic."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from prefect import get_run_logger, task

from rinr.codec.frame import EncodedFrame
from rinr.files import write_whole
from rinr.folders import spread
from rinr.frames import Frame
from rinr.shard import frames_of
from storage.devices import safe_spelling
from storage.fleet import Fleet
from storage.ingestion import read_frame
from storage.store import Store
from storage.tables import IMAGES, SOURCES, pending_from_row
from tasks.artifacts import publish_picture, publish_table
from tasks.encode import encoding_of
from tasks.fleet import secrets
from tasks.stores import open_store

FRAMES = 48
"""Frames that are compared at most, spread evenly over the store's: a large store must not make the table slow."""

MOSAIC_FRAMES = 6

CONTROLS = ("jpeg:90", "jpeg:5+75", "webp:10/4+80")
"""What they are compared with: those of `rinr bench` that take no time."""


@dataclass(frozen=True)
class ComparedRow:
    """One way to send the frames: means over all of them.

    Attributes:
        bytes_a_frame: all that would travel.
        background_db: PSNR outside the boxes; ``None`` for the reference itself.
        object_db: PSNR over the union of the boxes; ``None`` for the reference itself, or without boxes.
    """

    name: str
    bytes_a_frame: float
    background_db: float | None
    object_db: float | None


@dataclass(frozen=True)
class Comparison:
    """Several ways to send the same frames."""

    frames: int
    rows: tuple[ComparedRow, ...]


@dataclass(frozen=True)
class _Compared:
    frame: Frame
    captured_bytes: int
    encoded: EncodedFrame
    part_id: str | None
    bytes_shared: float


@task(task_run_name="compare with JPEG")
def compare_frames(fleet: Fleet, store: str, preset: str, folder: str) -> Comparison:
    """Measure the store's frames against JPEG, publish the table and the mosaic, and write ``mosaic.png``.

    Args:
        folder: where the mosaic is written; empty writes none.

    Raises:
        ValueError: the store has no image of this preset whose original can be read.
    """
    import torch

    from rinr.controls import compare
    from rinr.mosaic import mosaic
    from rinr.weights import parts_of

    torch.set_num_threads(1)  # the devices train meanwhile
    opened = open_store(store)
    chosen = _chosen_frames(fleet, opened, preset)
    parts = parts_of(opened.parts([c.part_id for c in chosen]).values())
    rows = compare(
        [(c.frame, c.captured_bytes) for c in chosen],
        {preset: [c.encoded for c in chosen]},
        CONTROLS,
        parts=parts,
        shared={preset: [c.bytes_shared for c in chosen]},
    )
    comparison = Comparison(
        len(chosen),
        tuple(ComparedRow(row.name, row.bytes_a_frame, row.background_db, row.object_db) for row in rows),
    )
    publish_table(
        "comparison",
        f"The same {len(chosen)} frames in several ways",
        [
            {
                "what": row.name,
                "bytes a frame": round(row.bytes_a_frame),
                "background dB": row.background_db,
                "object dB": row.object_db,
            }
            for row in comparison.rows
        ],
    )
    picture = io.BytesIO()
    shown = spread(chosen, MOSAIC_FRAMES)
    drawn = [(c.frame, c.encoded) for c in shown]
    shared = [c.bytes_shared for c in shown]
    mosaic(drawn, f"Residual-INR, {preset}", parts=parts, shared=shared).save(picture, "PNG")
    publish_picture("mosaic", "What the devices got", picture.getvalue())
    if folder:
        write_whole(Path(folder) / "mosaic.png", picture.getvalue())
    return comparison


def _chosen_frames(fleet: Fleet, store: Store, preset: str) -> list[_Compared]:
    """Frames whose original can still be read, evenly spread over the devices' files."""
    encoding, key = encoding_of(preset), ["image_id", "labels_id"]
    order = [("device", "ascending"), ("path", "ascending")]
    encoded = store.scan(IMAGES, key, pc.field("encoding_id") == encoding)
    known = store.scan(SOURCES, [*key, "device", "path"]).join(encoded, key, join_type="inner").sort_by(order)
    images = known["image_id"].unique()
    wanted = images.take(pa.array(spread(range(len(images)), FRAMES), pa.int64()))
    # Payloads of these alone: of a million images they would not fit into memory.
    of_clip = ["part_id", "bytes_shared"]
    table = store.lookup(wanted.to_pylist(), [*key, *of_clip, "payload"], encoding_id=encoding)
    columns = [table[name].to_pylist() for name in of_clip]
    rows = dict(
        zip(
            zip(*(table[name].to_pylist() for name in key), strict=True),
            zip(frames_of(table), *columns, strict=True),
            strict=True,
        )
    )
    sources: dict[str, dict[str, Any]] = {}
    for source in store.scan(SOURCES, where=pc.field("image_id").isin(wanted)).sort_by(order).to_pylist():
        if (source["image_id"], source["labels_id"]) in rows:
            sources.setdefault(source["image_id"], source)
    devices = {device.name: device for device in fleet.devices}
    chosen = []
    for source in sources.values():
        try:
            frame = read_frame(pending_from_row(source), store.url, devices, secrets)
        except (ValueError, RuntimeError) as error:
            name = safe_spelling(source["path"])
            get_run_logger().warning("%s, %s is not compared: %s", source["device"], name, error)
            continue
        chosen.append(_Compared(frame, source["size"], *rows[source["image_id"], source["labels_id"]]))
    if not chosen:
        raise ValueError(f"no image of the preset {preset!r} is in the store {store.url} with its original at hand")
    return chosen
