"""Progress that can be looked at while a run goes on."""

import time
from typing import cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

# The server writes each update to its database.
_SECONDS_BETWEEN = 2.0


class Progress:
    """A progress artifact, updated every few seconds at most.

    Args:
        key: of the artifact: lower-case letters, digits and hyphens.
        what: words for what is counted.
        total: how many there are.
    """

    def __init__(self, key: str, what: str, total: int) -> None:
        self._what = what
        self._total = max(total, 1)
        self._done = 0
        self._artifact = cast(UUID, create_progress_artifact(0.0, key=key, description=self._description()))
        self._updated = time.monotonic()

    def advance(self, count: int) -> None:
        """Say that ``count`` more are done."""
        self.reach(self._done + count)

    def reach(self, done: int) -> None:
        """Say that ``done`` are done in all."""
        self._done = min(done, self._total)
        now = time.monotonic()
        if self._done < self._total and now - self._updated < _SECONDS_BETWEEN:
            return
        self._updated = now
        update_progress_artifact(self._artifact, 100 * self._done / self._total, description=self._description())

    def _description(self) -> str:
        return f"{self._done} of {self._total} {self._what}"
