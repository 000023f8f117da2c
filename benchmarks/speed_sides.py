"""The sides of the comparison of training speed: our presets, and every control that can be measured here."""

import argparse
from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from benchmarks import dali, jpeg_loaders
from benchmarks.jpeg_loaders import PREFETCHED, Loader
from benchmarks.speed_clock import Side
from benchmarks.speed_frames import SHRUNK_QUALITY, SIZE, Picture, encoded, repeated
from rinr.codec.frame import pack_frame
from rinr.pool import cores
from rinr.training.dataset import RinrDataset
from rinr.training.pictures import Batch, collate

PRESETS = {"balanced": 12, "instant": 12, "siren": 6, "fast": 6}
"""How many different frames each has: SIRENs take seconds to fit, and what decoding costs is alike for all."""

SINES = ("siren", "fast")
"""Of these the loader can evaluate backgrounds at every second pixel: measured both ways."""


def sides_of(
    distinct: Sequence[Picture], options: argparse.Namespace, cache: Path, device: torch.device
) -> tuple[list[Side], dict[str, str]]:
    """All that can be measured here, and why the others cannot."""
    sides: list[Side] = []
    for name in options.preset or PRESETS:
        rows = encoded(repeated(distinct[: PRESETS[name]], options.images), name, cache)
        kilobytes = sum(len(pack_frame(row.frame)) for row in rows) / len(rows) / 1000
        for step in (1, 2) if name in SINES else (1,):
            dataset = RinrDataset(rows, size=SIZE, device=options.device, background_step=step)
            label = f"`{name}`" + (f", background_step={step}" if step > 1 else "")
            sides.append(Side(label, "ours", _ours(dataset, options.batch), 0, kilobytes))
            if device.type == "cpu":  # on an accelerator decoding has no use for workers
                loader = _by_workers(dataset, options.batch, 2)
                sides.append(Side(f"{label}, 2 workers", "ours", loader, 2 * PREFETCHED, kilobytes))

    pictures = repeated(distinct, options.images)
    captured, shrunk = [p.captured for p in pictures], [p.shrunk for p in pictures]
    truth = jpeg_loaders.truth_of_pictures(pictures)
    controls = {
        "Pillow, full decode, LANCZOS": ("pillow", jpeg_loaders.pillow_lanczos, captured),
        "Pillow, full decode, BILINEAR": ("pillow", jpeg_loaders.pillow_bilinear, captured),
        "Pillow, `draft`": ("pillow", jpeg_loaders.pillow_draft, captured),
        f"Pillow, JPEGs of {SIZE[0]}x{SIZE[1]}, quality {SHRUNK_QUALITY}": (
            "shrunk",
            jpeg_loaders.pillow_whole,
            shrunk,
        ),
        "simplejpeg, scaled": ("other", jpeg_loaders.simplejpeg_scaled, captured),
    }
    missing = {}
    if why := jpeg_loaders.why_no_simplejpeg():
        del controls["simplejpeg, scaled"]
        missing["simplejpeg"] = why
    for name, (kind, decode, files) in controls.items():
        kilobytes = sum(file.stat().st_size for file in files) / len(files) / 1000
        for workers in sorted({0, 2, cores()}):
            loader = jpeg_loaders.from_files(files, decode, truth, options.batch, workers, device)
            sides.append(Side(f"{name}, {workers} workers", kind, loader, workers * PREFETCHED, kilobytes))
    memory = jpeg_loaders.from_memory(captured, jpeg_loaders.pillow_lanczos, truth, options.batch, device)
    sides.append(Side("decoded frames in memory", "other", memory, 0, SIZE[0] * SIZE[1] * 3 / 1000))
    kilobytes = sum(file.stat().st_size for file in captured) / len(captured) / 1000
    if why := jpeg_loaders.why_no_nvjpeg(device):
        missing["nvJPEG"] = why
    else:
        loader = jpeg_loaders.from_nvjpeg(captured, truth, options.batch, device)
        sides.append(Side("nvJPEG", "nvjpeg", loader, 0, kilobytes))
    if why := dali.why_not(device):
        missing["DALI"] = why
    else:
        loader = dali.from_dali(captured, truth, options.batch, device)
        sides.append(Side("DALI", "other", loader, 0, kilobytes))
    sides.append(Side("nothing to load, one batch again and again", "floor", _again(memory), 0, 0))
    return sides, missing


def _ours(dataset: RinrDataset, batch_size: int) -> Loader:
    def batches(number: int, augment: bool) -> Iterator[Batch]:
        epochs = (dataset.batches(batch_size, seed=0, epoch=epoch, augment=augment) for epoch in count())
        return islice((batch for epoch in epochs for batch in epoch), number)

    return batches


def _by_workers(dataset: RinrDataset, batch_size: int, workers: int) -> Loader:
    """Ours as a ``DataLoader`` decodes it in processes of one thread each."""

    def batches(number: int, augment: bool) -> Iterator[Batch]:
        wanted = jpeg_loaders.orders(len(dataset), batch_size, number)
        loader: DataLoader[Any] = DataLoader(
            dataset.examples(seed=0, augment=augment),
            batch_sampler=[places for _, places in wanted],
            num_workers=workers,
            collate_fn=collate,
        )
        return iter(loader)

    return batches


def _again(loader: Loader) -> Loader:
    """What is left of a step where loading costs nothing."""
    (batch,) = loader(1, False)
    return lambda number, augment: iter([batch] * number)
