"""A radio that all links share: so many bytes a second for all of them, a delay, and segments that are sent again."""

import asyncio
import random
from dataclasses import dataclass

SEGMENT = 1_448
"""Bytes of a TCP segment on Ethernet: what is lost is lost in such pieces."""


@dataclass(frozen=True)
class Shape:
    """How a radio behaves.

    Attributes:
        rate: bytes a second, all links and both directions together; ``None``: as fast as the machine.
        delay: seconds one way.
        loss: share of segments that are lost, and sent again until they arrive, 0 to 1 (1 excluded).
        seed: of what is lost.
    """

    rate: float | None = 2_000_000.0
    delay: float = 0.02
    loss: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rate is not None and not self.rate > 0:
            raise ValueError(f"the rate is {self.rate}, expected bytes a second, more than 0")
        if not 0 <= self.delay <= 60:
            raise ValueError(f"the delay is {self.delay}, expected 0 to 60 seconds")
        if not 0 <= self.loss < 1:
            raise ValueError(f"the loss is {self.loss}, expected a share from 0 to below 1")


class Radio:
    """One channel on which one sends at a time, within one event loop.

    Who wants to send takes the next free stretch of time that its bytes need: nobody is preferred, and waking up late
    loses nothing, since the stretches follow one another whoever sleeps.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._random = random.Random(shape.seed)
        self._free_at = 0.0

    async def send(self, count: int) -> tuple[int, float]:
        """Wait until so many bytes have been sent, those that were lost again.

        Returns:
            Bytes that were sent again, and when the last one arrives, in the loop's time.
        """
        again = self._lost(count)
        now = asyncio.get_running_loop().time()
        if self.shape.rate is not None:
            self._free_at = max(self._free_at, now) + (count + again) / self.shape.rate
            await asyncio.sleep(self._free_at - now)
            now = max(now, self._free_at)
        # That a segment is missing is known one round trip later.
        late = 2 * self.shape.delay if again else 0.0
        return again, now + self.shape.delay + late

    def _lost(self, count: int) -> int:
        """Bytes of segments that do not arrive at first, as often as they do not."""
        again = 0
        for start in range(0, count, SEGMENT) if self.shape.loss else ():
            while self._random.random() < self.shape.loss:
                again += min(SEGMENT, count - start)
        return again
