"""Curves are read as by hand, steps lie between those that were measured, and a way adds what its streams take."""

import math

import pytest

from benchmarks.clip_curves import Curve, Point, Way, joined
from benchmarks.clip_payloads import Sent, scaled
from benchmarks.clip_report import Target, steps_for
from rinr.presets import find_preset


def _curve(*points: tuple[float, float]) -> Curve:
    return Curve((tuple(Point(str(size), size, db) for size, db in points),))


def test_bytes_between_points_lie_on_a_line_of_their_logarithms() -> None:
    curve = _curve((100, 20), (400, 24))
    assert curve.at(22) == pytest.approx(200)
    assert curve.at(23) == pytest.approx(100 * 4**0.75)
    assert curve.at(24) == pytest.approx(400)


def test_below_a_curve_its_cheapest_point_is_taken_and_above_it_nothing() -> None:
    curve = _curve((100, 20), (400, 24))
    assert curve.at(10) == 100
    assert curve.at(24.01) is None
    assert Curve(()).at(0) is None


def test_of_several_ladders_the_cheapest_counts_and_none_is_read_across() -> None:
    curve = joined([_curve((100, 20), (400, 24)), _curve((150, 21), (160, 23))])
    assert curve.at(20.5) == pytest.approx(100 * 4**0.125)
    assert curve.at(22) == pytest.approx(math.sqrt(150 * 160))
    assert curve.at(24) == pytest.approx(400)


def test_points_that_others_beat_in_both_are_left_out() -> None:
    curve = _curve((300, 21), (100, 20), (200, 22), (500, 22), (400, 24))
    assert [(p.bytes_a_frame, p.db) for p in curve.best] == [(100, 20), (200, 22), (400, 24)]
    assert curve.at(21) == pytest.approx(math.sqrt(100 * 200))


def test_a_way_adds_what_its_streams_take_unless_one_stream_has_both_for_less() -> None:
    streams = _curve((100, 20), (400, 24)), _curve((10, 30), (90, 34))
    assert Way("two", *streams).at(22, 32) == pytest.approx(200 + 30)
    assert Way("two", *streams, whole=((220, 22, 32), (150, 22, 31.9))).at(22, 32) == 220
    assert Way("two", *streams).at(25, 32) is None
    assert Way("two", *streams, whole=((999, 25, 33),)).at(25, 32) == 999


def test_steps_are_found_between_factors_for_each_psnr_apart() -> None:
    points = [
        (factor, Sent("", 0, 0, 25 - math.log2(factor), 33 - 2 * math.log2(factor))) for factor in (2.0, 1.0, 0.5)
    ]
    assert steps_for(points, Target("", 0, 25.5, 32)) == pytest.approx((2**-0.5, 2**0.5), abs=1e-3)
    assert steps_for(points, Target("", 0, 26.1, 32)) is None


def test_a_scaled_preset_scales_bases_and_what_frames_add_as_backgrounds() -> None:
    clip = find_preset("clip")
    coarse = scaled(clip, 2, 0.5)
    assert clip.clip is not None
    assert coarse.clip is not None
    assert coarse.background.step == 2 * clip.background.step  # type: ignore[union-attr]
    assert coarse.clip.base.steps == tuple(2 * step for step in clip.clip.base.steps)  # type: ignore[union-attr]
    assert coarse.clip.background.step == 2 * clip.clip.background.step  # type: ignore[union-attr]
    assert coarse.objects[0].network.step == clip.objects[0].network.step / 2  # type: ignore[union-attr]
