import re
from itertools import pairwise

import pytest

from benchmarks.results.charts import HEIGHT, WIDTH, Point, Series, chart, legend


def test_points_lie_in_the_chart_in_the_order_of_their_values() -> None:
    points = tuple(Point(10.0**power, 20.0 + power, f"<{power}>") for power in range(1, 5))
    svg = chart([Series("a & b", points, ours=True)], "name", "bytes", "dB")
    circles = [(float(x), float(y)) for x, y in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', svg)]
    assert len(circles) == len(points)
    steps = [(right - left, below - above) for (left, below), (right, above) in pairwise(circles)]
    assert all(x == pytest.approx(steps[0][0], abs=0.2) and x > 0 for x, _ in steps)  # a logarithm: equal factors
    assert all(y == pytest.approx(steps[0][1], abs=0.2) and y > 0 for _, y in steps)
    assert all(0 < x < WIDTH and 0 < y < HEIGHT for x, y in circles)
    assert "<title>&lt;1&gt;</title>" in svg
    assert "a &amp; b" in legend([Series("a & b", points)])


def test_bars_reach_from_the_lowest_to_the_highest() -> None:
    svg = chart([Series("a", (Point(100, 5, "", 2, 9), Point(200, 6, "", 6, 6)), joined=False)], "name", "x", "y")
    assert len(re.findall('class="bar"', svg)) == 2
    assert 'class="line"' not in svg


def test_one_point_is_a_chart_and_none_is_refused() -> None:
    assert "<circle" in chart([Series("a", (Point(100, 5, ""),))], "name", "x", "y")
    with pytest.raises(ValueError, match="no point"):
        chart([Series("a", ())], "name", "x", "y")
