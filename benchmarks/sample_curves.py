"""Rate-distortion curves on the sample, whose photographs took no part in choosing anything.

    python -m benchmarks.sample_curves [FOLDER ...] [--frames 2] [--preset balanced --preset fine] [--record]

The same curves as ``rinr bench FOLDER --curves DIR`` draws: ours at five qualities, image codecs at four or five.
"""

import argparse
import sys
from pathlib import Path

import torch

from benchmarks import records
from benchmarks.frames import find_folders, read
from rinr.curves import Curve, compared, controls, ladder, point
from rinr.presets import find_preset

SAMPLE = Path(__file__).parent.parent / "sample"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="default: the sample")
    parser.add_argument("--frames", type=int, default=2, help="of each folder, evenly spread (default 2)")
    parser.add_argument("--preset", action="append", help="ours; default: balanced and fine")
    records.add_option(parser, "curves")
    options = parser.parse_args()
    torch.set_num_threads(1)
    folders = find_folders(options.folders or sorted(path for path in SAMPLE.iterdir() if path.is_dir()))
    frames = [frame for folder in folders for frame, _ in read(folder, options.frames)]
    ours = options.preset or ["balanced", "fine"]
    curves = []
    for name, rungs in (controls() | {f"ours, {name}": ladder(find_preset(name)) for name in ours}).items():
        print(f"{len(frames)} frames, {name}", file=sys.stderr, flush=True)
        curves.append(Curve(name, tuple(point(rung, frames) for rung in rungs)))
    values = values_of(compared(curves))
    for name, value in values.items():
        print(f"{name}: {value}")
    if options.record:
        settings = {"frames": len(frames), "presets": ours}
        records.write("curves", records.command("benchmarks.sample_curves"), values, settings)


def values_of(curves: list[Curve]) -> dict[str, records.Value]:
    """Every point of every curve, by the name of the curve and the number of the point."""
    values: dict[str, records.Value] = {}
    for curve in curves:
        of = f"curve.{records.name_part(curve.name)}"
        values |= {f"{of}.name": curve.name, f"{of}.points": len(curve.points)}
        values[f"{of}.background_bd_rate"] = curve.background_bd_rate
        values[f"{of}.object_bd_rate"] = curve.object_bd_rate
        for number, one in enumerate(curve.points):
            at = f"{of}.{number}"
            values |= {f"{at}.preset": one.preset, f"{at}.bytes": one.bytes_a_frame}
            values |= {f"{at}.background_db": one.background_db, f"{at}.object_db": one.object_db}
    return values


if __name__ == "__main__":
    main()
