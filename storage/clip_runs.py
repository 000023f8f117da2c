"""Runs: images that one camera took one after another, which are encoded together where a preset makes clips."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise

from rinr.folders import counting
from storage.tables import Pending


def runs(pending: Iterable[Pending], most_gap: float) -> list[list[Pending]]:
    """Images in the order of device, time of capture and path, cut wherever the device changes or time leaps.

    Args:
        pending: in any order. Those of which no time is known come first, in the order of their paths, without a leap.
        most_gap: seconds between neighbours of a run.
    """
    found: list[list[Pending]] = []
    for image in sorted(pending, key=_taken):
        if found and _follows(found[-1][-1], image, most_gap):
            found[-1].append(image)
        else:
            found.append([image])
    return found


def packed(found: Iterable[Sequence[Pending]], size: int, most_frames: int) -> Iterator[list[Pending]]:
    """Batches of whole runs, of ``size`` images at most, or of one run alone.

    Args:
        found: runs; one longer than a batch is cut into pieces of equal length, as few as can be.
        size: images a batch.
        most_frames: of a clip: pieces may be as long, however small batches are.
    """
    batch: list[Pending] = []
    for run in found:
        for piece in _pieces(run, max(size // most_frames, 1) * most_frames):
            if batch and len(batch) + len(piece) > size:
                yield batch
                batch = []
            batch += piece
    if batch:
        yield batch


def of_devices(batch: Iterable[Pending]) -> dict[str, list[Pending]]:
    """Images by their devices, each's in the order of capture."""
    return {device: list(images) for device, images in groupby(sorted(batch, key=_taken), lambda one: one.device)}


def seconds(pending: Pending) -> float | None:
    """When an image was taken, in seconds since 1970, where it is known."""
    return pending.captured_at.timestamp() if pending.captured_at else None


def _taken(pending: Pending) -> tuple[object, ...]:
    """Names count where cameras say no more than the second."""
    return pending.device, seconds(pending) or -math.inf, counting(pending.path), pending.image_id


def _follows(one: Pending, other: Pending, most_gap: float) -> bool:
    if one.device != other.device:
        return False
    before, after = seconds(one), seconds(other)
    if before is None or after is None:
        return before is None and after is None
    return after - before <= most_gap


def _pieces(run: Sequence[Pending], most: int) -> list[Sequence[Pending]]:
    number = math.ceil(len(run) / most)
    bounds = [len(run) * index // number for index in range(number + 1)]
    return [run[start:end] for start, end in pairwise(bounds)]
