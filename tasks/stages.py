"""How long each stage of a run took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One stage of a run and its wall time in seconds."""

    name: str
    seconds: float


class Stopwatch:
    """Collects stages in the order in which they end."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what happens inside, whether or not it fails."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.stages.append(Stage(name, round(time.monotonic() - start, 2)))
