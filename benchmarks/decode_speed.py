"""Time to decode our frames on one core, as a ratio to decoding the captured JPEGs with Pillow in the same run.

    python -m benchmarks.decode_speed [FOLDER ...] [--frames 24] [--record]

Claims: at the working size, `cosine` is decoded at least as fast as Pillow decodes the captured JPEG with ``draft``,
which is the best it can do; SIREN beats a full decode followed by LANCZOS. A ratio above 1 says by how much a claim
fails. Payloads are entropy decoded before, once, as a device does on arrival; what is timed is what every epoch does:
ours to a batch of float pictures, ready to train on, in memory that the batch before has left; Pillow's to 8-bit
arrays, which are not yet that.

CPU time is printed beside wall time: on a shared machine it is the steadier one. For SIREN a floor is printed as well:
the sines of a frame at the rate of ``numpy.sin`` alone, without one matrix product.

SIREN is timed again with backgrounds evaluated at every second pixel each way (``background_step=2``), and what that
costs in PSNR against the working frames is printed.
"""

import argparse
import io
import os
import platform
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

from benchmarks import records
from benchmarks.frames import find_folders
from rinr.codec.frame import EncodedFrame
from rinr.decoder import LoadedFrames, load, to_pixels
from rinr.encoder import encode
from rinr.folders import spread
from rinr.frames import Frame
from rinr.metrics import frame_psnr, mean_db
from rinr.networks.payload import read_networks
from rinr.networks.siren_coding import SirenNetwork
from rinr.presets import PRESETS
from rinr.weights import entropy_decode

_ROUNDS = 7
_LARGE = 31 << 20
_ANGLES = 1 << 17  # as many as lie in the cache
_SIZE = (640, 360)
_SOURCE = (1280, 720)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="default: every folder below RINR_DATA")
    parser.add_argument("--frames", type=int, default=24, help="in a batch (default 24)")
    parser.add_argument("--encoded", type=int, default=8, help="different ones of ours among them (default 8)")
    records.add_option(parser, "decode_speed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    # Once a large block was freed, glibc keeps memory that is freed later instead of giving it back to the kernel. With
    # that Pillow is a quarter faster, whatever ran before in this process.
    block = np.empty(_LARGE, dtype=np.uint8)
    del block
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
    lost: dict[str, str] = {}
    sines: dict[str, float] = {}
    timed: dict[str, Callable[[], object]] = {
        "Pillow, draft": lambda: [_draft(data) for data in files],
        "Pillow, full and LANCZOS": lambda: [_full(data) for data in files],
    }
    for preset in PRESETS:
        if preset.name in ("balanced", "instant", "siren", "fast"):
            images = encode(spread(frames, options.encoded), preset)
            encoded = list(islice(cycle([image.frame for image in images]), count))
            loaded = load(encoded)
            sines[f"`{preset.name}`"] = sum(map(_sines, encoded)) / count
            timed[f"`{preset.name}`"] = partial(loaded.render, range(count), *_SIZE, out=batch)
            if sines[f"`{preset.name}`"]:
                coarser = LoadedFrames(entropy_decode(encoded), background_step=2)
                timed[f"`{preset.name}`, step 2"] = partial(coarser.render, range(count), *_SIZE, out=batch)
                pairs = [_quality(each, spread(frames, options.encoded)) for each in (loaded, coarser)]
                lost[preset.name] = " and ".join(f"{one - other:.2f} dB" for one, other in zip(*pairs, strict=True))
    angles, values = torch.rand(_ANGLES) * 20 - 10, torch.empty(_ANGLES)
    works = [(work, count) for work in timed.values()]
    works.append((partial(np.sin, angles.numpy(), out=values.numpy()), _ANGLES))
    found = medians(works, _ROUNDS)
    draft, full, sine = found[0], found[1], found[-1]
    print("| | wall ms a frame | against draft | against full and LANCZOS | CPU ms a frame | against draft | ", end="")
    print("against full and LANCZOS |\n|---|---|---|---|---|---|---|")
    for name, own in zip(timed, found, strict=False):
        columns = (f"{own[t] * 1000:.2f} | {own[t] / draft[t]:.2f} | {own[t] / full[t]:.2f}" for t in (0, 1))
        print(f"| {name} | {' | '.join(columns)} |")
    print("\nMedians over rounds in turn.")
    for name, number in sines.items():
        if number:
            floor = number * sine[1]
            print(
                f"{name}: {number / 1e6:.1f} million sines a frame, which take numpy.sin {floor * 1000:.2f} ms of CPU ",
                end="",
            )
            print(f"time: {floor / draft[1]:.2f} of draft, {floor / full[1]:.2f} of full and LANCZOS.")

    for name, decibels in lost.items():
        print(f"`{name}`, step 2: {decibels} less PSNR of background and objects, against the working frames.")
    if options.record:
        values = {}
        for name, (wall, cpu) in zip(timed, found, strict=False):
            of = records.name_part(name)
            values |= {f"{of}.name": name, f"{of}.wall_ms": 1000 * wall, f"{of}.cpu_ms": 1000 * cpu}
            values |= {f"{of}.cpu_over_draft": cpu / draft[1], f"{of}.cpu_over_full": cpu / full[1]}
        settings = {"frames": count, "encoded": options.encoded, "found": len(frames)}
        records.write("decode_speed", records.command("benchmarks.decode_speed"), values, settings)


def medians(works: Sequence[tuple[Callable[[], object], int]], rounds: int) -> list[tuple[float, float]]:
    """Wall and CPU seconds of each work, through so many times; medians over rounds in turn."""
    for work, _ in works:
        work()
    seconds: list[list[tuple[float, float]]] = [[] for _ in works]
    for _ in range(rounds):
        for own, (work, times) in zip(seconds, works, strict=True):  # in turn: what else the machine does falls on all
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            own.append(((time.perf_counter() - wall) / times, (time.process_time() - cpu) / times))
    return [(median(wall for wall, _ in own), median(cpu for _, cpu in own)) for own in seconds]


def _quality(loaded: LoadedFrames, frames: Sequence[Frame]) -> list[float]:
    """Mean PSNR of background and of objects; the frames stand first in those loaded, in their order."""
    pairs = [
        frame_psnr(frame.pixels, to_pixels(loaded.render([index], *frame.size))[0], frame.boxes)
        for index, frame in enumerate(frames)
    ]
    return [mean_db(values) or 0.0 for values in zip(*pairs, strict=True)]


def _sines(frame: EncodedFrame) -> float:
    """How many sines a frame's pixels take at the size that is timed, boxes cut to no whole pixels."""
    sides = [(frame.width, frame.height), *((box.width, box.height) for box in frame.boxes)]
    members = read_networks(frame.background, sides[:1]) + read_networks(frame.objects, sides[1:])
    scale = _SIZE[0] * _SIZE[1] / (frame.width * frame.height)
    return sum(
        width * height * scale * sum(outputs for _, outputs in member.network.shape.sizes[:-1])
        for (width, height), member in zip(sides, members, strict=True)
        if member and isinstance(member.network, SirenNetwork)
    )


def _draft(data: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(data))
    image.draft("RGB", _SIZE)
    return np.asarray(image)


def _full(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).resize(_SIZE, Image.Resampling.LANCZOS))


if __name__ == "__main__":
    main()
