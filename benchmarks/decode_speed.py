"""Time to decode our frames on one core, as a ratio to decoding the captured JPEGs with Pillow in the same run.

    python -m benchmarks.decode_speed [FOLDER ...] [--frames 24]

Claims: at the working size, `cosine` is decoded at least as fast as Pillow decodes the captured JPEG with ``draft``,
which is the best it can do; SIREN beats a full decode followed by LANCZOS. A ratio above 1 says by how much a claim
fails. Payloads are entropy decoded before, once, as a device does on arrival; what is timed is what every epoch does:
ours to a batch of float pictures, ready to train on, in memory that the batch before has left; Pillow's to 8-bit
arrays, which are not yet that.
"""

import argparse
import io
import os
import platform
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

from benchmarks.frames import find_folders
from rinr.decoder import load
from rinr.encoder import encode
from rinr.folders import spread
from rinr.presets import PRESETS

_ROUNDS = 7
_SIZE = (640, 360)
_SOURCE = (1280, 720)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="default: every folder below RINR_DATA")
    parser.add_argument("--frames", type=int, default=24, help="in a batch (default 24)")
    parser.add_argument("--encoded", type=int, default=8, help="different ones of ours among them (default 8)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    frames, files = [], []
    for folder in find_folders(options.folders):
        of_size = [f for f in spread(folder.files, 2) if Image.open(f).size == _SOURCE]
        frames += [folder.frame(file) for file in of_size]
        files += [file.read_bytes() for file in of_size]
    if not files:
        raise SystemExit(
            f"no JPEG of {_SOURCE[0]}x{_SOURCE[1]} was found: give folders that hold some, or set RINR_DATA"
        )
    count = options.frames
    files = list(islice(cycle(files), count))
    print(f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__} with 1 thread; ", end="")
    print(f"{len(frames)} frames, {_SOURCE[0]}x{_SOURCE[1]} to {_SIZE[0]}x{_SIZE[1]}, batches of {count}\n")
    batch = torch.zeros(count, 3, _SIZE[1], _SIZE[0])
    timed: dict[str, Callable[[], object]] = {
        "Pillow, draft": lambda: [_draft(data) for data in files],
        "Pillow, full and LANCZOS": lambda: [_full(data) for data in files],
    }
    for preset in PRESETS:
        if preset.name in ("balanced", "instant", "siren", "fast"):
            images = encode(spread(frames, options.encoded), preset)
            loaded = load(list(islice(cycle([image.frame for image in images]), count)))
            timed[f"`{preset.name}`"] = partial(loaded.render, range(count), *_SIZE, out=batch)
    for work in timed.values():
        work()
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(_ROUNDS):
        for name, work in timed.items():  # in turn, so that what else the machine does falls on all alike
            started = time.perf_counter()
            work()
            seconds[name].append((time.perf_counter() - started) / count)
    draft, full = (median(seconds[name]) for name in list(timed)[:2])
    print("| | ms a frame | against draft | against full and LANCZOS |\n|---|---|---|---|")
    for name, all_seconds in seconds.items():
        own = median(all_seconds)
        print(f"| {name} | {own * 1000:.2f} | {own / draft:.2f} | {own / full:.2f} |")
    print("\nMedians of wall time over rounds in turn.")


def _draft(data: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(data))
    image.draft("RGB", _SIZE)
    return np.asarray(image)


def _full(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).resize(_SIZE, Image.Resampling.LANCZOS))


if __name__ == "__main__":
    main()
