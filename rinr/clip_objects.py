"""Objects of a clip: what was picked for a few frames' objects is what those of the others are likely to pick."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from rinr.codec.frame import EncodedFrame
from rinr.networks.cosine_coding import TILES, CosineNetwork
from rinr.networks.payload import read_networks
from rinr.networks.settings import CosineSettings
from rinr.presets import ObjectClass

Picked = tuple[int, int]
"""The area of a box in pixels, and the side of its network's tiles."""


def picked_tiles(frames: Iterable[EncodedFrame]) -> list[Picked]:
    """What the objects of encoded frames have, where they are cosine networks."""
    return [
        (box.area, TILES[member.network.layout.tile])
        for frame in frames
        for box, member in zip(
            frame.boxes, read_networks(frame.objects, [(b.width, b.height) for b in frame.boxes]), strict=True
        )
        if member and isinstance(member.network, CosineNetwork)
    ]


def narrowed(objects: Sequence[ObjectClass], picked: Sequence[Picked]) -> tuple[ObjectClass, ...]:
    """Classes of objects that try the tiles alone which the box of the nearest area has, in place of all.

    Args:
        objects: by rising area, as presets have them.
        picked: of any boxes; classes in whose areas there are none stay as they are.
    """
    classes: list[ObjectClass] = []
    lowest = 0
    for each in objects:
        highest = each.max_area if each.max_area is not None else math.inf
        classes += _divided(each, [own for own in picked if lowest < own[0] <= highest])
        lowest = each.max_area or lowest
    return tuple(classes)


def _divided(whole: ObjectClass, picked: Sequence[Picked]) -> list[ObjectClass]:
    network = whole.network
    if not picked or not isinstance(network, CosineSettings):
        return [whole]
    areas = sorted({area for area, _ in picked})
    tiles = [tuple(sorted({tile for own, tile in picked if own == area})) for area in areas]
    borders: list[int | None] = [math.isqrt(one * other) for one, other in pairwise(areas)]
    return [
        ObjectClass(border, replace(network, tiles=some))
        for border, some in zip([*borders, whole.max_area], tiles, strict=True)
    ]
