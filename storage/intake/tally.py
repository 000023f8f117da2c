"""The tally of a run of ingestion: rows are committed together as they come, and counted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from storage.intake.outcomes import Outcome
from storage.quarantine import refuse
from storage.store import Store
from storage.tables import Refusal, Source

CHUNK = 256
"""Files that are landed before their rows are committed together."""

MAX_NOTES = 300
"""Notes of one report; of more only the number is said."""


@dataclass
class Tally:
    """What a run has done so far.

    Attributes:
        store: where rows are written.
        new: rows of ``sources`` written.
        overtaken: rows of ``sources`` that another run had written already.
        refused: rows of ``quarantine`` written.
        waiting: files whose labels are broken.
        left: files for the next run.
        bytes: of the pictures that were taken.
    """

    store: Store
    new: int = 0
    overtaken: int = 0
    refused: int = 0
    waiting: int = 0
    left: int = 0
    bytes: int = 0
    _rows: list[Source | Refusal] = field(default_factory=list)
    _notes: list[str] = field(default_factory=list)
    _more_notes: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count what became of a file; its row is committed with others.

        Raises:
            StoreError: the store cannot be written.
        """
        self.waiting += outcome.waits
        self.left += outcome.left
        self.note(outcome.notes)
        if outcome.row:
            self._rows.append(outcome.row)
        if len(self._rows) >= CHUNK:
            self.commit()

    def commit(self) -> None:
        """Write the rows that were added.

        Raises:
            StoreError: the store cannot be written.
        """
        sources = [row for row in self._rows if isinstance(row, Source)]
        added = self.store.append(sources)
        self.bytes += sum(source.size for source in sources)
        self.new += added
        self.overtaken += len(sources) - added
        self.refuse([row for row in self._rows if isinstance(row, Refusal)])
        self._rows = []

    def refuse(self, refusals: Sequence[Refusal]) -> None:
        """Write refusals at once.

        Raises:
            StoreError: the store cannot be written.
        """
        self.refused += refuse(self.store, refusals)

    def note(self, notes: Iterable[str]) -> None:
        """Keep the first notes, and the number of the others."""
        for note in notes:
            if len(self._notes) < MAX_NOTES:
                self._notes.append(note)
            else:
                self._more_notes += 1

    @property
    def notes(self) -> tuple[str, ...]:
        """At most :data:`MAX_NOTES`, and the number of the others."""
        more = [f"and {self._more_notes:,} more notes like these"] if self._more_notes else []
        return (*self._notes, *more)
