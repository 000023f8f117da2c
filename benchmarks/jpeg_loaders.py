"""Loaders of JPEGs to compare with: plain PyTorch, as somebody would write them who wants them fast.

Every one ends in the same batches as ours, float32 ``[batch, 3, height, width]`` on the accelerator with targets beside
them. What each does on the way:

- Captured pictures have just twice the sides of a training frame, so nothing is letterboxed, and no side pays for it.
- A file is read anew for every picture, from the page cache; targets come from the same arrays as ours.
- What a ``DataLoader``'s workers hand over is 8-bit, a quarter of the bytes of floats; it is made float on the
  accelerator. On a GPU it goes through pinned memory.
- Order and augmentation are those of :class:`rinr.training.dataset.RinrDataset` under the same seed: every side gives
  the same pictures in the same order, shown in the same way. Pixels are moved by ``grid_sample`` and lit on the
  accelerator.
"""

import importlib.util
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from benchmarks.speed_frames import SIZE, Picture
from rinr.frames import Pixels
from rinr.training.augment import Augmentation, views
from rinr.training.canvas import GREY, fit_all
from rinr.training.detector import OBJECT
from rinr.training.order import batches_of, pass_order
from rinr.training.pictures import Batch
from rinr.training.resampling import look_at
from rinr.training.truth import Truth

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


class JpegFiles(Dataset[Tensor]):
    """Files as 8-bit ``[height, width, 3]``, decoded one by one where they are asked for."""

    def __init__(self, files: Sequence[Path], decode: Decoder) -> None:
        self.files = tuple(files)
        self.decode = decode

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        return torch.from_numpy(self.decode(self.files[index].read_bytes()).copy())


def from_files(
    files: Sequence[Path],
    decode: Decoder,
    truth: Truth,
    batch_size: int,
    workers: int,
    device: torch.device,
) -> Loader:
    """JPEGs decoded by a ``DataLoader`` with so many worker processes, or in this one."""

    def batches(number: int, augment: bool) -> Iterator[Batch]:
        wanted = orders(len(files), batch_size, number)
        loader = DataLoader(
            JpegFiles(files, decode),
            batch_sampler=[places for _, places in wanted],
            num_workers=workers,
            prefetch_factor=PREFETCHED if workers else None,
            pin_memory=device.type == "cuda",
        )
        for (epoch, places), pixels in zip(wanted, loader, strict=True):
            yield finished(as_floats(pixels.to(device, non_blocking=True)), places, truth, epoch if augment else None)

    return batches


def from_memory(files: Sequence[Path], decode: Decoder, truth: Truth, batch_size: int, device: torch.device) -> Loader:
    """Decoded frames that are kept, 8 bits a colour, in the host's memory."""
    kept = torch.stack([torch.from_numpy(decode(file.read_bytes()).copy()) for file in files])
    if device.type == "cuda":
        kept = kept.pin_memory()

    def batches(number: int, augment: bool) -> Iterator[Batch]:
        for epoch, places in orders(len(files), batch_size, number):
            images = as_floats(kept[places].to(device, non_blocking=True))
            yield finished(images, places, truth, epoch if augment else None)

    return batches


def from_nvjpeg(files: Sequence[Path], truth: Truth, batch_size: int, device: torch.device) -> Loader:
    """Captured JPEGs decoded and resized on the GPU, a batch at once."""
    from torchvision.io import ImageReadMode, decode_jpeg

    def batches(number: int, augment: bool) -> Iterator[Batch]:
        for epoch, places in orders(len(files), batch_size, number):
            streams = [torch.from_numpy(np.fromfile(files[place], dtype=np.uint8)) for place in places]
            decoded = torch.stack(decode_jpeg(streams, mode=ImageReadMode.RGB, device=device))
            images = functional.interpolate(decoded.float(), SIZE[::-1], mode="area").div_(255)
            yield finished(images, places, truth, epoch if augment else None)

    return batches


def orders(pictures: int, batch_size: int, number: int) -> list[tuple[int, list[int]]]:
    """So many batches: the pass, and the places of their pictures, as our own dataset has them under seed 0."""
    wanted: list[tuple[int, list[int]]] = []
    for epoch in range(-(-number * batch_size // pictures)):
        order = pass_order(pictures, batch_size, seed=0, epoch=epoch)
        wanted += [(epoch, places.tolist()) for places in batches_of(order, batch_size)]
    return wanted[:number]


def as_floats(pixels: Tensor) -> Tensor:
    """8-bit ``[batch, height, width, 3]`` as float32 ``[batch, 3, height, width]`` from 0 to 1, laid out as ours."""
    return pixels.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format).div_(255)


def finished(images: Tensor, places: Sequence[int], truth: Truth, epoch: int | None) -> Batch:
    """A batch of pictures that lie on the accelerator, with their truth; augmented where an epoch is given."""
    if epoch is None:
        return Batch(images, truth.targets(places, images.device))
    looks = Augmentation().draw(places, SIZE, seed=0, epoch=epoch)
    shown = look_at(images, views(looks.maps, truth.fitted[list(places)], SIZE), SIZE, GREY)
    return Batch(looks.light(shown), truth.targets(places, images.device, looks.maps))


def truth_of_pictures(pictures: Sequence[Picture]) -> Truth:
    """The truth of each picture in pixels of a training frame."""
    frames = [picture.frame for picture in pictures]
    sizes = np.array([frame.size for frame in frames], dtype=np.int32)
    boxes = [(b.x, b.y, b.width, b.height) for frame in frames for b in frame.boxes]
    first = np.cumsum([0, *(len(frame.boxes) for frame in frames)])
    sides = np.array(boxes, dtype=np.int32).reshape(-1, 4)
    return Truth(SIZE, sizes, fit_all(sizes, SIZE), first, sides, np.full(len(boxes), OBJECT, dtype=np.int64))
