"""Which documents are written from records, and their texts as the records say them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import records
from benchmarks.records import Record
from benchmarks.results.markers import rewrite
from benchmarks.results.page import page
from benchmarks.results.tables import TABLES

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results.md"
PAGE = ROOT / "docs" / "results.html"
MARKED = (ROOT / "README.md", RESULTS)
"""Documents with markers; the page is written whole."""


@dataclass(frozen=True)
class Documents:
    """All of them.

    Attributes:
        texts: by path.
        problems: markers that name nothing.
    """

    texts: Mapping[Path, str]
    problems: tuple[str, ...]


def documents(found: Mapping[str, Record]) -> Documents:
    """Every document as the records say it; nothing is written."""
    texts: dict[Path, str] = {}
    problems: list[str] = []
    for path in MARKED:
        done = rewrite(path.read_text(encoding="utf-8"), found, TABLES, str(path.relative_to(ROOT)))
        texts[path] = done.text
        problems += done.problems
    texts[PAGE] = page(found, texts[RESULTS], records.folder() / "slider")
    return Documents(texts, tuple(problems))


def write(found: Mapping[str, Record]) -> tuple[str, ...]:
    """Write every document; what is wrong with their markers."""
    made = documents(found)
    for path, text in made.texts.items():
        path.write_text(text, encoding="utf-8")
    return made.problems
