"""The lesson: what was received, read anew and checked, as pictures to train on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from device.errors import NothingToTrainError
from device.home import Progress, unusable
from device.received import discard, look
from device.receiving import ReceiveReport, after_reading
from rinr.codec.bytestream import PayloadError
from rinr.shard import ShardRow
from rinr.training.canvas import canvas_size
from rinr.training.dataset import RinrDataset
from storage.fleet import Device
from storage.places.device_paths import safe_spelling
from storage.shards.acknowledgement import MAX_REASON, RefusedShard
from storage.shards.faults import Fault, ShardError
from storage.shards.manifest import Manifest

_TOLD = 5  # refused shards in one message


@dataclass(frozen=True)
class Lesson:
    """What was received and is trained on.

    Attributes:
        shards: that are used, in their order.
        rows: the newest of each image.
        dataset: of the rows, on the torch device.
    """

    shards: tuple[Manifest, ...]
    rows: tuple[ShardRow, ...]
    dataset: RinrDataset


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
    shards: dict[Manifest, list[ShardRow]] = {}
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
        lesson = _lesson(longest_side, torch_device, shards)
    except PayloadError:  # one that was damaged before it was signed must not stop the others
        for manifest, rows in list(shards.items()):
            try:
                RinrDataset(rows)
            except PayloadError as error:
                del shards[manifest]
                refused.append(_refused(manifest, Fault.MALFORMED, str(error)))
        lesson = _lesson(longest_side, torch_device, shards)
    found = after_reading(found, received, refused)
    if lesson is None:
        raise NothingToTrainError(_nothing(device, shards, found))
    return lesson, found


def _lesson(longest_side: int, torch_device: str, shards: Mapping[Manifest, Sequence[ShardRow]]) -> Lesson | None:
    """``None`` where there is nothing to learn from."""
    # A corrected label makes a new row of the same image: the newest counts.
    newest = {row.image_id: row for rows in shards.values() for row in rows}
    rows = tuple(newest[image_id] for image_id in sorted(newest))
    if not any(row.frame.boxes for row in rows):
        return None
    size = canvas_size([(row.frame.width, row.frame.height) for row in rows], longest_side)
    return Lesson(tuple(shards), rows, RinrDataset(rows, size=size, device=torch_device))


def _nothing(device: Device, shards: Mapping[Manifest, Sequence[ShardRow]], found: ReceiveReport) -> str:
    frames = len({row.image_id for rows in shards.values() for row in rows})
    if frames:
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
