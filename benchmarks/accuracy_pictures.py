"""Pictures as the experiment trains on them: decoded once, on the canvas, whatever they came as.

All arms then share every line of the training: the order, the looks, and the arithmetic of both. What a device saves by
decoding in its loop is measured elsewhere; here it is what was lost before that counts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.accuracy_remedies import blurred
from rinr.decoder import decode
from rinr.frames import Frame
from rinr.shard import ShardPart, ShardRow
from rinr.training.augment import USUAL, Floats, follow, views
from rinr.training.canvas import GREY
from rinr.training.dataset import RinrDataset
from rinr.training.detector import OBJECT
from rinr.training.indexed import IndexedPictures
from rinr.training.jpegs import JpegDataset
from rinr.training.patches import Source, paste
from rinr.training.pictures import Batch, Target
from rinr.training.resampling import look_at
from rinr.weights import parts_of

_AT_ONCE = 16


@dataclass(frozen=True, eq=False)
class Remedies:
    """What is done to pictures where they are augmented.

    Attributes:
        blur: some; see :mod:`benchmarks.accuracy_remedies`.
        backgrounds: uint8 ``[pictures, 3, height, width]``, without objects, which those are shown as that the loader
            would show bare.
        patches: pictures that patches are cut out of; see :mod:`rinr.training.patches`.
    """

    blur: bool = False
    backgrounds: Tensor | None = None
    patches: Sequence[Source] = ()


class Canvases(IndexedPictures):
    """Pictures with their boxes, in memory.

    Args:
        pictures: uint8 ``[pictures, 3, height, width]``.
        boxes: for each ``[objects, 4]``, ``x0, y0, x1, y1`` in pixels of the canvas.
        remedies: where pictures are augmented.
    """

    def __init__(self, pictures: Tensor, boxes: Sequence[Tensor], remedies: Remedies | None = None) -> None:
        self.pictures, self.boxes, self.remedies = pictures, list(boxes), remedies or Remedies()
        self.size, self.device = (pictures.shape[3], pictures.shape[2]), pictures.device

    def sources(self) -> list[Source]:
        """The pictures as patches are cut out of them."""
        stills = self.pictures.cpu().permute(0, 2, 3, 1)
        return [(still, boxes.cpu().double().numpy()) for still, boxes in zip(stills, self.boxes, strict=True)]

    def __len__(self) -> int:
        return len(self.pictures)

    def batch(self, places: Sequence[int], *, seed: int = 0, epoch: int = 0, augment: bool = False) -> Batch:
        """See :meth:`rinr.training.indexed.IndexedPictures.batch`."""
        boxes = [self.boxes[place] for place in places]
        if not augment:
            return _batch(self.pictures[list(places)].float() / 255, places, boxes)
        looks = USUAL.draw(places, self.size, seed=seed, epoch=epoch)
        pairs = zip(places, looks.bare.tolist(), strict=True)
        images = torch.stack([self._picture(place, bare, seed, epoch) for place, bare in pairs])
        through = views(looks.maps, np.tile(np.array(self.size, dtype=np.int32), (len(places), 1)), self.size)
        images = looks.light(look_at(images, through, self.size, GREY))
        if self.remedies.blur:
            images = torch.stack([blurred(*pair, seed, epoch) for pair in zip(images, places, strict=True)])
        return _batch(images, places, [_followed(*pair, self.size) for pair in zip(boxes, looks.maps, strict=True)])

    def _picture(self, place: int, bare: bool, seed: int, epoch: int) -> Tensor:
        """``[3, height, width]`` in 0..1 as it is before it is moved."""
        remedies, picture = self.remedies, self.pictures[place]
        if remedies.backgrounds is not None and bare:
            picture = remedies.backgrounds[place]
        image = picture.float() / 255
        if remedies.patches:
            boxes = self.boxes[place].cpu().double().numpy()
            paste(image, boxes, remedies.patches, seed=seed, epoch=epoch, place=place)
        return image


def captured(frames: Iterable[Frame], size: tuple[int, int], device: str) -> Canvases:
    """Working frames of captured JPEGs, shrunk to the canvas."""
    return _canvases(JpegDataset(frames, size=size).batches(_AT_ONCE), device)


def decoded(
    rows: Sequence[ShardRow],
    truth: Canvases,
    device: str,
    *,
    parts: Sequence[ShardPart] = (),
    full: bool = False,
) -> Canvases:
    """Payloads decoded straight at the size of the canvas, with the boxes of the same captured pictures.

    Args:
        parts: what frames of clips share.
        full: decode at the working size and shrink, as is done with JPEGs.
    """
    if full:
        known = parts_of(part.payload for part in parts)
        frames = (
            Frame(row.image_id, "", decode(row.frame, parts=known), (), (row.frame.width, row.frame.height))
            for row in rows
        )
        pictures = captured(frames, truth.size, device).pictures
    else:
        pictures = _canvases(RinrDataset([*parts, *rows], size=truth.size).batches(_AT_ONCE), device).pictures
    return Canvases(pictures, truth.boxes)


def together(parts: Sequence[Canvases], remedies: Remedies | None = None) -> Canvases:
    """All pictures as one."""
    boxes = [boxes for part in parts for boxes in part.boxes]
    return Canvases(torch.cat([part.pictures for part in parts]), boxes, remedies)


def _canvases(batches: Iterable[Batch], device: str) -> Canvases:
    pictures, boxes = [], []
    for batch in batches:
        pictures.append((batch.images * 255).round().to(torch.uint8))
        boxes += [target["boxes"].to(device) for target in batch.targets]
    return Canvases(torch.cat(pictures).to(device), boxes)


def _followed(boxes: Tensor, one_map: Floats, size: tuple[int, int]) -> Tensor:
    shown, kept = follow(boxes.cpu().double().numpy(), np.repeat(one_map[None], len(boxes), axis=0), size)
    return torch.from_numpy(shown[kept].astype(np.float32)).to(boxes.device)


def _batch(images: Tensor, places: Sequence[int], boxes: Sequence[Tensor]) -> Batch:
    return Batch(images, [_target(*pair) for pair in zip(places, boxes, strict=True)])


def _target(index: int, boxes: Tensor) -> Target:
    return {
        "boxes": boxes,
        "labels": torch.full((len(boxes),), OBJECT, dtype=torch.int64, device=boxes.device),
        "image_id": torch.tensor(index, device=boxes.device),
    }
