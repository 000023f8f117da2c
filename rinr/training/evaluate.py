"""Mean average precision by pycocotools: how well a detector finds the labelled objects, whatever their class."""

import contextlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rinr.training.detector import OBJECT, Detections, Detector, detect
from rinr.training.memory import fewer, make_room
from rinr.training.pictures import Pictures

Detect = Callable[[Tensor], Sequence[Detections]]
"""Pictures float32 ``[batch, 3, height, width]`` in 0..1 to what is found in each, best first."""


@dataclass(frozen=True)
class Precision:
    """COCO's mean average precision over all sizes, at most 100 detections a picture; 0 to 1.

    Attributes:
        map50: at an intersection over union of 0.5.
        map50_95: mean over the ten thresholds from 0.5 to 0.95.
    """

    map50: float
    map50_95: float


@dataclass(frozen=True)
class Findings:
    """What was found in pictures, beside what is there.

    Attributes:
        found: one a picture.
        truths: for each picture ``[objects, 4]``, ``x0, y0, x1, y1`` in the same pixels.
    """

    found: tuple[Detections, ...]
    truths: tuple[Tensor, ...]

    @property
    def precision(self) -> Precision | None:
        """``None`` where no picture has a labelled object: precision is not defined then."""
        return mean_average_precision(self.found, self.truths)


def find(detect_in: Detect, pictures: Pictures, batch_size: int) -> Findings:
    """Detect in all pictures, in their order; with fewer at once where the accelerator runs out of memory.

    Args:
        detect_in: answers with as many detections as it was given pictures.
        batch_size: pictures at once.

    Raises:
        torch.OutOfMemoryError: there is none for a single picture.
    """
    found: list[Detections] = []
    truths: list[Tensor] = []
    at_once = batch_size
    while len(truths) < len(pictures):
        try:
            for batch in pictures.batches(at_once, start=len(truths) // at_once):
                answers = detect_in(batch.images)
                found += [Detections(one.boxes.cpu(), one.scores.cpu()) for one in answers]
                truths += [target["boxes"].cpu() for target in batch.targets]
        except torch.OutOfMemoryError:
            if at_once == 1:
                raise
            at_once = fewer(at_once)
        else:
            break
        make_room(pictures.device)
    return Findings(tuple(found), tuple(truths))


def detecting(detector: Detector) -> Detect:
    """What a detector finds, as a function of pictures."""
    detector.eval()
    return partial(detect, detector)


def mean_average_precision(found: Sequence[Detections], truths: Sequence[Tensor]) -> Precision | None:
    """COCO's figures for detections against the true boxes of the same pictures, picture by picture.

    Args:
        found: what a detector answered.
        truths: for each picture ``[objects, 4]``, ``x0, y0, x1, y1`` in the same pixels.

    Returns:
        ``None`` where no picture has a true box.
    """
    if len(found) != len(truths):
        raise ValueError(f"detections of {len(found)} pictures and true boxes of {len(truths)}: must be as many")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    true_rows = [row for image, boxes in enumerate(truths) for row in _rows(image, boxes, None)]
    if not true_rows:
        return None
    found_rows = [row for image, one in enumerate(found) for row in _rows(image, one.boxes, one.scores)]
    if not found_rows:
        return Precision(0.0, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints a table, and says what it is doing
        evaluation = COCOeval(
            _collection(COCO(), true_rows, len(truths)), _collection(COCO(), found_rows, len(truths)), "bbox"
        )
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    map50_95, map50 = (float(value) for value in evaluation.stats[:2])
    return Precision(map50, map50_95)


def _rows(image: int, boxes: Tensor, scores: Tensor | None) -> list[dict[str, Any]]:
    """Boxes as COCO annotations; ``id`` follows once all rows stand."""
    corners = boxes.detach().cpu().double().numpy().reshape(-1, 4)
    sizes = corners[:, 2:] - corners[:, :2]
    rows = [
        {
            "image_id": image,
            "category_id": OBJECT,
            "bbox": [*corner[:2], *size],
            "area": float(np.prod(size)),
            "iscrowd": 0,
        }
        for corner, size in zip(corners, sizes, strict=True)
    ]
    if scores is not None:
        for row, score in zip(rows, scores.tolist(), strict=True):
            row["score"] = score
    return rows


def _collection(coco: Any, rows: list[dict[str, Any]], images: int) -> Any:
    """A COCO collection of the rows. Their ids start at 1: to pycocotools 0 means "matched with nothing"."""
    coco.dataset = {
        "images": [{"id": image} for image in range(images)],
        "categories": [{"id": OBJECT, "name": "object"}],
        "annotations": [row | {"id": number} for number, row in enumerate(rows, 1)],
    }
    coco.createIndex()
    return coco
