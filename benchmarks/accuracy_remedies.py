"""Another look at training pictures, which costs no bytes, against learning that whatever is sharp is an object.

The others that helped are the loader's: frames shown bare (:mod:`rinr.training.augment`), and patches
(:mod:`rinr.training.patches`). All numbers follow from seed, epoch and the picture's place, as those of the usual
augmentation do.
"""

import numpy as np
from torch import Tensor
from torch.nn import functional

BLURRED_SHARE, STRONGEST_BLUR = 0.5, 4.0
"""Of this share of pictures the sides are divided by 1 to so much, and multiplied again."""

_BLUR = 1  # a kind of chance


def blurred(image: Tensor, place: int, seed: int, epoch: int) -> Tensor:
    """A picture ``[3, height, width]``, in a share of all cases shrunk and enlarged."""
    share, strength = np.random.default_rng((_BLUR, seed, epoch, place)).random(2).tolist()
    if share >= BLURRED_SHARE:
        return image
    height, width = image.shape[1:]
    by = STRONGEST_BLUR**strength
    small = functional.interpolate(image[None], size=(round(height / by), round(width / by)), mode="area")
    return functional.interpolate(small, size=(height, width), mode="bilinear", align_corners=False)[0]
