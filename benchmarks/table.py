"""Bytes and PSNR of ours beside the captured JPEG, JPEG 90 and two-stream JPEG, folder by folder, as Markdown.

    python -m benchmarks.table [FOLDER ...] [--frames 4]

Claim: ours needs fewer bytes than two-stream JPEG 5 + 75. Where its PSNR is lower, that stands in the row.
"""

import os
import platform
from statistics import median

import torch

from benchmarks.frames import arguments, find_folders, read
from rinr.controls import Row, compare
from rinr.encoder import encode
from rinr.presets import FAST


def main() -> None:
    options = arguments(__doc__ or "", frames=4)
    torch.set_num_threads(1)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__} with 1 thread, preset {FAST.name}\n"
    )
    print("| folder | frames | captured | JPEG 90 | two-stream JPEG 5 + 75 | ours | ours / two-stream | s a frame |")
    print("|---|---|---|---|---|---|---|---|")
    ratios, better = [], 0
    for folder in find_folders(options.folders):
        frames = read(folder, options.frames)
        if not frames:
            continue
        images = encode([frame for frame, _ in frames], FAST)
        rows = compare(frames, {FAST.name: [image.frame for image in images]}, ("jpeg:90", "jpeg:5+75"))
        captured, high, two, ours = rows
        ratio = ours.bytes_a_frame / two.bytes_a_frame
        ratios.append(ratio)
        better += _at_least(ours.background_db, two.background_db) and _at_least(ours.object_db, two.object_db)
        seconds = sum(image.fit_seconds for image in images) / len(images)
        cells = [f"{captured.bytes_a_frame / 1000:.1f} kB", *map(_cell, (high, two, ours))]
        print(f"| {folder.name} | {len(frames)} | {' | '.join(cells)} | {ratio:.2f} | {seconds:.1f} |", flush=True)
    print(f"\nmedian of ours / two-stream in bytes: {median(ratios):.2f} over {len(ratios)} folders;")
    print(f"at no lower background and object PSNR in {better} of them")


def _cell(row: Row) -> str:
    return f"{row.bytes_a_frame / 1000:.2f} kB, {_db(row.background_db)} / {_db(row.object_db)}"


def _db(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _at_least(ours: float | None, theirs: float | None) -> bool:
    return ours is None or theirs is None or ours >= theirs


if __name__ == "__main__":
    main()
