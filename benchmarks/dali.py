"""Captured JPEGs through NVIDIA DALI: read, decoded and resized on the GPU, for whoever has it.

    python -m benchmarks.dali [FOLDER ...] [--batch 32] [--batches 100]

Not run in this project's own measurements, which had no GPU: without DALI or a GPU it says "not measured".
`benchmarks/training_speed.py` takes :func:`from_dali` as one more side where it can.
"""

import argparse
import importlib.util
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import jpeg_loaders
from benchmarks.frames import find_folders
from benchmarks.jpeg_loaders import Loader
from benchmarks.speed_frames import SIZE, find_pictures, repeated
from rinr.training.pictures import Batch
from rinr.training.truth import Truth

_THREADS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="default: every folder below RINR_DATA, or the sample")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--batches", type=int, default=100)
    parser.add_argument("--cache", type=Path, default=Path("speed-cache"), help="folder for what has to be made")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if why := why_not(device):
        print(f"DALI: not measured, {why}.")
        return
    pictures = repeated(find_pictures(find_folders(options.folders), 12, options.cache), 4 * options.batch)
    truth = jpeg_loaders.truth_of_pictures(pictures)
    loader = from_dali([picture.captured for picture in pictures], truth, options.batch, device)
    batches = loader(options.batches + 10, False)
    for _ in range(10):
        next(batches)
    torch.cuda.synchronize()
    began = time.perf_counter()
    images = sum(len(batch.images) for batch in batches)
    torch.cuda.synchronize()
    print(f"DALI: {images / (time.perf_counter() - began):,.0f} pictures a second on {torch.cuda.get_device_name()}")


def why_not(device: torch.device) -> str | None:
    """What is missing, in words; ``None`` where nothing is."""
    if device.type != "cuda":
        return "needs a GPU"
    try:
        return None if importlib.util.find_spec("nvidia.dali") else "nvidia-dali is not installed"
    except ModuleNotFoundError:  # there is not even a package `nvidia`
        return "nvidia-dali is not installed"


def from_dali(files: Sequence[Path], truth: Truth, batch_size: int, device: torch.device) -> Loader:
    """A pipeline that keeps two batches ready: bytes read by threads, Huffman codes and pixels decoded by nvJPEG.

    Labels of the file reader carry each picture's place, so that its boxes are found again.
    """
    from nvidia.dali import fn, pipeline_def, types
    from nvidia.dali.plugin.pytorch import DALIGenericIterator

    @pipeline_def(batch_size=batch_size, num_threads=_THREADS, device_id=device.index or 0)
    def pipeline() -> Any:
        streams, places = fn.readers.file(
            files=[str(file) for file in files], labels=list(range(len(files))), random_shuffle=True, name="files"
        )
        pictures = fn.decoders.image(streams, device="mixed", output_type=types.RGB)
        pictures = fn.resize(pictures, resize_x=SIZE[0], resize_y=SIZE[1])
        pictures = fn.crop_mirror_normalize(
            pictures, dtype=types.FLOAT, output_layout="CHW", mean=[0.0] * 3, std=[255.0] * 3
        )
        return pictures, places

    def batches(number: int, augment: bool) -> Iterator[Batch]:
        source = DALIGenericIterator([pipeline()], ["images", "places"], size=-1)
        for number_of_batch, (out,) in zip(range(number), source, strict=False):
            places = out["places"].flatten().tolist()
            epoch = number_of_batch * batch_size // len(files)
            yield jpeg_loaders.finished(out["images"], places, truth, epoch if augment else None)

    return batches


if __name__ == "__main__":
    main()
