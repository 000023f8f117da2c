"""Other looks at training pictures, which cost no bytes, against learning that whatever is sharp is an object.

All numbers follow from seed, epoch and the picture's place, as those of the usual augmentation do.
"""

import numpy as np
from torch import Tensor
from torch.nn import functional

BLURRED_SHARE, STRONGEST_BLUR = 0.5, 4.0
"""Of this share of pictures the sides are divided by 1 to so much, and multiplied again."""

DROPPED_SHARE = 0.5
"""So many pictures are shown as their background alone."""

PATCHES = 5
"""Patches that are tried to be pasted into a picture."""

_BLUR, _DROP, _PATCH = 1, 2, 3  # kinds of chance, so that one does not follow the other
_TRIES = 10
_LEAST_CONTRAST = 0.08  # standard deviation of a patch's values, 0 to 1: a plain one teaches nothing
_LEAST_SIDE = 8
_NO_BOX = np.array([[0.0, 0.0, 24.0, 24.0]])


def is_dropped(seed: int, epoch: int, place: int) -> bool:
    """Whether a picture is shown without its objects' networks this time."""
    return bool(np.random.default_rng((_DROP, seed, epoch, place)).random() < DROPPED_SHARE)


def blurred(image: Tensor, place: int, seed: int, epoch: int) -> Tensor:
    """A picture ``[3, height, width]``, in a share of all cases shrunk and enlarged."""
    share, strength = np.random.default_rng((_BLUR, seed, epoch, place)).random(2).tolist()
    if share >= BLURRED_SHARE:
        return image
    height, width = image.shape[1:]
    by = STRONGEST_BLUR**strength
    small = functional.interpolate(image[None], size=(round(height / by), round(width / by)), mode="area")
    return functional.interpolate(small, size=(height, width), mode="bilinear", align_corners=False)[0]


def patched(
    image: Tensor, boxes: Tensor, others: Tensor, their_boxes: list[Tensor], seed: int, epoch: int, place: int
) -> Tensor:
    """A picture with patches of others pasted outside all boxes, about as large as its objects: sharp, and none.

    Args:
        image: float32 ``[3, height, width]`` in 0..1.
        boxes: ``[objects, 4]``, ``x0, y0, x1, y1`` in pixels.
        others: uint8 ``[pictures, 3, height, width]``, of the same size.
        their_boxes: of each of them; patches have none of their objects in them.
    """
    chance = np.random.default_rng((_PATCH, seed, epoch, place))
    image, (height, width) = image.clone(), image.shape[1:]
    own = boxes.cpu().numpy()
    for _ in range(PATCHES):
        box = chance.choice(own if len(own) else _NO_BOX)
        w, h = (int(side * 2 ** chance.uniform(-0.5, 1)) for side in box[2:] - box[:2])
        w, h = min(max(w, _LEAST_SIDE), width // 2), min(max(h, _LEAST_SIDE), height // 2)
        source = int(chance.integers(len(others)))
        there = _free(chance, (w, h), (width, height), own)
        here = _free(chance, (w, h), (width, height), their_boxes[source].cpu().numpy())
        if there and here:
            patch = others[source, :, here[1] : here[1] + h, here[0] : here[0] + w].float() / 255
            if patch.std() >= _LEAST_CONTRAST:
                image[:, there[1] : there[1] + h, there[0] : there[0] + w] = patch
    return image


def _free(
    chance: np.random.Generator, patch: tuple[int, int], canvas: tuple[int, int], boxes: np.ndarray
) -> tuple[int, int] | None:
    """A corner from which a patch touches no box, if one is soon found."""
    for _ in range(_TRIES):
        x, y = (int(chance.integers(canvas[side] - patch[side] + 1)) for side in (0, 1))
        across = (boxes[:, 0] < x + patch[0]) & (x < boxes[:, 2])
        if not (across & (boxes[:, 1] < y + patch[1]) & (y < boxes[:, 3])).any():
            return x, y
    return None
