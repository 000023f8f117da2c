"""Labelled boxes of many frames as arrays, no Python object a box."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rinr.boxes import Box


@dataclass(frozen=True, eq=False)
class BoxArrays:
    """Boxes of frames, one after another.

    Attributes:
        boxes: ``[boxes, 4]`` int32, x, y, width and height in pixels of the frame.
        owners: ``[boxes]`` int32, the frame of each, rising.
        labels: ``[boxes]`` int32, indices into ``names``.
        names: of labels, sorted.
    """

    boxes: npt.NDArray[np.int32]
    owners: npt.NDArray[np.int32]
    labels: npt.NDArray[np.int32]
    names: tuple[str, ...]


def box_arrays(of_frames: Sequence[Sequence[Box]]) -> BoxArrays:
    """The boxes of each frame as arrays."""
    boxes = [box for own in of_frames for box in own]
    names = tuple(sorted({box.label for box in boxes}))
    number = {name: index for index, name in enumerate(names)}
    return BoxArrays(
        np.array([(box.x, box.y, box.width, box.height) for box in boxes], dtype=np.int32).reshape(-1, 4),
        np.array([index for index, own in enumerate(of_frames) for _ in own], dtype=np.int32),
        np.array([number[box.label] for box in boxes], dtype=np.int32),
        names,
    )
