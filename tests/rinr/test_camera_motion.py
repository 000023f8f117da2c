import numpy as np
import pytest
import torch

from rinr.camera_motion import STILL, Brightness, Motion, register
from tests.rinr.moving import scene, seen

SIZE = (96, 72)


def brightness(pixels, counts=None):
    return Brightness.of(torch.from_numpy(pixels).float().permute(2, 0, 1) / 255, counts)


@pytest.mark.parametrize(
    ("shift", "zoom"), [((0, 0), 1), ((2.3, -1.6), 1), ((-9, 5), 1), ((3, 2), 1.06), ((-4, 0), 0.92), ((14, 9), 1.03)]
)
def test_a_known_motion_is_found_within_half_a_pixel(shift, zoom):
    wide = scene(3, 240, 180)
    one, other = seen(wide, SIZE, (120, 90)), seen(wide, SIZE, (120 + shift[0], 90 + shift[1]), zoom)
    found = register(brightness(other), brightness(one))
    assert found.likeness > 0.95
    corner = [
        scale * side / 2 + shift
        for scale, side, shift in zip(found.motion.scale, SIZE, found.motion.shift, strict=True)
    ]
    assert corner == pytest.approx([zoom * side / 2 + moved for side, moved in zip(SIZE, shift, strict=True)], abs=0.5)
    assert found.motion.shift == pytest.approx(shift, abs=0.5)


def test_a_frame_is_found_on_a_larger_canvas():
    wide = scene(4, 200, 150)
    found = register(brightness(seen(wide, SIZE, (80, 66))), brightness(wide), Motion((1, 1), (-14, -5)))
    assert found.motion.shift == pytest.approx((80 - 100, 66 - 75), abs=0.5)


def test_what_moves_by_itself_does_not_carry_the_camera_along():
    wide = scene(5, 240, 180)
    one, other = seen(wide, SIZE, (120, 90)), seen(wide, SIZE, (122, 90))
    patch = np.random.default_rng(0).uniform(0, 255, (30, 40, 3))
    one[20:50, 20:60], other[20:50, 32:72] = patch, patch
    assert register(brightness(other), brightness(one)).motion.shift == pytest.approx((2, 0), abs=0.5)
    counts = torch.ones(72, 96)
    counts[20:50, 20:72] = 0
    hidden = register(brightness(other, counts), brightness(one, counts))
    assert hidden.motion.shift == pytest.approx((2, 0), abs=0.25)


def test_pictures_that_have_nothing_in_common_are_unlike_and_not_moved_far():
    one, other = scene(6, *SIZE), scene(7, *SIZE)
    found = register(brightness(other), brightness(one))
    assert found.likeness < 0.5
    assert all(0.5 < scale < 2 for scale in found.motion.scale)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (640, 1), (9, 200)])
def test_any_size_and_pictures_without_contrast(size):
    flat = brightness(np.full((size[1], size[0], 3), 90.0))
    found = register(flat, flat)
    assert found.motion == STILL
    assert found.likeness == pytest.approx(1)


def test_motions_are_composed_and_undone():
    one, other = Motion((1.1, 0.9), (5, -3)), Motion((0.95, 1.2), (-2, 7))
    both = one.after(other)
    assert [both.scale[0] * 10 + both.shift[0], both.scale[1] * 10 + both.shift[1]] == pytest.approx(
        [1.1 * (0.95 * 10 - 2) + 5, 0.9 * (1.2 * 10 + 7) - 3]
    )
    undone = one.inverse().after(one)
    assert (*undone.scale, *undone.shift) == pytest.approx((1, 1, 0, 0))
    assert Motion((2, 1), (3, 4)).reach((10, 6)) == (-7, 1, 13, 7)
