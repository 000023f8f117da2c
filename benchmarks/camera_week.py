"""What a camera's week comes to, in bytes that are delivered to one device: frames alone beside clips.

    python -m benchmarks.camera_week [FOLDER ...] [--bursts 168] [--sequences Biker,boat1] [--json]

A camera sends a burst of 32 frames every hour. Measured are its first burst and the next one, which may lie in what the
first one shares, each as the shard that a device gets (Parquet and all, without the manifest); simulated is that
all later bursts come to what that next one does. A sequence is long enough with two bursts' frames.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import torch

from benchmarks.clip_sequences import sequences
from rinr.clip_encoder import encode_clips
from rinr.encoder import encode
from rinr.frames import Frame
from rinr.presets import find_preset
from rinr.shard import ShardPart, ShardRow
from storage.shards.shard_file import write_shard

_BURST = 32


@dataclass(frozen=True)
class Week:
    """Bytes of shards.

    Attributes:
        name: of the sequence.
        alone: of a burst's frames alone, mean of two bursts.
        first: of the first burst as clips.
        later: of the next one.
        extended: how many frames of the next one lie in what the first one shares.
        ratio: of all bursts as clips to all alone.
    """

    name: str
    alone: float
    first: int
    later: int
    extended: int
    ratio: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="default: every folder below RINR_DATA, or the sample")
    parser.add_argument("--bursts", type=int, default=168, help="in all (default 168, one an hour for a week)")
    parser.add_argument("--sequences", help="names, separated by commas (default: all that are long enough)")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    options = parser.parse_args()
    torch.set_num_threads(1)
    names = set(options.sequences.split(",")) if options.sequences else None
    weeks = []
    for run in sequences(options.folders, 2 * _BURST, names):
        if len(run.frames) == 2 * _BURST:
            print(f"\r\x1b[K{run.name}", end="", file=sys.stderr)
            weeks.append(_week(run.name, run.frames, options.bursts))
    print("\r\x1b[K", end="", file=sys.stderr)
    if not weeks:
        sys.exit(f"no sequence of that name has {2 * _BURST} frames; see --sequences")
    if options.json:
        print(json.dumps([asdict(week) for week in weeks], indent=1))
        return
    print("| | a burst alone | first burst | later burst | of it over the earlier clip | week: clips / alone |")
    print("|---|---|---|---|---|---|")
    for week in weeks:
        print(
            f"| {week.name} | {week.alone:,.0f} | {week.first:,} | {week.later:,} | {week.extended} of {_BURST} "
            f"| {week.ratio:.2f} |"
        )
    print(f"| **median** | | | | | {median(week.ratio for week in weeks):.2f} |")


def _week(name: str, frames: tuple[Frame, ...], bursts: int) -> Week:
    halves = frames[:_BURST], frames[_BURST:]
    alone = [
        len(write_shard([ShardRow(image.image_id, image.frame) for image in encode(half, find_preset("balanced"))]))
        for half in halves
    ]
    known: list[bytes] = []
    sizes, extended = [], 0
    for half in halves:
        clips = encode_clips(half, [None] * _BURST, find_preset("clip"), known=known)
        new = [clip.part for clip in clips if clip.part]
        rows = [ShardRow(image.image_id, image.frame) for clip in clips for image in clip.images]
        sizes.append(len(write_shard([*map(ShardPart, new), *rows])))
        extended = sum(len(clip.images) for clip in clips if clip.part is None and clip.images[0].part_id is not None)
        known += new
    mean, (first, later) = sum(alone) / 2, sizes
    return Week(name, mean, first, later, extended, (first + (bursts - 1) * later) / (bursts * mean))


if __name__ == "__main__":
    main()
