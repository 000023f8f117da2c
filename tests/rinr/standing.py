"""What a camera sees that stands, made here."""

import numpy as np

from tests.rinr.moving import scene


def still(seed: int, number: int) -> np.ndarray:
    """A scene, a square that moves, and noise, ``[48, 64, 3]``."""
    pixels = (scene(seed, 80, 60)[6:54, 8:72] - 128) * 2 + 128  # of such contrast that a clip is well worth it
    pixels[10 + number : 18 + number, 20:28] = (200, 30, 30)
    return (pixels + np.random.default_rng(number).normal(size=pixels.shape) * 2).round().clip(0, 255).astype(np.uint8)
