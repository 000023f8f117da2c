import math

import numpy as np
import pytest
import torch

from rinr.training.augment import USUAL, Augmentation, Looks, follow, plain, views
from rinr.training.resampling import look_at

CANVAS = (96, 64)


def painted(box):
    """A dark picture with a white box."""
    picture = torch.full((1, 3, CANVAS[1], CANVAS[0]), 0.2)
    x0, y0, x1, y1 = box
    picture[:, :, y0:y1, x0:x1] = 1
    return picture


def shown(picture, looks):
    """One picture that fills the canvas, in other light and from elsewhere."""
    through = views(looks.maps, np.array([CANVAS] * len(picture)), CANVAS)
    return looks.light(look_at(picture, through, CANVAS, 0.5))


def boxes_of(boxes, looks):
    corners, kept = follow(np.array(boxes, dtype=float), looks.maps.repeat(len(boxes), axis=0), CANVAS)
    return corners[kept]


@pytest.mark.parametrize("turn", [0.0, 8.0])
def test_boxes_follow_what_they_enclose(turn):
    box = (30, 22, 54, 40)
    seen = set()
    for place in range(30):
        looks = Augmentation(turn=turn).draw([place], CANVAS, seed=1, epoch=0)
        light = shown(painted(box), looks)[0].mean(0)
        bright = light > (light.max() + 0.5) / 2  # grey comes in from outside
        y, x = torch.nonzero(bright, as_tuple=True)
        ((x0, y0, x1, _),) = boxes_of([box], looks)
        # The object is its box here, corners and all: turned, they stick out of the label.
        out = 1.5 + 1.3 * 9 * math.sin(math.radians(turn))
        assert -1.5 <= x0 - x.min() <= out
        assert -1.5 <= x.max() + 1 - x1 <= out
        assert -1.5 <= y0 - y.min() <= 1.5 + 1.3 * 12 * math.sin(math.radians(turn))
        if not turn:
            zoom = (x1 - x0) / 24
            assert 1 / USUAL.zoom - 0.01 < zoom < USUAL.zoom + 0.01
            assert abs((x0 + x1) / 2 - 48) <= 6 * USUAL.zoom + USUAL.move * 96
            seen.add(((x0 + x1) / 2 < 48, zoom > 1))
    assert turn or len(seen) == 4  # to both sides, larger and smaller


def test_a_turned_ellipse_touches_its_box():
    angle = math.radians(10)
    maps = np.array([[[math.cos(angle), -math.sin(angle), 5], [math.sin(angle), math.cos(angle), -3]]])
    ((x0, y0, x1, y1),), (kept,) = follow(np.array([[30.0, 20, 70, 40]]), maps, (1000, 1000))
    phase = np.linspace(0, 2 * math.pi, 100_000)
    rim = np.stack([50 + 20 * np.cos(phase), 30 + 10 * np.sin(phase), np.ones_like(phase)])
    x, y = maps[0] @ rim
    np.testing.assert_allclose([x0, y0, x1, y1], [x.min(), y.min(), x.max(), y.max()], atol=1e-6)
    assert kept


def test_a_look_with_all_bounds_closed_changes_nothing():
    nothing = Augmentation(mirror=0, zoom=1, move=0, turn=0, light=0)
    looks = nothing.draw([0, 1], CANVAS, seed=3, epoch=2)
    np.testing.assert_allclose(looks.maps, plain(2), atol=1e-12)
    pictures = torch.rand(2, 3, 64, 96)
    torch.testing.assert_close(shown(pictures, looks), pictures, atol=1e-5, rtol=0)


def test_views_take_the_letterbox_with_them():
    # A frame of 36x48 pixels on a canvas of 96x64, shown at half its size, ten pixels to the right.
    maps = np.array([[[0.5, 0, 10], [0, 0.5, 0]]])
    (view,) = views(maps, np.array([[36, 48]]), CANVAS).double().numpy()
    for x, y in ((0, 0), (36, 48), (12, 5)):
        where = np.array([(10 + x / 2) / 96, y / 2 / 64, 1])
        np.testing.assert_allclose(view @ where, [x / 36, y / 48], atol=1e-6)


def test_a_turn_is_by_pixels_not_by_parts_of_the_sides():
    looks = Augmentation(mirror=0, zoom=1, move=0, turn=10, light=0).draw(range(20), CANVAS, seed=0, epoch=0)
    lengths = np.linalg.norm(looks.maps[:, :, :2], axis=1)
    np.testing.assert_allclose(lengths, 1)
    angles = np.degrees(np.arctan2(looks.maps[:, 1, 0], looks.maps[:, 0, 0]))
    assert 5 < np.abs(angles).max() <= 10
    np.testing.assert_allclose(looks.maps @ [48, 32, 1], np.tile([48, 32], (20, 1)))  # about the middle


def test_the_share_of_mirrored_pictures_is_kept():
    for share in (0.0, 0.25, 1.0):
        maps = Augmentation(mirror=share).draw(range(2000), CANVAS, seed=5, epoch=0).maps
        assert abs((maps[:, 0, 0] < 0).mean() - share) < 0.03
        assert (maps[:, 1, 1] > 0).all()


def test_light_is_of_each_picture_and_values_stay_from_0_to_1():
    pictures = torch.rand(5, 3, 32, 48)
    looks = USUAL.draw(range(5), CANVAS, seed=1, epoch=0)
    lit = looks.light(pictures.clone())
    wanted = (pictures.numpy() - 0.5) * looks.contrast[:, :, None, None] + 0.5 + looks.brightness[:, None, None, None]
    np.testing.assert_allclose(lit.numpy(), wanted.clip(0, 1), atol=1e-6)
    assert np.ptp(looks.contrast, axis=0).min() > 0.05
    assert np.abs(looks.brightness).max() <= USUAL.light


def test_boxes_are_clipped_and_dropped_once_too_little_is_left():
    numbers = set()
    for place in range(60):
        boxes = boxes_of([(0, 0, 10, 8)], USUAL.draw([place], CANVAS, seed=0, epoch=0))
        numbers.add(len(boxes))
        assert boxes.size == 0 or (boxes.min() >= 0 and boxes[0, 2] <= 96 and boxes[0, 3] <= 64)
    assert numbers == {0, 1}


def test_what_a_picture_gets_depends_on_seed_epoch_and_place_alone():
    def same(a: Looks, b: Looks) -> bool:
        return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("maps", "contrast", "brightness"))

    together = USUAL.draw([4, 7, 2], CANVAS, seed=1, epoch=3)
    alone = USUAL.draw([7], CANVAS, seed=1, epoch=3)
    assert same(Looks(together.maps[1:2], together.contrast[1:2], together.brightness[1:2]), alone)
    for other in ({"seed": 2, "epoch": 3}, {"seed": 1, "epoch": 4}):
        assert not same(alone, USUAL.draw([7], CANVAS, **other))
    assert not np.array_equal(together.maps[0], together.maps[1])


@pytest.mark.parametrize(
    ("bound", "value", "limits"),
    [("mirror", 1.5, "0 to 1"), ("zoom", 0.5, "1 to 4"), ("move", -0.1, "0 to 1"), ("turn", 90, "0 to 45")],
)
def test_bounds_that_make_no_sense_are_refused_by_name(bound, value, limits):
    with pytest.raises(ValueError, match=f"augmentation {bound} is .*, expected {limits}"):
        Augmentation(**{bound: value})
