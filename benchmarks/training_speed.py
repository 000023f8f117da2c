"""A whole training step and the loader alone, from our payloads and from JPEGs, in one run.

    python -m benchmarks.training_speed [FOLDER ...] [--device cuda] [--cores 2] [--cache DIR] [--json FILE]
                                         [--record]

Same frames on every side (captured JPEGs of 1280x720 to training frames of 640x360), same detector, same
augmentation on the same accelerator; `benchmarks/jpeg_loaders.py` says what each control does. Sides take turns, round
after round; figures are medians over rounds, of wall time and of processor time with that of workers.

Claims, on a CPU: loading SIREN payloads takes no longer than Pillow's full decode, cosine payloads no longer than its
``draft``, both with as many workers as suit them best. On a GPU: a whole step is 2.9 times as fast as with the
best Pillow pipeline, with the process limited to 2 cores (``--cores 2``) and with all; the loader alone 5 times as fast
as nvJPEG; and decoding takes less than 5 % of one core. What is missed is printed so, with its distance.

Payloads and shrunk JPEGs are made once and kept in ``--cache``; without it they are made anew, minutes of fitting.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
import PIL
import torch

from benchmarks import records
from benchmarks.frames import find_folders
from benchmarks.speed_clock import Side, Spent, Use, settle, turn
from benchmarks.speed_frames import SIZE, SOURCE, find_pictures
from benchmarks.speed_record import values_of
from benchmarks.speed_sides import PRESETS, sides_of
from benchmarks.speed_verdicts import Figures, verdicts
from rinr.pool import cores
from rinr.training.detector import Detector, detection_loss
from rinr.training.pictures import Batch

MEASURES = ("loader", "augmented", "step")
_LARGE = 31 << 20
_FEWEST, _MOST = 2, 400


@dataclass(frozen=True)
class Measured:
    """One side, in seconds a picture: the loader alone, with augmentation, and the whole step.

    Attributes:
        side: which.
        spent: medians over the turns.
        turns: each of them.
    """

    side: Side
    spent: dict[str, Spent]
    turns: dict[str, list[Spent]]


def main() -> None:
    options = _options()
    if options.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    device = torch.device(options.device)
    torch.set_num_threads(cores())
    # Once a large block was freed, glibc keeps memory that is freed later instead of giving it back to the kernel. With
    # that Pillow is a quarter faster, whatever ran before in this process; workers inherit it.
    block = np.empty(_LARGE, dtype=np.uint8)
    del block
    with ExitStack() as stack:
        cache = options.cache or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        distinct = find_pictures(find_folders(options.folders), max(PRESETS.values()), cache)
        sides, missing = sides_of(distinct, options, cache, device)
        measured = _measure(sides, options, device)
    hardware = _hardware()
    figures = {m.side.name: Figures(m.side.kind, *(m.spent[name] for name in MEASURES)) for m in measured}
    judged = verdicts(figures, device.type, missing)
    print(f"{hardware}; {len(distinct)} frames, {SOURCE[0]}x{SOURCE[1]} to {SIZE[0]}x{SIZE[1]}, ", end="")
    print(f"batches of {options.batch}, detector of width {options.detector_width}, {options.rounds} rounds.\n")
    print(_table(measured))
    for name, why in missing.items():
        print(f"\n{name}: not measured, {why}.")
    print("\n" + "\n".join(f"- {verdict}" for verdict in judged))
    if options.record:
        settings = {key: getattr(options, key) for key in ("device", "images", "batch", "rounds", "seconds")}
        values = values_of([(m.side, m.spent) for m in measured])
        name = "training_speed_gpu" if device.type == "cuda" else "training_speed"
        records.write(name, records.command("benchmarks.training_speed"), values, settings)
    if options.json:
        options.json.write_text(
            json.dumps(
                {
                    "hardware": hardware,
                    "options": {key: str(value) for key, value in vars(options).items()},
                    "seconds_a_picture": {
                        m.side.name: {"kind": m.side.kind, "kilobytes": m.side.kilobytes}
                        | {
                            name: asdict(spent) | {"turns": [asdict(each) for each in m.turns[name]]}
                            for name, spent in m.spent.items()
                        }
                        for m in measured
                    },
                    "not_measured": missing,
                    "verdicts": [asdict(verdict) | {"met": verdict.met} for verdict in judged],
                },
                indent=2,
            )
            + "\n"
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="default: every folder below RINR_DATA, or the sample")
    parser.add_argument("--preset", action="append", choices=PRESETS, help="of ours (default: all four)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default cpu)")
    parser.add_argument("--cores", type=int, help="limit the process to so many, as on an edge board (default all)")
    parser.add_argument("--images", type=int, default=48, help="in the data set, frames repeated (default 48)")
    parser.add_argument("--batch", type=int, default=8, help="pictures a step (default 8)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side (default 3)")
    parser.add_argument("--seconds", type=float, default=0.6, help="of a turn, at least (default 0.6)")
    parser.add_argument("--detector-width", type=int, default=32, help="of the detector (default 32)")
    parser.add_argument("--cache", type=Path, help="folder for payloads and shrunk JPEGs (default: thrown away)")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    records.add_option(parser, "training_speed")
    options = parser.parse_args()
    if options.images % options.batch:
        parser.error(f"--images {options.images} must be a multiple of --batch {options.batch}")
    return options


def _measure(sides: Sequence[Side], options: argparse.Namespace, device: torch.device) -> list[Measured]:
    step = _Step(options.detector_width, device)
    uses: dict[str, Use] = {"loader": lambda _: settle(device), "augmented": lambda _: settle(device), "step": step}
    spent: dict[tuple[str, str], list[Spent]] = {}
    numbers: dict[tuple[str, str], int] = {}
    for number in range(options.rounds + 1):  # the first one only warms up, and says how many batches a turn needs
        for measure in MEASURES:
            for side in sides:
                _say(f"round {number} of {options.rounds}: {measure}, {side.name}")
                key = side.name, measure
                found = turn(side, numbers.get(key, _FEWEST), measure != "loader", uses[measure], device)
                if number:
                    spent.setdefault(key, []).append(found)
                else:
                    needed = round(options.seconds / (found.wall * options.batch) + 0.5)
                    numbers[key] = min(max(needed, _FEWEST), _MOST)
    _say("")
    turns = [{name: spent[side.name, name] for name in MEASURES} for side in sides]
    return [
        Measured(side, {name: _medians(found) for name, found in own.items()}, own)
        for side, own in zip(sides, turns, strict=True)
    ]


def _medians(turns: Sequence[Spent]) -> Spent:
    return Spent(median(each.wall for each in turns), median(each.cpu for each in turns))


class _Step:
    """Forward, backward and update on a batch, as `rinr.training.train` does it."""

    def __init__(self, width: int, device: torch.device) -> None:
        torch.manual_seed(0)
        self.detector = Detector(width).to(device).train()
        self.optimizer = torch.optim.AdamW(self.detector.parameters(), 1e-4)
        self.device = device

    def __call__(self, batch: Batch) -> None:
        loss = detection_loss(self.detector(batch.images), [target["boxes"] for target in batch.targets])
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.detector.parameters(), 10.0)
        self.optimizer.step()
        settle(self.device)


def _table(measured: Sequence[Measured]) -> str:
    lines = [
        "Milliseconds a picture, wall / CPU.\n",
        "| | kB kept | loader | loader, augmented | whole step |",
        "|---|---|---|---|---|",
    ]
    for m in measured:
        times = (f"{m.spent[name].wall * 1000:.2f} / {m.spent[name].cpu * 1000:.2f}" for name in MEASURES)
        lines.append(f"| {m.side.name} | {m.side.kilobytes:.1f} | {' | '.join(times)} |")
    return "\n".join(lines)


def _hardware() -> str:
    return f"{records.hardware()}, {cores()} of them used, torch {torch.__version__}, Pillow {PIL.__version__}"


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:<90}", end="" if text else "\r", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
