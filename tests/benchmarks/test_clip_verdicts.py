"""Promises are judged by figures that can be worked out by hand, and nothing is judged that was not measured."""

from dataclasses import replace

import pytest

from benchmarks.clip_access import Access
from benchmarks.clip_curves import Curve, Point, Way
from benchmarks.clip_report import AVIF, CLIPS, SINGLE, VIDEOS, Report, Target
from benchmarks.clip_verdicts import Verdict, verdicts


def _way(name: str, size: float) -> Way:
    """So many bytes for all that is asked here, half of them the objects'."""
    return Way(name, *(Curve(((Point("", size / 2, 99),),)) for _ in range(2)))


def _report(name: str, clips: float, speed: float = 0.0) -> Report:
    sizes = {CLIPS: clips, SINGLE: 1_000, AVIF: 800, VIDEOS[0]: 300, VIDEOS[1]: 400}
    return Report(
        name,
        32,
        speed,
        {key: _way(key, size) for key, size in sizes.items()},
        Target("JPEG", 2_000, 25, 32),
        Target("single", 1_000, 26, 31),
        None,
        None,
    )


def _found(reports: list[Report]) -> dict[str, Verdict]:
    return {verdict.claim: verdict for verdict in verdicts(reports)}


def test_medians_and_the_worst_are_those_of_the_sequences() -> None:
    found = _found([_report("a", 400), _report("b", 500), _report("c", 1_100, speed=0.1)])
    assert found["clips over two-stream JPEG at JPEG 5 + 75's PSNRs, median"].measured == pytest.approx(500 / 2_000)
    assert found["clips over our frames alone at their PSNRs, median"].met
    worst = found["clips over our frames alone, the worst sequence"]
    assert worst.measured == pytest.approx(1.1)
    assert not worst.met
    assert "2 of 3 keep it" in worst.why
    assert found[f"clips over {VIDEOS[0]} at our PSNRs, median"].measured == pytest.approx(500 / 300)


def test_slow_cameras_alone_are_held_beside_avif() -> None:
    found = _found([_report("a", 400), _report("b", 600), _report("c", 1_100, speed=0.1)])
    assert found["clips over two-stream AVIF at our PSNRs, cameras that are slow, median"].measured == 500 / 800
    assert found["clips over two-stream AVIF, cameras that are slow, the worst sequence"].measured == 600 / 800


def test_random_access_is_held_beside_the_closest_key_frames_that_cost_no_more() -> None:
    access = (
        Access(SINGLE, 900, 26, 20.0, 15.0, 2.0, 1.0),
        Access(CLIPS, 400, 26, 32.0, 25.0, 2.5, 1.3),
        Access("SVT-AV1 50/1", 300, 26, 20.0, key_distance=32),
        Access("SVT-AV1 50/1", 399, 26, 5.2, key_distance=4),
        Access("SVT-AV1 50/1", 450, 26, 1.0, key_distance=1),
        Access("x265 40/1", 500, 26, 9.0, key_distance=32),
    )
    found = _found([replace(_report("a", 400), access=access)])
    over_alone = "a random frame of a clip over one that stands alone, {}, times, median"
    parts = [found[over_alone.format(title)].measured for title in ("loaded, in a batch", "loaded", "from bytes")]
    assert parts == pytest.approx([1.3, 1.25, 1.6])
    over_video = "a random frame of a clip, loaded, in a batch, over one of {} at no more bytes or its fewest, median"
    assert found[over_video.format("SVT-AV1")].measured == pytest.approx(0.25)
    assert found[over_video.format("x265")].measured == pytest.approx(1.3 / 9)


def test_what_was_not_measured_is_not_judged() -> None:
    report = _report("a", 400)
    without = replace(report, ways={name: way for name, way in report.ways.items() if name != CLIPS})
    assert all(verdict.measured is None and verdict.met is None for verdict in verdicts([without]))
    assert all("not measured" in str(verdict) for verdict in verdicts([without]))
