"""What is true of many pictures, in arrays: sizes, boxes and classes; and from it the targets of a batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from rinr.training.augment import Floats, follow
from rinr.training.canvas import fit_all
from rinr.training.classes import DROPPED, Unknown, numbers, refuse
from rinr.training.pictures import Target


@dataclass(frozen=True, eq=False)
class Truth:
    """Pictures with their labelled boxes, no Python object a picture.

    Attributes:
        canvas: ``(width, height)`` on which they are shown, in pixels.
        sizes: ``[pictures, 2]``, width and height of the frames that the boxes are of, in pixels.
        fitted: ``[pictures, 2]``, of the frames on the canvas.
        first: ``[pictures + 1]``, where each picture's boxes begin.
        boxes: ``[boxes, 4]``, ``x, y, width, height`` in pixels of the frame.
        labels: ``[boxes]``, from 1.
    """

    canvas: tuple[int, int]
    sizes: npt.NDArray[np.int32]
    fitted: npt.NDArray[np.int32]
    first: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.int32]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.sizes)

    def targets(self, places: Sequence[int], device: torch.device, maps: Floats | None = None) -> list[Target]:
        """The targets of some pictures.

        Args:
            places: of the pictures.
            device: the torch device of the targets; they are brought there together.
            maps: ``[places, 2, 3]``, how each is shown: see :class:`rinr.training.augment.Looks`. Boxes of which too
                little is shown are left out.
        """
        chosen = np.asarray(places, dtype=np.int64)
        counts = self.first[chosen + 1] - self.first[chosen]
        owners = np.repeat(np.arange(len(chosen)), counts)
        before = np.repeat(counts.cumsum() - counts, counts)
        objects = self.first[chosen][owners] + np.arange(len(owners)) - before
        boxes = self.boxes[objects].astype(np.float64)
        corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
        corners *= np.tile(self.fitted[chosen] / self.sizes[chosen], 2)[owners]
        labels = self.labels[objects]
        if maps is not None:
            corners, kept = follow(corners, maps[owners], self.canvas)
            corners, labels, owners = corners[kept], labels[kept], owners[kept]
        each = np.bincount(owners, minlength=len(chosen)).tolist()
        parts = zip(
            torch.from_numpy(corners.astype(np.float32)).to(device).split(each),
            torch.from_numpy(labels).to(device).split(each),
            torch.from_numpy(chosen).to(device),
            strict=True,
        )
        return [{"boxes": own, "labels": classes, "image_id": place} for own, classes, place in parts]


def truth_of(
    canvas: tuple[int, int],
    sizes: npt.NDArray[np.int32],
    boxes: npt.NDArray[np.int32],
    owners: npt.NDArray[np.int32],
    labels: npt.NDArray[np.int32],
    *,
    names: Sequence[str],
    classes: Sequence[str] | None,
    unknown: Unknown,
    image_id: Callable[[int], str],
) -> Truth:
    """The truth of pictures, labels as classes.

    Args:
        canvas: ``(width, height)`` in pixels.
        sizes: ``[pictures, 2]``, width and height of the frames, in pixels.
        boxes: ``[boxes, 4]``, ``x, y, width, height`` in pixels of the frame.
        owners: ``[boxes]``, the picture of each, rising.
        labels: ``[boxes]``, indices into ``names``.
        names: of labels.
        classes: names in the order of their numbers from 1; ``None``: all objects are of one class.
        unknown: what to do about labels that are not among the classes.
        image_id: of a picture, by place; for messages.

    Raises:
        UnknownLabelError: a label that is not among the classes, where ``unknown`` says to refuse it.
    """
    if unknown not in ("refuse", "drop"):
        raise ValueError(f"unknown is {unknown!r}, expected 'refuse' or 'drop'")
    known = numbers(names, classes)[labels]
    strangers = np.flatnonzero(known == DROPPED)
    if len(strangers):
        if unknown == "refuse":
            one = strangers[0]
            raise refuse(names[labels[one]], image_id(int(owners[one])), classes or ())
        kept = known != DROPPED
        boxes, owners, known = boxes[kept], owners[kept], known[kept]
    counts = np.bincount(owners, minlength=len(sizes))
    first = np.concatenate([[0], counts.cumsum()]).astype(np.int64)
    return Truth(canvas, sizes, fit_all(sizes, canvas), first, boxes, known)
