"""Numbers and tables in documents that are written from records, between comments that readers do not see.

<!--=controls.balanced.mean.ratio|.2f-->0.80<!--/-->      a value: record, value, format
<!--=controls.balanced.mean.bytes|.1f/1000-->2.6<!--/-->  divided first
<!--table controls-->                                     a table by its name in `benchmarks/results/tables.py`
...
<!--/table-->
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.records import Record, Value

NOT_MEASURED = "not measured"

_VALUE = re.compile(
    r"<!--=(?P<name>[a-z0-9_.-]+)\|(?P<form>[^>/*]*)(?:/(?P<divisor>[0-9.]+))?-->.*?<!--/-->", re.DOTALL
)
_TABLE = re.compile(r"<!--table (?P<name>[a-z0-9_.-]+)-->\n.*?<!--/table-->", re.DOTALL)

Table = Callable[[Mapping[str, Record]], str]


@dataclass(frozen=True)
class Rewritten:
    """A document as the records say it.

    Attributes:
        text: all of it.
        problems: markers that name what no record and no table is called, in words.
    """

    text: str
    problems: tuple[str, ...]


def rewrite(text: str, found: Mapping[str, Record], tables: Mapping[str, Table], where: str) -> Rewritten:
    """Fill every marker of a document.

    What was not measured is filled with these words, whatever stood there before.

    Args:
        text: the document.
        found: records by name.
        tables: by name.
        where: the document's name, for problems.
    """
    problems: list[str] = []

    def value(match: re.Match[str]) -> str:
        head = match.group(0).partition("-->")[0] + "-->"
        try:
            words = spoken(found, match["name"], match["form"], float(match["divisor"] or 1))
        except (KeyError, ValueError, TypeError) as error:
            problems.append(f"{where}: {head}: {error.args[0]}")
            words = NOT_MEASURED
        return f"{head}{words}<!--/-->"

    def table(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in tables:
            problems.append(f"{where}: <!--table {name}-->: no such table; there are {', '.join(sorted(tables))}")
            return match.group(0)
        return f"<!--table {name}-->\n\n{tables[name](found)}\n\n<!--/table-->"

    return Rewritten(_TABLE.sub(table, _VALUE.sub(value, text)), tuple(problems))


def find(found: Mapping[str, Record], name: str) -> Value:
    """The value of ``record.value``; None where it was not measured, or where its benchmark has not run.

    Raises:
        KeyError: there is no such record, or it has other values.
    """
    record_name, _, value_name = name.partition(".")
    record = found.get(record_name)
    if record is None:
        raise KeyError(f"no record docs/records/{record_name}.json")
    if record.not_measured:
        return None
    if value_name not in record.values:
        raise KeyError(f"docs/records/{record_name}.json has no value {value_name!r}")
    return record.values[value_name]


def spoken(found: Mapping[str, Record], name: str, form: str, divisor: float = 1) -> str:
    """A value in the format of :func:`format`, or that it was not measured.

    Raises:
        KeyError: there is no such value.
        ValueError: the format does not fit the value.
    """
    value = find(found, name)
    if value is None:
        return NOT_MEASURED
    if isinstance(value, str):
        return value
    return format(value / divisor if divisor != 1 else value, form)
