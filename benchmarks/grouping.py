"""What decoding many small networks in one call is worth, and whether a data set's size changes the time of an image.

    python -m benchmarks.grouping [FOLDER ...] [--plot curve.png] [--json numbers.json] [--record]

Pictures are decoded from real payloads of the sample (or of given folders): object networks alone, each as a picture
of 16x16 pixels, of `fast` (sine networks; at 32x32 as well) and of `instant` (cosine networks), and whole frames of
`fast` at 96x54. The control is the same pictures one call each, in the same run. Claim: at batches of 32, object
networks at 16x16 take at most a fifth of the control's time; larger pictures have less to gain.

The second table repeats the weights of the payloads to 100, 1,000 and 10,000 images and decodes batches of 32 that are
spread over all of them: the time of an image should not rise. Resident bytes are those of the process.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks import records
from benchmarks.frames import find_folders, read
from rinr.decoder import LoadedFrames
from rinr.encoder import encode
from rinr.presets import find_preset
from rinr.weights import FrameWeights, NetworkWeights, Stacked, entropy_decode

_SIZES = (1, 2, 4, 8, 16, 32, 64)
_CLAIMED = 32
_ROUNDS = 5
_PICTURES = 128
_COUNTS = (100, 1_000, 10_000)


@dataclass(frozen=True)
class Kind:
    """Pictures of one kind."""

    name: str
    weights: FrameWeights
    size: tuple[int, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="default: every folder below RINR_DATA, or the sample")
    parser.add_argument("--frames", type=int, default=2, help="of each folder (default 2)")
    parser.add_argument("--plot", type=Path, help="a PNG of the curves")
    parser.add_argument("--json", type=Path, help="all numbers")
    records.add_option(parser, "grouping")
    options = parser.parse_args()
    torch.set_num_threads(1)
    kinds = _kinds(options.folders, options.frames)
    curves = {kind.name: _curve(kind) for kind in kinds}
    print("CPU milliseconds a picture, and how many times faster than one by one\n")
    print(f"| batch | {' | '.join(curves)} |\n|---|{'---|' * len(curves)}")
    for place, size in enumerate(_SIZES):
        cells = [f"{curve[place]:.3f} ({curve[0] / curve[place]:.1f}x)" for curve in curves.values()]
        print(f"| {size} | {' | '.join(cells)} |")
    flat = {kind.name: [_repeated(kind, count) for count in _COUNTS] for kind in kinds}
    print("\nbatches of 32 spread over so many images: CPU ms a picture; resident bytes a picture\n")
    print(f"| images | {' | '.join(flat)} |\n|---|{'---|' * len(flat)}")
    for place, count in enumerate(_COUNTS):
        cells = [f"{rows[place][0]:.3f}; {rows[place][1]:,.0f}" for rows in flat.values()]
        print(f"| {count:,} | {' | '.join(cells)} |")
    if options.json:
        numbers = {"batch": _SIZES, "ms": curves, "images": _COUNTS, "ms_and_bytes_of_images": flat}
        options.json.write_text(json.dumps(numbers, indent=1))
    if options.record:
        command = records.command("benchmarks.grouping")
        records.write("grouping", command, _values(curves, flat), {"frames": options.frames})
    if options.plot:
        _plot(curves, options.plot)


def _values(curves: dict[str, list[float]], flat: dict[str, list[tuple[float, float]]]) -> dict[str, float | str]:
    values: dict[str, float | str] = {}
    for name, curve in curves.items():
        of = records.name_part(name)
        values |= {f"{of}.name": name, f"{of}.alone_ms": curve[0]}
        values |= {f"{of}.{size}.times": curve[0] / each for size, each in zip(_SIZES, curve, strict=True)}
        values |= {f"{of}.of_{count}.ms": row[0] for count, row in zip(_COUNTS, flat[name], strict=True)}
    return values


def _kinds(folders: list[Path], count: int) -> list[Kind]:
    frames = [frame for folder in find_folders(folders) for frame, _ in read(folder, count)]
    kinds = []
    for name in ("fast", "instant"):
        weights = entropy_decode([image.frame for image in encode(frames, find_preset(name))])
        kinds.append(Kind(f"objects of `{name}`, 16x16", _objects_alone(weights), (16, 16)))
        if name == "fast":
            kinds.append(Kind("objects of `fast`, 32x32", _objects_alone(weights), (32, 32)))
            kinds.append(Kind("frames of `fast`, 96x54", weights, (96, 54)))
    return kinds


def _objects_alone(weights: FrameWeights) -> FrameWeights:
    """Each object network as the background of a frame of its own."""
    there = np.flatnonzero(weights.objects.stack_of >= 0)
    return replace(
        weights,
        sizes=weights.boxes[there, 2:],
        pasted=np.zeros(len(there), dtype=np.bool_),
        backgrounds=replace(
            weights.objects, stack_of=weights.objects.stack_of[there], place_in=weights.objects.place_in[there]
        ),
        boxes=weights.boxes[:0],
        owners=weights.owners[:0],
        labels=weights.labels[:0],
        overlapping=weights.overlapping[:0],
        objects=NetworkWeights(weights.objects.stack_of[:0], weights.objects.place_in[:0], ()),
    )


def _curve(kind: Kind) -> list[float]:
    """CPU milliseconds a picture at each batch size, medians over rounds in turn."""
    loaded = LoadedFrames(kind.weights)
    indices = np.resize(np.arange(len(kind.weights)), _PICTURES)
    # Those of one shape together, as a loader that orders by shape has them.
    indices = indices[np.argsort(kind.weights.backgrounds.stack_of[indices], kind="stable")]

    def passes(size: int) -> Callable[[], None]:
        batches = [indices[start : start + size].tolist() for start in range(0, _PICTURES, size)]
        memory = torch.empty(size, 3, kind.size[1], kind.size[0])

        def work() -> None:
            for batch in batches:
                loaded.render(batch, *kind.size, out=memory[: len(batch)])

        return work

    return [1000 * seconds / _PICTURES for seconds in _medians([passes(size) for size in _SIZES])]


def _repeated(kind: Kind, count: int) -> tuple[float, float]:
    """CPU milliseconds a picture among so many images, and bytes of resident memory an image."""
    before = _resident()
    loaded = LoadedFrames(_repeat(kind.weights, count))
    grown = _resident() - before
    chosen = np.random.default_rng(0).permutation(count)[: min(count, _PICTURES)]
    batches = [chosen[start : start + _CLAIMED].tolist() for start in range(0, len(chosen), _CLAIMED)]
    memory = torch.empty(_CLAIMED, 3, kind.size[1], kind.size[0])

    def work() -> None:
        for batch in batches:
            loaded.render(batch, *kind.size, out=memory[: len(batch)])

    (seconds,) = _medians([work])
    return 1000 * seconds / len(chosen), grown / count


def _repeat(weights: FrameWeights, count: int) -> FrameWeights:
    """The first ``count`` images of the same ones over and over, each with weights of its own in memory."""
    times = -(-count // len(weights))
    owners = np.concatenate([weights.owners + index * len(weights) for index in range(times)])
    objects = int(np.searchsorted(owners, count))
    return replace(
        weights,
        sizes=np.tile(weights.sizes, (times, 1))[:count],
        pasted=np.tile(weights.pasted, times)[:count],
        backgrounds=_repeat_networks(weights.backgrounds, times, count),
        boxes=np.tile(weights.boxes, (times, 1))[:objects],
        owners=owners[:objects],
        labels=np.tile(weights.labels, times)[:objects],
        overlapping=np.tile(weights.overlapping, times)[:objects],
        objects=_repeat_networks(weights.objects, times, objects),
    )


def _repeat_networks(networks: NetworkWeights, times: int, count: int) -> NetworkWeights:
    lengths = [len(next(iter(stack.arrays.values()))) for stack in networks.stacks]
    stack_of, place_in = np.tile(networks.stack_of, times), np.tile(networks.place_in, times)
    turn = np.repeat(np.arange(times), len(networks.stack_of))
    place_in = place_in + turn * np.array([*lengths, 0])[stack_of]
    stacks = tuple(
        Stacked(stack.family, {name: np.concatenate([array] * times) for name, array in stack.arrays.items()})
        for stack in networks.stacks
    )
    return NetworkWeights(stack_of[:count], place_in[:count].astype(np.int32), stacks)


def _medians(works: Sequence[Callable[[], None]]) -> list[float]:
    """CPU seconds of each, medians over rounds in turn: what else the machine does falls on all."""
    for work in works:
        work()
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(_ROUNDS):
        for own, work in zip(seconds, works, strict=True):
            began = time.process_time()
            work()
            own.append(time.process_time() - began)
    return [median(own) for own in seconds]


def _resident() -> int:
    """Bytes of this process in memory (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def _plot(curves: dict[str, list[float]], path: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    for name, curve in curves.items():
        axes.plot(_SIZES, [curve[0] / each for each in curve], marker="o", label=name.replace("`", ""))
    axes.axhline(5, color="grey", linewidth=0.8, linestyle="--")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xticks(_SIZES, [str(size) for size in _SIZES])
    axes.set_yticks((1, 2, 4, 8, 16), ["1", "2", "4", "8", "16"])
    axes.set_xlabel("pictures a call")
    axes.set_ylabel("times as fast as one by one (CPU)")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
