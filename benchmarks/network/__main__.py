"""Ten devices and a fog node over counted and shaped links: what crosses the radio, by every way of sending.

    python -m benchmarks.network [FOLDER ...] [--frames 12] [--ways balanced,jpeg_fog] [--record] [--json]

Without folders: the sequences of 1280x720 below ``RINR_DATA``, or with ``--others`` every other set in a table of its
own; the committed sample where ``RINR_DATA`` is not set. Ctrl-C ends it with what was measured by then. How it is
measured stands in ``docs/network.md``.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from benchmarks import records
from benchmarks.network import figures, report
from benchmarks.network.fits import Fits
from benchmarks.network.pictures import shared_out
from benchmarks.network.places import running_network
from benchmarks.network.radio import Shape
from benchmarks.network.run import SHRUNK, WAYS, Run
from rinr.folders import LabelledFolder, labelled_folders
from rinr.pool import EncoderPool, cores

TARGET = (1280, 720)
"""Size of the captured pictures that the targets speak of, in pixels."""

OTHERS_WAYS = ("balanced", SHRUNK)
"""Of the other sets."""


@dataclass(frozen=True)
class PictureSet:
    """Folders whose pictures go through the network together.

    Attributes:
        name: of the set; empty for the one that the targets speak of.
    """

    name: str
    folders: Sequence[LabelledFolder]

    @property
    def prefix(self) -> str:
        """Before the names of its values."""
        return f"sets.{self.name}." if self.name else ""


def main() -> None:
    """Measure, print, and keep a record where that is asked for."""
    options = _options()
    torch.set_num_threads(1)
    sets = _sets(options.folders, options.others)
    is_sample = not options.folders and not os.environ.get("RINR_DATA")
    if is_sample:
        _say("RINR_DATA is not set: the sample's frames, of which the targets do not speak", end="\n")
    values = _measure(sets, options)
    if not options.others:
        values |= figures.figures(values, options.devices)
    names = ("devices", "frames", "slow_frames", "rate", "delay", "loss", "seed", "paper_steps")
    settings = {name: getattr(options, name) for name in names}
    settings["sets"] = [one.name or ", ".join(folder.name for folder in one.folders) for one in sets]
    _say("")
    if options.json:
        print(json.dumps({"settings": settings, "values": values}, indent=1))
    else:
        print(printed(values, sets))
    if options.record:
        name, command = "network_others" if options.others else "network", records.command("benchmarks.network")
        if is_sample:
            file = records.write_missing(name, command, "RINR_DATA is not set, which names a folder of real frames")
        else:
            file = records.write(name, command, values, settings)
        print(file, file=sys.stderr)


def printed(values: Mapping[str, records.Value], sets: Sequence[PictureSet]) -> str:
    """All tables of a run."""
    found = []
    for one in sets:
        count = values.get(f"{one.prefix}{report.DIRECT}.frames", "no")
        found += [f"## {one.name or 'The set'}: {count} frames", report.table(values, one.prefix)]
    if not all(one.name for one in sets):
        found += [report.overhead_table(values), "## The paper's figures", figures.table(values)]
    return "\n\n".join(found)


def _measure(sets: Sequence[PictureSet], options: argparse.Namespace) -> dict[str, records.Value]:
    shape = Shape(options.rate * 1e6, options.delay / 1000, options.loss / 100, options.seed)
    names = [f"cam-{number}" for number in range(options.devices)]
    work = options.work.resolve()
    ways = options.ways or (OTHERS_WAYS if options.others else WAYS)
    values: dict[str, records.Value] = {}
    with (
        _scratch() as scratch,
        running_network(names, scratch / "served", shape) as network,
        EncoderPool(options.jobs or cores()) as pool,
    ):
        fits = Fits(work / "fits", pool)
        for one in sets:
            run = Run(
                network=network,
                captures=shared_out(one.folders, names, options.frames),
                folder=scratch / "ways" / (one.name or "all"),
                fits=fits,
                say=partial(_say_of, one.name),
                told=partial(_say_of, one.name, end="\n"),
                name=one.name,
                slow_frames=options.slow_frames,
                paper_steps=options.paper_steps,
            )
            try:
                run.measure(ways)
            except KeyboardInterrupt:
                _say("stopped: what was not measured by now is told so", end="\n")
                break
            finally:
                values |= {f"{one.prefix}{name}": value for name, value in run.values.items()}
    return values


def _sets(given: Sequence[Path], others: bool) -> list[PictureSet]:
    """The set that is asked for, or the other sets each by its name."""
    if given:
        return [PictureSet("", [folder for path in given for folder in _labelled(path)])]
    data = os.environ.get("RINR_DATA")
    place = Path(data) if data else Path(__file__).parents[2] / "sample"
    found = {path.name: _labelled(path) for path in sorted(place.iterdir()) if path.is_dir() and any(path.iterdir())}
    if not data:
        return [PictureSet("", [folder for folders in found.values() for folder in folders])]
    target = [folder for folders in found.values() for folder in folders if _is_target(folder)]
    if others:
        rest = {name: [folder for folder in folders if folder not in target] for name, folders in found.items()}
        return [PictureSet(records.name_part(name), folders) for name, folders in rest.items() if folders]
    if not target:
        raise SystemExit(f"{data} has no folder of labelled pictures of 1280x720; give folders, or --others")
    return [PictureSet("", target)]


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
    parser.add_argument("--slow-frames", type=int, default=3, help="of each device, for `siren` (default 3)")
    parser.add_argument("--others", action="store_true", help="the other sets below RINR_DATA, each by itself")
    parser.add_argument(
        "--ways", type=_ways, help=f"comma between: {', '.join(WAYS)} (default: all that are affordable)"
    )
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


def _say_of(name: str, text: str, end: str = "") -> None:
    _say(f"{name}: {text}" if name else text, end)


def _say(text: str, end: str = "") -> None:
    print(f"\r\x1b[K{text}", end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
