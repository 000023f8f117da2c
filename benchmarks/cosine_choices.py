"""Why cosine presets have the values they have: each beside its alternatives, over the same frames in the same run.

    python -m benchmarks.cosine_choices [FOLDER ...] [--frames 1]

Prints bytes of backgrounds at the PSNR of the preset `balanced`, and of objects at theirs, found between two steps;
and the time as a ratio to the preset's own. Below stands which family makes a background or a frame's objects in fewer
bytes at no lower PSNR, frame by frame: the ground on which `balanced` has cosine networks throughout.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median

import torch

from benchmarks.frames import arguments, find_folders, read
from rinr.encoder import encode
from rinr.frames import Frame
from rinr.metrics import mean_db
from rinr.networks.settings import CosineSettings
from rinr.presets import BALANCED, FAST, SIREN_PRESET, ObjectClass, Preset

STEPS = (0.85, 1.25)
"""Of the preset's own: between them bytes are interpolated, in logarithms, at the preset's PSNR."""


SIZES = {"background": "bytes_background", "object": "bytes_objects"}


def backgrounds() -> Iterator[tuple[str, CosineSettings]]:
    own = BALANCED.background
    assert isinstance(own, CosineSettings)
    yield "balanced", own
    for overlap in (0.0, 0.06, 0.2):
        yield f"overlap {overlap:g} ({own.overlap:g})", replace(own, overlap=overlap)
    for tile in (48, 64, 80, 96, 128):
        yield f"one tile size, {tile} px (five tried)", replace(own, tiles=(tile,))
    for sweeps in (1, 2, 8):
        yield f"{sweeps} sweeps ({own.sweeps})", replace(own, sweeps=sweeps)
    for trade in (0.0, 0.07, 0.15):
        yield f"lambda {trade:g} ({own.trade:g})", replace(own, trade=trade)
    for waves in (10, 24):
        yield f"{waves} waves ({own.waves})", replace(own, waves=waves)
    yield "fixed colour axes (the picture's own)", replace(own, axes=False)


def objects() -> Iterator[tuple[str, CosineSettings]]:
    own = _objects_of(BALANCED)
    yield "balanced", own
    for overlap in (0.0, 0.12):
        yield f"overlap {overlap:g} ({own.overlap:g})", replace(own, overlap=overlap)
    for tile in (12, 16, 24, 64):
        yield f"one tile size, {tile} px (three tried)", replace(own, tiles=(tile,))
    for sweeps in (1, 5):
        yield f"{sweeps} sweeps ({own.sweeps})", replace(own, sweeps=sweeps)
    for trade in (0.0, 0.09, 0.17):
        yield f"lambda {trade:g} ({own.trade:g})", replace(own, trade=trade)
    yield "own colour axes (fixed)", replace(own, axes=True)


def main() -> None:
    options = arguments(__doc__ or "", frames=1)
    torch.set_num_threads(1)
    frames = [frame for folder in find_folders(options.folders) for frame, _ in read(folder, options.frames)]
    print(f"{len(frames)} frames\n\n| background (preset's value) | bytes at equal PSNR | time |\n|---|---|---|")
    _compare([(name, replace(BALANCED, background=one)) for name, one in backgrounds()], frames, "background")
    print("\n| objects (preset's value) | bytes at equal PSNR | time |\n|---|---|---|")
    _compare(
        [(name, replace(BALANCED, objects=(ObjectClass(None, one),))) for name, one in objects()], frames, "object"
    )
    print()
    _families(frames)


def _compare(variants: Sequence[tuple[str, Preset]], frames: Sequence[Frame], what: str) -> None:
    own_db = own_seconds = None
    for name, preset in variants:
        if own_db is None:
            own_db = mean_db(getattr(image, f"{what}_db") for image in encode(frames, preset))
            assert own_db is not None
        started = time.perf_counter()
        points = []
        for factor in STEPS:
            images = encode(frames, _scaled(preset, factor, what))
            db = mean_db(getattr(image, f"{what}_db") for image in images)
            assert db is not None
            size = sum(getattr(image.frame, SIZES[what]) for image in images) / len(images)
            points.append((db, math.log(size)))
        seconds = time.perf_counter() - started
        own_seconds = own_seconds or seconds
        (high, more), (low, fewer) = points
        size = math.exp(more + (own_db - high) * (fewer - more) / (low - high))
        print(f"| {name} | {size:,.0f} B at {own_db:.2f} dB | {seconds / own_seconds:.2f} |", flush=True)


def _scaled(preset: Preset, factor: float, what: str) -> Preset:
    if what == "background":
        assert isinstance(preset.background, CosineSettings)
        return replace(preset, background=replace(preset.background, step=preset.background.step * factor))
    network = _objects_of(preset)
    return replace(preset, objects=(ObjectClass(None, replace(network, step=network.step * factor)),))


def _objects_of(preset: Preset) -> CosineSettings:
    network = preset.objects[-1].network
    assert isinstance(network, CosineSettings)
    return network


def _families(frames: Sequence[Frame]) -> None:
    """What cosine networks need for the PSNR of SIREN ones, frame by frame: steps shrink until it is reached."""
    for sirens in (SIREN_PRESET, FAST):
        ratios: dict[str, list[float]] = {what: [] for what in SIZES}
        for frame, image in zip(frames, encode(frames, sirens), strict=True):
            for what, size in SIZES.items():
                wanted = getattr(image, f"{what}_db")
                if wanted is None:
                    continue
                for octave in range(6, -18, -1):
                    (other,) = encode([frame], _scaled(BALANCED, 2 ** (octave / 4), what))
                    if getattr(other, f"{what}_db") >= wanted:
                        break
                ratios[what].append(getattr(other.frame, size) / getattr(image.frame, size))
        for what, values in ratios.items():
            print(
                f"{what}s: cosine networks of no lower PSNR than those of the preset `{sirens.name}` take "
                f"{median(values):.2f} of their bytes (median), more in {sum(v > 1 for v in values)} of {len(values)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
