"""The version of a store, and the store of the first release."""

import json
from pathlib import Path

import pytest

from storage.versions import StoreVersionError, check_version, read_version, write_version


def test_a_new_store_has_no_version_and_then_the_newest(tmp_path: Path) -> None:
    url = str(tmp_path / "store")
    assert read_version(url) is None
    assert check_version(url) is None
    assert not (tmp_path / "store").exists()
    assert write_version(url) == 2
    assert json.loads((tmp_path / "store" / "store.json").read_text()) == {"format": "rinr-store", "version": 2}
    assert check_version(url) == 2
    assert [file.name for file in (tmp_path / "store").iterdir()] == ["store.json"]


def test_tables_without_the_file_are_of_version_1(tmp_path: Path) -> None:
    (tmp_path / "sources" / "_delta_log").mkdir(parents=True)
    assert check_version(str(tmp_path)) == 1
    write_version(str(tmp_path))
    assert check_version(str(tmp_path)) == 2


def test_an_older_file_is_raised_and_an_equal_one_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "store.json"
    file.write_text('{"format": "rinr-store", "version": 1}')
    write_version(str(tmp_path))
    assert json.loads(file.read_text())["version"] == 2
    file.write_text('{"version": 2, "format": "rinr-store", "more": 1}')
    write_version(str(tmp_path))
    assert "more" in file.read_text()


def test_a_newer_store_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "store.json"
    file.write_text('{"format": "rinr-store", "version": 3}')
    for attempt in (check_version, write_version):
        with pytest.raises(StoreVersionError, match=r"is of version 3, this program knows up to 2: update rinr"):
            attempt(str(tmp_path))
    assert file.read_text() == '{"format": "rinr-store", "version": 3}'


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
