"""Ours beside every codec control that is at least as good, and beside neural controls of the same bytes, as Markdown.

    python -m benchmarks.controls [FOLDER ...] [--frames 2] [--preset balanced --preset fast] [--record [NAME]]

Claims: `balanced` takes fewer bytes than the cheapest control whose background *and* object PSNR are both no lower,
over a fine grid of JPEG, WebP and AVIF at full, half and quarter size, whole frames and two-stream, the crops of any
codec; SIREN alone takes at most half the bytes of two-stream JPEG 5 + 75; object networks of residuals are 3 dB above
one network for the whole frame (`rapid`) and above pasted ones of pixels (`direct`). A claim that fails is printed so.

Frames and crops are encoded once a quality, and every pair of them is looked at: their PSNRs are those of the pair,
since crops replace all pixels in boxes and none outside. Qualities rise until every frame takes one and a half times
the bytes of the largest of ours. The winners are then encoded whole, and must come out the same.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import records
from benchmarks.controls_record import neural_table, summary, table
from benchmarks.frames import find_folders, read
from rinr.codec.bytestream import varint
from rinr.codec.encoded import EncodedImage
from rinr.controls import describe
from rinr.encoder import encode
from rinr.frames import Frame
from rinr.networks.settings import CodecSettings
from rinr.neural_controls import direct, rapid, with_bytes
from rinr.presets import PRESETS, Preset, codec_preset, find_preset

QUALITIES = (*range(11), *range(12, 40, 2), *range(40, 96, 5))
CROP_QUALITIES = (*range(10, 96, 2),)
SCALES = (1, 2, 4)
CODECS = ("jpeg", "webp", "avif")
_ANY = CodecSettings("jpeg", 1, 16)  # a background to try crops on

Statistic = Callable[[np.ndarray], float]
Values = dict[str, Any]


@dataclass(frozen=True)
class Sent:
    """Frames as one preset sends them: ``[frames]`` each, NaN where a frame has no such pixels."""

    name: str
    images: Sequence[EncodedImage]

    @property
    def sizes(self) -> np.ndarray:
        return np.array([image.frame.bytes_total for image in self.images], dtype=float)

    @property
    def background_db(self) -> np.ndarray:
        return np.array([image.background_db for image in self.images], dtype=float)

    @property
    def object_db(self) -> np.ndarray:
        return np.array([image.object_db for image in self.images], dtype=float)


@dataclass(frozen=True)
class Grid:
    """Every control over all frames: ``[controls, frames]`` each."""

    presets: list[Preset]
    sizes: np.ndarray
    background_db: np.ndarray
    object_db: np.ndarray

    def cheapest(self, ours: Sent, chosen: np.ndarray, statistic: Statistic) -> int | None:
        """The control of fewest bytes over the chosen frames with both PSNRs no lower than ours."""
        good = np.ones(len(self.presets), dtype=bool)
        for theirs, own in ((self.background_db, ours.background_db), (self.object_db, ours.object_db)):
            if not np.isnan(own[chosen]).all():
                good &= np.array([statistic(row[chosen]) for row in theirs]) >= statistic(own[chosen])
        sizes = np.array([statistic(row[chosen]) for row in self.sizes])
        return int(np.where(good, sizes, np.inf).argmin()) if good.any() else None


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    frames, folders = [], []
    for folder in find_folders(options.folders):
        for frame, _ in read(folder, options.frames):
            frames.append(frame)
            folders.append(folder.name)
    of_folder = np.array(folders)
    ours = []
    for name in options.preset or [p.name for p in PRESETS if p.name in ("balanced", "siren", "fast")]:
        _say(f"encoding {len(frames)} frames, {name}")
        ours.append(Sent(name, encode(frames, find_preset(name))))
    grid = grid_of(frames, ours)
    print(f"{records.hardware()}; {date.today()}; {len(frames)} frames of {len(set(folders))} folders; ", end="")
    print(f"{len(grid.presets):,} controls. Bytes a frame, background / object dB.\n")
    values: Values = {"frames": len(frames), "folders": len(set(folders)), "controls": len(grid.presets)}
    for own in ours:
        values |= _beside_codecs(own, grid, frames, of_folder)
        print(f"{table(values, own.name)}\n\n{summary(values, own.name)}\n", flush=True)
    few = [index for index in range(len(frames)) if index == 0 or folders[index] != folders[index - 1]]
    for own in ours:
        values |= _beside_neural(own, frames, few)
    print(f"Neural controls at no fewer bytes, over {len(few)} frames:\n\n{neural_table(values)}")
    print("\n".join(_neural_verdicts(values, ours)), flush=True)
    if options.record:
        settings = {"frames": options.frames, "presets": [own.name for own in ours]}
        records.write(options.record, records.command("benchmarks.controls"), values, settings)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="default: every folder below RINR_DATA, or the sample")
    parser.add_argument("--frames", type=int, default=2, help="of each folder, evenly spread (default 2)")
    parser.add_argument(
        "--preset", action="append", help="ours; default: balanced, siren and fast where there are such"
    )
    parser.add_argument("--record", nargs="?", const="controls", help="write docs/records/NAME.json (default controls)")
    return parser.parse_args()


def grid_of(frames: Sequence[Frame], ours: Sequence[Sent]) -> Grid:
    enough = 1.5 * np.max([own.sizes for own in ours], axis=0)
    whole: list[tuple[CodecSettings, Sent]] = []
    for family in CODECS:
        for scale in SCALES:
            for settings, sent in _rising(frames, family, scale, QUALITIES, lambda s: codec_preset(s)):
                whole.append((settings, sent))
                if (sent.sizes > enough).all():
                    break
    crops: list[tuple[CodecSettings, Sent]] = []
    for family in CODECS:
        for settings, sent in _rising(frames, family, 1, CROP_QUALITIES, lambda s: codec_preset(_ANY, s)):
            crops.append((settings, sent))
            if (sent.sizes > enough).all():
                break
    presets, sizes, backgrounds, objects = [], [], [], []
    for settings, sent in whole:
        presets.append(codec_preset(settings))
        sizes.append(sent.sizes)
        backgrounds.append(sent.background_db)
        objects.append(sent.object_db)
        of_frame = _lengths(sent)
        for of_crops, cropped in crops:
            presets.append(codec_preset(settings, of_crops))
            sizes.append(cropped.sizes - _lengths(cropped) + of_frame)
            backgrounds.append(sent.background_db)
            objects.append(cropped.object_db)
    return Grid(presets, np.array(sizes), np.array(backgrounds), np.array(objects))


def _rising(
    frames: Sequence[Frame],
    family: str,
    scale: int,
    qualities: Sequence[int],
    preset: Callable[[CodecSettings], Preset],
) -> Iterator[tuple[CodecSettings, Sent]]:
    for quality in qualities:
        settings = CodecSettings(family, quality, scale)
        chosen = preset(settings)
        _say(f"controls: {chosen.name}")
        yield settings, Sent(chosen.name, encode(frames, chosen))


def _lengths(sent: Sent) -> np.ndarray:
    """Bytes of the backgrounds with, where there are objects, their lengths."""
    return np.array(
        [
            image.frame.bytes_background + (len(varint(image.frame.bytes_background)) if image.frame.boxes else 0)
            for image in sent.images
        ],
        dtype=float,
    )


def _beside_codecs(ours: Sent, grid: Grid, frames: Sequence[Frame], of_folder: np.ndarray) -> Values:
    values: Values = {}
    everything = np.ones(len(frames), dtype=bool)
    for name, statistic in (("mean", _mean), ("median", _median)):
        values |= _beside_cheapest(f"{ours.name}.{name}", ours, grid, everything, statistic, frames)
    ratios = []
    for folder in sorted(set(of_folder)):
        of = f"{ours.name}.folder.{records.name_part(folder)}"
        values |= {f"{of}.name": folder} | _beside_cheapest(of, ours, grid, of_folder == folder, _mean, None)
        ratios.append(values[f"{of}.ratio"])
    known = [ratio for ratio in ratios if ratio is not None]
    values[f"{ours.name}.folders.median_ratio"] = float(np.median(known)) if known else None
    values[f"{ours.name}.folders.below"] = sum(ratio < 1 for ratio in known)
    values[f"{ours.name}.folders.count"] = len(known)
    for name in ("jpeg:5+75", "webp:10/4+80"):
        theirs = Sent(name, encode(frames, find_preset(name)))
        of = f"{ours.name}.fixed.{records.name_part(name)}"
        values |= {f"{of}.words": describe(find_preset(name))} | _means(of, theirs, everything, _mean)
        values[f"{of}.mean_ratio"] = _mean(ours.sizes) / _mean(theirs.sizes)
        values[f"{of}.median_ratio"] = _median(ours.sizes / theirs.sizes)
        values[f"{of}.background_gain_db"] = _mean(ours.background_db) - _mean(theirs.background_db)
        values[f"{of}.object_gain_db"] = _mean(ours.object_db) - _mean(theirs.object_db)
    return values


def _beside_cheapest(
    of: str,
    ours: Sent,
    grid: Grid,
    chosen: np.ndarray,
    statistic: Statistic,
    check: Sequence[Frame] | None,
) -> Values:
    """Ours over the chosen frames and the cheapest control. With frames to ``check`` that is encoded again, whole."""
    own = _means(of, ours, chosen, statistic)
    best = grid.cheapest(ours, chosen, statistic)
    if best is None:
        return own | {f"{of}.ratio": None}
    size = statistic(grid.sizes[best][chosen])
    if check:
        again = Sent("", encode(check, grid.presets[best]))
        assert np.array_equal(again.sizes, grid.sizes[best])
        assert np.allclose(again.object_db, grid.object_db[best], atol=0.01, equal_nan=True)
        assert np.allclose(again.background_db, grid.background_db[best], atol=0.01, equal_nan=True)
    return own | {
        f"{of}.control": describe(grid.presets[best]),
        f"{of}.control_bytes": size,
        f"{of}.control_background_db": statistic(grid.background_db[best][chosen]),
        f"{of}.control_object_db": statistic(grid.object_db[best][chosen]),
        f"{of}.ratio": statistic(ours.sizes[chosen]) / size,
    }


def _beside_neural(ours: Sent, frames: Sequence[Frame], few: Sequence[int]) -> Values:
    preset = find_preset(ours.name)
    sent: dict[str, list[EncodedImage]] = {"rapid": [], "direct": []}
    for index in few:
        _say(f"{ours.name}: neural controls of frame {index}")
        total = ours.images[index].frame.bytes_total
        sent["rapid"].append(with_bytes(frames[index], total, lambda factor: rapid(preset, factor)))
        sent["direct"].append(with_bytes(frames[index], total, lambda factor: direct(preset, factor)))
    own = Sent(ours.name, [ours.images[index] for index in few])
    everything = np.ones(len(few), dtype=bool)
    values: Values = {f"{ours.name}.neural.frames": len(few)}
    values |= _means(f"{ours.name}.neural.ours", own, everything, _mean)
    for name, images in sent.items():
        theirs = Sent(name, images)
        values |= _means(f"{ours.name}.neural.{name}", theirs, everything, _mean)
        values[f"{ours.name}.neural.{name}.gain_db"] = _mean(own.object_db) - _mean(theirs.object_db)
    return values


def _neural_verdicts(values: Values, ours: Sequence[Sent]) -> Iterator[str]:
    for own in ours:
        for name, least in (("rapid", 3.0), ("direct", 0.0)):
            gain = values[f"{own.name}.neural.{name}.gain_db"]
            verdict = "holds" if gain >= least and gain > 0 else "**fails**"
            yield f"`{own.name}`: {gain:+.2f} dB over `{name}`, {least:g} claimed: {verdict}"


def _means(of: str, sent: Sent, chosen: np.ndarray, statistic: Statistic) -> Values:
    return {
        f"{of}.bytes": statistic(sent.sizes[chosen]),
        f"{of}.background_db": _finite(statistic(sent.background_db[chosen])),
        f"{of}.object_db": _finite(statistic(sent.object_db[chosen])),
    }


def _finite(db: float) -> float | None:
    return None if np.isnan(db) else db


def _mean(values: np.ndarray) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if len(present) else float("nan")


def _median(values: np.ndarray) -> float:
    present = values[~np.isnan(values)]
    return float(np.median(present)) if len(present) else float("nan")


def _say(text: str) -> None:
    print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
