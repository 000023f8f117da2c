"""The clock runs in the middle of a stream, and counts what is handed over meanwhile."""

from collections.abc import Iterator

import pytest
import torch

from benchmarks import speed_clock
from benchmarks.speed_clock import Side, turn
from rinr.training.pictures import Batch


def test_a_turn_times_the_middle_of_a_longer_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(speed_clock.time, "perf_counter", lambda: now[0])
    given: list[int] = []
    used: list[int] = []

    def loader(number: int, augment: bool) -> Iterator[Batch]:
        assert augment
        for index in range(number):
            now[0] += 100 if index < 5 else 1  # the first ones are slow: workers start
            given.append(index)
            yield Batch(torch.full((2, 3, 8, 8), float(index)), [])

    def use(batch: Batch) -> None:
        now[0] += 10
        used.append(int(batch.images[0, 0, 0, 0]))

    spent = turn(Side("", "", loader, 4, 0.0), 3, True, use, torch.device("cpu"))
    assert spent.wall == 3 * (1 + 10) / (3 * 2)
    assert used == list(range(5 + 3))
    assert given == list(range(5 + 3 + 4))
