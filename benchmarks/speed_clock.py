"""What a stream of batches costs: wall and processor time, of this process and of the workers that it has started."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import psutil
import torch

from benchmarks.jpeg_loaders import Loader
from rinr.training.pictures import Batch


@dataclass(frozen=True)
class Side:
    """One side of a comparison.

    Attributes:
        name: for the table.
        kind: what it is compared as: ``ours``, ``pillow``, ``other`` or ``floor``.
        loader: opens its batches.
        ahead: batches that its workers may have ready before they are asked for.
        kilobytes: of one picture where it is kept, in the mean.
    """

    name: str
    kind: str
    loader: Loader
    ahead: int
    kilobytes: float


@dataclass(frozen=True)
class Spent:
    """Of one turn, in seconds a picture; processor time adds up cores."""

    wall: float
    cpu: float


Use = Callable[[Batch], object]


def turn(side: Side, number: int, augment: bool, use: Use, device: torch.device) -> Spent:
    """Take ``number`` batches with the clock running, in the middle of a stream that is longer at both ends.

    So workers have as much ready when the clock stops as when it started, they are as busy throughout, and none of them
    is still at work in the next side's turn.
    """
    warm = 1 + side.ahead
    batches = side.loader(warm + number + side.ahead, augment)
    for batch in islice(batches, warm):
        use(batch)
    settle(device)
    wall, cpu, images = time.perf_counter(), _cpu_seconds(), 0
    for batch in islice(batches, number):
        use(batch)
        images += len(batch.images)
    settle(device)
    spent = Spent((time.perf_counter() - wall) / images, (_cpu_seconds() - cpu) / images)
    _drain(batches)
    return spent


def settle(device: torch.device) -> None:
    """Wait for the accelerator, asleep: PyTorch's usual way of waiting keeps a core busy, which would count as work."""
    if device.type == "cuda":
        event = torch.cuda.Event(blocking=True)
        event.record()
        event.synchronize()


def _drain(batches: Iterator[Batch]) -> None:
    for _ in batches:
        pass


def _cpu_seconds() -> float:
    workers = psutil.Process().children(recursive=True)
    return time.process_time() + sum(times.user + times.system for times in map(_times, workers) if times)


def _times(process: psutil.Process) -> "psutil._ntuples.pcputimes | None":
    try:
        return process.cpu_times()
    except psutil.NoSuchProcess:  # ended meanwhile: it had nothing left to do
        return None
