"""Ten devices and a fog node over counted and shaped links: what crosses the radio, by every way of sending.

    python -m benchmarks.network [FOLDER ...] [--frames 12] [--ways balanced,jpeg_fog] [--record] [--json]

Without folders: the sequences of 1280x720 below ``RINR_DATA``, and with ``--others`` every other set in tables of its
own; the committed sample where ``RINR_DATA`` is not set. How it is measured stands in ``docs/network.md``.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks import records
from benchmarks.network import figures, report
from benchmarks.network.fits import Fits
from benchmarks.network.pictures import shared_out
from benchmarks.network.places import Network, running_network
from benchmarks.network.radio import Shape
from benchmarks.network.run import OURS, SHRUNK, Run
from rinr.folders import LabelledFolder, labelled_folders
from rinr.pool import EncoderPool, cores

WAYS = ("jpeg_fog", *OURS, SHRUNK)
TARGET = (1280, 720)
"""Size of the captured pictures that the targets speak of, in pixels."""

OTHERS_WAYS = ("jpeg_fog", "balanced", SHRUNK)


@dataclass(frozen=True)
class PictureSet:
    """Folders whose pictures go through the network together.

    Attributes:
        name: of the set; empty for the one that the targets speak of.
    """

    name: str
    folders: Sequence[LabelledFolder]


def main() -> None:
    """Measure, print, and keep a record where that is asked for."""
    options = _options()
    torch.set_num_threads(1)
    sets, note = _sets(options.folders, options.others)
    if note:
        _say(note, end="\n")
    shape = Shape(options.rate * 1e6, options.delay / 1000, options.loss / 100, options.seed)
    names = [f"cam-{number}" for number in range(options.devices)]
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    values: dict[str, records.Value] = {}
    with (
        _scratch() as scratch,
        running_network(names, scratch / "served", shape) as network,
        EncoderPool(options.jobs or cores()) as pool,
    ):
        fits = Fits(work / "fits", pool)
        for one in sets:
            values |= _measured(one, network, scratch, fits, options)
    values |= figures.figures(values, options.devices)
    settings = {
        "frames": options.frames,
        "devices": options.devices,
        "rate_mb": options.rate,
        "delay_ms": options.delay,
        "loss_percent": options.loss,
        "slow_frames": options.slow_frames,
        "paper_steps": options.paper_steps,
        "sets": [one.name or ", ".join(folder.name for folder in one.folders) for one in sets],
    }
    _say("", end="")
    if options.json:
        print(json.dumps({"settings": settings, "values": values}, indent=1))
    else:
        print(printed(values, [one.name for one in sets]))
    if options.record:
        print(records.write("network", records.command("benchmarks.network"), values, settings), file=sys.stderr)


def printed(values: dict[str, records.Value], sets: Sequence[str]) -> str:
    """All tables of a run."""
    found = []
    for name in sets:
        prefix = f"sets.{name}." if name else ""
        title = f"{name or 'The set'}: {values[f'{prefix}{report.DIRECT}.frames']} frames"
        found += [f"## {title}", report.table(values, prefix)]
        if not name:
            found.append(report.overhead_table(values))
    found += ["## The paper's figures", figures.table(values)]
    return "\n\n".join(found)


def _measured(
    one: PictureSet, network: Network, scratch: Path, fits: Fits, options: argparse.Namespace
) -> dict[str, records.Value]:
    label = one.name or "the set"

    def say(text: str) -> None:
        _say(f"{label}: {text}")

    frames = options.other_frames if one.name else options.frames
    ways = OTHERS_WAYS if one.name else options.ways
    captures = shared_out(one.folders, network.names, frames)
    run = Run(network, captures, scratch / "ways", fits, say, one.name, options.slow_frames, options.paper_steps)
    run.measure(ways)
    prefix = f"sets.{one.name}." if one.name else ""
    return {f"{prefix}{name}": value for name, value in run.values.items()}


def _sets(given: Sequence[Path], others: bool) -> tuple[list[PictureSet], str]:
    """The sets to send, the one that the targets speak of first; and what has to be said of the choice."""
    if given:
        return [PictureSet("", [folder for path in given for folder in _labelled(path)])], ""
    data = os.environ.get("RINR_DATA")
    if not data:
        sample = Path(__file__).parents[2] / "sample"
        found = [folder for path in sorted(sample.iterdir()) if path.is_dir() for folder in _labelled(path)]
        return [PictureSet("", found)], "RINR_DATA is not set: the sample's frames, of which the targets do not speak"
    target: list[LabelledFolder] = []
    sets: list[PictureSet] = []
    for path in sorted(path for path in Path(data).iterdir() if path.is_dir()):
        folders = _labelled(path)
        if folders and all(_is_target(folder) for folder in folders):
            target += folders
        elif folders:
            sets.append(PictureSet(records.name_part(path.name), folders))
    chosen = [PictureSet("", target)] if target else []
    return chosen + (sets if others or not target else []), ""


def _labelled(path: Path) -> list[LabelledFolder]:
    return [folder for folder in labelled_folders(path) if any(labels.boxes for labels in folder.labels.values())]


def _is_target(folder: LabelledFolder) -> bool:
    return all(labels.size == TARGET for labels in folder.labels.values())


@contextmanager
def _scratch() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="network-"))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="default: the sequences of 1280x720 below RINR_DATA")
    parser.add_argument("--devices", type=int, default=10, choices=range(2, 51), metavar="N", help="default 10")
    parser.add_argument("--frames", type=int, default=12, help="of each device (default 12)")
    parser.add_argument("--slow-frames", type=int, help="of each device, for `siren`; default: as for the others")
    parser.add_argument("--others", action="store_true", help="the other sets below RINR_DATA as well")
    parser.add_argument("--other-frames", type=int, default=4, help="of each device, of those (default 4)")
    parser.add_argument("--ways", type=_ways, default=WAYS, help=f"comma between: {', '.join(WAYS)} (default: all)")
    parser.add_argument("--rate", type=float, default=2.0, help="of the radio that all share, MB/s (default 2)")
    parser.add_argument("--delay", type=float, default=20.0, help="one way, milliseconds (default 20)")
    parser.add_argument("--loss", type=float, default=1.0, help="of segments, per cent (default 1)")
    parser.add_argument("--seed", type=int, default=0, help="of what is lost (default 0)")
    parser.add_argument("--paper-steps", type=int, default=200, help="fits of the paper's shapes (default 200)")
    parser.add_argument("--jobs", type=int, help="processes that fit (default: one a core)")
    parser.add_argument("--work", type=Path, default=Path(".network"), help="keeps fits for a rerun (default .network)")
    parser.add_argument("--json", action="store_true", help="print the values as JSON")
    records.add_option(parser, "network")
    return parser.parse_args()


def _ways(text: str) -> tuple[str, ...]:
    found = tuple(text.split(","))
    if unknown := [name for name in found if name not in WAYS]:
        raise argparse.ArgumentTypeError(f"no way {unknown[0]!r}; there are {', '.join(WAYS)}")
    return found


def _say(text: str, end: str = "") -> None:
    print(f"\r\x1b[K{text}", end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
