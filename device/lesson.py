"""The lesson: what was received, read anew and checked, as pictures to train on."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from device.errors import NothingToTrainError
from device.home import CACHE, Progress, unusable
from device.received import discard, look
from device.receiving import ReceiveReport, after_reading
from rinr.codec.bytestream import PayloadError
from rinr.codec.clip import part_name
from rinr.shard import ShardPart, ShardRow, frames_among, to_table
from rinr.training.cache import keep_only
from rinr.training.canvas import canvas_size
from rinr.training.dataset import RinrDataset
from storage.fleet import Device
from storage.places.device_paths import safe_spelling
from storage.shards.acknowledgement import MAX_REASON, RefusedShard
from storage.shards.faults import Fault, ShardError
from storage.shards.manifest import Manifest

Rows = Sequence[ShardRow | ShardPart]

_TOLD = 5  # refused shards in one message, shared parts in another


@dataclass(frozen=True)
class Lesson:
    """What was received and is trained on.

    Attributes:
        shards: that are used, in their order.
        rows: the newest of each image, those aside that wait for what their clip shares.
        parts: what they share.
        dataset: of the rows, on the torch device.
        notes: how many frames wait, in a sentence.
    """

    shards: tuple[Manifest, ...]
    rows: tuple[ShardRow, ...]
    parts: tuple[ShardPart, ...]
    dataset: RinrDataset
    notes: tuple[str, ...] = ()


def read_lesson(
    device: Device, longest_side: int, torch_device: str, found: ReceiveReport, tell: Progress
) -> tuple[Lesson, ReceiveReport]:
    """Read what is stored, and what was found with the shards that turn out to be of no use.

    Args:
        longest_side: of the pictures, in pixels.
        torch_device: where they are decoded.
        found: when they were received.
        tell: is told what is done.

    Raises:
        NothingToTrainError: no frame with a labelled object is left.
        device.home.HomeError: the home cannot be read.
    """
    received = look(device)
    shards: dict[Manifest, Rows] = {}
    refused: list[RefusedShard] = []
    for done, manifest in enumerate(received.shards.values()):
        tell("verifying shards", done, len(received.shards))
        try:
            shards[manifest] = received.rows(manifest)
        except (ShardError, FileNotFoundError) as error:
            fault = error.fault if isinstance(error, ShardError) else Fault.MISSING
            if fault is not Fault.MALFORMED:
                received = discard(received, manifest)  # the disk has damaged it: it is wanted once more
            refused.append(_refused(manifest, fault, str(error)))
        except OSError as error:
            raise unusable(device, error) from error
    try:
        lesson = _lesson(Path(device.home) / CACHE, longest_side, torch_device, shards)
    except PayloadError:  # one that was damaged before it was signed must not stop the others
        parts = _parts(shards.values())
        for manifest, rows in list(shards.items()):
            try:
                if frames := _ready(frames_among(rows), parts):
                    RinrDataset([*parts.values(), *frames])
            except PayloadError as error:
                del shards[manifest]
                refused.append(_refused(manifest, Fault.MALFORMED, str(error)))
        lesson = _lesson(Path(device.home) / CACHE, longest_side, torch_device, shards)
    found = after_reading(found, received, refused)
    if lesson is None:
        raise NothingToTrainError(_nothing(device, shards, found))
    return lesson, found


def _lesson(cache: Path, longest_side: int, torch_device: str, shards: Mapping[Manifest, Rows]) -> Lesson | None:
    """``None`` where there is nothing to learn from."""
    # A corrected label makes a new row of the same image: the newest counts.
    newest = {row.image_id: row for rows in shards.values() for row in frames_among(rows)}
    parts = _parts(shards.values())
    counted = [[row for row in frames_among(rows) if newest[row.image_id] is row] for rows in shards.values()]
    used = [_ready(of_shard, parts) for of_shard in counted]
    rows = tuple(row for of_shard in used for row in of_shard)
    if not any(row.frame.boxes for row in rows):
        return None
    size = canvas_size([(row.frame.width, row.frame.height) for row in rows], longest_side)
    # A table a shard, so that what was entropy decoded for an earlier job is not decoded again.
    own = ([row for row in of_shard if isinstance(row, ShardPart)] for of_shard in shards.values())
    tables = [to_table([*carried, *of_shard]) for carried, of_shard in zip(own, used, strict=True)]
    dataset = RinrDataset(tables, size=size, device=torch_device, cache=cache)
    keep_only(cache, dataset.cache_files)
    needed = {row.frame.clip.part for row in rows if row.frame.clip}
    return Lesson(
        shards=tuple(shards),
        rows=rows,
        parts=tuple(part for name, part in parts.items() if name in needed),
        dataset=dataset,
        notes=_waiting([row for of_shard in counted for row in of_shard], parts),
    )


def _parts(shards: Iterable[Rows]) -> dict[bytes, ShardPart]:
    """What frames share, by the names that they call it by, whichever shard carried it."""
    parts = (row for rows in shards for row in rows if isinstance(row, ShardPart))
    return {part_name(part.payload): part for part in parts}


def _ready(rows: Sequence[ShardRow], parts: Mapping[bytes, ShardPart]) -> list[ShardRow]:
    """Frames that stand alone, or whose shared part has come."""
    return [row for row in rows if row.frame.clip is None or row.frame.clip.part in parts]


def _waiting(rows: Sequence[ShardRow], parts: Mapping[bytes, ShardPart]) -> tuple[str, ...]:
    """How many frames wait for what their clip shares, in a sentence; none where none does."""
    needed = Counter(row.frame.clip.part for row in rows if row.frame.clip and row.frame.clip.part not in parts)
    if not needed:
        return ()
    count = needed.total()
    told = ", ".join(f"{name.hex()} ({number:,})" for name, number in needed.most_common(_TOLD))
    more = f" and {len(needed) - _TOLD:,} more" if len(needed) > _TOLD else ""
    waits = "frame waits" if count == 1 else "frames wait"
    return (f"{count:,} {waits} for a shared part that has not come, and are trained on once it has: {told}{more}.",)


def _nothing(device: Device, shards: Mapping[Manifest, Rows], found: ReceiveReport) -> str:
    received = [row for rows in shards.values() for row in frames_among(rows)]
    frames = len({row.image_id for row in received})
    if waiting := _waiting(received, _parts(shards.values())):
        why = f"of {frames:,} frames received {waiting[0]} No other has a labelled object; the fog node was told"
    elif frames:
        why = (
            f"none of the {frames:,} frames received has a labelled object; put an annotations.json (COCO detection "
            "format) beside the JPEGs they come from and ingest again"
        )
    elif found.refused:
        told = "; ".join(f"{one.name}: {one.reason}" for one in found.refused[:_TOLD])
        more = f"; and {len(found.refused) - _TOLD:,} more" if len(found.refused) > _TOLD else ""
        why = f"every shard in {device.inbox} was refused ({told}{more}); the fog node was told"
    else:
        why = f"the inbox {device.inbox} is empty; deliver to it first"
    return f"nothing to train {device.name} on: {why}"


def _refused(manifest: Manifest, fault: Fault, reason: str) -> RefusedShard:
    return RefusedShard(manifest.name, fault, safe_spelling(reason)[:MAX_REASON])
