"""Fit the static models of :mod:`rinr.codec.symbols` on public-domain photographs.

    python -m benchmarks.fit_symbol_counts [--check]

Windows of CC0 and public-domain photographs that scikit-image and matplotlib ship (none of those that the sample is
made from) are encoded as backgrounds and as residuals of random boxes, at many qualities; for each level of expected
magnitude the magnitudes that really came are counted, mixed with a little of a geometric distribution of that level's
mean, and written to ``rinr/codec/symbol_counts.csv``. Twice, since rounding follows the models. Seeded: the same
photographs give the same counts. ``--check`` prints the bits a weight under the shipped counts beside the geometric
ones and writes nothing.
"""

import argparse
import math
from importlib.resources import files
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image
from skimage import data

from rinr.codec import symbols
from rinr.codec.symbols import ESCAPE, LEVELS
from rinr.networks import cosine_rates
from rinr.networks.coordinates import centres
from rinr.networks.cosine import COSINE
from rinr.networks.cosine_coding import CosineNetwork, planes_of
from rinr.networks.cosine_rates import choose_rates
from rinr.networks.settings import CosineSettings

PHOTOGRAPHS = ("chelsea", "hubble_deep_field", "camera", "brick", "grass", "gravel")
SIZES = ((640, 360), (640, 360), (320, 240), (480, 640))
TOTAL = 1 << 20
PRIOR_WEIGHT = 200.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=96)
    parser.add_argument("--check", action="store_true", help="print, and write nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    path = Path(str(files("rinr.codec").joinpath("symbol_counts.csv")))
    for turn in range(1 if options.check else 2):
        counts = count(options.windows)
        fitted = smoothed(counts)
        for name, table in (("geometric", geometric()), ("shipped", symbols._counts()), ("fitted", fitted)):
            print(
                f"turn {turn + 1}, {name}: {bits(counts, table):.4f} bits a weight, {counts.sum():,} weights",
                flush=True,
            )
        if not options.check:
            path.write_text("\n".join(",".join(map(str, row)) for row in fitted.tolist()) + "\n")
            for cached in (symbols._counts, symbols._model, symbols.code_lengths, cosine_rates._costs):
                cached.cache_clear()


def count(windows: int) -> np.ndarray:
    """Magnitudes by level, ``[LEVELS, ESCAPE + 1]``."""
    chance = np.random.default_rng(28_10)
    counts = np.zeros((LEVELS, ESCAPE + 1), np.int64)
    for picture in pictures(chance, windows):
        step = float(np.exp(chance.uniform(math.log(24), math.log(640))))
        tile = int(chance.choice([32, 48, 64, 80, 96]))
        settings = CosineSettings(step, (tile,), 0.12, 16 if step > 150 else 32, 0.11, 3, axes=True, offset=True)
        (network,) = COSINE.fit([picture], settings)
        add(counts, [network])
        height, width, _ = picture.shape
        x, y = ((centres(side) * 2 - 1)[None] for side in (width, height))
        residual = picture - COSINE.stack(COSINE.arrays([network]), "cpu").render(torch.tensor([0]), x, y)[0].permute(
            1, 2, 0
        )
        boxes = []
        for _ in range(int(chance.integers(1, 4))):
            wide, high = (int(np.exp(chance.uniform(math.log(10), math.log(140)))) for _ in range(2))
            left, top = int(chance.integers(0, width - wide)), int(chance.integers(0, height - high))
            boxes.append(residual[top : top + high, left : left + wide])
        step = float(np.exp(chance.uniform(math.log(14), math.log(60))))
        add(counts, COSINE.fit(boxes, CosineSettings(step, (16,), 0.0, 24, 0.13, 3)))
    return counts


def add(counts: np.ndarray, networks: list[CosineNetwork]) -> None:
    """Count the weights of a body."""
    coarse, fine = planes_of(networks)
    rates = choose_rates(coarse.tally() + fine.tally())
    for each in (coarse, fine):
        for values, levels in each.waves_with_levels(rates):
            np.add.at(counts, (levels, np.minimum(np.abs(values), ESCAPE)), 1)


def pictures(chance: np.random.Generator, windows: int) -> list[torch.Tensor]:
    """Windows of the photographs at the sizes of frames, ``[height, width, 3]`` from 0 to 1."""
    hopper = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    photographs = [Image.fromarray(getattr(data, name)()).convert("RGB") for name in PHOTOGRAPHS]
    photographs.append(Image.open(hopper).convert("RGB"))
    made = []
    for index in range(windows):
        photograph = photographs[index % len(photographs)]
        width, height = SIZES[chance.integers(len(SIZES))]
        largest = min(photograph.width / width, photograph.height / height)
        scale = largest * chance.uniform(0.45, 1)
        left = chance.uniform(0, photograph.width - width * scale)
        top = chance.uniform(0, photograph.height - height * scale)
        box = (left, top, left + width * scale, top + height * scale)
        window = photograph.resize((width, height), Image.Resampling.LANCZOS, box=box)
        made.append(torch.from_numpy(np.asarray(window).copy()).to(torch.float32) / 255)
    return made


def geometric() -> np.ndarray:
    """Two-sided geometric counts of each level's mean magnitude."""
    rows = []
    for level in range(LEVELS):
        mean = 2 ** ((level + 0.5) / 4 - 10)
        ratio = (math.sqrt(1 + mean * mean) - 1) / mean
        zero = (1 - ratio) / (1 + ratio)
        side = [zero / 2] + [zero * ratio**k for k in range(1, ESCAPE)] + [zero * ratio**ESCAPE / (1 - ratio)]
        rows.append(side)
    return whole(np.array(rows))


def smoothed(counts: np.ndarray) -> np.ndarray:
    """Counts of magnitudes as halves of signed ones, mixed with geometric ones."""
    prior = geometric().astype(float)
    sided = counts.astype(float) / 2  # a zero is one value, and stored as half of it
    mixed = sided + PRIOR_WEIGHT * prior / prior.sum(axis=1, keepdims=True)
    return whole(mixed)


def whole(table: np.ndarray) -> np.ndarray:
    """Rows scaled to about ``TOTAL``, whole and never zero."""
    scaled = table / table.sum(axis=1, keepdims=True) * TOTAL
    return np.maximum(np.rint(scaled), 1).astype(np.int64)


def bits(counts: np.ndarray, table: np.ndarray) -> float:
    """Mean ideal code length of what was counted under a table."""
    weights = table.astype(float)
    total = 2 * weights.sum(axis=1, keepdims=True)
    lengths = -np.log2(np.concatenate([2 * weights[:, :1], weights[:, 1:]], axis=1) / total)
    return float((counts * lengths).sum() / counts.sum())


if __name__ == "__main__":
    main()
