"""A camera that moves by a known number of pixels is found to, and what stands still stands."""

import numpy as np
import pytest

from benchmarks.clip_motion import SLOW, camera_speed
from benchmarks.clip_sequences import Sequence
from rinr.frames import Frame


def _run(step: tuple[int, int], count: int = 5) -> Sequence:
    """Windows of 96x80 on one large picture, ``step`` pixels across and down from each other."""
    noise = np.random.default_rng(1).normal(size=(200, 240, 3))
    smooth = sum(np.roll(noise, (dy, dx), (0, 1)) for dy in range(4) for dx in range(4))
    large = (128 + 20 * smooth).clip(0, 255).astype(np.uint8)
    places = [(40 + number * step[1], 40 + number * step[0]) for number in range(count)]
    frames = [Frame("", "", large[y : y + 80, x : x + 96], (), (96, 80)) for y, x in places]
    return Sequence("run", tuple(frames))


@pytest.mark.parametrize("step", [(3, 0), (0, 5), (-4, 3)])
def test_shifts_are_found_in_either_direction(step: tuple[int, int]) -> None:
    assert camera_speed(_run(step)) == pytest.approx(np.hypot(*step) / 96, abs=0.3 / 96)


def test_a_camera_that_stands_still_is_slow() -> None:
    assert camera_speed(_run((0, 0))) < SLOW < camera_speed(_run((2, 0)))
