import os
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import pytest

from rinr.labels import LabelError
from storage.devices import DeviceError, DeviceStorage, path_fault, safe_spelling
from tests.storage.examples import coco, jpeg


def test_jpegs_are_listed_in_order_with_size_and_time(tmp_path: Path):
    for name in ("b.JPG", "a.jpeg", "sub/c.Jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"123")
    for name in (".hidden.jpg", "x.jpg.part", "y.png", ".folder/z.jpg", "annotations.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    os.utime(tmp_path / "a.jpeg", (1, 1_600_000_000.25))
    files = DeviceStorage("cam", str(tmp_path)).list_jpegs()
    assert [file.path for file in files] == ["a.jpeg", "b.JPG", "sub/c.Jpg"]
    assert files[0].size == 3
    assert files[0].modified == datetime(2020, 9, 13, 12, 26, 40, 250_000, UTC)


def test_links_are_listed_as_what_they_are_and_not_read(tmp_path: Path):
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(jpeg())
    folder = tmp_path / "storage"
    folder.mkdir()
    (folder / "link.jpg").symlink_to(secret)
    (folder / "elsewhere").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.jpg")
    storage = DeviceStorage("cam", str(folder))
    assert [(file.path, file.regular) for file in storage.list_jpegs()] == [("link.jpg", False), ("pipe.jpg", False)]
    for name in ("link.jpg", "pipe.jpg"):
        with pytest.raises(DeviceError, match=f"{name} of device cam is not read: not a regular file"):
            storage.read(name)


def test_other_file_systems(tmp_path: Path):
    files = fsspec.filesystem("memory")
    files.pipe(f"{tmp_path}/cam/a.jpg", b"123")
    files.pipe(f"{tmp_path}/cam/annotations.json", coco({"a.jpg": []}))
    storage = DeviceStorage("cam", f"memory://{tmp_path}/cam")
    (file,) = storage.list_jpegs()
    assert (file.path, file.size) == ("a.jpg", 3)
    assert abs((datetime.now(UTC) - file.modified).total_seconds()) < 60
    assert storage.read("a.jpg") == b"123"
    assert list(storage.read_labels()) == ["a.jpg"]


def test_a_folder_that_does_not_exist(tmp_path: Path):
    for url in (f"{tmp_path}/no", f"file://{tmp_path}/no", f"memory://{tmp_path}/no"):
        with pytest.raises(DeviceError) as error:
            DeviceStorage("cam", url).list_jpegs()
        assert str(error.value) == f"{url} does not exist; check `storage` of device cam in the fleet file"


def test_a_url_that_nobody_knows():
    with pytest.raises(DeviceError, match=r"storage nowhere://x of device cam cannot be listed: .*fleet file"):
        DeviceStorage("cam", "nowhere://x").list_jpegs()


@pytest.mark.parametrize("path", ["../a.jpg", "/etc/passwd", "a/../../b.jpg", "a\nb.jpg", "", "a//b.jpg", "./a.jpg"])
def test_paths_that_are_not_read(tmp_path: Path, path: str):
    assert path_fault(path)
    with pytest.raises(DeviceError, match="is not read"):
        DeviceStorage("cam", str(tmp_path)).read(path)


@pytest.mark.parametrize("path", ["a.jpg", "ä ö/日本 1.jpg", "a..b.jpg", "..a.jpg", "\N{FAMILY}\u200d.jpg", "a\\b.jpg"])
def test_paths_that_are_read(path: str):
    assert path_fault(path) is None


def test_a_file_that_is_gone(tmp_path: Path):
    with pytest.raises(DeviceError, match=r"cannot be read: a\.jpg: No such file"):
        DeviceStorage("cam", str(tmp_path)).read("a.jpg")


def test_labels(tmp_path: Path):
    storage = DeviceStorage("cam", str(tmp_path))
    assert storage.read_labels() == {}
    (tmp_path / "annotations.json").write_bytes(coco({"a.jpg": [[1, 2, 3, 4]]}))
    assert storage.read_labels()["a.jpg"].boxes[0].label == "boat"
    (tmp_path / "annotations.json").write_bytes(b"{")
    with pytest.raises(LabelError):
        storage.read_labels()


def test_safe_spelling():
    assert safe_spelling("a/ä b.jpg") == "a/ä b.jpg"
    assert safe_spelling("a\n\x1b[31m\u202e.jpg") == "a\\n\\x1b[31m\\u202e.jpg"
    assert safe_spelling("\udcff.jpg") == "\\udcff.jpg"
    for long in ("x" * 301, "\n" * 299, "\U000e0001" * 5000):
        assert len(safe_spelling(long)) == 300
        assert safe_spelling(long).endswith("…")
    assert safe_spelling("x" * 300) == "x" * 300
