"""The version of a store, and the store of the first release."""

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pyarrow.compute as pc
import pytest

from rinr.codec.frame import unpack_frame
from storage.store import Store
from storage.tables import DELIVERIES, IMAGES, QUARANTINE, SOURCES, Refusal, source_from_row
from storage.upkeep.repair import repair
from storage.upkeep.statistics import statistics
from storage.upkeep.verification import verify
from storage.weights.versions import StoreVersionError, check_version, read_version, write_version
from tests.storage.stores import append_raw, files, read_raw, sound_image, sound_source

GOLDEN = Path(__file__).parents[2] / "golden"
ENCODING_1 = "1f69af8ab5655391"


def test_a_new_store_has_no_version_and_then_the_newest(tmp_path: Path) -> None:
    url = str(tmp_path / "store")
    assert read_version(url) is None
    assert check_version(url) is None
    assert not (tmp_path / "store").exists()
    assert write_version(url) == 4
    assert json.loads((tmp_path / "store" / "store.json").read_text()) == {"format": "rinr-store", "version": 4}
    assert check_version(url) == 4
    assert [file.name for file in (tmp_path / "store").iterdir()] == ["store.json"]


def test_tables_without_the_file_are_of_version_1(tmp_path: Path) -> None:
    (tmp_path / "sources" / "_delta_log").mkdir(parents=True)
    assert check_version(str(tmp_path)) == 1
    write_version(str(tmp_path))
    assert check_version(str(tmp_path)) == 4


def test_an_older_file_is_raised_and_an_equal_one_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "store.json"
    file.write_text('{"format": "rinr-store", "version": 1}')
    write_version(str(tmp_path))
    assert json.loads(file.read_text())["version"] == 4
    file.write_text('{"version": 4, "format": "rinr-store", "more": 1}')
    write_version(str(tmp_path))
    assert "more" in file.read_text()


def test_a_newer_store_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "store.json"
    file.write_text('{"format": "rinr-store", "version": 5}')
    for attempt in (check_version, write_version):
        with pytest.raises(StoreVersionError, match=r"is of version 5, this program knows up to 4: update rinr"):
            attempt(str(tmp_path))
    assert file.read_text() == '{"format": "rinr-store", "version": 5}'


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 60_000, "not JSON"),
        (b" " * 70_000, "more than 65,536 bytes"),
        (b"[]", "`format`"),
        (b'{"format": "other", "version": 2}', "`format`"),
        (b'{"format": "rinr-store"}', "`version`"),
        (b'{"format": "rinr-store", "version": "2"}', "`version`"),
        (b'{"format": "rinr-store", "version": true}', "`version`"),
        (b'{"format": "rinr-store", "version": 0}', "`version`"),
        (b'{"format": "rinr-store", "version": -1}', "`version`"),
        (b'{"format": "rinr-store", "version": 1e999}', "`version`"),
        (b'{"format": "rinr-store", "version": ' + b"9" * 4000 + b"}", "`version`"),
        (b'{"format": "rinr-store", "version": ' + b"9" * 5000 + b"}", "not JSON"),
    ],
)
def test_a_malformed_file_is_named_with_its_field(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "store.json").write_bytes(data)
    for attempt in (check_version, write_version):
        with pytest.raises(StoreVersionError, match=words) as raised:
            attempt(str(tmp_path))
        assert "store.json" in str(raised.value)
        assert len(str(raised.value)) < 500
    assert (tmp_path / "store.json").read_bytes() == data


@pytest.fixture
def first(tmp_path: Path) -> Store:
    """A copy of the store that the first release wrote."""
    shutil.copytree(GOLDEN / "store-1", tmp_path / "store")
    return Store(str(tmp_path / "store"))


def test_a_store_of_the_first_release_is_read_by_every_verb(first: Store) -> None:
    assert check_version(first.url) == 1
    images = first.scan(IMAGES).to_pylist()
    assert len(images) == 4
    assert all(unpack_frame(row["payload"]).width == row["width"] == 320 for row in images)
    assert {row["encoding_id"] for row in images} == {ENCODING_1}
    assert first.lookup([images[0]["image_id"]], ["payload"]).to_pylist() == [{"payload": images[0]["payload"]}]
    assert first.missing(ENCODING_1) == []
    assert {(row.device, row.path) for row in first.missing("another")} == {
        ("device-1", "frame-01.jpg"), ("device-1", "frame-05.jpg"), ("device-1", "frame-09.jpg"),
        ("device-2", "frame-01.jpg"),
    }  # fmt: skip
    assert {row["etag"] for row in first.scan(SOURCES).to_pylist()} == {None}
    (refused,) = first.scan(QUARANTINE).to_pylist()
    assert (refused["path"], refused["status"]) == ("broken.jpg", "refused")
    (delivery,) = first.scan(DELIVERIES).to_pylist()
    assert delivery["rows"] == 3
    assert first.summary().images == 4
    assert statistics(first.url).refused == 1
    damage = verify(first.url)
    assert (damage.clean, damage.version) == (True, 1)
    assert check_version(first.url) == 1  # reading changes nothing


def test_a_store_of_the_first_release_is_extended_compacted_and_repaired(first: Store) -> None:
    before = {row["image_id"]: row for row in first.scan(IMAGES).to_pylist()}
    rows = [sound_source(number, etag="e", labels_state="s") for number in range(4)]
    assert first.append(rows) == 4
    assert first.append([sound_image(number) for number in range(3)]) == 3
    assert first.append([Refusal("device-1", "broken.jpg", 1, None, "why", status="retry")]) == 1
    old = source_from_row(first.scan(SOURCES, where=pc.field("path") == "frame-05.jpg").to_pylist()[0])
    assert first.append([old]) == 0  # what the first release wrote is there
    assert check_version(first.url) == 4
    assert verify(first.url).clean
    assert {rewrite.table for rewrite in first.compact(loose=1)} == {"images", "sources", "quarantine"}
    first.vacuum(timedelta(0), exclusive=True)
    assert verify(first.url).clean
    after = {row["image_id"]: row for row in first.scan(IMAGES).to_pylist()}
    assert len(after) == 7
    assert all(after[image] == row for image, row in before.items())
    assert {row["etag"] for row in first.scan(SOURCES).to_pylist()} == {None, "e"}


def test_a_damaged_store_of_the_first_release_is_repaired(first: Store) -> None:
    (path,) = files(first, "sources")[:1]
    data = bytearray(path.read_bytes())
    path.write_bytes(data[: len(data) // 2])
    append_raw(first, "quarantine", [read_raw(first, "quarantine")[0] | {"path": ""}])
    repair(first.url)
    assert verify(first.url).clean
    assert first.scan(QUARANTINE).num_rows == 1
    assert check_version(first.url) == 4
