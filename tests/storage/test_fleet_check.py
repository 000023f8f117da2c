"""Devices with one thing wrong each, and what the check says of them."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.devices import DeviceStorage
from storage.fleet import Device, LabelsPlace
from storage.fleet_check import DeviceCheck, check_device, check_devices
from storage.folder import Folder
from tests.servers import PASSWORD, HttpServer, S3Server, SftpServer, closed_port
from tests.storage.examples import coco, jpeg

GOOD = {"a.jpg": jpeg(1), "annotations.json": coco({"a.jpg": [[1, 2, 3, 4]]})}
MakeDevice = Callable[..., Device]


def findings(check: DeviceCheck) -> dict[str, str]:
    assert len({finding.field for finding in check.findings}) == len(check.findings)
    return {finding.field: finding.what for finding in check.findings}


def test_a_device_that_is_fine(make_device: MakeDevice):
    device = make_device("cam", GOOD)
    check = check_device(device)
    assert check.findings == ()
    assert (check.device, check.pictures, check.labels, check.inbox) == ("cam", 1, "coco: 1 images, 1 boxes", True)
    assert "not looked at from here" in check.notes[-1]
    assert list(Path(device.inbox).iterdir()) == []


def test_an_empty_storage_is_no_fault(make_device: MakeDevice):
    check = check_device(make_device("cam"))
    assert check.findings == ()
    assert check.notes[0] == "there is no picture in its storage yet"


@pytest.mark.parametrize(
    ("changes", "files", "field", "what"),
    [
        ({"storage": "nowhere://x"}, {}, "storage", "nowhere://x is not understood: Protocol not known: nowhere"),
        ({"storage": "/no/such/folder"}, {}, "storage", "/no/such/folder does not exist; check `storage` of device"),
        ({"storage_options": {"key": {"env": "NO_SUCH_KEY"}}}, {}, "storage_options", "NO_SUCH_KEY is not set; set it"),
        ({"inbox_options": {"key": {"block": "x"}}}, {}, "inbox_options", "is a Prefect block"),
        ({"inbox": "/proc/inbox"}, {}, "inbox", "/proc/inbox cannot be listed and written: "),
        ({"inbox": "http://127.0.0.1:1/x"}, {}, "inbox", "cannot be written: HTTP only reads; give a URL"),
        ({"after": "delete", "storage": "http://127.0.0.1:1/x"}, {}, "after", "cannot be written: HTTP only reads"),
        ({}, {"a.jpg": b"\xff\xd8 no"}, "storage", "the sample a.jpg is no picture: "),
        ({}, {"annotations.json": b"{"}, "labels", "annotations.json: the annotation file is not JSON"),
        ({"labels": LabelsPlace(path="other.json")}, {}, "labels", "other.json is not in its storage; put the COCO"),
        ({"labels": LabelsPlace(format="voc")}, {}, "labels", "no .xml file is in its storage; check `labels`"),
        (
            {"labels": LabelsPlace(format="yolo", path="txt", classes=("a",))},
            {"b.txt": b""},
            "labels",
            "no .txt file is in the folder txt; check `labels`",
        ),
        (
            {"labels": LabelsPlace(format="yolo", path="", classes="names.txt")},
            {"a.txt": b""},
            "labels",
            "the file of class names names.txt is not there; put it into the storage",
        ),
    ],
)
def test_what_is_wrong(make_device: MakeDevice, changes: dict, files: dict[str, bytes], field: str, what: str):
    device = make_device("cam", GOOD | files).model_copy(update=changes)
    assert what in findings(check_device(device))[field]


def test_labels_of_other_formats(make_device: MakeDevice):
    voc = b"<annotation><size><width>64</width><height>48</height></size></annotation>"
    files = {"a.jpg": jpeg(1), "labels/a.txt": b"0 .5 .5 1 1\n", "classes.txt": b"x\n", "labels/a.xml": voc}
    device = make_device("cam", files)
    for place, told in (
        (LabelsPlace(format="yolo", path="labels", classes="classes.txt"), "yolo: 1 .txt files"),
        (LabelsPlace(format="voc", path="labels"), "voc: 1 .xml files"),
    ):
        check = check_device(device.model_copy(update={"labels": place}))
        assert (check.labels, check.findings) == (told, ())


@pytest.mark.parametrize(
    ("place", "files", "what"),
    [
        (
            LabelsPlace(format="yolo", path="", classes=("x",)),
            {"a.txt": b"1 .5 .5 1 1"},
            "a.txt: line 1: class is 1, but",
        ),
        (LabelsPlace(format="yolo", path="", classes="c.txt"), {"c.txt": b"x\n\ny"}, "c.txt: line 2"),
        (LabelsPlace(format="voc", path="xml"), {"xml/a.xml": b"<annotation>"}, "xml/a.xml: "),
    ],
)
def test_labels_that_cannot_be_read(make_device: MakeDevice, place: LabelsPlace, files: dict, what: str):
    device = make_device("cam", GOOD | {"b.txt": b""} if place.format == "yolo" else GOOD)
    for path, data in files.items():
        Path(device.storage, path).parent.mkdir(exist_ok=True)
        Path(device.storage, path).write_bytes(data)
    assert what in findings(check_device(device.model_copy(update={"labels": place})))["labels"]


def test_clocks(make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch):
    device = make_device("cam", GOOD)
    ahead = time.time() + 7_300
    os.utime(Path(device.storage, "a.jpg"), (ahead, ahead))
    assert findings(check_device(device)) == {
        "storage": "its newest picture is 2 hours in the future; set the device's clock, best by NTP"
    }
    os.utime(Path(device.storage, "a.jpg"), (5, 5))
    whole = Folder.write

    def write(self: Folder, name: str, data: bytes) -> None:
        whole(self, name, data)
        os.utime(self.path(name), (time.time() - 600, time.time() - 600))

    monkeypatch.setattr(Folder, "write", write)
    assert f"the clock of {device.inbox} is 10 minutes behind ours" in findings(check_device(device))["inbox"]


def test_what_a_server_says_is_escaped(make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch):
    def names(self: Folder) -> list[str]:
        raise OSError("\x1b[31mred\n" + "x" * 100_000)

    monkeypatch.setattr(Folder, "names", names)
    told = findings(check_device(make_device("cam", GOOD)))["inbox"]
    assert told.isprintable()
    assert len(told) < 2_000


def test_a_device_that_hangs_holds_up_no_other(make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch):
    devices = [make_device(f"cam-{n}", GOOD) for n in range(20)]
    free = threading.Event()
    whole = DeviceStorage.list

    def list_(self: DeviceStorage) -> object:
        if self.device.name in ("cam-1", "cam-3"):
            free.wait(60)
        return whole(self)

    monkeypatch.setattr(DeviceStorage, "list", list_)
    told: list[tuple[int, int]] = []
    checks = check_devices(devices, seconds=3, progress=lambda done, total: told.append((done, total)))
    free.set()
    assert [check.device for check in checks] == [device.name for device in devices]
    wrong = {check.device: findings(check)["storage"] for check in checks if check.findings}
    assert wrong == dict.fromkeys(
        ("cam-1", "cam-3"), "it has not answered in 3 s; see that it is up and reached from here"
    )
    assert told[-1] == (20, 20)


def test_devices_on_servers(
    s3_server: S3Server,
    sftp_server: SftpServer,
    http_server: HttpServer,
    make_device: MakeDevice,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("TEST_PASSWORD", PASSWORD)
    bucket = s3_server.new_bucket()
    for name, data in GOOD.items():
        s3_server.put(bucket, f"cam/{name}", data)
        for folder in (sftp_server.folder, http_server.folder):
            (folder / "checked").mkdir(exist_ok=True)
            (folder / "checked" / name).write_bytes(data)
    sftp = sftp_server.options | {"password": {"env": "TEST_PASSWORD"}}
    base = make_device("cam")

    def device(name: str, **changes: object) -> Device:
        return base.model_copy(update={"name": name, **changes})

    s3 = {"storage_options": s3_server.options(), "inbox_options": s3_server.options()}
    dead = {"storage_options": s3_server.options(closed_port()) | {"config_kwargs": {"retries": {"max_attempts": 0}}}}
    checks = check_devices(
        [
            device("s3", storage=f"s3://{bucket}/cam", inbox=f"s3://{bucket}/inbox", after="move", **s3),
            device("sftp", storage=sftp_server.url("checked"), storage_options=sftp,
                   inbox=sftp_server.url("checked-inbox"), inbox_options=sftp),
            device("http", storage=http_server.url("checked")),
            device("dead", storage=f"s3://{bucket}/cam", **dead),
            device("no-bucket", storage="s3://no-such-bucket/cam", **s3),
            device("no-sftp", storage=f"sftp://127.0.0.1:{closed_port()}/x"),
        ],
        seconds=30,
    )  # fmt: skip
    by_name = {check.device: check for check in checks}
    for name in ("s3", "sftp", "http"):
        assert findings(by_name[name]) == {}
        assert (by_name[name].pictures, by_name[name].inbox) == (1, True)
    assert "cannot be listed: " in findings(by_name["dead"])["storage"]
    assert "does not exist; check `storage`" in findings(by_name["no-bucket"])["storage"]
    assert "cannot be connected to: " in findings(by_name["no-sftp"])["storage"]
    assert list((sftp_server.folder / "checked-inbox").iterdir()) == []
