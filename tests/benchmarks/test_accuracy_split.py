from pathlib import Path

import pytest

from benchmarks.accuracy_split import blocks, divide, new_sequence
from rinr.folders import LabelledFolder


def folder(name: str, count: int) -> LabelledFolder:
    path = Path("/frames") / name
    return LabelledFolder(path, tuple(path / f"{number:03}.jpg" for number in range(count)), {})


def test_blocks_of_time_with_a_gap() -> None:
    assert blocks(100) == (range(55), range(70, 100))
    assert blocks(5) == (range(2), range(3, 5))
    with pytest.raises(ValueError, match="2 frames"):
        blocks(2)


@pytest.mark.parametrize("count", [5, 6, 7, 16, 64, 113, 140, 1000])
def test_every_test_frame_is_later_and_never_a_neighbour(count: int) -> None:
    sequence = new_sequence(folder("one", count), train=16, test=20)
    last, first = int(sequence.train[-1].stem), int(sequence.test[0].stem)
    assert first - last >= 2
    assert len(sequence.train) <= 16
    assert len(sequence.test) <= 20
    assert list(sequence.train + sequence.test) == sorted(sequence.train + sequence.test)


def test_a_sequence_that_is_too_short_is_named() -> None:
    with pytest.raises(ValueError, match="/frames/short: 2 frames cannot be split"):
        new_sequence(folder("short", 2), 16, 20)


def test_new_ones_and_others() -> None:
    folders = [folder(name, 10) for name in ("c", "a", "b")]
    new, others = divide(folders, ["b", "c"])
    assert [one.name for one in new] == ["b", "c"]
    assert [one.name for one in others] == ["a"]
    with pytest.raises(ValueError, match="no sequence is named d; there are a, b, c"):
        divide(folders, ["d"])
    with pytest.raises(ValueError, match="at least one has to be left"):
        divide(folders, ["a", "b", "c"])
