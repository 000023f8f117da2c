"""Captures made small for the way to the fog node: pictures, labels, and what a kill or a correction leaves."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from device import shrinking
from device.shrinking import ShrinkError, ShrinkReport
from rinr.frames import working_frame
from rinr.labels import image_id, parse_coco
from storage.devices import DeviceStorage
from storage.fleet import Device, LabelsPlace, Uploads
from storage.ingestion import ingest, read_frame
from storage.intake.device_labels import labels_of
from storage.store import Store
from tests.conftest import jpeg, picture

LARGE = (1281, 723)
WEBP = Uploads(codec="webp", quality=60)


def shrink(captures: Path, uploads: Path, settings: Uploads = WEBP, labels: LabelsPlace | None = None) -> ShrinkReport:
    return shrinking.shrink(captures, uploads, settings, labels)


@pytest.fixture
def captures(tmp_path: Path) -> Path:
    folder = tmp_path / "captures"
    (folder / "day").mkdir(parents=True)
    capture(folder / "a.jpg", 1)
    capture(folder / "day" / "b.JPG", 2)
    label(folder, {"a.jpg": [[100.5, 200.25, 301, 77.125]], "day/b.JPG": [[0, 0, 50, 50]]})
    return folder


def capture(path: Path, seed: int, size: tuple[int, int] = LARGE, **options: object) -> None:
    path.write_bytes(jpeg(picture(seed, *size), **options))
    os.utime(path, (1_700_000_000 + seed,) * 2)


def label(folder: Path, boxes: dict[str, list[list[float]]], size: tuple[int, int] = LARGE) -> None:
    images = [{"id": n, "file_name": p, "width": size[0], "height": size[1]} for n, p in enumerate(boxes)]
    annotations = [
        {"id": 9 * n + m, "image_id": n, "category_id": 1, "bbox": box}
        for n, found in enumerate(boxes.values())
        for m, box in enumerate(found)
    ]
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "boat"}]}
    (folder / "annotations.json").write_text(json.dumps(document))


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.name != ".shrunk"}


@pytest.mark.parametrize("codec", ["webp", "avif"])
def test_uploads_are_small_pictures_with_labels_that_fit_the_same_boxes(captures, tmp_path, codec):
    before = tree(captures)
    report = shrink(captures, tmp_path / "up", Uploads(codec=codec, quality=60))
    assert (report.captured, report.shrunk, report.known, report.labels, report.notes) == (2, 2, 0, 1, ())
    assert tree(captures) == before
    made = tree(tmp_path / "up")
    assert set(made) == {f"a.{codec}", f"day/b.{codec}", "annotations.json"}
    pictures = [data for name, data in made.items() if name.endswith(codec)]
    assert report.bytes_uploaded == sum(map(len, pictures))
    assert report.bytes_captured == sum(len(data) for name, data in before.items() if "json" not in name)
    said, labels = parse_coco(before["annotations.json"]), parse_coco(made["annotations.json"])
    for name, upload in (("a.jpg", f"a.{codec}"), ("day/b.JPG", f"day/b.{codec}")):
        with Image.open(io.BytesIO(made[upload])) as image:
            assert (image.format.lower(), image.size) == (codec, (640, 361))
        captured, uploaded = working_frame(before[name], said[name]), working_frame(made[upload], labels[upload])
        assert uploaded.boxes == captured.boxes != ()
        assert np.abs(uploaded.pixels.astype(int) - captured.pixels).mean() < 4
        # As where a device shrinks with a tool of its own and leaves the labels alone.
        assert working_frame(made[upload], said[name]).boxes == captured.boxes


def test_a_second_run_does_what_is_new_and_nothing_else(captures, tmp_path):
    up = tmp_path / "up"
    shrink(captures, up)
    before = tree(up)
    times = {path: path.stat().st_mtime_ns for path in up.rglob("*") if path.is_file()}
    report = shrink(captures, up, Uploads(codec="avif", quality=10))  # other settings are for what comes
    assert (report.shrunk, report.known, report.labels) == (0, 2, 0)
    assert {path: path.stat().st_mtime_ns for path in up.rglob("*") if path.is_file()} == times
    (up / "a.webp").unlink()  # taken away, as the fog node does where the fleet file says so
    capture(captures / "c.jpg", 3)
    assert shrink(captures, up).shrunk == 1
    assert set(tree(up)) == set(before) - {"a.webp"} | {"c.webp"}
    capture(captures / "day" / "b.JPG", 4)  # replaced in place
    assert shrink(captures, up).shrunk == 1
    assert tree(up)["day/b.webp"] != before["day/b.webp"]


def test_corrected_and_late_labels_follow_also_of_pictures_that_are_gone(captures, tmp_path):
    up = tmp_path / "up"
    shrink(captures, up)
    (captures / "a.jpg").unlink()
    (up / "a.webp").unlink()
    label(captures, {"a.jpg": [[0, 0, 1281, 723]], "day/b.JPG": []})
    report = shrink(captures, up)
    assert (report.shrunk, report.labels) == (0, 1)
    labels = parse_coco((up / "annotations.json").read_bytes())
    assert [(b.x, b.y, b.width, b.height) for b in labels["a.webp"].boxes] == [(0, 0, 640, 361)]
    assert labels["day/b.webp"].boxes == ()


def test_what_is_smaller_as_it_is_goes_as_it_is(tmp_path):
    folder = tmp_path / "captures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (60, 80, 3), np.uint8)
    (folder / "noise.jpg").write_bytes(jpeg(noise, quality=5))
    label(folder, {"noise.jpg": [[1, 2, 30, 40]]}, (80, 60))
    report = shrink(folder, tmp_path / "up", Uploads(codec="webp", quality=100))
    assert (report.shrunk, report.as_captured) == (0, 1)
    assert tree(tmp_path / "up")["noise.jpg"] == (folder / "noise.jpg").read_bytes()
    assert parse_coco((tmp_path / "up" / "annotations.json").read_bytes())["noise.jpg"].boxes[0].width == 30


def test_a_turned_capture_is_uploaded_upright_with_its_time_and_no_place(tmp_path):
    folder = tmp_path / "captures"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x0132] = "2024:05:06 07:08:09"
    exif.get_ifd(0x8825)[1] = "N"
    capture(folder / "a.jpg", 1, exif=exif)
    label(folder, {"a.jpg": [[100, 200, 300, 70]]})  # in the stored raster
    capture(folder / "b.jpg", 2, (64, 48))
    shrink(folder, tmp_path / "up")
    with Image.open(tmp_path / "up" / "a.webp") as image:
        assert image.size == (361, 640)
        assert 0x0112 not in image.getexif()
        assert not image.getexif().get_ifd(0x8825)
    labels = parse_coco((tmp_path / "up" / "annotations.json").read_bytes())
    said = parse_coco((folder / "annotations.json").read_bytes())
    captured = working_frame((folder / "a.jpg").read_bytes(), said["a.jpg"])
    uploaded = working_frame((tmp_path / "up" / "a.webp").read_bytes(), labels["a.webp"])
    assert uploaded.boxes == captured.boxes
    assert uploaded.captured_at == captured.captured_at
    late = working_frame((tmp_path / "up" / "b.webp").read_bytes())
    assert late.captured_at.timestamp() == 1_700_000_002  # the file's, where nothing else says it


def test_the_fog_node_takes_uploads_like_captures(captures, tmp_path):
    shrink(captures, tmp_path / "up")
    places = {name: str(tmp_path / name) for name in ("inbox", "home")}
    device = Device(name="cam", storage=str(tmp_path / "up"), captures=str(captures), **places)
    store = Store(str(tmp_path / "store"))
    assert ingest(device, store).new == 2
    found = store.missing("any")
    boxes = {pending.path: read_frame(pending, store.url, {"cam": device}).boxes for pending in found}
    said = parse_coco((captures / "annotations.json").read_bytes())
    for name, upload in (("a.jpg", "a.webp"), ("day/b.JPG", "day/b.webp")):
        assert boxes[upload] == working_frame((captures / name).read_bytes(), said[name]).boxes
    assert [one.captured_at.timestamp() for one in found] == [1_700_000_001, 1_700_000_002]


@pytest.mark.parametrize("kind", ["yolo", "voc"])
def test_label_files_of_single_pictures_go_along(tmp_path, kind):
    folder, up = tmp_path / "captures", tmp_path / "up"
    folder.mkdir()
    for number, name in enumerate(("a.jpg", "a.jpeg", "b.jpg", "none.jpg")):
        capture(folder / name, number, (960, 540))
    corners = "<xmin>97</xmin><ymin>55</ymin><xmax>480</xmax><ymax>270</ymax>"
    box = f"<object><name>boat</name><bndbox>{corners}</bndbox></object>"
    size = "<size><width>960</width><height>540</height></size>"
    texts = {
        "yolo": {"a.txt": "0 0.3 0.3 0.4 0.4", "b.txt": "0 0.3 0.3 0.4 0.4", "classes.txt": "boat"},
        "voc": {"a.xml": f"<annotation>{size}{box}</annotation>", "b.xml": f"<annotation>{box}</annotation>"},
    }[kind]
    for name, text in texts.items():
        (folder / name).write_text(text)
    place = LabelsPlace(format=kind)
    report = shrink(folder, up, WEBP, place)
    assert (report.shrunk, shrink(folder, up, WEBP, place).labels) == (4, 0)
    expected = {"a.webp", "a.jpeg.webp", "b.webp", "none.webp", *texts} - ({"b.xml"} if kind == "voc" else set())
    assert set(tree(up)) == expected
    assert any("a.jpeg: another capture has its stem" in one for one in report.notes)
    assert any("b.xml: not uploaded: it says no size" in one for one in report.notes) == (kind == "voc")
    storages = [
        DeviceStorage(Device(name="d", storage=str(f), inbox="/i", home="/h", labels=place)) for f in (folder, up)
    ]
    boxes = []
    for storage, name in zip(storages, ("a.jpg", "a.webp"), strict=True):
        labels = labels_of(storage, storage.list())
        labels.prepare([name])
        data = storage.read(name)
        boxes.append(working_frame(data, labels.read(name, working_frame(data).source_size)).boxes)
    assert boxes[0] == boxes[1] != ()


def test_broken_captures_are_told_and_tried_again_and_broken_labels_hold_all(captures, tmp_path):
    up = tmp_path / "up"
    (captures / "broken.jpg").write_bytes(b"no picture")
    report = shrink(captures, up)
    assert (report.shrunk, report.left) == (2, 1)
    assert "broken.jpg: left for the next run: not a JPEG" in report.notes[0]
    capture(captures / "broken.jpg", 5)
    (captures / "annotations.json").write_text("{")
    with pytest.raises(ShrinkError, match="annotation file is not JSON"):
        shrink(captures, up)
    label(captures, {"broken.jpg": [[1, 1, 50, 50]]})
    assert shrink(captures, up).shrunk == 1
    for one, two, says in ((captures, captures, "into itself"), (tmp_path / "none", up, "does not exist")):
        with pytest.raises(ShrinkError, match=says):
            shrink(one, two)


KILLED = """
import os, sys
from pathlib import Path
from device import shrinking
left = int(sys.argv[3])
write = shrinking.os.fsync
def fsync(descriptor):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), 9)
    write(descriptor)
add = shrinking.Ledger.add
def added(self, entry):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), 9)
    add(self, entry)
shrinking.os.fsync, shrinking.Ledger.add = fsync, added
shrinking.shrink(Path(sys.argv[1]), Path(sys.argv[2]), shrinking.Uploads(codec="webp", quality=60))
"""


def test_a_run_that_was_killed_anywhere_is_gone_on_with(captures, tmp_path):
    shrink(captures, tmp_path / "whole")
    whole = tree(tmp_path / "whole")
    for left in (0, 1, 3, 4):
        up = tmp_path / f"up-{left}"
        arguments = [sys.executable, "-c", KILLED, str(captures), str(up), str(left)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        assert subprocess.run(arguments, env=environment, timeout=120).returncode == -9
        with (up / shrinking.LEDGER).open("ab") as ledger:
            ledger.write(b'{"path": "a.jpg", "state')  # as a power cut may leave it
        seen = {name for name in tree(up) if not name.endswith(".part")}
        assert seen <= set(whole)
        assert all(tree(up)[name] == whole[name] for name in seen)
        shrink(captures, up)
        assert {name: data for name, data in tree(up).items() if not name.endswith(".part")} == whole
        assert shrink(captures, up).known == 2


def test_a_device_trains_and_tests_on_what_it_captured(captures, tmp_path):
    from device.own_pictures import Share, own_pictures
    from storage.credentials import environment

    shrink(captures, tmp_path / "up")
    places = {name: str(tmp_path / name) for name in ("inbox", "home")}
    device = Device(name="cam", storage=str(tmp_path / "up"), captures=str(captures), **places)
    own = own_pictures(device, environment, Share(held_out=1), (), (64, 48), "cpu")
    expected = [image_id((captures / name).read_bytes()) for name in ("a.jpg", "day/b.JPG")]
    assert sorted(own.held_out.image_ids) == sorted(expected)
    assert own.notes == ()
