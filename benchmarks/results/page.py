"""The results page: one HTML file that needs nothing beside it, written from the records and `docs/results.md`."""

from collections import Counter
from collections.abc import Mapping
from html import escape
from itertools import groupby
from pathlib import Path
from string import Template

from benchmarks.records import Record
from benchmarks.results import drawings, sliding
from benchmarks.results.judging import MET, MISSED, UNDECIDED, Row, history, rows, stale
from benchmarks.results.markers import NOT_MEASURED
from benchmarks.results.prose import inline, misses
from benchmarks.results.tables import network_others_tables, network_tables, paper_figures, shortened

TEMPLATE = Path(__file__).with_name("page.html")
_VERDICTS = (MET, MISSED, UNDECIDED, NOT_MEASURED)


def page(found: Mapping[str, Record], document: str, pictures: Path) -> str:
    """All of it.

    Args:
        found: records by name.
        document: the text of `docs/results.md`, from which what was missed is taken.
        pictures: the folder of the slider's pictures.
    """
    judged = rows(found)
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        summary=_summary(judged),
        claims="\n".join(_topic(topic, list(each)) for topic, each in groupby(judged, lambda row: row.topic)),
        network=_tables_html(network_tables(found)),
        others=_tables_html(network_others_tables(found)),
        paper=_tables_html(paper_figures(found)),
        curves=drawings.curves(found),
        accuracy=drawings.accuracy(found),
        sliders=sliding.sliders(found, pictures),
        misses=_misses(document),
        records="\n".join(_record(record) for record in found.values()),
    )


def _summary(judged: list[Row]) -> str:
    counts = Counter(row.verdict for row in judged)
    items = (f'<li class="{_class(v)}"><b>{counts[v]}</b> {v}</li>' for v in _VERDICTS if counts[v])
    return f'<ul class="counts">{"".join(items)}</ul>'


def _topic(topic: str, judged: list[Row]) -> str:
    head = "<tr><th>claim</th><th>ours</th><th>paper</th><th>best control</th><th>verdict</th></tr>"
    body = "\n".join(map(_claim, judged))
    return f"<h3>{escape(topic)}</h3>\n<table class='claims'>\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody></table>"


def _claim(row: Row) -> str:
    measured = f'<p class="origin">{_origin(row)}</p>' if row.command or row.remark else ""
    cells = (("ours", row.ours), ("paper", row.paper), ("best control", row.control))
    data = "".join(f'<td data-label="{name}"{_title(row)}>{inline(text)}</td>' for name, text in cells)
    badge = f'<td><span class="badge {_class(row.verdict)}">{row.verdict}</span></td>'
    return f'<tr><th scope="row">{inline(row.claim)}{measured}</th>{data}{badge}</tr>'


def _title(row: Row) -> str:
    said = "; ".join(each for each in (row.command, row.hardware, row.date) if each)
    return f' title="{escape(said)}"' if said else ""


def _origin(row: Row) -> str:
    """Command, hardware and date; the whole command stands at the record that it leads to."""
    link = f'<a href="#record-{row.record}"><code>{escape(shortened(row.command))}</code></a>'
    command = link if row.date else f"<code>{escape(row.command)}</code>" if row.command else ""
    return "; ".join(each for each in (command, escape(row.hardware), row.date, inline(row.remark)) if each)


def _class(verdict: str) -> str:
    return verdict.replace(" ", "-")


def _tables_html(markdown: str) -> str:
    return "\n".join(map(_table_html, markdown.split("\n\n")))


def _table_html(markdown: str) -> str:
    """A table of Markdown as one of HTML, in a box that scrolls by itself; a paragraph where it is none."""
    lines = markdown.splitlines()
    if not lines[0].startswith("|"):
        return f"<p>{inline(markdown)}</p>"
    cells = [[inline(cell.strip()) for cell in line.strip("|").split("|")] for line in (lines[0], *lines[2:])]
    head = "".join(f"<th>{cell}</th>" for cell in cells[0])
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in cells[1:])
    return f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _misses(document: str) -> str:
    parts = []
    for section, each in groupby(misses(document), lambda miss: miss.section):
        items = "".join(f"<li>{miss.html}</li>" for miss in each)
        parts.append(f"<h3>{inline(section)}</h3>\n<ul>{items}</ul>")
    return "\n".join(parts)


def _record(record: Record) -> str:
    """Where every number of a record can be found, and what printed it."""
    software = ", ".join(f"{key.replace('_', ' ')} {version}" for key, version in record.software.items())
    missing = f"{NOT_MEASURED}: {record.not_measured}" if record.not_measured else ""
    remark = "; ".join(each for each in (missing, stale(record), history(record)) if each)
    facts = {"command": f"<code>{escape(record.command)}</code>", "hardware": escape(record.hardware)}
    asked = "; ".join(f"{key} {value}" for key, value in record.settings.items() if key != "source")
    facts |= {"date": record.date, "settings": escape(asked), "software": escape(software), "remark": inline(remark)}
    listed = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in facts.items() if text)
    values = "".join(
        f"<tr><td>{escape(name)}</td><td>{NOT_MEASURED if value is None else escape(str(value))}</td></tr>"
        for name, value in record.values.items()
    )
    table = f'<div class="scroll values" tabindex="0"><table><tbody>{values}</tbody></table></div>' if values else ""
    return (
        f'<details id="record-{record.name}"><summary><code>{record.name}</code>, {record.date}</summary>'
        f"<dl>{listed}</dl>{table}</details>"
    )
