from dataclasses import replace

from benchmarks.records import Record
from benchmarks.results.claims import CLAIMS, Claim
from benchmarks.results.judging import MET, MISSED, UNDECIDED, rows
from benchmarks.results.markers import NOT_MEASURED
from benchmarks.results.parts import PARTS
from benchmarks.results.tables import TABLES
from rinr.version import CODEC_VERSION

CLAIM = Claim("t", "at most half", "speed", "{a.ratio|.2f} of it", "a.ratio", 0.5, True, "0.6", "{b|}: {c|.1f}")
RECORD = Record(
    "speed", "python -m speed", "2026-01-02", "a box", {"codec_version": CODEC_VERSION}, {},
    {"a.ratio": 0.4, "b": "WebP", "c": 2.0},
)  # fmt: skip


def judged(record: Record | None, claim: Claim = CLAIM):
    (row,) = rows({"speed": record} if record else {}, (claim,))
    return row


def test_a_claim_has_ours_paper_control_command_hardware_date_and_verdict() -> None:
    row = judged(RECORD)
    assert (row.ours, row.paper, row.control, row.verdict) == ("0.40 of it", "0.6", "WebP: 2.0", MET)
    assert (row.command, row.hardware, row.date, row.remark) == ("python -m speed", "a box", "2026-01-02", "")


def test_bounds_hold_in_both_directions() -> None:
    assert judged(RECORD, replace(CLAIM, wanted=0.3)).verdict == MISSED
    assert judged(RECORD, replace(CLAIM, wanted=0.3, at_most=False)).verdict == MET
    assert judged(RECORD, replace(CLAIM, at_most=False)).verdict == MISSED


def test_answers_in_words_decide_where_there_is_no_bound() -> None:
    for words, verdict in (
        ("no worse", MET),
        ("worse", MISSED),
        ("undecided, needs 3 seeds", UNDECIDED),
        ("undecided, needs more; on these very sequences worse", MISSED),
    ):
        row = judged(replace(RECORD, values={**RECORD.values, "c": words}), replace(CLAIM, judged="c", wanted=None))
        assert (row.verdict, row.remark) == (verdict, words)


def test_what_was_not_measured_has_no_number_and_says_why() -> None:
    for record, why in (
        (None, ""),
        (replace(RECORD, values={}, not_measured="RINR_DATA names no folder"), "RINR_DATA names no folder"),
        (replace(RECORD, values={"b": "WebP", "c": 2.0}), "its last run left this out"),
        (replace(RECORD, values={"a.ratio": None}), "its last run left this out"),
    ):
        row = judged(record)
        assert (row.ours, row.verdict, row.remark) == (NOT_MEASURED, NOT_MEASURED, why)
        assert not row.control
        assert not row.hardware


def test_an_older_codec_is_named() -> None:
    assert "codec version 0" in judged(replace(RECORD, software={"codec_version": "0"})).remark


def test_long_runs_and_transcribed_ones_are_named_with_their_date() -> None:
    record = replace(RECORD, name="store", settings={"source": "transcribed from the published run"})
    (row,) = rows({"store": record}, (replace(CLAIM, record="store"),))
    assert row.date == "2026-01-02"
    assert row.remark == "a long run, not rerun by `make results`; transcribed from the published run"


def test_no_records_at_all_give_every_claim_as_not_measured() -> None:
    found = rows({})
    assert len(found) == len(CLAIMS)
    assert {row.verdict for row in found} == {NOT_MEASURED}
    for name, table in TABLES.items():
        words = table({})
        assert name in ("claims", "records") or words.lower().startswith("*not measured")


def test_every_claim_is_of_a_benchmark_that_is_known() -> None:
    known = {part.record for part in PARTS}
    assert not {claim.record for claim in CLAIMS} - known
    assert len({claim.words + claim.record for claim in CLAIMS}) == len(CLAIMS)
