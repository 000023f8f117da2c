"""Runs of pending images: whole runs in batches, by camera, time and the numbers in names."""

from datetime import UTC, datetime, timedelta

import pytest

from storage.clip_runs import of_devices, packed, runs, seconds
from storage.tables import Pending
from tests.storage.examples import digest

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def pending(after: float | None, name: str = "", device: str = "cam-a") -> Pending:
    path = name or f"{after}.jpg"
    captured_at = None if after is None else NOON + timedelta(seconds=after)
    return Pending(digest(f"{device} {path}"), digest("labels"), b"[]", None, device, path, captured_at)


def times(found: list[list[Pending]]) -> list[list[float]]:
    return [[(one.captured_at - NOON).total_seconds() for one in run if one.captured_at] for run in found]


def test_a_run_ends_where_time_leaps_or_another_camera_begins() -> None:
    images = [pending(after) for after in (5.0, 0.0, 0.5, 7.0, 1.0)]
    others = [pending(0.75, device="cam-b")]
    assert times(runs([*others, *images], 2.0)) == [[0.0, 0.5, 1.0], [5.0, 7.0], [0.75]]
    assert times(runs(images, 0.4)) == [[0.0], [0.5], [1.0], [5.0], [7.0]]


def test_of_equal_times_and_of_none_names_count_as_cameras_do() -> None:
    names = ["f10.jpg", "f9.jpg", "f1.jpg", "f100.jpg"]
    for after in (3.0, None):
        (run,) = runs([pending(after, name) for name in names], 2.0)
        assert [one.path for one in run] == ["f1.jpg", "f9.jpg", "f10.jpg", "f100.jpg"]
    assert [len(run) for run in runs([pending(None, "a"), pending(-1e9, "b")], 2.0)] == [1, 1]


@pytest.mark.parametrize(
    ("lengths", "size", "most", "batches"),
    [
        ([10], 4, 32, [[10]]),  # a run is in one batch, however small batches are
        ([3, 3, 3], 6, 32, [[3, 3], [3]]),
        ([33], 4, 32, [[16], [17]]),
        ([100], 64, 32, [[50], [50]]),
        ([1] * 7, 3, 32, [[1, 1, 1], [1, 1, 1], [1]]),
        ([2, 40, 2], 4, 32, [[2], [20], [20], [2]]),
        ([], 4, 32, []),
    ],
)
def test_batches_hold_whole_runs(lengths: list[int], size: int, most: int, batches: list[list[int]]) -> None:
    found = [[pending(1000.0 * number + index) for index in range(length)] for number, length in enumerate(lengths)]
    made = list(packed(found, size, most))
    assert [one for batch in made for one in batch] == [one for run in found for one in run]
    assert [[len(run) for run in runs(batch, 2.0)] for batch in made] == batches


def test_a_batch_by_its_cameras() -> None:
    one, two, three = pending(2.0), pending(1.0, device="cam-b"), pending(1.0)
    assert of_devices([one, two, three]) == {"cam-a": [three, one], "cam-b": [two]}
    assert seconds(one) == NOON.timestamp() + 2
    assert seconds(pending(None, "x")) is None
