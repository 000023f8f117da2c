"""How well a detector learns from networks, beside JPEGs and beside controls of the same bytes, as Markdown.

    python -m benchmarks.accuracy [FOLDER ...] --work FOLDER [--arms a,b,c,d-webp,e] [--seeds 3] [--minutes 60]
    python -m benchmarks.accuracy [FOLDER ...] --work FOLDER --arms a,b,c,d-webp,e --report [--plot FILE.png]
                                   [--record]

A detector is pre-trained on captured JPEGs of some folders. Then eight other sequences arrive in the form that an arm
says (`benchmarks/accuracy_arms.py`), and it is fine-tuned on their first part; its test are captured JPEGs of their
last part, with a gap between. mAP is the mean over sequences of each one's COCO precision, one class. All arms of a
seed start from the same weights and see their pictures in the same order and light; intervals are bootstrapped over
sequences and seeds.

Claims: captured JPEGs (a) gain 10 points of mAP50 over nothing (e), or else nothing is shown; `balanced` (b) is no
worse than a by 2 points, above every control of its bytes (d-...), and above its backgrounds alone (c).

What is done lies under ``--work`` and is not done again: killed at any moment, the next run goes on. Seed by seed, in
the order of the arms. While the file ``--pause-file`` is there, work stands still.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import torch

from benchmarks import records
from benchmarks.accuracy_arms import Arm, parse
from benchmarks.accuracy_plot import plot
from benchmarks.accuracy_record import values_of
from benchmarks.accuracy_report import Results, as_json, markdown
from benchmarks.accuracy_run import Experiment, Settings
from benchmarks.accuracy_split import NEW, divide, new_sequence
from benchmarks.frames import find_folders
from rinr.files import write_whole

_PAUSE_SECONDS = 2.0
_NUMBERS = ("train_frames", "test_frames", "pre_frames", "epochs", "pre_epochs", "batch_size")


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    arms = [parse(name) for name in options.arms.split(",")]
    experiment = _experiment(options)
    if options.encode_only:
        for arm in arms:
            size = sum(experiment.bytes_a_frame(arm).values()) / len(experiment.sequences)
            _say(f"{arm.name}: {size:,.0f} bytes a frame")
        return
    if not options.report:
        _work(experiment, arms, options.seeds, options.minutes)
    found = _found(experiment, arms, options.seeds)
    if not found:
        sys.exit("no run is done yet: leave --report away, or give --minutes more")
    if options.plot:
        write_whole(options.plot, plot(found, _title(experiment)))
    if options.record:
        settings = {"arms": options.arms, "seeds": len(options.seeds), "sequences": options.new}
        settings |= {name: getattr(options, name) for name in _NUMBERS}
        command = records.command("benchmarks.accuracy").replace(" --report", "")  # without it, it is done anew
        records.write("accuracy", command, values_of(as_json(found)), settings)
    print(json.dumps(as_json(found)) if options.json else markdown(found))


def _options() -> argparse.Namespace:
    base = Settings()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="default: every folder below RINR_DATA, or the sample")
    parser.add_argument("--work", type=Path, required=True, help="folder for what is done")
    parser.add_argument("--arms", default="a,b,c,d-webp,e", help="separated by commas (default a,b,c,d-webp,e)")
    parser.add_argument("--seeds", default="3", help="how many from 0, or which: 3,4 (default 3)")
    parser.add_argument("--new", default=",".join(NEW), help="sequences that arrive; all others are pre-trained on")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="no run begins later")
    parser.add_argument("--pause-file", type=Path, help="work stands still while it is there")
    parser.add_argument("--encode-only", action="store_true", help="make what the arms send, and train nothing")
    parser.add_argument("--report", action="store_true", help="do nothing, tell what is there")
    parser.add_argument("--plot", type=Path, help="accuracy over bytes, as a PNG")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    records.add_option(parser, "accuracy")
    parser.add_argument("--device", default="cpu", help="torch device that trains (default cpu)")
    parser.add_argument("--threads", type=int, default=1, help="of torch on the CPU (default 1)")
    parser.add_argument("--canvas", type=_canvas, default=base.canvas, help="training size (default 416x240)")
    for name in _NUMBERS:
        value = getattr(base, name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value, help=f"default {value}")
    options = parser.parse_args()
    seeds = [int(seed) for seed in options.seeds.split(",")]
    options.seeds = list(range(seeds[0])) if len(seeds) == 1 else seeds
    return options


def _canvas(text: str) -> tuple[int, int]:
    width, height = text.split("x")
    return int(width), int(height)


def _experiment(options: argparse.Namespace) -> Experiment:
    settings = Settings(canvas=options.canvas, **{name: getattr(options, name) for name in _NUMBERS})
    new, others = divide(find_folders(options.folders), options.new.split(","))
    sequences = [new_sequence(folder, settings.train_frames, settings.test_frames) for folder in new]

    def pause() -> None:
        while options.pause_file and options.pause_file.exists():
            time.sleep(_PAUSE_SECONDS)

    return Experiment(sequences, others, settings, options.work, options.device, _say, pause)


def _work(experiment: Experiment, arms: list[Arm], seeds: list[int], minutes: float) -> None:
    began = time.monotonic()
    pieces = [(arm, seed) for seed in seeds for arm in arms if not experiment.done(arm, seed)]
    for number, (arm, seed) in enumerate(pieces):
        if time.monotonic() - began > 60 * minutes:
            _say(f"{minutes:g} minutes are over; {len(pieces) - number} runs are left: the same command goes on")
            return
        experiment.pause()
        result = experiment.result(arm, seed)
        score = sum(result.map50.values()) / len(result.map50)
        _say(f"{number + 1}/{len(pieces)} {arm.name}, seed {seed}: mAP50 {100 * score:.1f}, {result.seconds:.0f} s")


def _found(experiment: Experiment, arms: list[Arm], seeds: list[int]) -> Results:
    found = {arm: {s: experiment.result(arm, s) for s in seeds if experiment.done(arm, s)} for arm in arms}
    return {arm: by_seed for arm, by_seed in found.items() if by_seed}


def _title(experiment: Experiment) -> str:
    count = len(experiment.sequences)
    return f"A detector fine-tuned on {count} new sequences: accuracy over what travelled"


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
