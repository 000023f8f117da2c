"""What waits for what in training steps, as a picture: decoded from our payloads above, from JPEGs by Pillow below.

    python -m benchmarks.timeline FILE.png [--folder sample/device-1 ...] [--preset balanced] [--workers 2]

Both halves show the same number of steps of the same detector on one time axis, once all is warm and workers have ready
what they may. Lanes are this process, the JPEG pipeline's workers and, on a GPU, the accelerator, whose spans are taken
from CUDA events, as the host only hands work over. The library has no marks in it: its functions are wrapped here.
"""

import argparse
import functools
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks import jpeg_loaders
from benchmarks.frames import find_folders
from benchmarks.speed_clock import settle
from benchmarks.speed_frames import SIZE, encoded, find_pictures, repeated
from benchmarks.timeline_picture import draw
from benchmarks.timeline_spans import Half, Recorder, Span
from rinr.decoder import LoadedFrames
from rinr.pool import cores
from rinr.training.augment import Looks
from rinr.training.dataset import RinrDataset
from rinr.training.detector import Detector, detection_loss
from rinr.training.pictures import Batch
from rinr.training.truth import Truth


def main() -> None:
    options = _options()
    if options.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    torch.set_num_threads(cores())
    device = torch.device(options.device)
    found = find_folders(options.folder or sorted((Path(__file__).parent.parent / "sample").glob("device-*")))
    pictures = repeated(find_pictures(found, 12, options.cache), 4 * options.batch)
    rows = encoded(pictures, options.preset, options.cache)
    steps = options.steps + 1  # the one before the first that is shown says when that one began
    warm = 2 + options.workers * jpeg_loaders.PREFETCHED
    recorder = Recorder(device)
    with _marked(recorder):
        ours = _run(
            f"from networks, `{options.preset}`", _ours(rows, options, warm + steps), warm, steps, recorder, options
        )
    truth = jpeg_loaders.truth_of_pictures(pictures)
    files = [picture.captured for picture in pictures]
    ahead = options.workers * jpeg_loaders.PREFETCHED
    batches = _jpegs(files, truth, options, warm + steps + ahead, recorder)
    title = f"from captured JPEGs, Pillow with LANCZOS in a DataLoader with {options.workers} workers"
    theirs = _run(title, batches, warm, steps, recorder, options)
    draw([ours, theirs], options.png, f"{options.steps} steps of {options.batch} pictures, {SIZE[0]}x{SIZE[1]}")
    for half in (ours, theirs):
        milliseconds = (half.ends[-1] - half.ends[0]) / (len(half.ends) - 1) * 1000
        print(f"{half.title}: {milliseconds:.0f} ms a step")
        for (lane, name), share in sorted(_sums(half).items()):
            print(f"    {lane}: {name} {share * 1000 / options.steps:.1f} ms")
    if options.json:
        options.json.write_text(json.dumps([asdict(half) for half in (ours, theirs)], indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("png", type=Path, help="where to draw")
    parser.add_argument("--folder", action="append", type=Path, help="labelled JPEGs (default: the committed sample)")
    parser.add_argument("--preset", default="balanced", help="of our payloads (default balanced)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default cpu)")
    parser.add_argument("--cores", type=int, help="limit the process to so many (default all)")
    parser.add_argument("--workers", type=int, default=2, help="of the DataLoader (default 2)")
    parser.add_argument("--steps", type=int, default=3, help="shown (default 3)")
    parser.add_argument("--batch", type=int, default=8, help="pictures a step (default 8)")
    parser.add_argument("--detector-width", type=int, default=32, help="of the detector (default 32)")
    parser.add_argument("--cache", type=Path, default=Path("speed-cache"), help="folder for payloads and JPEGs")
    parser.add_argument("--json", type=Path, help="write the spans to this file as well")
    return parser.parse_args()


def _run(
    title: str, batches: Iterator[Batch], warm: int, steps: int, recorder: Recorder, options: argparse.Namespace
) -> Half:
    """Train on the batches; the last ``steps`` of those after ``warm`` are kept."""
    torch.manual_seed(0)
    detector = Detector(options.detector_width).to(recorder.device).train()
    optimizer = torch.optim.AdamW(detector.parameters(), 1e-4)
    ends: list[float] = []
    for number, batch in enumerate(batches):
        if number >= warm + steps:
            continue  # let workers end by themselves
        with recorder.span("forward"):
            loss = detection_loss(detector(batch.images), [target["boxes"] for target in batch.targets])
        with recorder.span("backward"):
            optimizer.zero_grad()
            loss.backward()
        with recorder.span("update"):
            torch.nn.utils.clip_grad_norm_(detector.parameters(), 10.0)
            optimizer.step()
            settle(recorder.device)
        if number < warm:
            recorder.start()
        else:
            ends.append(time.perf_counter())
            if number == warm + steps - 1:
                spans = recorder.all()
    return Half(title, [span for span in spans if span.stop > ends[0] and span.start < ends[-1]], ends)


@contextmanager
def _marked(recorder: Recorder) -> Iterator[None]:
    """Wrap what our loader does on its way."""
    marks: list[tuple[Any, str, str]] = [
        (LoadedFrames, "_render_backgrounds", "decode backgrounds"),
        (LoadedFrames, "_add_objects", "decode objects"),
        (Looks, "light", "augment"),
    ]
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in marks]
    for owner, name, label in marks:
        setattr(owner, name, _spanned(getattr(owner, name), label, recorder))
    yield
    for owner, name, function in kept:
        setattr(owner, name, function)


def _spanned(function: Callable[..., Any], label: str, recorder: Recorder) -> Callable[..., Any]:
    @functools.wraps(function)
    def within(*arguments: Any, **named: Any) -> Any:
        with recorder.span(label):
            return function(*arguments, **named)

    return within


def _ours(rows: Sequence[Any], options: argparse.Namespace, number: int) -> Iterator[Batch]:
    dataset = RinrDataset(rows, size=SIZE, device=options.device)
    epoch = 0
    while True:
        for batch in dataset.batches(options.batch, seed=0, epoch=epoch, augment=True):
            yield batch
            number -= 1
            if not number:
                return
        epoch += 1


class _TimedFiles(Dataset[tuple[Tensor, Tensor]]):
    """As :class:`benchmarks.jpeg_loaders.JpegFiles` with Pillow's full decode, and when each part of it ended."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = tuple(files)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        times = [time.perf_counter()]
        with self.files[index].open("rb") as file:
            image = Image.open(file)
            times.append(time.perf_counter())
            image.load()
        times.append(time.perf_counter())
        pixels = np.asarray(image.resize(SIZE, Image.Resampling.LANCZOS)).copy()
        times.append(time.perf_counter())
        return torch.from_numpy(pixels), torch.tensor([os.getpid(), *times], dtype=torch.float64)


def _jpegs(
    files: Sequence[Path], truth: Truth, options: argparse.Namespace, number: int, recorder: Recorder
) -> Iterator[Batch]:
    wanted = jpeg_loaders.orders(len(files), options.batch, number)
    loader = DataLoader(
        _TimedFiles(files),
        batch_sampler=[places for _, places in wanted],
        num_workers=options.workers,
        pin_memory=recorder.device.type == "cuda",
    )
    stream = iter(loader)
    workers: dict[int, str] = {}
    for epoch, places in wanted:
        with recorder.span("wait for workers"):
            pixels, times = next(stream)
        for process, *moments in times.tolist():
            lane = workers.setdefault(int(process), f"worker {len(workers) + 1}")
            for name, start, stop in zip(("read", "decode", "resize"), moments, moments[1:], strict=False):
                recorder.spans.append(Span(lane, name, start, stop))
        with recorder.span("to floats"):
            images = jpeg_loaders.as_floats(pixels.to(recorder.device, non_blocking=True))
        with recorder.span("augment"):
            batch = jpeg_loaders.finished(images, places, truth, epoch)
        yield batch


def _sums(half: Half) -> dict[tuple[str, str], float]:
    """Seconds of each lane's spans within the steps that are shown, by name."""
    sums: dict[tuple[str, str], float] = {}
    for span in half.spans:
        inside = min(span.stop, half.ends[-1]) - max(span.start, half.ends[0])
        sums[span.lane, span.name] = sums.get((span.lane, span.name), 0.0) + max(inside, 0.0)
    return sums


if __name__ == "__main__":
    main()
