"""docs/security.md: the tests that it names are there, and are run."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)


def test_every_test_that_it_names_is_there() -> None:
    assert len(NAMED) > 25
    for path, name in NAMED:
        assert (ROOT / path).is_file(), path
        assert re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.MULTILINE), f"{path}::{name}"


def test_every_row_of_what_an_evil_one_tries_names_one() -> None:
    section = PAGE.split("## What an evil one can do, and what not")[1].split("## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ") and not line.startswith("| who ")]
    assert len(rows) > 15
    for row in rows:
        assert "::test_" in row, row


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE):
        assert target.startswith("http") or (ROOT / "docs" / target).exists(), target
