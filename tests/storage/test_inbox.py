import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rinr.codec.frame import EncodedFrame, pack_frame
from rinr.shard import SHARD, ShardRow, to_table
from storage.inbox import Inbox, InboxError, Manifest, ShardError, parse_manifest, shard_name, write_manifest
from tests.storage.examples import encoded_image


def row(number: int) -> ShardRow:
    image = encoded_image(number)
    return ShardRow(image.image_id, image.labels_id, image.encoding_id, image.frame)


ROWS = [row(number) for number in range(3)]


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(str(tmp_path / "inbox"))


def files(inbox: Inbox) -> list[str]:
    return sorted(path.name for path in Path(inbox.url).iterdir())


def test_what_is_put_is_read(inbox: Inbox):
    assert inbox.manifests() == []
    manifest = inbox.put(ROWS, "cam-b")
    assert inbox.manifests() == [manifest]
    assert inbox.read(manifest, device="cam-b") == ROWS
    assert (manifest.device, manifest.rows, manifest.sequence) == ("cam-b", 3, 1)
    assert manifest.payload_bytes == sum(item.frame.bytes_total for item in ROWS)
    data = Path(inbox.url, f"{manifest.shard}.parquet").read_bytes()
    assert (manifest.bytes, manifest.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert files(inbox) == [f"{manifest.shard}.json", f"{manifest.shard}.parquet"]


def test_object_stores_work_the_same(tmp_path: Path):
    inbox = Inbox(f"memory://{tmp_path}/inbox")
    manifest = inbox.put(ROWS, "cam-b")
    assert inbox.read(inbox.manifests()[0]) == ROWS
    assert inbox.manifests() == [manifest]


def test_shards_are_counted_and_put_once(inbox: Inbox):
    first = inbox.put(ROWS, "cam-b")
    second = inbox.put([row(7)], "cam-b")
    assert inbox.put(ROWS, "cam-b") == first
    assert inbox.put([row(8)], "cam-b").sequence == 3
    assert inbox.manifests()[:2] == [first, second]


def test_names_come_from_the_keys_alone():
    keys = [("a", "b", "c"), ("d", "e", "f")]
    assert shard_name(keys) == shard_name(keys[::-1])
    assert shard_name(keys) == "shard-" + hashlib.sha256(b"a b c\nd e f").hexdigest()[:32]


def test_a_shard_without_a_manifest_is_not_there_and_is_finished_by_the_next_put(inbox: Inbox):
    manifest = inbox.put(ROWS, "cam-b")
    Path(inbox.url, f"{manifest.shard}.json").unlink()
    Path(inbox.url, f"{manifest.shard}.parquet").write_bytes(b"half")
    assert inbox.manifests() == []
    assert inbox.read(inbox.put(ROWS, "cam-b")) == ROWS


def test_other_files_are_passed_over(inbox: Inbox):
    inbox.put(ROWS, "cam-b")
    for name in ("notes.json", ".shard-x.json.1.part", "shard-.json", "README"):
        Path(inbox.url, name).write_text("x")
    assert len(inbox.manifests()) == 1


def test_no_rows_or_no_name_make_no_shard(inbox: Inbox):
    with pytest.raises(ValueError, match="1 to 50,000"):
        inbox.put([], "cam-b")
    with pytest.raises(ShardError, match=r"device is '\.\./x'"):
        inbox.put(ROWS, "../x")
    assert not Path(inbox.url).exists()


def test_an_inbox_that_cannot_be_used(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InboxError, match=r"file/in cannot be .*: Not a directory; check `inbox` of the device"):
        Inbox(f"{tmp_path}/file/in").put(ROWS, "cam-b")
    with pytest.raises(InboxError, match="the inbox nowhere://x cannot be read"):
        Inbox("nowhere://x").manifests()


def test_a_shard_for_another_device_is_refused(inbox: Inbox):
    manifest = inbox.put(ROWS, "cam-b")
    with pytest.raises(ShardError, match="is addressed to cam-b, not to cam-c"):
        inbox.read(manifest, device="cam-c")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-1], r"bytes, its manifest says"),
        (lambda data: data + b"x", r"has more bytes, its manifest says"),
        (lambda data: data[:50] + bytes([data[50] ^ 1]) + data[51:], r"has the SHA-256 .*have it sent again"),
    ],
)
def test_a_damaged_shard_is_refused(inbox: Inbox, damage: Callable[[bytes], bytes], message: str):
    manifest = inbox.put(ROWS, "cam-b")
    path = Path(inbox.url, f"{manifest.shard}.parquet")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ShardError, match=rf"{manifest.shard}\.parquet .*{message}"):
        inbox.read(manifest)


def test_a_shard_that_is_gone(inbox: Inbox):
    manifest = inbox.put(ROWS, "cam-b")
    Path(inbox.url, f"{manifest.shard}.parquet").unlink()
    with pytest.raises(ShardError, match="is not in the inbox"):
        inbox.read(manifest)


def forged(inbox: Inbox, data: bytes, **changes: Any) -> Manifest:
    """A shard file of these bytes with a manifest whose hash and size are right."""
    manifest = inbox.put(ROWS, "cam-b")
    Path(inbox.url, f"{manifest.shard}.parquet").write_bytes(data)
    return replace(manifest, bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), **changes)


PACKED = pack_frame(ROWS[0].frame)


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def with_column(name: str, values: list[Any]) -> pa.Table:
    table = to_table(ROWS)
    return table.set_column(SHARD.names.index(name), SHARD.field(name), pa.array(values, SHARD.field(name).type))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (to_table(ROWS[:2]), "has 2 rows, its manifest says 3"),
        (to_table(ROWS[::-1]), "is not where its manifest says"),
        (to_table(ROWS).drop_columns(["labels_id"]), "has the columns image_id, .*, not those of a shard"),
        (to_table(ROWS).set_column(3, "payload", pa.array([1, 2, 3])), "is not a Parquet file of a shard"),
        (with_column("payload", [b"1", None, b"2"]), "has an empty field"),
        (with_column("labels_id", [None, "a", "b"]), "has an empty field"),
        (with_column("payload", [PACKED[:-1], *[PACKED] * 2]), "malformed: the frame of image .*checksum"),
        (with_column("payload", [PACKED, b"", PACKED]), "malformed: the frame of image .*truncated at magic"),
    ],
)
def test_a_shard_of_the_right_hash_and_wrong_contents_is_refused(inbox: Inbox, table: pa.Table, message: str):
    with pytest.raises(ShardError, match=message):
        inbox.read(forged(inbox, parquet(table)))


def test_a_shard_that_is_no_parquet_or_unpacks_too_far(inbox: Inbox, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ShardError, match="is not a Parquet file"):
        inbox.read(forged(inbox, b"PAR1 nonsense PAR1"))
    big = replace(ROWS[0], frame=EncodedFrame(64, 48, bytes(1_000_000), ()))
    data = parquet(to_table([big, *ROWS[1:]]))
    assert len(data) < 100_000
    monkeypatch.setattr("storage.inbox.MAX_SHARD_BYTES", 100_000)
    with pytest.raises(ShardError, match=r"unpacks to 1,.* bytes; at most 100,000"):
        inbox.read(forged(inbox, data))


def document(inbox: Inbox) -> tuple[str, dict[str, Any]]:
    manifest = inbox.put(ROWS, "cam-b")
    return f"{manifest.shard}.json", json.loads(write_manifest(manifest))


def test_a_manifest_says_what_is_documented(inbox: Inbox):
    name, found = document(inbox)
    assert json.loads(Path(inbox.url, name).read_bytes()) == found
    assert list(found) == [
        "version",
        "device",
        "shard",
        "sha256",
        "bytes",
        "payload_bytes",
        "rows",
        "sequence",
        "created_at",
        "keys",
    ]
    assert found["keys"][0] == [ROWS[0].image_id, ROWS[0].labels_id, ROWS[0].encoding_id]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "version is '2', this reads 1"),
        ({"device": "../x"}, "device is '../x'"),
        ({"device": None}, "device is 'None'"),
        ({"shard": "../../x"}, "shard is '../../x'"),
        ({"shard": "shard-" + "0" * 32}, "expected the file's own name"),
        ({"sha256": "A" * 64}, "sha256 is"),
        ({"bytes": 0}, "bytes is '0'"),
        ({"bytes": True}, "bytes is 'True'"),
        ({"bytes": 2**40}, "bytes is"),
        ({"payload_bytes": 1.5}, "payload_bytes is '1.5'"),
        ({"sequence": "1"}, "sequence is '1'"),
        ({"rows": 2}, "rows is 2, but there are 3 keys"),
        ({"created_at": "yesterday"}, "created_at is 'yesterday'"),
        ({"created_at": "2026-01-01T00:00:00"}, "expected a date with its time zone"),
        ({"keys": {}}, "keys is no list"),
        ({"keys": [["a", "b"]]}, r"keys\[0\] is"),
        ({"keys": [["0" * 64, "0" * 64, "e/../x"]]}, r"keys\[0\] is"),
        ({"keys": [["0" * 64, "0" * 64, "e"]] * 2, "rows": 2}, "a key stands twice"),
    ],
)
def test_a_malformed_manifest_is_refused_by_field(inbox: Inbox, changes: dict[str, Any], message: str):
    name, found = document(inbox)
    Path(inbox.url, name).write_text(json.dumps(found | changes))
    with pytest.raises(ShardError, match=message) as error:
        inbox.manifests()
    assert str(error.value).startswith(name)


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"version": 1}', b"NaN"])
def test_a_manifest_that_is_none(data: bytes):
    with pytest.raises(ShardError, match=r"^x\.json"):
        parse_manifest(data, "x.json")


def test_a_manifest_of_too_many_bytes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("storage.inbox.MAX_MANIFEST_BYTES", 10)
    with pytest.raises(ShardError, match="more than 10 bytes"):
        parse_manifest(b" " * 11, "x.json")


def test_a_name_never_leaves_the_inbox(inbox: Inbox):
    manifest = replace(inbox.put(ROWS, "cam-b"), shard="../outside")
    with pytest.raises(ShardError, match="is no name of a shard"):
        inbox.read(manifest)
    with pytest.raises(ShardError, match="is no name of a shard"):
        inbox.manifest("../outside")
