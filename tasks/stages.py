"""How long each stage of a run took, and the run so far."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from prefect.context import FlowRunContext


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


def seconds_so_far() -> float:
    """Seconds since the flow run began that this is called in; 0 outside of one."""
    context = FlowRunContext.get()
    return (datetime.now(UTC) - context.start_time).total_seconds() if context else 0.0


def rate(count: int, seconds: float) -> str:
    """So many in so many seconds, in words: ``36 images in 12.3 s, 2.9 images/s``."""
    shown = f"{count:,} images in {seconds:.1f} s"
    return f"{shown}, {count / seconds:.1f} images/s" if count and seconds > 0 else shown
