"""The figures of uploads, from measurements made up here, against sums worked out by hand."""

import math

import pytest

from benchmarks.uploads import CAPTURED, Measured, figures, smaller, table
from rinr.frames import open_picture
from tests.conftest import jpeg, picture


def test_figures_are_means_over_folders_of_their_sums() -> None:
    one = {CAPTURED: [Measured(1_000, 1_000, 10, 20.0, 30.0), Measured(3_000, 3_000, 30, 22.0, None)]}
    one["webp-60"] = [Measured(1_000, 100, 10, 19.0, 29.0), Measured(3_000, 300, 30, 21.0, None)]
    two = {CAPTURED: [Measured(500, 500, 50, 30.0, 40.0)], "webp-60": [Measured(500, 200, 50, 30.0, 39.5)]}
    values = figures({"one": one, "a b": two})
    assert values["folders"] == 2
    assert values["one.captured.ratio"] == pytest.approx(9 * 4_000 / (4_000 + 9 * 40))
    assert values["a-b.webp-60.ratio"] == pytest.approx(9 * 500 / (200 + 9 * 50))
    ratios = [9 * 4_000 / (400 + 9 * 40), 9 * 500 / (200 + 9 * 50)]
    assert values["all.webp-60.ratio"] == pytest.approx(math.sqrt(ratios[0] * ratios[1]))
    assert values["all.webp-60.uploaded"] == pytest.approx(math.sqrt(0.1 * 0.4))
    assert values["all.webp-60.object"] == pytest.approx((29 + 39.5) / 2)
    assert values["all.webp-60.object-change"] == pytest.approx(-0.75)
    assert values["all.webp-60.background-change"] == pytest.approx(-0.5)
    told = table(values)
    assert "| webp-60 | 20.0 % |" in told
    assert "34.25 dB (-0.75)" in told
    assert "avif" not in told  # was not measured


def test_an_upload_is_never_larger_than_the_capture() -> None:
    rough = jpeg(picture(1, 320, 240), quality=5)
    assert smaller(rough, "webp-95") == rough
    large = jpeg(picture(1, 1280, 720))
    made = smaller(large, "avif-50")
    assert len(made) < len(large)
    assert open_picture(made).size == (640, 360)
