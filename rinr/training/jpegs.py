"""Batches read from JPEGs: a device's own pictures, in evaluation and beside decoded ones in training."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rinr.box_arrays import box_arrays
from rinr.frames import Frame, resize
from rinr.training.augment import USUAL, Augmentation, views
from rinr.training.canvas import GREY, checked, fit
from rinr.training.classes import Unknown
from rinr.training.indexed import IndexedPictures
from rinr.training.pictures import Batch
from rinr.training.resampling import look_at
from rinr.training.truth import truth_of


class JpegDataset(IndexedPictures):
    """Working frames of JPEGs as a dataset of the same batches as :class:`rinr.training.dataset.RinrDataset`.

    Args:
        frames: in the order of the batches; taken one by one, each kept at the training size, in 8 bits.
        size: ``(width, height)`` of the canvas in pixels, multiples of ``STRIDE``.
        device: the torch device of the batches.
        classes: names in the order of their numbers from 1; without them all objects are of one class.
        unknown: ``"refuse"`` objects whose label is not among the classes, or ``"drop"`` them.
        augmentation: how ``augment`` shows them.

    Attributes:
        size: as given.
        image_ids: of the frames, in their order.
        labels_ids: likewise.
        boxes: of each frame, in pixels of its working frame.
    """

    def __init__(
        self,
        frames: Iterable[Frame],
        *,
        size: tuple[int, int],
        device: str = "cpu",
        classes: Sequence[str] | None = None,
        unknown: Unknown = "refuse",
        augmentation: Augmentation = USUAL,
    ) -> None:
        self.size = checked(size)
        self.device = torch.device(device)
        self.augmentation = augmentation
        self._pictures: list[Tensor] = []
        image_ids, labels_ids, boxes, sizes = [], [], [], []
        for frame in frames:
            self._pictures.append(torch.from_numpy(resize(frame.pixels, fit(frame.size, self.size)).copy()))
            image_ids.append(frame.image_id)
            labels_ids.append(frame.labels_id)
            boxes.append(frame.boxes)
            sizes.append(frame.size)
        self.image_ids, self.labels_ids, self.boxes = tuple(image_ids), tuple(labels_ids), tuple(boxes)
        labelled = box_arrays(boxes)
        self._truth = truth_of(
            self.size,
            np.array(sizes, dtype=np.int32).reshape(-1, 2),
            labelled.boxes,
            labelled.owners,
            labelled.labels,
            names=labelled.names,
            classes=classes,
            unknown=unknown,
            image_id=self.image_ids.__getitem__,
        )

    def __len__(self) -> int:
        return len(self._pictures)

    def still(self, place: int) -> tuple[Tensor, npt.NDArray[np.float64]]:
        """A picture as it is kept, uint8 ``[height, width, 3]`` on the CPU, and the boxes of its objects there,
        ``[objects, 4]``: ``x0, y0, x1, y1`` in its pixels."""
        (target,) = self._truth.targets([place], torch.device("cpu"))
        return self._pictures[place], target["boxes"].double().numpy()

    def batch(self, places: Sequence[int], *, seed: int = 0, epoch: int = 0, augment: bool = False) -> Batch:
        """See :meth:`rinr.training.indexed.IndexedPictures.batch`."""
        images = torch.full((len(places), 3, self.size[1], self.size[0]), GREY, device=self.device)
        if not augment:
            for image, place in zip(images, places, strict=True):
                picture = self._pictures[place].to(self.device)
                image[:, : picture.shape[0], : picture.shape[1]] = picture.permute(2, 0, 1) / 255
            return Batch(images, self._truth.targets(places, self.device))
        looks = self.augmentation.draw(places, self.size, seed=seed, epoch=epoch)
        fitted = self._truth.fitted[places]
        through = views(looks.maps, fitted, self.size)
        for size in np.unique(fitted, axis=0):
            mine = np.flatnonzero((fitted == size).all(axis=1)).tolist()
            pictures = torch.stack([self._pictures[places[index]] for index in mine]).to(self.device)
            images[mine] = look_at(pictures.permute(0, 3, 1, 2) / 255, through[mine], self.size, GREY)
        return Batch(looks.light(images), self._truth.targets(places, self.device, looks.maps))
