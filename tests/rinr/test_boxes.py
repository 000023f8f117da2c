import math

import pytest

from rinr.boxes import Annotation, Box, fit_box


def test_a_box_is_floored_at_the_top_left_and_ceiled_at_the_bottom_right():
    # 1280x720 to 640x360 halves: 101..151 becomes 50.5..75.5, so 50..76.
    box, note = fit_box(Annotation(101, 33, 50, 20, "car"), (1280, 720), (640, 360))
    assert box == Box(50, 16, 26, 11, "car")
    assert note is None


def test_exact_scaling_does_not_grow_a_box_by_rounding_error():
    for x in range(0, 1000, 10):
        box, _ = fit_box(Annotation(x * 3, 0, 30, 30, "a"), (3000, 30), (1000, 10))
        assert (box.x, box.width, box.height) == (x, 10, 10)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (Annotation(-10, -10, 30, 30, "a"), Box(0, 0, 20, 20, "a")),
        (Annotation(90, 40, 30, 30, "a"), Box(90, 40, 10, 10, "a")),
        (Annotation(-5, -5, 500, 500, "a"), Box(0, 0, 100, 50, "a")),
    ],
)
def test_a_box_that_hangs_over_is_clipped_with_a_note(given, expected):
    box, note = fit_box(given, (100, 50), (100, 50))
    assert box == expected
    assert "clipped to the picture of 100x50 px" in note


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (Annotation(100, 0, 5, 5, "a"), "outside"),
        (Annotation(-9, 0, 9, 5, "a"), "outside"),
        (Annotation(5, 5, 0, 5, "a"), "no area"),
        (Annotation(5, 5, 5, -1, "a"), "no area"),
        (Annotation(math.nan, 5, 5, 5, "a"), "not finite"),
        (Annotation(5, 5, math.inf, 5, "a"), "not finite"),
    ],
)
def test_a_box_of_which_nothing_is_inside_is_refused_with_a_note(given, reason):
    box, note = fit_box(given, (100, 50), (100, 50))
    assert box is None
    assert "refused" in note
    assert reason in note


def test_a_sliver_still_covers_a_pixel():
    box, _ = fit_box(Annotation(99.9, 49.9, 0.05, 0.05, "a"), (100, 50), (50, 25))
    assert box == Box(49, 24, 1, 1, "a")
