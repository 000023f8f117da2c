import math

import numpy as np
import pytest

from rinr.boxes import Box
from rinr.metrics import MAX_DB, frame_psnr, mean_db, object_mask, psnr


def test_psnr_of_a_hand_worked_case():
    # One value of 12 is off by 6: the mean squared error is 3.
    a = np.zeros((2, 2, 3), np.uint8)
    b = a.copy()
    b[0, 0, 0] = 6
    assert psnr(a, b) == pytest.approx(10 * math.log10(65025 / 3))
    assert psnr(b, a) == psnr(a, b)
    assert psnr(a, a) == MAX_DB


def test_background_and_objects_are_told_apart_over_the_union_of_the_boxes():
    reference = np.zeros((10, 10, 3), np.uint8)
    decoded = reference.copy()
    boxes = (Box(0, 0, 4, 4, "a"), Box(2, 2, 4, 4, "b"))  # union: 16 + 16 - 4 = 28 pixels
    assert object_mask((10, 10), boxes).sum() == 28
    decoded[1, 1] = 10  # inside
    decoded[9, 9] = 20  # outside
    background, inside = frame_psnr(reference, decoded, boxes)
    assert inside == pytest.approx(10 * math.log10(65025 / (100 / 28)))
    assert background == pytest.approx(10 * math.log10(65025 / (400 / 72)))


def test_what_is_not_there_has_no_value():
    a = np.zeros((4, 4, 3), np.uint8)
    assert frame_psnr(a, a, ()) == (MAX_DB, None)
    assert frame_psnr(a, a, (Box(0, 0, 4, 4, "all"),)) == (None, MAX_DB)
    assert mean_db([None, 20.0, 30.0]) == 25
    assert mean_db([None]) is None


def test_shapes_must_be_equal():
    with pytest.raises(ValueError, match="shapes must be equal"):
        psnr(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 3, 3), np.uint8))
