"""How long frames take to encode as clips, beside the same frames alone, in one run on one thread.

    python -m benchmarks.clip_fit_speed [FOLDER ...] [--frames 32] [--sequences Biker,boat1]

Processor time, which a busy machine disturbs least. Claim: a clip of 32 frames takes at most half of 32 single fits.
"""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeVar

import torch

from benchmarks.clip_sequences import sequences
from rinr.clip_encoder import encode_clips
from rinr.encoder import encode
from rinr.presets import find_preset

_WANTED = 0.5
_Made = TypeVar("_Made")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="default: every folder below RINR_DATA, or the sample")
    parser.add_argument("--frames", type=int, default=32, help="of each sequence, its first ones (default 32)")
    parser.add_argument("--sequences", help="names, separated by commas (default: all)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    alone, clip = find_preset("balanced"), find_preset("clip")
    names = set(options.sequences.split(",")) if options.sequences else None
    print("| | alone, s | as clips, s | ratio | frames in clips |\n|---|---|---|---|---|")
    ratios = []
    for run in sequences(options.folders, options.frames, names):
        single, _ = _timed(partial(encode, run.frames, alone))
        joint, clips = _timed(partial(encode_clips, run.frames, run.times, clip))
        ratios.append(joint / single)
        inside = sum(len(each.images) for each in clips if each.images[0].part_id)
        print(
            f"| {run.name} | {single:.1f} | {joint:.1f} | {ratios[-1]:.2f} | {inside} of {len(run.frames)} |",
            flush=True,
        )
    if not ratios:
        sys.exit("no sequence of that name; see --sequences")
    middle = median(ratios)
    print(f"\nmedian {middle:.2f}: {'met' if middle <= _WANTED else 'missed'}, at most {_WANTED} is wanted")


def _timed(make: Callable[[], _Made]) -> tuple[float, _Made]:
    began = time.process_time()
    made = make()
    return time.process_time() - began, made


if __name__ == "__main__":
    main()
