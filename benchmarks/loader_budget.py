"""What the loader's cache, budget, turns and windows cost, and whether opening stays flat from 100 to 10,000 frames.

    python -m benchmarks.loader_budget [FOLDER ...] [--frames 2] [--preset balanced] [--device cpu] [--json]

Frames are real ones; where more are needed they are repeated, each with its own weights in the cache. Budgets take
turns in rounds, medians are printed. "Cold" means that the cache's pages were dropped from memory before each batch, as
for a cache larger than memory. On a CPU nothing is copied, so that budgets make no difference there.
"""

import argparse
import json
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
import torch

from benchmarks.frames import find_folders, read
from rinr.encoder import encode
from rinr.presets import find_preset
from rinr.shard import SHARD, ShardRow, to_table
from rinr.training import cache
from rinr.training.augment import Augmentation
from rinr.training.dataset import RinrDataset
from rinr.training.sources import payloads_of
from rinr.weights import FrameWeights, entropy_decode, join

_BATCH = 8
_ROUNDS = 5
_SIZE = (320, 184)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="default: every folder below RINR_DATA, or the sample")
    parser.add_argument("--frames", type=int, default=2, help="of each folder, evenly spread (default 2)")
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--most", type=int, default=10_000, help="frames of the largest data set (default 10,000)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    frames = [frame for folder in find_folders(options.folders) for frame, _ in read(folder, options.frames)]
    rows = [ShardRow(image.image_id, image.frame) for image in encode(frames, find_preset(options.preset))]
    with tempfile.TemporaryDirectory() as folder:
        found = {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, 1 thread",
            "frames": len(rows),
            "preset": options.preset,
            "device": options.device,
            "first batch": _first_batch(rows, Path(folder) / "first", options.device),
            "budgets": _budgets(rows, Path(folder) / "budgets", options.device),
            "looks": _looks(rows, options.device),
            "counts": _counts(rows, Path(folder) / "counts", options.device, options.most),
        }
    print(json.dumps(found, indent=1) if options.json else _told(found))


def _first_batch(rows: Sequence[ShardRow], folder: Path, device: str) -> dict[str, float]:
    """Milliseconds a frame from the source to the first batch."""

    def first(**how: Any) -> float:
        began = time.perf_counter()
        next(RinrDataset(to_table(rows), size=_SIZE, device=device, **how).batches(_BATCH))
        return (time.perf_counter() - began) * 1000 / len(rows)

    first()  # what is worked out once in a process
    return {"without a cache": first(), "to fill the cache": first(cache=folder), "from the cache": first(cache=folder)}


def _budgets(rows: Sequence[ShardRow], folder: Path, device: str) -> dict[str, float]:
    """Milliseconds a batch at budgets, from a cache that lies in memory and from one that does not."""
    table = to_table(rows)
    whole = RinrDataset(table, size=_SIZE, device=device, cache=folder)
    budgets = {"all": None, "half": whole.weight_bytes // 2, "nothing": 0}
    works: dict[str, Callable[[], float]] = {}
    for name, budget in budgets.items():
        dataset = RinrDataset(table, size=_SIZE, device=device, cache=folder, budget=budget)
        works[f"{name}, cache in memory"] = lambda dataset=dataset: _a_batch(dataset, device)
        works[f"{name}, cache cold"] = lambda dataset=dataset: _a_batch(dataset, device, folder)
    return _in_turn(works)


def _a_batch(dataset: RinrDataset, device: str, cold: Path | None = None) -> float:
    """Milliseconds of a batch, over a pass; the files of ``cold`` leave memory before each."""
    spent = 0.0
    batches = dataset.batches(_BATCH, seed=0)
    for _ in range(-(-len(dataset) // _BATCH)):
        if cold:
            for path in cold.iterdir():
                with path.open("rb") as stream:
                    os.fsync(stream.fileno())
                    os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        began = time.perf_counter()
        next(batches)
        if device != "cpu":
            torch.accelerator.synchronize()
        spent += time.perf_counter() - began
    return spent * 1000 / -(-len(dataset) // _BATCH)


def _looks(rows: Sequence[ShardRow], device: str) -> dict[str, float]:
    """Milliseconds a batch of frames of mixed sizes, shown in several ways."""
    many = list(islice(cycle(rows), 4 * len(rows)))
    works: dict[str, Callable[[], float]] = {}
    for name, how in {
        "as they are": {},
        "augmented": {"augment": True},
        "augmented, in windows of 16": {"augment": True, "window": 16},
        "augmented, turned by up to 5 degrees": {"augment": True, "augmentation": Augmentation(turn=5)},
    }.items():
        augment = bool(how.pop("augment", False))
        dataset = RinrDataset(many, size=_SIZE, device=device, **how)

        def work(dataset: RinrDataset = dataset, augment: bool = augment) -> float:
            began = time.perf_counter()
            batches = [None for _ in dataset.batches(_BATCH, seed=0, augment=augment)]
            if device != "cpu":
                torch.accelerator.synchronize()
            return (time.perf_counter() - began) * 1000 / len(batches)

        works[name] = work
    return _in_turn(works, rounds=_ROUNDS)


def _counts(rows: Sequence[ShardRow], folder: Path, device: str, most: int) -> list[dict[str, float]]:
    """Opening from the cache, memory and a batch's time for more and more frames."""
    weights = entropy_decode([row.frame for row in rows])
    found = []
    for count in [number for number in (100, 1000, 10_000) if number <= most]:
        table, repeated = _repeated(rows, weights, count)
        cache.put(folder, cache.key_of(payloads_of(table)[0].frames), repeated)
        del repeated
        before = _resident()
        began = time.perf_counter()
        dataset = RinrDataset(table, size=_SIZE, device=device, cache=folder)
        opened = time.perf_counter() - began
        private = _resident() - before
        batches = dataset.batches(_BATCH, seed=0, augment=True)
        next(batches)
        began = time.perf_counter()
        for _, batch in zip(range(8), batches, strict=False):
            del batch
        a_batch = (time.perf_counter() - began) / 8
        found.append(
            {
                "frames": count,
                "open, ms a frame": opened * 1000 / count,
                "open, s": opened,
                "a batch, ms": a_batch * 1000,
                "weights, kB a frame": dataset.weight_bytes / count / 1000,
                "private memory, kB a frame": private / count / 1000,
            }
        )
        del dataset
    return found


def _repeated(rows: Sequence[ShardRow], weights: FrameWeights, count: int) -> tuple[pa.Table, FrameWeights]:
    """A table of so many rows, and the weights of them."""
    times = -(-count // len(rows))
    table = pa.concat_tables([to_table(rows)] * times).combine_chunks().cast(SHARD)
    return table, join([weights] * times)


def _resident() -> int:
    """Bytes of this process's memory that no file backs."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _in_turn(works: dict[str, Callable[[], float]], rounds: int = _ROUNDS) -> dict[str, float]:
    for work in works.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(work())
    return {name: median(own) for name, own in times.items()}


def _told(found: dict[str, Any]) -> str:
    lines = [
        f"{found['machine']}; {found['frames']} frames of `{found['preset']}` on {found['device']}, batches of {_BATCH}"
    ]
    for title, unit in (("first batch", "ms a frame"), ("budgets", "ms a batch"), ("looks", "ms a batch")):
        own = found[title]
        against = next(iter(own.values()))
        lines += ["", f"| {title} | {unit} | against the first |", "|---|---|---|"]
        lines += [f"| {name} | {value:.2f} | {value / against:.2f} |" for name, value in own.items()]
    names = list(found["counts"][0])
    lines += ["", f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    lines += ["| " + " | ".join(f"{row[name]:,.4g}" for name in names) + " |" for row in found["counts"]]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
