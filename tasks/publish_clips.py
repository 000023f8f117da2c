"""What a run of encoding leaves to look at where frames were encoded together: which, why, and a film strip."""

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow.compute as pc
from prefect import get_run_logger, task

from rinr.folders import spread
from storage.devices import safe_spelling
from storage.fleet import Fleet
from storage.ingestion import read_frame
from storage.store import Store
from storage.tables import IMAGES, SOURCES, among, now, pending_from_row
from tasks.artifacts import Cell, plain, publish_markdown, publish_picture, publish_table
from tasks.encode import encoding_of
from tasks.fleet import secrets
from tasks.stages import seconds_so_far
from tasks.stores import open_store

MOST_ROWS = 200
"""Clips that the table lists, those of most frames."""

_MOST_REASONS = 20


@dataclass(frozen=True)
class CodedFrame:
    """A frame that was encoded, and where it came from.

    Attributes:
        source: its row of ``sources``.
        part_id: of what its clip shares; ``None``: it stands alone.
        bytes_own: of its payload.
        bytes_shared: its part of what its clip shares.
        reason: why it is of a clip or stands alone, in words.
    """

    source: dict[str, Any]
    part_id: str | None
    bytes_own: int
    bytes_shared: float
    reason: str


@task(task_run_name="publish clips")
def publish_clips(fleet: Fleet, store: str, preset: str) -> None:
    """Sentences and a table of the clips that this run found, bytes a frame over time, and a film strip of one clip.

    Args:
        fleet: originals that have not landed are read from its devices.
        store: its URL.
        preset: the preset's name.
    """
    opened = open_store(store)
    frames = frames_since(opened, encoding_of(preset), now() - timedelta(seconds=seconds_so_far()))
    if not frames:
        return
    publish_markdown("clips-found", "Frames that were encoded together", "\n".join(f"- {x}" for x in sentences(frames)))
    clips = by_part(frames)
    if clips:
        publish_table("clips", "Clips of this run", [_row(clip) for clip in clips[:MOST_ROWS]])
    from rinr.film_strip import byte_bars

    bars = byte_bars([(frame.bytes_own, frame.bytes_shared) for frame in frames])
    publish_picture("bytes-a-frame", "Bytes a frame over time: own, and above them what a clip shares", _png(bars))
    if clips:
        _publish_strip(fleet, opened, preset, clips[0])


def frames_since(store: Store, encoding_id: str, since: datetime) -> list[CodedFrame]:
    """Frames of an encoding whose rows are no older, by device and in the order of capture.

    Raises:
        StoreError: the store cannot be read.
    """
    where = (pc.field("encoding_id") == encoding_id) & (pc.field("created_at") >= since)
    columns = ["image_id", "labels_id", "part_id", "bytes_total", "bytes_shared", "clip"]
    rows = {(row["image_id"], row["labels_id"]): row for row in store.scan(IMAGES, columns, where).to_pylist()}
    ids = {image_id for image_id, _ in rows}
    frames: dict[str, CodedFrame] = {}
    order = [(name, "ascending") for name in ("device", "captured_at", "path")]
    for source in store.scan(SOURCES, where=among("image_id", ids)).sort_by(order).to_pylist():
        row = rows.get((source["image_id"], source["labels_id"]))
        if row is not None:
            frame = CodedFrame(
                source, row["part_id"], row["bytes_total"], row["bytes_shared"] or 0.0, row["clip"] or ""
            )
            frames.setdefault(source["image_id"], frame)
    return list(frames.values())


def by_part(frames: Sequence[CodedFrame]) -> list[list[CodedFrame]]:
    """Frames of each clip, that of most frames first."""
    clips: dict[str, list[CodedFrame]] = {}
    for frame in frames:
        if frame.part_id is not None:
            clips.setdefault(frame.part_id, []).append(frame)
    return sorted(clips.values(), key=len, reverse=True)


def sentences(frames: Sequence[CodedFrame]) -> list[str]:
    """What was found, in lines of Markdown: how many frames are of how many clips, and the reasons."""
    clips = by_part(frames)
    together = sum(len(clip) for clip in clips)
    own, shared = sum(f.bytes_own for f in frames), sum(f.bytes_shared for f in frames)
    said = [
        f"{together:,} of {len(frames):,} frames are of {len(clips):,} clips; {len(frames) - together:,} stand alone",
        f"{(own + shared) / len(frames):,.0f} bytes a frame, {shared / len(frames):,.0f} of them shared",
    ]
    reasons = Counter(frame.reason for frame in frames if frame.reason)
    said += [f"{count:,} frames: {plain(reason)}" for reason, count in reasons.most_common(_MOST_REASONS)]
    if len(reasons) > _MOST_REASONS:
        said.append(f"and {len(reasons) - _MOST_REASONS:,} other reasons: they stand in the column `clip` of `images`")
    return said


def _row(clip: Sequence[CodedFrame]) -> dict[str, Cell]:
    first, last = clip[0].source, clip[-1].source
    return {
        "device": first["device"],
        "frames": len(clip),
        "from": safe_spelling(first["path"]),
        "to": safe_spelling(last["path"]),
        "seconds": (last["captured_at"] - first["captured_at"]).total_seconds(),
        "bytes of frames": sum(frame.bytes_own for frame in clip),
        "shared bytes": round(sum(frame.bytes_shared for frame in clip)),
        "why": clip[0].reason,
    }


def _publish_strip(fleet: Fleet, store: Store, preset: str, clip: Sequence[CodedFrame]) -> None:
    """A few frames of a clip, decoded as a device decodes them, below what was captured."""
    import torch

    from rinr.codec.bytestream import PayloadError
    from rinr.codec.frame import unpack_frame
    from rinr.decoder import decode
    from rinr.film_strip import MOST_SHOWN, clip_frame, film_strip
    from rinr.weights import parts_of

    torch.set_num_threads(1)
    devices = {device.name: device for device in fleet.devices}
    chosen = spread(clip, MOST_SHOWN)
    parts = parts_of(store.parts({frame.part_id for frame in chosen}).values())
    ids = [frame.source["image_id"] for frame in chosen]
    table = store.lookup(ids, ["image_id", "payload"], encoding_id=encoding_of(preset))
    payloads = dict(zip(table["image_id"].to_pylist(), table["payload"].to_pylist(), strict=True))
    shown = []
    for frame in chosen:
        name = safe_spelling(frame.source["path"])
        try:
            original = read_frame(pending_from_row(frame.source), store.url, devices, secrets).pixels
        except (ValueError, RuntimeError) as error:
            get_run_logger().warning("the original of %s is not shown: %s", name, error)
            original = None
        try:
            decoded = decode(unpack_frame(payloads[frame.source["image_id"]]), parts=parts)
        except PayloadError as error:
            get_run_logger().warning("%s is not shown: %s", name, error)
            continue
        shown.append(clip_frame(decoded, original, frame.bytes_own, frame.bytes_shared, name))
    if shown:
        sizes = [(frame.bytes_own, frame.bytes_shared) for frame in clip]
        title = f"{clip[0].source['device']}: {len(clip)} frames, captured above decoded"
        publish_picture("film-strip", "Frames of a clip", _png(film_strip(shown, sizes, title)))


def _png(picture: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
