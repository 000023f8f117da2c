"""Damage: what a verification says of a store, and the findings that it is made of."""

from collections import Counter
from dataclasses import dataclass, field

LISTED = 20
"""Findings of each table and kind that are listed; the rest is counted."""


@dataclass(frozen=True)
class Finding:
    """One thing that is damaged.

    Attributes:
        table: its name.
        kind: ``log``, ``file`` and ``row group`` (they cannot be read, or are not as written), ``row`` (it says what
            cannot be), ``duplicate`` (its key stands in an earlier row), ``part`` (what the frame shares with others
            is lost) or ``relation`` (it speaks of a row that is not there).
        file: within the table's folder, as its log names it.
        row_group: number within the file, from 0.
        row: number within the row group, from 0.
        key: the row's key in words, safe to print: ``image_id=2afc..., labels_id=...``.
        what: what is wrong.
    """

    table: str
    kind: str
    what: str
    file: str | None = None
    row_group: int | None = None
    row: int | None = None
    key: str | None = None


@dataclass(frozen=True)
class TableState:
    """What a table's snapshot consists of.

    Attributes:
        rows: those that could be read.
        files: that the snapshot names.
        bytes: of them, as the log says.
        orphans: Parquet files in the table's folder that the snapshot does not name: replaced by a compaction, or
            left behind by a refused commit. They are no damage; vacuum removes them.
        orphan_bytes: of them.
    """

    name: str
    rows: int = 0
    files: int = 0
    bytes: int = 0
    orphans: int = 0
    orphan_bytes: int = 0


@dataclass(frozen=True)
class Damage:
    """What a verification found.

    Attributes:
        url: of the store.
        version: of its schema.
        tables: in the order of :data:`storage.tables.LAYOUTS`.
        findings: at most :data:`LISTED` of each table and kind.
        counts: of all findings: table, kind, how many.
        landed: JPEGs that wait to be encoded; no damage.
        awaited: relations that a repair broke knowingly and that the next ingestion or encoding mends; no damage.
    """

    url: str
    version: int
    tables: tuple[TableState, ...]
    findings: tuple[Finding, ...]
    counts: tuple[tuple[str, str, int], ...]
    landed: int
    awaited: int

    @property
    def clean(self) -> bool:
        """Whether nothing is damaged."""
        return not self.counts


@dataclass
class Findings:
    """Findings as they come: the first of each table and kind, and how many there are of all."""

    listed: list[Finding] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def is_full(self, table: str, kind: str) -> bool:
        """Whether the next finding of a kind is only counted."""
        return self.counts[table, kind] >= LISTED

    def add(self, finding: Finding) -> None:
        """Count a finding, and list it where there is room."""
        if not self.is_full(finding.table, finding.kind):
            self.listed.append(finding)
        self.counts[finding.table, finding.kind] += 1
