"""The published documents say what the records say, and the page stands alone."""

import re

import pytest

from benchmarks import records
from benchmarks.results.claims import CLAIMS
from benchmarks.results.documents import PAGE, RESULTS, ROOT, documents
from benchmarks.results.judging import rows
from benchmarks.results.page import page
from benchmarks.results.prose import inline, misses

MOST_BYTES = 3_000_000


@pytest.fixture(scope="module")
def found() -> dict[str, records.Record]:
    return records.read_all()


@pytest.fixture(scope="module")
def text() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_no_document_differs_from_the_records(found: dict[str, records.Record]) -> None:
    made = documents(found)
    assert not made.problems
    for path, words in made.texts.items():
        assert path.read_text(encoding="utf-8") == words, f"{path.relative_to(ROOT)}: run python -m benchmarks.results"


def test_the_page_needs_nothing_beside_it(text: str) -> None:
    loaded = re.findall(
        r"""(?:src|srcset|poster|data|action)\s*=\s*["']([^"']*)|url\(([^)]*)\)|@import|<link\b""", text
    )
    assert all(one.startswith("data:") for one, _ in loaded)
    assert not [other for _, other in loaded if other]
    assert "@import" not in text
    assert "<link" not in text
    assert not re.search(r"\b(fetch|XMLHttpRequest|import)\s*\(", text)
    assert len(text.encode()) < MOST_BYTES


def test_links_lead_to_files_or_places_of_the_page(text: str) -> None:
    for target in re.findall(r'href="([^"]*)"', text):
        if target.startswith("#"):
            assert f'id="{target[1:]}"' in text, target
        else:
            assert (PAGE.parent / target).exists(), target


def test_every_claim_stands_on_the_page_with_its_numbers(text: str, found: dict[str, records.Record]) -> None:
    for claim, row in zip(CLAIMS, rows(found), strict=True):
        start = text.index(f'<th scope="row">{inline(claim.words)}')
        line = text[start : text.index("</tr>", start)]
        for words in (row.ours, row.paper, row.control, row.verdict, row.hardware, row.date):
            assert inline(words) in line, (claim.words, words)


def test_every_value_of_every_record_stands_on_the_page(text: str, found: dict[str, records.Record]) -> None:
    for record in found.values():
        start = text.index(f'id="record-{record.name}"')
        part = text[start : text.index("</details>", start)]
        assert len(re.findall(r"<tr><td>", part)) == len(record.values)


def test_pictures_are_told_to_those_who_do_not_see_them(text: str) -> None:
    assert all(re.search(r'alt="[^"]+"', image) for image in re.findall(r"<img[^>]*>", text))
    assert all('role="img" aria-label="' in svg for svg in re.findall(r"<svg[^>]*>", text))


def test_a_page_of_no_records_says_so() -> None:
    empty = page({}, RESULTS.read_text(encoding="utf-8"), PAGE.parent)
    assert empty.count("not measured") > len(CLAIMS)
    assert "<svg" not in empty
    assert "data:image" not in empty


def test_misses_are_found_in_prose_and_not_in_tables() -> None:
    document = "## One\n\n- **A miss:** `a<b` is\n  [slow](x.md).\n- fine\n\n| **missed** |\n\n"
    document += "## Two\n\nIt is **a miss**, by 2.\n"
    assert [(miss.section, miss.html) for miss in misses(document)] == [
        ("One", "<strong>A miss:</strong> <code>a&lt;b</code> is slow."),
        ("Two", "It is <strong>a miss</strong>, by 2."),
    ]
