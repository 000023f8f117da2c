"""Loaders of JPEGs to compare with: plain PyTorch, as somebody would write them who wants them fast.

Every one ends in the same batches as ours, float32 ``[batch, 3, height, width]`` on the accelerator with targets beside
them. What each does on the way:

- Captured pictures have just twice the sides of a training frame, so nothing is letterboxed, and no side pays for it.
- A file is read anew for every picture, from the page cache; targets are made once and only picked.
- What a ``DataLoader``'s workers hand over is 8-bit, a quarter of the bytes of floats; it is made float on the
  accelerator. On a GPU it goes through pinned memory.
- Augmentation is :func:`rinr.training.augment.augmented` on the accelerator, for every side.
"""

import importlib.util
import io
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from benchmarks.speed_frames import SIZE, Picture
from rinr.frames import Pixels
from rinr.training.augment import augmented
from rinr.training.dataset import Batch, Target

Decoder = Callable[[bytes], Pixels]
"""A JPEG's bytes to a training frame ``[height, width, 3]``."""

Loader = Callable[[int, bool], Iterator[Batch]]
"""Opens a stream of batches: how many, and whether they are augmented."""

PREFETCHED = 2
"""Batches that a ``DataLoader`` has ready for each of its workers: PyTorch's usual number."""


def pillow_lanczos(data: bytes) -> Pixels:
    """Full decode, and the filter that our own working frames are made with."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize(SIZE, Image.Resampling.LANCZOS))


def pillow_bilinear(data: bytes) -> Pixels:
    """Full decode, and the filter that torchvision's ``Resize`` has where nothing is said."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize(SIZE, Image.Resampling.BILINEAR))


def pillow_draft(data: bytes) -> Pixels:
    """Half of the sides by leaving out coefficients, while it decodes: the best that Pillow can do."""
    image = Image.open(io.BytesIO(data))
    image.draft("RGB", SIZE)
    return np.asarray(image if image.size == SIZE else image.resize(SIZE, Image.Resampling.BILINEAR))


def pillow_whole(data: bytes) -> Pixels:
    """A JPEG that has the training size already."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def simplejpeg_scaled(data: bytes) -> Pixels:
    """libjpeg-turbo without Pillow around it, scaled as it decodes and at its fastest settings."""
    import simplejpeg

    return simplejpeg.decode_jpeg(
        data, min_width=SIZE[0], min_height=SIZE[1], min_factor=2, fastdct=True, fastupsample=True
    )


def why_no_simplejpeg() -> str | None:
    """What is missing, in words; ``None`` where nothing is."""
    return None if importlib.util.find_spec("simplejpeg") else "simplejpeg is not installed"


def why_no_nvjpeg(device: torch.device) -> str | None:
    """What is missing, in words; ``None`` where nothing is."""
    if device.type != "cuda":
        return "needs a GPU"
    return None if importlib.util.find_spec("torchvision") else "torchvision is not installed"


class JpegFiles(Dataset[tuple[int, Tensor]]):
    """Files as 8-bit ``[height, width, 3]`` beside their places, decoded one by one where they are asked for."""

    def __init__(self, files: Sequence[Path], decode: Decoder) -> None:
        self.files = tuple(files)
        self.decode = decode

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[int, Tensor]:
        return index, torch.from_numpy(self.decode(self.files[index].read_bytes()).copy())


def from_files(
    files: Sequence[Path],
    decode: Decoder,
    targets: Sequence[Target],
    batch_size: int,
    workers: int,
    device: torch.device,
) -> Loader:
    """JPEGs decoded by a ``DataLoader`` with so many worker processes, or in this one."""

    def batches(number: int, augment: bool) -> Iterator[Batch]:
        loader = DataLoader(
            JpegFiles(files, decode),
            batch_sampler=orders(len(files), batch_size, number),
            num_workers=workers,
            prefetch_factor=PREFETCHED if workers else None,
            pin_memory=device.type == "cuda",
        )
        chance = torch.Generator().manual_seed(0)
        for places, pixels in loader:
            images = as_floats(pixels.to(device, non_blocking=True))
            yield finished(images, [targets[place] for place in places.tolist()], chance if augment else None)

    return batches


def from_memory(
    files: Sequence[Path], decode: Decoder, targets: Sequence[Target], batch_size: int, device: torch.device
) -> Loader:
    """Decoded frames that are kept, 8 bits a colour, in the host's memory."""
    kept = torch.stack([torch.from_numpy(decode(file.read_bytes()).copy()) for file in files])
    if device.type == "cuda":
        kept = kept.pin_memory()

    def batches(number: int, augment: bool) -> Iterator[Batch]:
        chance = torch.Generator().manual_seed(0)
        for places in orders(len(files), batch_size, number):
            images = as_floats(kept[places].to(device, non_blocking=True))
            yield finished(images, [targets[place] for place in places], chance if augment else None)

    return batches


def from_nvjpeg(files: Sequence[Path], targets: Sequence[Target], batch_size: int, device: torch.device) -> Loader:
    """Captured JPEGs decoded and resized on the GPU, a batch at once."""
    from torchvision.io import ImageReadMode, decode_jpeg

    def batches(number: int, augment: bool) -> Iterator[Batch]:
        chance = torch.Generator().manual_seed(0)
        for places in orders(len(files), batch_size, number):
            streams = [torch.from_numpy(np.fromfile(files[place], dtype=np.uint8)) for place in places]
            decoded = torch.stack(decode_jpeg(streams, mode=ImageReadMode.RGB, device=device))
            images = functional.interpolate(decoded.float(), SIZE[::-1], mode="area").div_(255)
            yield finished(images, [targets[place] for place in places], chance if augment else None)

    return batches


def orders(pictures: int, batch_size: int, number: int) -> list[list[int]]:
    """So many batches of places, pass after pass in another order."""
    places: list[int] = []
    for epoch in count():
        if len(places) >= number * batch_size:
            break
        places += torch.randperm(pictures, generator=torch.Generator().manual_seed(epoch)).tolist()
    return [places[start : start + batch_size] for start in range(0, number * batch_size, batch_size)]


def as_floats(pixels: Tensor) -> Tensor:
    """8-bit ``[batch, height, width, 3]`` as float32 ``[batch, 3, height, width]`` from 0 to 1, laid out as ours."""
    return pixels.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format).div_(255)


def finished(images: Tensor, targets: list[Target], chance: torch.Generator | None) -> Batch:
    """A batch, augmented where there is a source of chance."""
    if chance is None:
        return Batch(images, targets)
    images, boxes = augmented(images, [target["boxes"] for target in targets], chance)
    labels = [torch.ones(len(left), dtype=torch.int64, device=left.device) for left in boxes]
    return Batch(images, [t | {"boxes": b, "labels": n} for t, b, n in zip(targets, boxes, labels, strict=True)])


def targets_of(pictures: Sequence[Picture], device: torch.device) -> list[Target]:
    """The truth of each picture in pixels of a training frame, which is what its working frame is."""
    found = []
    for place, picture in enumerate(pictures):
        scale = torch.tensor([SIZE[side] / picture.frame.size[side] for side in (0, 1)]).repeat(2)
        corners = [(box.x, box.y, box.x + box.width, box.y + box.height) for box in picture.frame.boxes]
        boxes = torch.tensor(corners, dtype=torch.float32).reshape(-1, 4) * scale
        found.append(
            {
                "boxes": boxes.to(device),
                "labels": torch.ones(len(corners), dtype=torch.int64, device=device),
                "image_id": torch.tensor(place, device=device),
            }
        )
    return found
