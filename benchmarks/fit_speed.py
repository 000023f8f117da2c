"""How long fits take, beside the plain PyTorch reference of `benchmarks/reference_siren.py`, timed in the same run.

    python -m benchmarks.fit_speed [FOLDER ...] [--frames 6] [--reference-steps 500]
                                   [--parts presets,psnr,sizes,cores,instant] [--record]

- presets: seconds a frame, objects included, to 10,000 steps of the reference, of which a few are timed and scaled.
- psnr: seconds to the PSNR that the reference has after 500 of its steps, with fewer bytes than its weights.
- sizes: seconds per image and step, over 50 steps, for 16 to 1,024 images at once.
- cores: the rate of two processes of one thread each, to one's.
- instant: frames a second, beside Pillow's AVIF encoder at speed 4 on the same frames.
"""

import argparse
import io
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks import records
from benchmarks.frames import find_folders, read
from benchmarks.reference_siren import fit_reference
from rinr.decoder import to_pixels
from rinr.encoder import encode
from rinr.frames import Frame, resize
from rinr.metrics import psnr
from rinr.networks.coordinates import centres
from rinr.networks.settings import Schedule, SirenSettings
from rinr.networks.siren import SIREN
from rinr.networks.siren_coding import Shape
from rinr.pool import EncoderPool
from rinr.presets import BALANCED, FAST, INSTANT, SIREN_PRESET

REFERENCE_STEPS, REFERENCE_BYTES = 10_000, 6_667
_PSNR_STEPS = (50, 100, 200, 400, 800)


Values = dict[str, Any]
"""What is found is put into these, beside the lines for people."""


def presets(frames: list[Frame], step_seconds: float, values: Values) -> Iterator[str]:
    yield "| preset | s a frame | reference, 10,000 steps | ratio |\n|---|---|---|---|"
    for preset in (SIREN_PRESET, FAST, BALANCED, INSTANT):
        started = time.perf_counter()
        encode(frames, preset)
        seconds = (time.perf_counter() - started) / len(frames)
        whole = REFERENCE_STEPS * step_seconds
        values |= {f"{preset.name}.seconds": seconds, f"{preset.name}.times_faster": whole / seconds}
        values["reference.seconds"] = whole
        yield f"| {preset.name} | {seconds:.3f} | {whole:,.0f} s | 1/{whole / seconds:,.0f} |"


def time_to_psnr(frames: list[Frame], steps: int, values: Values) -> Iterator[str]:
    yield f"| reference's dB after {steps} steps | its s | ours: steps | dB | bytes | s | ratio |"
    yield "|---|---|---|---|---|---|---|"
    ratios = []
    for frame in frames:
        wanted, step_seconds = fit_reference(frame.pixels, steps)
        for mine in _PSNR_STEPS:
            network, seconds = _timed_fit(frame, mine)
            (decoded,) = to_pixels(_render(network, frame.size))
            reached = psnr(frame.pixels, decoded) or 0.0
            if reached >= wanted:
                break
        ratios.append(steps * step_seconds / seconds)
        size = len(SIREN.write([network]))
        yield (
            f"| {wanted:.2f} | {steps * step_seconds:.0f} | {mine} | {reached:.2f} | {size:,} | {seconds:.2f} "
            f"| {'1/' if reached >= wanted else 'not reached: 1/'}{ratios[-1]:,.0f} |"
        )
    values |= {"psnr.reference_steps": steps, "psnr.median_times_faster": median(ratios)}
    yield f"\nmedian ratio 1/{median(ratios):,.0f}; the reference's weights are {REFERENCE_BYTES:,} bytes at 8 bits"


def sizes(values: Values, counts: tuple[int, ...] = (16, 64, 256, 1024), steps: int = 50) -> Iterator[str]:
    yield f"| images | us an image and step, over {steps} steps |\n|---|---|"
    generator = torch.Generator().manual_seed(0)
    settings = _short(steps)
    for count in counts:
        pictures = [torch.rand(64, 64, 3, generator=generator) for _ in range(count)]
        started = time.perf_counter()
        SIREN.fit(pictures, settings)
        microseconds = (time.perf_counter() - started) / count / steps * 1e6
        values[f"sizes.{count}.microseconds"] = microseconds
        yield f"| {count:,} | {microseconds:,.0f} |"


def cores(frames: list[Frame], values: Values) -> Iterator[str]:
    """Through the pool that `rinr encode --jobs` uses: one process of one thread, then two."""
    for preset, count in ((BALANCED, 48), (FAST, 16)):
        work = [frames[index % len(frames)] for index in range(count)]
        rates = []
        for jobs in (1, 2):
            with EncoderPool(jobs) as pool:
                pool.encode(work[: 2 * jobs], preset)  # the processes import torch
                started = time.perf_counter()
                pool.encode(work, preset)
                rates.append(count / (time.perf_counter() - started))
        load = os.getloadavg()[0]
        values[f"cores.{preset.name}.ratio"] = rates[1] / rates[0]
        yield f"{preset.name}: two cores fit at {rates[1] / rates[0]:.2f} times the rate of one (load {load:.1f})"


def instant(frames: list[Frame], values: Values, rounds: int = 3) -> Iterator[str]:
    """The preset `instant`, objects included, beside Pillow's AVIF at speed 4 on whole frames, in turn."""
    ours, avif = [], []
    encode(frames[:1], INSTANT)
    for _ in range(rounds):
        for frame in frames:
            started = time.perf_counter()
            encode([frame], INSTANT)
            ours.append(time.perf_counter() - started)
            started = time.perf_counter()
            Image.fromarray(frame.pixels).save(io.BytesIO(), "AVIF", quality=10, speed=4, max_threads=1)
            avif.append(time.perf_counter() - started)
    mine, theirs = median(ours), median(avif)
    values |= {"instant.rate": 1 / mine, "instant.avif_rate": 1 / theirs, "instant.over_avif": theirs / mine}
    yield (
        f"instant: {1 / mine:.0f} frames a second, its PSNR measured as well; AVIF at speed 4: {1 / theirs:.1f}; "
        f"{theirs / mine:.1f} times as fast (medians)"
    )


def _short(steps: int) -> SirenSettings:
    return SirenSettings(Shape(16, 4), 8, 12, Schedule(steps, 1e-2, True, 1_024), 12, 1e-7)


def _timed_fit(frame: Frame, steps: int):
    background = SIREN_PRESET.background
    settings = replace(background, schedule=replace(background.schedule, steps=steps))
    width, height = (round(side / SIREN_PRESET.background_scale) for side in frame.size)
    started = time.perf_counter()
    small = torch.tensor(resize(frame.pixels, (width, height)), dtype=torch.float32) / 255
    (network,) = SIREN.fit([small], settings)
    return network, time.perf_counter() - started


def _render(network, size: tuple[int, int]) -> torch.Tensor:
    x, y = (centres(side)[None] * 2 - 1 for side in size)
    return SIREN.stack(SIREN.arrays([network]), "cpu").render(torch.tensor([0]), x, y).clamp(0, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="default: every folder below RINR_DATA, or the sample")
    parser.add_argument("--frames", type=int, default=6, help="in all, of as many folders (default 6)")
    parser.add_argument("--reference-steps", type=int, default=500, help="for the part psnr (default 500)")
    parser.add_argument("--parts", default="presets,psnr,sizes,cores,instant")
    records.add_option(parser, "fit_speed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    folders = find_folders(options.folders)
    chosen = np.linspace(0, len(folders) - 1, min(options.frames, len(folders))).round().astype(int)
    frames = [read(folders[i], 1)[0][0] for i in chosen]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__} with 1 thread, {len(frames)} frames\n"
    )
    values: Values = {"frames": len(frames)}
    parts = {
        "presets": lambda: presets(frames, fit_reference(_standard(frames[0]), 8)[1], values),
        "psnr": lambda: time_to_psnr(frames, options.reference_steps, values),
        "sizes": lambda: sizes(values),
        "cores": lambda: cores(frames, values),
        "instant": lambda: instant(frames, values),
    }
    for part in options.parts.split(","):
        for line in parts[part]():
            print(line, flush=True)
        print()
    if options.record:
        records.write("fit_speed", records.command("benchmarks.fit_speed"), values, {"parts": options.parts})


def _standard(frame: Frame) -> np.ndarray:
    """A frame of 640x360, as the reference's step is timed."""
    return resize(frame.pixels, (640, 360))


if __name__ == "__main__":
    main()
