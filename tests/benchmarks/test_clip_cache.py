"""What was measured is measured once, and is told apart by all that it depends on."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.clip_cache import Cache


@dataclass(frozen=True)
class Measured:
    size: float
    why: tuple[str, ...]


def test_a_measurement_is_kept_and_another_key_is_another_one(tmp_path: Path) -> None:
    made: list[float] = []

    def make() -> Measured:
        made.append(1.5)
        return Measured(sum(made), ("a", "b"))

    first = Cache(tmp_path / "cache").get(Measured, "one/2 x", "key", make)
    assert Cache(tmp_path / "cache").get(Measured, "one/2 x", "key", make) == first == Measured(1.5, ("a", "b"))
    assert Cache(tmp_path / "cache").get(Measured, "one/2 x", "other", make) == Measured(3.0, ("a", "b"))
    assert Cache(None).get(Measured, "one/2 x", "key", make) == Measured(4.5, ("a", "b"))
    assert len(list((tmp_path / "cache").iterdir())) == 2
