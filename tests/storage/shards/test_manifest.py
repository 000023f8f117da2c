import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from storage.shards import manifest as module
from storage.shards.faults import Fault, ShardError
from storage.shards.manifest import (
    MAX_MANIFEST_BYTES,
    MAX_ROWS,
    Manifest,
    open_manifest,
    shard_name,
    shard_place,
    write_manifest,
)
from storage.shards.signing import signed
from tests.storage.examples import digest
from tests.storage.shards.examples import (
    FOG,
    MANIFEST,
    NAME,
    OTHER,
    REVOKED,
    ROWS,
    SIGNED,
    read_independently,
    signed_document,
    trusted,
)


def refused(data: bytes, name: str = NAME) -> ShardError:
    with pytest.raises(ShardError) as error:
        open_manifest(data, name, trusted)
    assert str(error.value).startswith((name, "signed by the key"))
    return error.value


def test_what_is_written_is_opened():
    opened = open_manifest(SIGNED, NAME, trusted)
    assert opened == MANIFEST
    assert (opened.creator, opened.rows, opened.name) == (FOG.public.id, 3, "shard-0001-00000002")
    assert write_manifest(MANIFEST, FOG) == SIGNED


def test_another_reader_finds_the_same():
    document = read_independently(SIGNED, b"residual-inr shard manifest", FOG.public.text)
    assert list(document) == [
        "version",
        "device",
        "generation",
        "sequence",
        "encoding_id",
        "rows",
        "bytes",
        "payload_bytes",
        "sha256",
        "created_at",
        "image_ids",
    ]
    ids = base64.b64decode(document.pop("image_ids"))
    assert [ids[i : i + 32].hex() for i in range(0, len(ids), 32)] == [row.image_id for row in ROWS]
    assert document == {
        "version": 2,
        "device": "cam-b",
        "generation": 1,
        "sequence": 2,
        "encoding_id": "siren-test-1",
        "rows": 3,
        "bytes": MANIFEST.bytes,
        "payload_bytes": MANIFEST.payload_bytes,
        "sha256": MANIFEST.sha256,
        "created_at": "2026-05-02T03:04:05+00:00",
    }


def test_times_are_kept_to_the_microsecond_in_utc():
    summer = replace(MANIFEST, created_at=datetime(2026, 7, 1, 12, 0, 0, 123456, timezone(timedelta(hours=2))))
    assert open_manifest(write_manifest(summer, FOG), NAME, trusted).created_at == datetime(
        2026, 7, 1, 10, 0, 0, 123456, UTC
    )


def test_names():
    assert shard_name(1, 2) == "shard-0001-00000002"
    assert shard_name(9_999, 99_999_999) == "shard-9999-99999999"
    assert shard_place("shard-0012-00000345") == (12, 345)
    for name in ("shard-0000-00000001", "shard-0001-00000000", "shard-1-1", "shard-0001-00000002.parquet", "../x", "",
                 "shard-٠٠٠١-00000001", "shard-0001-00000001\n"):  # fmt: skip
        assert shard_place(name) is None
    for place in ((0, 1), (1, 0), (10_000, 1), (1, 100_000_000)):
        with pytest.raises(ValueError, match="no shard has"):
            shard_name(*place)


def test_a_key_that_is_not_trusted():
    assert refused(write_manifest(MANIFEST, OTHER)).fault is Fault.UNKNOWN_KEY
    assert refused(write_manifest(MANIFEST, REVOKED)).fault is Fault.REVOKED_KEY
    assert refused(SIGNED.split(b"\n")[0]).fault is Fault.UNSIGNED
    other = signed(SIGNED.split(b"\n")[0], "residual-inr acknowledgement", FOG)
    assert refused(other).fault is Fault.EDITED


CHANGED: dict[str, Any] = {
    "version": 3,
    "device": "cam-c",
    "generation": 2,
    "sequence": 3,
    "encoding_id": "siren-test-2",
    "rows": 2,
    "bytes": MANIFEST.bytes + 1,
    "payload_bytes": MANIFEST.payload_bytes + 1,
    "sha256": "0" * 64,
    "created_at": "2026-05-02T03:04:06+00:00",
    "image_ids": base64.b64encode(bytes(32)).decode(),
}


@pytest.mark.parametrize("field", CHANGED)
def test_a_field_that_was_edited_is_refused_unread(field: str, monkeypatch: pytest.MonkeyPatch):
    document = json.loads(SIGNED.split(b"\n")[0])
    assert set(document) == set(CHANGED)
    text = json.dumps(document | {field: CHANGED[field]}, separators=(",", ":")).encode()
    monkeypatch.setattr(module.json, "loads", lambda *_: pytest.fail("what is not authentic is parsed"))
    edited = text + SIGNED[len(SIGNED.split(b"\n")[0]) :]
    assert edited != SIGNED
    assert refused(edited).fault is Fault.EDITED


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 1}, "version is 1, this reads 2"),
        ({"device": "../x"}, r"device is '\.\./x'"),
        ({"device": 7}, "device is 7"),
        ({"device": None}, "its fields are"),
        ({"more": 1}, "its fields are"),
        ({"generation": 0}, "generation is 0"),
        ({"generation": 10_000}, "generation is 10000, expected a number from 1 to 9,999"),
        ({"sequence": "1"}, "sequence is '1'"),
        ({"sequence": True}, "sequence is True"),
        ({"sequence": 10**400}, "sequence is 1000000"),
        ({"encoding_id": "a/../b"}, "encoding_id is"),
        ({"encoding_id": "x" * 101}, "encoding_id is"),
        ({"sha256": "A" * 64}, "sha256 is"),
        ({"bytes": 0}, "bytes is 0"),
        ({"bytes": 2**40}, "bytes is"),
        ({"payload_bytes": 1.5}, "payload_bytes is 1.5"),
        ({"rows": 2}, "rows is 2, but there are 3 image ids"),
        ({"created_at": "yesterday"}, "created_at is 'yesterday'"),
        ({"created_at": "2026-01-01T00:00:00"}, "expected a date with its time zone"),
        ({"created_at": "0001-01-01T00:00:00+23:59"}, "created_at is"),
        ({"created_at": "9" * 100_000}, "created_at is"),
        ({"image_ids": ""}, "image_ids is ''"),
        ({"image_ids": "AAAA"}, "image_ids is 'AAAA'"),
        ({"image_ids": "ä" * 44}, "image_ids is"),
        ({"image_ids": ["a"]}, "image_ids is"),
        ({"image_ids": base64.b64encode(bytes(64)).decode(), "rows": 2}, "an image id stands twice"),
    ],
)
def test_a_malformed_field_is_refused_by_name(changes: dict[str, Any], message: str):
    error = refused(signed_document(changes))
    assert error.fault is Fault.MALFORMED
    assert pytest.raises(AssertionError, match=message).matches(AssertionError(str(error)))
    assert len(str(error)) < 500
    assert str(error).isprintable()


@pytest.mark.parametrize("text", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"version": 2}', b"NaN", b'"x"', b"9" * 5_000])
def test_an_authentic_manifest_that_is_none(text: bytes):
    assert refused(signed(text, "residual-inr shard manifest", FOG)).fault is Fault.MALFORMED


def test_a_manifest_of_too_many_bytes_is_refused_unread():
    assert refused(b" " * (MAX_MANIFEST_BYTES + 1)).fault is Fault.MALFORMED


def test_the_largest_manifest_fits():
    ids = tuple(digest(str(number)) for number in range(MAX_ROWS))
    largest = replace(MANIFEST, image_ids=ids, device="x" * 63, encoding_id="x" * 100)
    data = write_manifest(largest, FOG)
    assert len(data) <= MAX_MANIFEST_BYTES
    assert open_manifest(data, NAME, trusted) == largest
    with pytest.raises(ShardError, match="expected base64 of 1 to 20,000 ids"):
        write_manifest(replace(largest, image_ids=(*ids, digest("more"))), FOG)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("shard-0001-00000003.manifest", Fault.REPLAYED),
        ("shard-0002-00000001.manifest", Fault.REPLAYED),
        ("shard-0001-00000001.manifest", Fault.OUT_OF_ORDER),
        ("shard-0001-00000002.parquet", Fault.OUT_OF_ORDER),
        ("x", Fault.OUT_OF_ORDER),
    ],
)
def test_a_manifest_under_another_name(name: str, fault: Fault):
    error = refused(SIGNED, name)
    assert error.fault is fault
    assert "is the manifest of shard-0001-00000002, under another name" in str(error)


@pytest.mark.parametrize(
    "changes",
    [
        {"device": "../x"},
        {"image_ids": ()},
        {"image_ids": ("0" * 64,) * 2},
        {"image_ids": ("AB" * 32,)},
        {"bytes": -1},
        {"sha256": "x"},
    ],
)
def test_no_manifest_is_written_that_would_be_refused(changes: dict[str, Any]):
    with pytest.raises(ShardError):
        write_manifest(replace(MANIFEST, **changes), FOG)


def test_a_name_on_our_side_is_never_a_devices():
    manifest = Manifest("cam-b", 1, 2, "e", ("0" * 64,), "0" * 64, 1, 1, datetime.now(UTC))
    assert shard_place(manifest.name) == (1, 2)
    with pytest.raises(ValueError, match="no shard has"):
        replace(manifest, sequence=-1).name  # noqa: B018
