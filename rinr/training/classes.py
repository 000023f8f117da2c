"""Which number a detector knows a label by."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from rinr.training.detector import OBJECT

Unknown = Literal["refuse", "drop"]
"""What to do about a box whose label is not among the classes."""

DROPPED = 0
"""In place of a class: the box does not count."""

_TOLD = 12


class UnknownLabelError(ValueError):
    """A label that is not among the classes; the message names it and an image."""


def numbers(names: Sequence[str], classes: Sequence[str] | None) -> npt.NDArray[np.int64]:
    """Each label's class: its place in ``classes`` from 1, ``DROPPED`` where it is not there, ``OBJECT`` without any.

    Raises:
        ValueError: a class stands twice, or there is none.
    """
    if classes is None:
        return np.full(len(names), OBJECT)
    if isinstance(classes, str) or not classes or len(set(classes)) < len(classes):
        raise ValueError(f"classes are {classes!r}, expected names, each of them once; None makes all objects alike")
    number = {name: index for index, name in enumerate(classes, 1)}
    return np.array([number.get(name, DROPPED) for name in names], dtype=np.int64)


def refuse(label: str, image: str, classes: Sequence[str]) -> UnknownLabelError:
    """The error for a label that is not among the classes."""
    told = ", ".join(classes[:_TOLD]) + (", ..." if len(classes) > _TOLD else "")
    return UnknownLabelError(
        f"image {image} has an object labelled {label!r}, which is not among the classes ({told}): "
        "add it to them, or leave out such objects with unknown='drop'"
    )
