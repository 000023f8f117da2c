import io
from dataclasses import replace

import pytest
from PIL import Image

from rinr.curves import REFERENCE, Curve, Point, bd_rate, compared, controls, draw, ladder, point
from rinr.presets import find_preset
from tests.conftest import frame

REFERENCE_POINTS = [(1_000, 30.0), (2_000, 33.0), (4_000, 36.0), (8_000, 38.0)]


def test_half_the_bytes_everywhere_are_minus_50_per_cent():
    assert bd_rate(REFERENCE_POINTS, [(size / 2, db) for size, db in REFERENCE_POINTS]) == pytest.approx(-50)
    assert bd_rate(REFERENCE_POINTS, REFERENCE_POINTS) == pytest.approx(0)


def test_lines_by_hand():
    # ln bytes = ln 1000 + (dB - 30) ln 2 / 3 against ln bytes = ln 1000 + (dB - 31) ln 2 / 3 + ln 2 (dB - 31) / 6,
    # which both reach 31 to 33 dB. The mean of their difference there is -ln 2 / 3 + (ln 2 / 6) * 1 = -ln 2 / 6.
    reference = [(1_000, 30.0), (2_000, 33.0)]
    tested = [(1_000, 31.0), (1_000 * 2 ** (1 + 0.5), 34.0)]
    assert bd_rate(reference, tested) == pytest.approx(100 * (2 ** (-1 / 6) - 1))


def test_the_cubic_goes_through_four_points():
    # Bytes whose logarithm is a cubic of the PSNR, ten times as many: +900 %, whatever four points are taken.
    def size(db):
        return 2.718281828459045 ** (7 + 0.1 * (db - 30) + 0.01 * (db - 30) ** 3)

    reference = [(size(db), db) for db in (28, 30, 33, 35)]
    tested = [(10 * size(db), db) for db in (29, 31, 32, 34.5)]
    assert bd_rate(reference, tested) == pytest.approx(900)


def test_curves_that_never_meet_have_no_rate():
    assert bd_rate(REFERENCE_POINTS, [(10, 20.0), (20, 25.0)]) is None
    assert bd_rate(REFERENCE_POINTS, [(10, 35.0)]) is None


def test_a_ladder_has_the_preset_in_its_middle_and_rises(tiny):
    rungs = ladder(tiny)
    assert rungs[len(rungs) // 2] == tiny
    widths = [rung.background.shape.width for rung in rungs]
    assert widths == sorted(set(widths))
    steps = [rung.background.step for rung in ladder(find_preset("balanced"))]
    assert steps == sorted(set(steps), reverse=True)
    assert [rung.background.quality for rung in ladder(find_preset("webp:20+80"))] == [10, 14, 20, 29, 40]


def test_curves_are_measured_compared_and_drawn():
    frames = [frame(0), frame(1)]
    curves = [
        Curve(name, tuple(point(rung, frames) for rung in rungs))
        for name, rungs in controls().items()
        if "AVIF" not in name
    ]
    curves = compared(curves)
    reference = next(curve for curve in curves if curve.name == REFERENCE)
    assert reference.background_bd_rate == pytest.approx(0)
    assert reference.object_bd_rate == pytest.approx(0)
    image = Image.open(io.BytesIO(draw(curves, "two frames")))
    assert image.format == "PNG"
    assert image.width > 2 * 400


def test_frames_without_boxes_have_one_panel_only():
    points = (Point("a", 100, 20.0, None), Point("b", 200, 25.0, None))
    (curve,) = compared([Curve(REFERENCE, points)])
    assert curve == replace(curve, background_bd_rate=pytest.approx(0), object_bd_rate=None)
    assert draw([curve], "")
