import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import pytest

from storage.credentials import CredentialError, Reference
from storage.devices import DeviceError, DeviceFile, DeviceStorage, path_fault, safe_spelling
from storage.fleet import Device, LabelsPlace
from tests.storage.examples import coco, jpeg


def storage_at(url: object, **fields: object) -> DeviceStorage:
    return DeviceStorage(Device(name="cam", storage=str(url), inbox="/in", home="/home", **fields))


def test_jpegs_are_listed_in_order_with_size_and_time(tmp_path: Path):
    for name in ("b.JPG", "a.jpeg", "sub/c.Jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"123")
    for name in (".hidden.jpg", "x.jpg.part", "y.png", ".folder/z.jpg", "annotations.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    os.utime(tmp_path / "a.jpeg", (1, 1_600_000_000.25))
    files = storage_at(tmp_path).list().pictures
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
    storage = storage_at(folder)
    assert [(file.path, file.regular) for file in storage.list().pictures] == [("link.jpg", False), ("pipe.jpg", False)]
    for name in ("link.jpg", "pipe.jpg"):
        with pytest.raises(DeviceError, match=f"{name} of device cam is not read: not a regular file"):
            storage.read(name)


def test_other_file_systems(tmp_path: Path):
    files = fsspec.filesystem("memory")
    files.pipe(f"{tmp_path}/cam/a.jpg", b"123")
    files.pipe(f"{tmp_path}/cam/annotations.json", coco({"a.jpg": []}))
    storage = storage_at(f"memory://{tmp_path}/cam")
    (file,) = storage.list().pictures
    assert (file.path, file.size) == ("a.jpg", 3)
    assert abs((datetime.now(UTC) - file.modified).total_seconds()) < 60
    assert storage.read("a.jpg") == b"123"
    assert storage.read_label("annotations.json") == coco({"a.jpg": []})


def test_a_folder_that_does_not_exist(tmp_path: Path):
    for url in (f"{tmp_path}/no", f"file://{tmp_path}/no", f"memory://{tmp_path}/no"):
        with pytest.raises(DeviceError) as error:
            storage_at(url).list()
        assert str(error.value) == f"{url} does not exist; check `storage` of device cam in the fleet file"


def test_a_url_that_nobody_knows():
    with pytest.raises(DeviceError, match=r"storage nowhere://x of device cam cannot be listed: .*fleet file"):
        storage_at("nowhere://x").list()


@pytest.mark.parametrize("path", ["../a.jpg", "/etc/passwd", "a/../../b.jpg", "a\nb.jpg", "", "a//b.jpg", "./a.jpg"])
def test_paths_that_are_not_read(tmp_path: Path, path: str):
    assert path_fault(path)
    with pytest.raises(DeviceError, match="is not read"):
        storage_at(tmp_path).read(path)


@pytest.mark.parametrize("path", ["a.jpg", "ä ö/日本 1.jpg", "a..b.jpg", "..a.jpg", "\N{FAMILY}\u200d.jpg", "a\\b.jpg"])
def test_paths_that_are_read(path: str):
    assert path_fault(path) is None


def test_a_file_that_is_gone(tmp_path: Path):
    with pytest.raises(DeviceError, match=r"cannot be read: a\.jpg: No such file"):
        storage_at(tmp_path).read("a.jpg")


def test_label_files_are_listed_beside_the_pictures(tmp_path: Path):
    names = ["annotations.json", "a.txt", "sub/b.xml"]
    for name in (*names, "a.jpg", "c.json.part", ".d.json", "notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    storage = storage_at(tmp_path)
    listing = storage.list()
    assert sorted(listing.others) == sorted(names)
    assert listing.others["a.txt"] == storage.stat("a.txt")
    assert storage.read_label("sub/b.xml") == b"sub/b.xml"


def test_files_that_the_fleet_names_are_listed_whatever_their_ending(tmp_path: Path):
    for name in ("obj.names", "other.names"):
        (tmp_path / name).write_bytes(b"boat")
    labels = LabelsPlace(format="yolo", classes="obj.names")
    assert list(storage_at(tmp_path, labels=labels).list().others) == ["obj.names"]


def test_the_oldest_come_first(tmp_path: Path):
    for name, time in (("a.jpg", 30), ("b.jpg", 10), ("c.jpg", 20), ("0.jpg", 20)):
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (time, time))
    assert [file.path for file in storage_at(tmp_path).list().pictures] == ["b.jpg", "0.jpg", "c.jpg", "a.jpg"]


def test_the_state_changes_with_size_time_and_etag():
    file = DeviceFile("a.jpg", 3, datetime(2026, 5, 1, tzinfo=UTC))
    assert file.state == "3 2026-05-01T00:00:00+00:00 -"
    others = [replace(file, size=4), replace(file, modified=datetime(2026, 5, 2, tzinfo=UTC)), replace(file, etag="x")]
    assert len({one.state for one in (file, *others)}) == 4


def test_files_are_moved_and_deleted_within_the_storage(tmp_path: Path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.jpg").write_bytes(b"x")
    storage = storage_at(tmp_path)
    storage.move("sub/a.jpg", "done")
    assert [file.path for file in storage.list().pictures] == ["done/sub/a.jpg"]
    for folder in ("../elsewhere", "/elsewhere", ""):
        with pytest.raises(DeviceError, match="is not moved"):
            storage.move("done/sub/a.jpg", folder)
    storage.delete("done/sub/a.jpg")
    storage.delete("done/sub/a.jpg")
    assert storage.list().pictures == ()
    with pytest.raises(DeviceError, match="is not deleted"):
        storage.delete("../a.jpg")
    with pytest.raises(DeviceError, match=r"cannot be written: a\.jpg: No such file"):
        storage.move("a.jpg", "done")


def test_a_link_among_the_folders_leads_nowhere(tmp_path: Path):
    folder, out = tmp_path / "storage", tmp_path / "out"
    for place in (folder / "sub", out):
        place.mkdir(parents=True)
        (place / "a.jpg").write_bytes(b"x")
    (folder / "done").symlink_to(out)
    storage = storage_at(folder)
    with pytest.raises(
        DeviceError, match="is not moved to: a folder in its name is a link out of the device's storage"
    ):
        storage.move("sub/a.jpg", "done")
    for act, done in ((storage.read, "read"), (storage.delete, "deleted")):
        with pytest.raises(DeviceError, match=f"is not {done}: a folder in its name is a link out of"):
            act("done/a.jpg")
    assert (out / "a.jpg").exists()
    (folder / "inner").symlink_to(folder / "sub")
    assert storage.read("inner/a.jpg") == b"x"


def test_secrets_are_asked_for_where_the_storage_is_opened_and_not_before(monkeypatch: pytest.MonkeyPatch):
    asked = []

    def secrets(reference: Reference) -> str:
        asked.append(reference)
        raise CredentialError(f"no {reference.name}")

    options = {"secret": {"env": "CAM_SECRET"}}
    device = Device(name="cam", storage="memory://cam", storage_options=options, inbox="/in", home="/home")
    storage = DeviceStorage(device, secrets)
    assert asked == []
    with pytest.raises(DeviceError, match="no CAM_SECRET; check"):
        storage.list()
    assert asked == [Reference("env", "CAM_SECRET")]


def test_safe_spelling():
    assert safe_spelling("a/ä b.jpg") == "a/ä b.jpg"
    assert safe_spelling("a\n\x1b[31m\u202e.jpg") == "a\\n\\x1b[31m\\u202e.jpg"
    assert safe_spelling("\udcff.jpg") == "\\udcff.jpg"
    for long in ("x" * 301, "\n" * 299, "\U000e0001" * 5000):
        assert len(safe_spelling(long)) == 300
        assert safe_spelling(long).endswith("…")
    assert safe_spelling("x" * 300) == "x" * 300
