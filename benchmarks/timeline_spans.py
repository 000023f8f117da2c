"""What was done when, by whom: spans of processes and of the accelerator on one clock."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from benchmarks.speed_clock import settle


@dataclass(frozen=True)
class Span:
    """Something that was done, on the clock that all processes of a machine share.

    Attributes:
        lane: who did it.
        name: one of :data:`benchmarks.timeline_picture.COLOURS`.
        start: seconds.
        stop: seconds.
    """

    lane: str
    name: str
    start: float
    stop: float


@dataclass
class Recorder:
    """Collects spans of this process and, on a GPU, of the accelerator."""

    device: torch.device
    spans: list[Span] = field(default_factory=list)
    _events: list[tuple[str, Any, Any]] = field(default_factory=list)
    _base: tuple[float, Any] | None = None

    def start(self) -> None:
        """Forget what was; from here on the accelerator's clock is tied to the host's."""
        self.spans, self._events = [], []
        if self.device.type == "cuda":
            settle(self.device)
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            event.synchronize()
            self._base = time.perf_counter(), event

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """What is done within is one span."""
        began = time.perf_counter()
        events = [torch.cuda.Event(enable_timing=True) for _ in range(2)] if self.device.type == "cuda" else []
        if events:
            events[0].record()
        yield
        if events:
            events[1].record()
            self._events.append((name, *events))
        self.spans.append(Span("main process", name, began, time.perf_counter()))

    def all(self) -> list[Span]:
        """Of both lanes."""
        if not self._base:
            return self.spans
        settle(self.device)
        zero, base = self._base
        on_device = [
            Span("accelerator", name, *(zero + base.elapsed_time(event) / 1000 for event in (first, last)))
            for name, first, last in self._events
        ]
        return self.spans + on_device


@dataclass(frozen=True)
class Half:
    """One half of the picture: a pipeline's spans from the start of a step, and when each of its steps ended."""

    title: str
    spans: Sequence[Span]
    ends: Sequence[float]
