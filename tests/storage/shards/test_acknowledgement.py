import json
from dataclasses import replace
from typing import Any

import pytest

from storage.fleet import Device
from storage.shards import acknowledgement as module
from storage.shards.acknowledgement import (
    MAX_ACKNOWLEDGEMENT_BYTES,
    MAX_REPORT_BYTES,
    Acknowledgement,
    AcknowledgementError,
    RefusedShard,
    next_number,
    open_acknowledgement,
    write_acknowledgement,
)
from storage.shards.faults import Fault, KeyringError
from storage.shards.signing import signed
from tests.storage.shards.examples import FOG, OTHER, TIME, read_independently

ACKNOWLEDGEMENT = Acknowledgement(
    device="cam-b",
    number=1_700_000_000_000_000,
    generation=1,
    taken=4,
    wanted=(6, 9),
    refused=(RefusedShard("shard-0001-00000006", Fault.EDITED, "it was edited – “ä”"),),
    created_at=TIME,
    report=b'{"epochs": 3, "name": "\xc3\xa4"}',
)
PLACES = {"storage": "/s", "inbox": "/i", "home": "/h"}
KEYED = Device(name="cam-b", public_key=FOG.public.text, **PLACES)
UNKEYED = Device(name="cam-b", **PLACES)
PURPOSE = "residual-inr acknowledgement"


def refused(data: bytes, device: Device = UNKEYED) -> str:
    with pytest.raises(AcknowledgementError, match=f"^the acknowledgement of {device.name} ") as error:
        open_acknowledgement(data, device)
    message = str(error.value)
    assert message.isprintable()
    assert len(message) < 500
    return message


@pytest.mark.parametrize("report", [ACKNOWLEDGEMENT.report, None, b"", b"x" * MAX_REPORT_BYTES])
def test_what_is_written_is_opened(report: bytes | None):
    written = replace(ACKNOWLEDGEMENT, report=report)
    assert open_acknowledgement(write_acknowledgement(written, FOG), KEYED) == written
    assert open_acknowledgement(write_acknowledgement(written, FOG), UNKEYED) == written
    assert open_acknowledgement(write_acknowledgement(written, None), UNKEYED) == written


def test_of_a_device_that_has_nothing_yet():
    nothing = Acknowledgement("cam-b", 1, 0, 0, (), (), TIME)
    assert open_acknowledgement(write_acknowledgement(nothing, None), UNKEYED) == nothing


def test_another_reader_finds_the_same():
    document = read_independently(write_acknowledgement(ACKNOWLEDGEMENT, FOG), PURPOSE.encode(), FOG.public.text)
    assert document == {
        "version": 1,
        "device": "cam-b",
        "number": 1_700_000_000_000_000,
        "generation": 1,
        "taken": 4,
        "wanted": [6, 9],
        "refused": [{"name": "shard-0001-00000006", "fault": "edited", "reason": "it was edited – “ä”"}],
        "created_at": "2026-05-02T03:04:05+00:00",
        "report": '{"epochs": 3, "name": "ä"}',
    }
    unsigned = write_acknowledgement(ACKNOWLEDGEMENT, None)
    assert json.loads(unsigned.split(b"\n")[0]) == document
    assert unsigned.split(b"\n")[1:] == [b"Unsigned", b""]


def test_a_device_that_has_a_key_signs_with_it(monkeypatch: pytest.MonkeyPatch):
    good = write_acknowledgement(ACKNOWLEDGEMENT, FOG)
    monkeypatch.setattr(module.json, "loads", lambda *_: pytest.fail("what is not authentic is parsed"))
    assert "has no signature" in refused(good.split(b"\n")[0] + b"\nUnsigned\n", KEYED)
    assert "has no signature" in refused(good.split(b"\n")[0], KEYED)
    other = signed(good.split(b"\n")[0], PURPOSE, OTHER)
    assert f"is signed by the key {OTHER.public.id}; `public_key` in the fleet file is {FOG.public.id}" in refused(
        other, KEYED
    )
    assert "was edited or damaged" in refused(other.replace(OTHER.public.id.encode(), FOG.public.id.encode()), KEYED)
    assert "was edited or damaged" in refused(good.replace(b'"taken":4', b'"taken":5'), KEYED)
    assert "was edited or damaged" in refused(signed(good.split(b"\n")[0], "x", FOG), KEYED)
    with pytest.raises(KeyringError, match="expected an Ed25519 public key"):
        open_acknowledgement(good, KEYED.model_copy(update={"public_key": "x"}))


@pytest.mark.parametrize("key", [FOG, None])
def test_another_devices_is_refused(key):
    other = write_acknowledgement(replace(ACKNOWLEDGEMENT, device="cam-c"), key)
    assert "is one of cam-c; check `outbox` of both devices" in refused(other, KEYED if key else UNKEYED)


def changed(changes: dict[str, Any]) -> bytes:
    document = json.loads(write_acknowledgement(ACKNOWLEDGEMENT, None).split(b"\n")[0]) | changes
    return json.dumps({name: value for name, value in document.items() if value != "left out"}).encode()


def one_refused(**changes: Any) -> dict[str, Any]:
    return {"refused": [{"name": "shard-0001-00000006", "fault": "edited", "reason": ""} | changes]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "version is 2, this reads 1"),
        ({"device": "../x"}, r"device is '../x'"),
        ({"device": None}, "device is None"),
        ({"number": 0}, "number is 0"),
        ({"number": 2**63}, "number is"),
        ({"number": "1"}, "number is '1'"),
        ({"generation": -1}, "generation is -1"),
        ({"generation": 10_000}, "generation is 10000"),
        ({"taken": True}, "taken is True"),
        ({"taken": 10**8}, "taken is"),
        ({"taken": "left out"}, "its fields are"),
        ({"more": 1}, "its fields are"),
        ({"wanted": {}}, "wanted is {}"),
        ({"wanted": [4]}, "wanted is 4, expected a number from 5"),
        ({"wanted": [7, 6]}, "wanted does not rise"),
        ({"wanted": [6, 6]}, "wanted does not rise"),
        ({"wanted": list(range(5, 1_006))}, "expected a list of at most 1,000"),
        ({"wanted": [10**8]}, "wanted is"),
        ({"refused": 1}, "refused is 1"),
        ({"refused": [1]}, "refused holds 1"),
        ({"refused": [{}] * 1_001}, "expected a list of at most 1,000"),
        (one_refused(more=1), "expected name, fault and reason"),
        (one_refused(name="../x"), "refused names '../x', expected a shard"),
        (one_refused(name=["x"]), "expected a shard"),
        (one_refused(fault="bad"), "is 'bad', which is none"),
        (one_refused(fault=["edited"]), "which is none"),
        (one_refused(reason="x" * 301), "at most 300 printable"),
        (one_refused(reason="a\x1b[2J"), "at most 300 printable"),
        (one_refused(reason="\ud800"), "at most 300 printable"),
        ({"created_at": "2026-01-01"}, "expected a date with its time zone"),
        ({"created_at": 5}, "expected a date with its time zone"),
        ({"report": 5}, "report is no text"),
        ({"report": {}}, "report is no text"),
        ({"report": "x" * (MAX_REPORT_BYTES + 1)}, "report is no text of at most 262,144 bytes"),
        ({"report": "ä" * (MAX_REPORT_BYTES // 2 + 1)}, "report is no text"),
        ({"report": "\ud800"}, "malformed"),
    ],
)
def test_a_malformed_field_is_refused_by_name(changes: dict[str, Any], message: str):
    data = changed(changes)
    assert message in refused(data + b"\nUnsigned\n")
    assert message in refused(signed(data, PURPOSE, FOG), KEYED)
    assert message in refused(signed(data, PURPOSE, OTHER))


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"[" * 100_000, b"{}", b"NaN", b"9" * 5_000, b"\nUnsigned\n"])
def test_what_is_no_acknowledgement(data: bytes):
    assert "malformed" in refused(data)


def test_too_many_bytes_are_refused_unread():
    assert f"more than {MAX_ACKNOWLEDGEMENT_BYTES:,} bytes" in refused(b" " * (MAX_ACKNOWLEDGEMENT_BYTES + 1))


def test_none_is_written_that_would_be_refused():
    for changes in (
        {"device": "../x"},
        {"taken": -1},
        {"wanted": tuple(range(5, 1_006))},
        {"report": b"\xff"},
        {"report": b"x" * (MAX_REPORT_BYTES + 1)},
        {"refused": (RefusedShard("x", Fault.EDITED, ""),)},
    ):
        with pytest.raises(AcknowledgementError):
            write_acknowledgement(replace(ACKNOWLEDGEMENT, **changes), FOG)


def test_the_largest_fits():
    refusal = RefusedShard("shard-0001-00000006", Fault.OUT_OF_ORDER, "\N{GRINNING FACE}" * 300)
    largest = replace(ACKNOWLEDGEMENT, refused=(refusal,) * 1_000, report=b'"' * MAX_REPORT_BYTES)
    assert open_acknowledgement(write_acknowledgement(largest, FOG), KEYED) == largest


def test_numbers_grow_even_where_the_last_one_is_lost():
    first = next_number(0)
    assert next_number(first) > first
    assert next_number(2**62) == 2**62 + 1
    assert next_number(0) > ACKNOWLEDGEMENT.number
