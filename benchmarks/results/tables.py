"""The tables of documents and page by name, each written from the records alone."""

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module

from benchmarks import accuracy_record, clip_record, controls_record, decode_record, speed_record
from benchmarks.records import Record, Value
from benchmarks.results.judging import Row, history, rows, stale
from benchmarks.results.markers import NOT_MEASURED, Table

LONGEST_COMMAND = 70

_OfValues = Callable[[Mapping[str, Value]], str]


def claims_table(found: Mapping[str, Record]) -> str:
    """Every claim: ours, the paper, the best control, where and when it was measured, whether it holds."""
    lines = ["| claim | ours | paper | best control | | command, hardware, date |", "|---|---|---|---|---|---|"]
    topic = ""
    for row in rows(found):
        if row.topic != topic:
            topic = row.topic
            lines.append(f"| **{topic}** | | | | | |")
        cells = (row.claim, row.ours, row.paper, row.control, f"**{row.verdict}**", origin(row))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def origin(row: Row) -> str:
    """Command, hardware and date of a claim's measurement, and what has to be known of it."""
    said = [f"`{shortened(row.command)}`" if row.command else "", row.hardware, row.date, row.remark]
    return "; ".join(each for each in said if each)


def shortened(command: str) -> str:
    """A command without the arguments that would fill a page; they stand in the table of records."""
    return command if len(command) <= LONGEST_COMMAND else " ".join([*command.split()[:3], "…"])


def records_table(found: Mapping[str, Record]) -> str:
    """Every record: the whole command, where and when it was run, with what, and what has to be known of it."""
    lines = ["| record | command | hardware | date | software | |", "|---|---|---|---|---|---|"]
    for name, record in found.items():
        software = ", ".join(f"{key.replace('_', ' ')} {version}" for key, version in record.software.items())
        remarks = [record.not_measured and f"{NOT_MEASURED}: {record.not_measured}", stale(record), history(record)]
        said = "; ".join(each for each in remarks if each)
        cells = (f"[{name}](records/{name}.json)", f"`{record.command}`", record.hardware, record.date, software, said)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def paper_figures(found: Mapping[str, Record]) -> str:
    """What the paper reports beside ours, each row reproduced, not reproduced with its reason, or passed."""
    record = found.get("network")
    if record is None or record.not_measured:
        return _missing("network", record)
    start = "paper_figures."
    names = dict.fromkeys(name[len(start) :].partition(".")[0] for name in record.values if name.startswith(start))
    if not names:
        return _missing("network", None)
    lines = ["| figure | paper | ours | |", "|---|---|---|---|"]
    for name in names:
        cells = (_cell(record.values.get(f"{start}{name}.{part}")) for part in ("figure", "paper", "ours", "verdict"))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def network_tables(found: Mapping[str, Record]) -> str:
    """What crossed the sockets of ten devices and a fog node, way by way, and who counted it."""
    return _later("network", "benchmarks.network.report", ("table", "overhead_table"), found)


def network_others_tables(found: Mapping[str, Record]) -> str:
    """The same of every other set of frames, one table each."""
    record = found.get("network_others")
    if record is None or record.not_measured:
        return _missing("network_others", record)
    table = import_module("benchmarks.network.report").table
    sets = dict.fromkeys(name.split(".")[1] for name in record.values if name.startswith("sets."))
    return "\n\n".join([*(f"{name}:\n\n{table(record.values, f'sets.{name}.')}" for name in sets), _origin(record)])


def _later(record_name: str, module: str, names: tuple[str, ...], found: Mapping[str, Record]) -> str:
    """Tables of a benchmark that imports much: only where there is something to show."""
    record = found.get(record_name)
    if record is None or record.not_measured:
        return _missing(record_name, record)
    written_by = import_module(module)
    return _of(record_name, tuple(getattr(written_by, name) for name in names), found)


def _of(record_name: str, tables: tuple[_OfValues, ...], found: Mapping[str, Record]) -> str:
    record = found.get(record_name)
    if record is None or record.not_measured:
        return _missing(record_name, record)
    return "\n\n".join([*(table(record.values) for table in tables), _origin(record)])


def _origin(record: Record) -> str:
    said = (f"`{record.command}`", record.hardware, record.date, stale(record), history(record))
    return f"*{'; '.join(each for each in said if each)}*"


def _missing(name: str, record: Record | None) -> str:
    why = record.not_measured if record else f"there is no docs/records/{name}.json"
    return f"*{NOT_MEASURED.capitalize()}: {why}.*"


def _cell(value: Value) -> str:
    if value is None:
        return NOT_MEASURED
    return value if isinstance(value, str) else f"{value:,.4g}"


def _beside_controls(preset: str) -> tuple[_OfValues, ...]:
    return (partial(controls_record.table, preset=preset), partial(controls_record.summary, preset=preset))


TABLES: Mapping[str, Table] = {
    "claims": claims_table,
    "records": records_table,
    "paper_figures": paper_figures,
    "network": network_tables,
    "network_others": network_others_tables,
    "uploads": partial(_later, "uploads", "benchmarks.uploads", ("table",)),
    "controls": partial(_of, "controls", _beside_controls("balanced")),
    "neural": partial(_of, "controls", (controls_record.neural_table,)),
    "decode_speed": partial(_of, "decode_speed", (decode_record.table,)),
    "training_speed": partial(_of, "training_speed", (speed_record.table,)),
    "accuracy": partial(_of, "accuracy", (accuracy_record.table,)),
    "accuracy_verdicts": partial(_of, "accuracy", (accuracy_record.verdict_table,)),
    "clips": partial(_of, "clips", (clip_record.table,)),
}
"""By the names that documents give them."""
