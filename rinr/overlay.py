"""Objects over backgrounds: values of many boxes added where their pixels lie in a batch of pictures.

Where boxes overlap, the mean of what they say is added. Pasted objects take the background's place first.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rinr.networks.coordinates import Covered

_PIXELS = 1 << 20


@dataclass(frozen=True)
class Placed:
    """Objects of a batch, each in one of its pictures.

    Attributes:
        slots: ``[objects]``, in which picture.
        pasted: ``[objects]``, whether the values replace what is there; ``None``: none of them.
        shared: whether boxes may overlap.
    """

    slots: Tensor
    pasted: Tensor | None
    shared: bool


@dataclass(frozen=True)
class Part:
    """Objects that are rendered at once, padded to the largest.

    Attributes:
        objects: ``[n]``, which of those that are placed.
        pixel: ``[n, rows, columns]``, where in its picture each value goes: ``row * width + column``.
        inside: ``[n, rows, columns]``, false where padding or outside the box.
        render: the values, ``[n, 3, rows, columns]``.
    """

    objects: Tensor
    pixel: Tensor
    inside: Tensor
    render: Callable[[], Tensor]


Rectangles = tuple[Tensor, Covered, Covered]
"""Objects rendered at once, and the columns and rows that their boxes cover."""


def add_box_by_box(
    pictures: Tensor,
    placed: Placed,
    parts: Sequence[Rectangles],
    render: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> None:
    """Add upright boxes to ``pictures [n, 3, height, width]``, in place: on a CPU, slices take less than indices.

    Args:
        pictures: of any strides.
        placed: all objects.
        parts: those rendered at once; none stands in two of them.
        render: values ``[n, 3, rows, columns]`` of objects at ``x [n, columns]`` and ``y [n, rows]`` in their boxes.
    """
    covers: dict[int, tuple[slice, slice]] = {}
    for part, x, y in parts:
        for index, *bounds in torch.stack([part, x.start, x.count, y.start, y.count], dim=1).tolist():
            left, columns, top, rows = bounds
            covers[index] = slice(top, top + rows), slice(left, left + columns)
    regions = {index: (slot, *covers[index]) for index, slot in enumerate(placed.slots.tolist()) if index in covers}
    count = None
    if placed.shared:  # how many boxes share a pixel; a pass over the pictures
        count = torch.zeros(len(pictures), *pictures.shape[2:])
        for region in regions.values():
            count[region] += 1
    if placed.pasted is not None:
        pasted = placed.pasted.tolist()
        for index, (slot, rows, columns) in regions.items():
            if pasted[index]:
                pictures[slot, :, rows, columns] = 0
    for part, x, y in parts:
        values = render(part, x.place, y.place)
        for index, value in zip(part.tolist(), values, strict=True):
            slot, rows, columns = region = regions[index]
            mine = value[:, : rows.stop - rows.start, : columns.stop - columns.start]
            pictures[slot, :, rows, columns].add_(mine if count is None else mine / count[region])


def add_by_index(pictures: Tensor, placed: Placed, parts: Sequence[Part]) -> None:
    """Add boxes of any outline to contiguous pictures, in place: on a GPU, few calls for all boxes take less than some
    for each."""
    area = pictures.shape[2] * pictures.shape[3]
    starts = placed.slots[:, None, None] * area
    count = None
    if placed.shared:  # how many boxes share a pixel; a pass over the pictures
        count = torch.zeros(len(pictures) * area, device=pictures.device)
        for part in parts:
            count.index_add_(0, (part.pixel + starts[part.objects]).flatten(), part.inside.flatten().to(count.dtype))
    planes = torch.arange(3, device=pictures.device)[:, None, None] * area
    if placed.pasted is not None:
        for part in parts:
            pasted = torch.nonzero(part.inside & placed.pasted[part.objects, None, None], as_tuple=True)
            first = part.pixel[pasted] + placed.slots[part.objects][pasted[0]] * (3 * area)
            pictures.view(-1).index_fill_(0, (first + planes[:, 0]).flatten(), 0)
    for part in parts:
        values = part.render()
        if count is None:
            values = values * part.inside[:, None]
        else:
            values = values * (part.inside / count[part.pixel + starts[part.objects]].clamp(min=1))[:, None]
        place = part.pixel[:, None] + 3 * starts[part.objects][:, None] + planes
        pictures.view(-1).index_add_(0, place.flatten(), values.flatten())


def parts_of(columns: Tensor, rows: Tensor) -> Iterator[Tensor]:
    """Cut boxes into parts of like sides, so that no part has more padded pixels than are worked on at once.

    Args:
        columns: ``[boxes]``, how many each has.
        rows: likewise.
    """
    order = torch.argsort(rows * (int(columns.max()) + 1) + columns, stable=True)
    sides = torch.stack([columns, rows], dim=1)[order].tolist()
    start, widest = 0, 0
    for index, (wide, high) in enumerate(sides):
        widest = max(widest, wide)
        # Padding to more than twice the sides of the part's first box is not worth a larger part.
        first_wide, first_high = sides[start]
        # Features are as many as the square of a side: long thin boxes have few pixels and many of those.
        over = (index - start + 1) * max(widest, high) ** 2 > _PIXELS
        if index > start and (over or high > 2 * first_high + 8 or wide > 2 * first_wide + 64):
            yield order[start:index]
            start, widest = index, wide
    yield order[start:]
