"""Claims beside their records: what is said of each, and whether it holds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.records import Record
from benchmarks.results.claims import CLAIMS, Claim
from benchmarks.results.markers import NOT_MEASURED, find, spoken
from benchmarks.results.parts import BY_RECORD, LONG
from rinr.version import CODEC_VERSION

MET, MISSED, UNDECIDED = "met", "missed", "undecided"

_VALUE = re.compile(r"\{(@?[a-z0-9_.-]+)\|([^}]*)\}")


@dataclass(frozen=True)
class Row:
    """A claim as it is published.

    Attributes:
        topic: the heading it stands under.
        claim: in words.
        record: the name of the record with its number.
        ours: our figure in words, or that it was not measured.
        paper: the paper's, empty where it says nothing.
        control: the best control's, empty where there is none.
        verdict: met, missed, undecided or not measured.
        command: what prints it again.
        hardware: where it was measured; empty where it was not.
        date: when; likewise.
        remark: what has to be known of it: an older codec version, a long run, why there is none.
    """

    topic: str
    claim: str
    record: str
    ours: str
    paper: str
    control: str
    verdict: str
    command: str
    hardware: str
    date: str
    remark: str


def rows(found: Mapping[str, Record], claims: tuple[Claim, ...] = CLAIMS) -> list[Row]:
    """Every claim, in order.

    Args:
        found: records by name.
        claims: what is claimed.
    """
    return [_row(claim, found) for claim in claims]


def stale(record: Record) -> str:
    """That a record was measured with another version of the codec, or nothing."""
    version = record.software.get("codec_version", CODEC_VERSION)
    return "" if version == CODEC_VERSION else f"measured with codec version {version}, now {CODEC_VERSION}"


def history(record: Record) -> str:
    """That a record is of a long run, or was not written by the run itself; or nothing."""
    said = []
    if record.name in LONG:
        said.append("a long run, not rerun by `make results`")
    if source := record.settings.get("source"):
        said.append(str(source))
    return "; ".join(said)


def _row(claim: Claim, found: Mapping[str, Record]) -> Row:
    record = found.get(claim.record)
    head = (claim.topic, claim.words, claim.record)
    ours = _filled(claim.ours, claim.record, found)
    paper = _filled(claim.paper, claim.record, found)
    if record is None or NOT_MEASURED in ours:
        part = BY_RECORD.get(claim.record)
        command = record.command if record else part.command if part else ""
        why = record.not_measured if record else part.missing if part else ""
        if record and not why:
            why = "its last run left this out"
        paper = "" if NOT_MEASURED in paper else paper
        return Row(*head, NOT_MEASURED, paper, "", NOT_MEASURED, command, "", "", why)
    control = _filled(claim.control, claim.record, found)
    verdict, answer = _verdict(claim, found)
    remarks = [answer, stale(record), history(record)]
    remark = "; ".join(each for each in remarks if each)
    return Row(*head, ours, paper, control, verdict, record.command, record.hardware, record.date, remark)


def _filled(text: str, record: str, found: Mapping[str, Record]) -> str:
    def value(match: re.Match[str]) -> str:
        name = match[1][1:] if match[1].startswith("@") else f"{record}.{match[1]}"
        try:
            return spoken(found, name, match[2])
        except KeyError:
            return NOT_MEASURED

    filled = _VALUE.sub(value, text)
    return NOT_MEASURED if filled.startswith(NOT_MEASURED) else filled


def _verdict(claim: Claim, found: Mapping[str, Record]) -> tuple[str, str]:
    """The verdict; and the answer of a benchmark in its own words, where that decides."""
    try:
        value = find(found, f"{claim.record}.{claim.judged}")
    except KeyError:
        value = None
    if value is None:
        return NOT_MEASURED, ""
    if claim.wanted is None:
        return _of_answer(str(value)), str(value)
    if isinstance(value, str):
        raise ValueError(f"{claim.record}.{claim.judged}: expected a number, found {value!r}")
    met = value <= claim.wanted if claim.at_most else value >= claim.wanted
    return (MET if met else MISSED), ""


def _of_answer(words: str) -> str:
    """An answer of `benchmarks/accuracy_statistics.py`; worse on the sequences at hand is a miss."""
    if words.startswith("no worse"):
        return MET
    return MISSED if words.startswith("worse") or words.endswith("these very sequences worse") else UNDECIDED
