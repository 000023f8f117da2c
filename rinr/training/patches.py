"""Patches of JPEGs pasted into decoded pictures, beside their objects: what is sharp, and no object.

Only boxes are sharp in decoded frames, and a detector learns before anything else that what is sharp is an object.
Patches of a device's own pictures, cut out beside what is labelled there, show it otherwise (docs/results.md,
"Accuracy").
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

from rinr.training.chance import Use, uniform
from rinr.training.indexed import IndexedPictures
from rinr.training.jpegs import JpegDataset
from rinr.training.order import Places
from rinr.training.pictures import Batch

PATCHES = 5
"""That are tried a picture."""

_TRIES = 10
_DRAWN = 4 + 4 * _TRIES  # numbers a patch
_LEAST_SIDE = 8
_LEAST_CONTRAST = 0.08 * 255  # standard deviation of a patch's values: a plain one teaches nothing
_NO_BOX = np.array([[0.0, 0.0, 24.0, 24.0]])  # whose size patches have in a picture without objects

Floats = npt.NDArray[np.float64]

Source = tuple[Tensor, Floats]
"""A picture that patches are cut out of, uint8 ``[height, width, 3]``, and its objects' boxes, ``[objects, 4]``."""


class Patched(IndexedPictures):
    """Pictures that are shown with patches of others where they are augmented.

    Patches are about as large as the picture's objects, and touch none of them. What a picture gets depends on its
    place, the seed and the epoch alone.

    Args:
        pictures: that patches are pasted into.
        others: that they are cut out of; where there are none, nothing is pasted.
    """

    def __init__(self, pictures: IndexedPictures, others: JpegDataset) -> None:
        self.pictures = pictures
        self.sources = [others.still(place) for place in range(len(others))]
        self.size, self.device, self.window = pictures.size, pictures.device, pictures.window

    def __len__(self) -> int:
        return len(self.pictures)

    def groups(self) -> Places | None:
        """See :meth:`rinr.training.indexed.IndexedPictures.groups`."""
        return self.pictures.groups()

    def batch(self, places: Sequence[int], *, seed: int = 0, epoch: int = 0, augment: bool = False) -> Batch:
        """See :meth:`rinr.training.indexed.IndexedPictures.batch`."""
        batch = self.pictures.batch(places, seed=seed, epoch=epoch, augment=augment)
        if augment and self.sources:
            for image, target, place in zip(batch.images, batch.targets, places, strict=True):
                paste(image, target["boxes"].cpu().double().numpy(), self.sources, seed=seed, epoch=epoch, place=place)
        return batch


def paste(image: Tensor, boxes: Floats, sources: Sequence[Source], *, seed: int, epoch: int, place: int) -> None:
    """Paste patches into a picture, in place.

    Args:
        image: float32 ``[3, height, width]`` in 0..1.
        boxes: ``[objects, 4]``, of its objects: ``x0, y0, x1, y1`` in pixels.
        sources: one or more.
        seed: what is pasted follows from it and the next two.
        epoch: the pass.
        place: of the picture.
    """
    height, width = image.shape[1:]
    like = boxes if len(boxes) else _NO_BOX
    for drawn in uniform(seed, epoch, Use.PATCHES, PATCHES * _DRAWN, place).reshape(PATCHES, _DRAWN):
        other, their_boxes = sources[int(drawn[0] * len(sources))]
        box = like[int(drawn[1] * len(like))]
        room = min(width, other.shape[1]) // 2, min(height, other.shape[0]) // 2
        sides = (box[2:] - box[:2]) * 2 ** (drawn[2:4] * 1.5 - 0.5)
        w, h = (min(max(int(side), _LEAST_SIDE), most) for side, most in zip(sides, room, strict=True))
        tries = drawn[4:].reshape(2, _TRIES, 2)
        there = _beside(boxes, tries[0], (w, h), (width, height))
        here = _beside(their_boxes, tries[1], (w, h), (other.shape[1], other.shape[0]))
        if there and here:
            patch = other[here[1] : here[1] + h, here[0] : here[0] + w].float()
            if patch.std() >= _LEAST_CONTRAST:
                pixels = patch.permute(2, 0, 1).to(image.device) / 255
                image[:, there[1] : there[1] + h, there[0] : there[0] + w] = pixels


def _beside(boxes: Floats, tries: Floats, patch: tuple[int, int], size: tuple[int, int]) -> tuple[int, int] | None:
    """The first corner tried from which a patch touches no box, if there is one."""
    for across, down in tries:
        x, y = int(across * (size[0] - patch[0] + 1)), int(down * (size[1] - patch[1] + 1))
        apart = (boxes[:, 2] <= x) | (x + patch[0] <= boxes[:, 0]) | (boxes[:, 3] <= y) | (y + patch[1] <= boxes[:, 1])
        if apart.all():
            return x, y
    return None
