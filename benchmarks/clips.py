"""Clips beside everything that a sceptic would send: still codecs frame by frame, our own single frames, video codecs.

    python -m benchmarks.clips [FOLDER ...] [--frames 32] [--sequences Biker,boat1] [--cache DIR] [--access]
                               [--record]

The first frames of every folder that is a run of frames, at most 640 pixels wide, ten a second. Every way to send them
is measured at several qualities, and read at the background PSNR and at the object PSNR of a control, each on its own
curve; the bytes are added. Ours are all bytes of all payloads, with headers and boxes, and the shared parts; a still
codec's are payloads as well; a video's are its packets and decoder configuration, without a container, the crops of
its boxes by the best still codec, and the header and boxes of a payload.

Needs PyAV (``pip install -e ".[video]"``). Claims are printed with what was measured, missed ones too.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks import clip_access, clip_plots, records
from benchmarks import clip_payloads as payloads
from benchmarks.clip_access import Access
from benchmarks.clip_cache import Cache
from benchmarks.clip_measure import KEY_DISTANCES, Measuring
from benchmarks.clip_payloads import scaled
from benchmarks.clip_record import values_of
from benchmarks.clip_report import AVIF, CLIPS, JPEG, SINGLE, VIDEOS, Report, Target, report
from benchmarks.clip_sequences import sequences
from benchmarks.clip_verdicts import Verdict, verdicts
from rinr.clip_encoder import encode_clips
from rinr.encoder import encode
from rinr.presets import Preset, find_preset

_COLUMNS = (JPEG, "two-stream WebP", AVIF, SINGLE, CLIPS, *VIDEOS)


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    cache = Cache(options.cache)
    single, clip = find_preset(options.single), None if options.without_clips else find_preset(options.clip)
    names = set(options.sequences.split(",")) if options.sequences else None
    distances = KEY_DISTANCES if options.access else KEY_DISTANCES[:1]
    reports = []
    for run in sequences(options.folders, options.frames, names):
        measuring = Measuring(run, cache)
        made = report(measuring, single, clip, distances)
        if options.access and clip:
            made = replace(made, access=_access(measuring, made, single, clip))
        reports.append(made)
        print("\r\x1b[K", end="", file=sys.stderr)
    if not reports:
        sys.exit("no sequence of that name; see --sequences")
    judged = verdicts(reports)
    if options.record:
        _record(_as_json(reports, judged), options)
    if options.json:
        print(json.dumps(_as_json(reports, judged), indent=1))
    else:
        _print(reports, judged)
    if options.plot_dir:
        for file in clip_plots.draw(reports, options.plot_dir):
            print(file, file=sys.stderr)


def _record(found: Mapping[str, Any], options: argparse.Namespace) -> None:
    settings = {"frames": options.frames, "single": options.single, "clip": options.clip}
    records.write("clips", records.command("benchmarks.clips", "--cache"), values_of(found), settings)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="default: the runs of frames below RINR_DATA")
    parser.add_argument("--frames", type=int, default=32, help="of each folder, its first (default 32)")
    parser.add_argument("--sequences", help="names of some of them, with commas between")
    parser.add_argument("--single", default="balanced", help="preset of our frames alone")
    parser.add_argument("--clip", default="clip", help="preset of clips")
    parser.add_argument("--without-clips", action="store_true", help="leave them out")
    parser.add_argument(
        "--access", action="store_true", help="time random access, and measure videos with more key frames"
    )
    parser.add_argument("--cache", type=Path, help="folder of measurements that are taken from earlier runs")
    parser.add_argument("--json", action="store_true", help="everything, as JSON")
    records.add_option(parser, "clips")
    parser.add_argument("--plot-dir", type=Path, help="where to draw the curves")
    return parser.parse_args()


def _access(measuring: Measuring, made: Report, single: Preset, clip: Preset) -> tuple[Access, ...]:
    run = measuring.run
    steps = made.steps or (1.0, 1.0)
    found = encode_clips(run.frames, run.times, scaled(clip, *steps))
    images = [image for each in found for image in each.images]
    return (
        clip_access.payloads(SINGLE, encode(run.frames, single), []),
        clip_access.payloads(CLIPS, images, [each.part for each in found if each.part]),
        *clip_access.videos(measuring, made.own.background_db, payloads.empty_bytes(run)),
    )


def _print(reports: Sequence[Report], judged: Sequence[Verdict]) -> None:
    frames = sum(each.frames for each in reports)
    print(f"{date.today()}; {frames} frames of {len(reports)} sequences; torch {torch.__version__}, one thread.")
    for which in ("reference", "own"):
        targets: list[Target] = [getattr(each, which) for each in reports]
        print(f"\nBytes a frame at the background and object PSNR of {targets[0].name}:\n")
        print(f"| | dB | {targets[0].name} | {' | '.join(_COLUMNS)} |\n|---|---|---|{'---|' * len(_COLUMNS)}")
        for each, target in zip(reports, targets, strict=True):
            cells = [_number(each.at(name, target)) for name in _COLUMNS]
            decibels = f"{target.background_db:.2f} / {target.object_db:.2f}"
            print(f"| {each.name} | {decibels} | {target.bytes_a_frame:,.0f} | {' | '.join(cells)} |")
        _print_medians(reports, targets)
    print("\nClips with the steps that the curves say:\n")
    print("| | camera, % of the width a frame | bytes | dB | of frames alone | frames in clips | why |")
    print("|---|---|---|---|---|---|---|")
    for each in reports:
        if own := each.checked:
            part = own.bytes_a_frame / each.own.bytes_a_frame
            print(
                f"| {each.name} | {100 * each.speed:.2f} | {own.bytes_a_frame:,.0f} | {own.background_db:.2f} / ",
                end="",
            )
            print(f"{own.object_db:.2f} | {part:.2f} | {own.joint} of {each.frames} | {'; '.join(own.reasons)} |")
    if any(each.access for each in reports):
        _print_key_frames(reports)
    for each in reports:
        _print_access(each)
    print()
    for verdict in judged:
        print(f"- {verdict}")


def _print_medians(reports: Sequence[Report], targets: Sequence[Target]) -> None:
    cells = []
    for name in _COLUMNS:
        pairs = zip(reports, targets, strict=True)
        parts = [size / target.bytes_a_frame for each, target in pairs if (size := each.at(name, target))]
        cells.append(f"{median(parts):.2f} ({len(parts)})" if parts else "–")
    print(f"| **median part of it** | | 1 | {' | '.join(cells)} |")


def _print_key_frames(reports: Sequence[Report]) -> None:
    print("\nKey frames: bytes a frame at our frames' PSNRs, median part of our frames alone:\n")
    print(f"| key frame every | {' | '.join(VIDEOS)} |\n|---|{'---|' * len(VIDEOS)}")
    for distance in reversed(KEY_DISTANCES):
        names = [video if distance == KEY_DISTANCES[0] else f"{video}, keys every {distance}" for video in VIDEOS]
        cells = []
        for name in names:
            parts = [part for each in reports if (part := each.ratio(name, SINGLE, each.own))]
            cells.append(f"{median(parts):.2f} ({len(parts)})" if parts else "–")
        print(f"| {distance} | {' | '.join(cells)} |")


def _print_access(each: Report) -> None:
    if not each.access:
        return
    print(f"\nRandom access, {each.name}: processor ms a frame; bytes without objects.\n")
    print("| | key frame every | bytes | background dB | bytes to picture | to weights | loaded | loaded, in a batch |")
    print("|---|---|---|---|---|---|---|---|")
    for way in each.access:
        times = (way.milliseconds, way.entropy, way.loaded, way.batch)
        cells = " | ".join(f"{time:.2f}" if time is not None else "–" for time in times)
        print(
            f"| {way.name} | {way.key_distance or '–'} | {way.bytes_a_frame:,.0f} | {way.background_db:.2f} | {cells} |"
        )


def _number(value: float | None) -> str:
    return f"{value:,.0f}" if value is not None else "–"


def _as_json(reports: Sequence[Report], judged: Sequence[Verdict]) -> dict[str, Any]:
    return {
        "sequences": [
            asdict(each)
            | {
                "slow": each.slow,
                "bytes": {
                    target.name: {name: each.at(name, target) for name in each.ways}
                    for target in (each.reference, each.own)
                },
            }
            for each in reports
        ],
        "verdicts": [asdict(verdict) | {"met": verdict.met} for verdict in judged],
    }


if __name__ == "__main__":
    main()
