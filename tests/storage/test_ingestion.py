import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rinr.encoder import encode as encode_frames
from rinr.labels import ImageLabels, boxes_from_canonical, image_id, labels_id, parse_coco
from rinr.presets import Preset, encoding_id
from storage import ingestion
from storage.delivery import candidates, deliver
from storage.devices import DeviceError, DeviceFile, DeviceStorage, Listing
from storage.fleet import Device, LabelsPlace
from storage.ingestion import IngestReport, has_news, ingest, read_frame
from storage.intake.validation import Validator
from storage.landing import Landing, sweep
from storage.quarantine import cases, quarantine_path
from storage.shards.signing import SigningKey
from storage.store import Store, StoreError
from storage.tables import LAYOUTS, QUARANTINE, SOURCES, Source
from tests.storage.examples import ENCODING, coco, encoded_image, jpeg
from tests.storage.poison import POISON

MakeDevice = Callable[..., Device]


@pytest.fixture
def make_device(make_device: MakeDevice) -> MakeDevice:
    """As of everywhere; the files of one call are an hour younger than those of the call before, and long settled."""
    hours = count()

    def make(name: str = "cam-a", files: dict[str, bytes] | None = None, **fields: Any) -> Device:
        made = make_device(name, files)
        at = 1_600_000_000 + 3600 * next(hours)
        for path in files or {}:
            os.utime(Path(made.storage, path), (at, at))
        return made.model_copy(update=fields)

    return make


@pytest.fixture(scope="module")
def validator() -> Iterator[Validator]:
    with Validator(1) as started:
        yield started


@pytest.fixture(autouse=True)
def _one_validator(validator: Validator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes take a moment to start: all tests share one."""
    monkeypatch.setattr("storage.ingestion.Validator", lambda: nullcontext(validator))


@pytest.fixture(autouse=True)
def _no_news_is_told_truly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before each ingestion of these tests it is asked whether there are news: where not, nothing may be done."""

    def versions(store: Store) -> list[int]:
        folders = (Path(store.table_url(layout.name), "_delta_log") for layout in LAYOUTS)
        return [len(list(folder.glob("*.json"))) for folder in folders]

    def checked(device: Device, store: Store, **options: Any) -> IngestReport:
        try:
            news = has_news(device, store)
        except (DeviceError, StoreError):
            return ingestion.ingest(device, store, **options)
        before = versions(store)
        report = ingestion.ingest(device, store, **options)
        if not news and before[0]:  # the first run makes the tables
            assert versions(store) == before, "it said that there were no news, and something was written"
            assert (report.new, report.refused, report.waiting, report.left, report.retired) == (0, 0, 0, 0, 0)
        return report

    monkeypatch.setitem(globals(), "ingest", checked)


def test_news_are_what_an_ingestion_does_something_with(make_device: MakeDevice, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    device = make_device(files={"a.jpg": jpeg(1), "annotations.json": coco({"a.jpg": [[4, 4, 8, 8]]})})
    place = Path(device.storage)
    assert has_news(device, store)
    assert not (tmp_path / "store").exists()
    assert ingest(device, store).bytes == len(jpeg(1))
    assert not has_news(device, store)
    settle(place / "annotations.json", coco({"a.jpg": [[4, 4, 9, 9]]}))
    assert has_news(device, store)
    assert ingest(device, store).new == 1
    assert not has_news(device, store)
    settle(place / "b.jpg", b"no picture")
    assert has_news(device, store)
    assert ingest(device, store).refused == 1
    assert not has_news(device, store)
    (place / "b.jpg").unlink()
    assert has_news(device, store)  # its case comes off the list
    ingest(device, store)
    assert not has_news(device, store)
    assert not has_news(device.model_copy(update={"after": "keep"}), store)
    assert has_news(device.model_copy(update={"after": "move"}), store)


def settle(path: Path, data: bytes) -> None:
    """Write a file that has been left alone for long."""
    path.write_bytes(data)
    at = 1_700_000_000 + len(data)
    os.utime(path, (at, at))


def rows(store: Store) -> dict[str, dict]:
    """The newest row of ``sources`` by path."""
    return {row["path"]: row for row in store.scan(SOURCES).sort_by("ingested_at").to_pylist()}


def refused(store: Store) -> dict[str, str]:
    """Reasons by path."""
    return {row["path"]: row["reason"] for row in store.scan(QUARANTINE).to_pylist()}


def encode(store: Store) -> None:
    store.append([encoded_image(0, image_id=p.image_id, labels_id=p.labels_id) for p in store.missing(ENCODING)])


def test_new_files_become_sources_and_land(store: Store, make_device: MakeDevice):
    files = {"a.jpg": jpeg(1), "sub/b.JPEG": jpeg(2), "annotations.json": coco({"a.jpg": [[1, 2, 30.5, 4]]})}
    device = make_device("cam-a", files)
    report = ingest(device, store)
    assert (report.device, report.found, report.new, report.known, report.refused) == ("cam-a", 2, 2, 0, 0)
    assert report.notes == ()
    a = rows(store)["a.jpg"]
    assert a["image_id"] == image_id(files["a.jpg"])
    assert a["size"] == len(files["a.jpg"])
    assert a["labels"] == '[[1.0,2.0,30.5,4.0,"boat"]]'
    assert (a["annotated_width"], a["annotated_height"]) == (64, 48)
    assert rows(store)["sub/b.JPEG"]["labels"] == "[]"
    assert Landing(store.url).get(a["image_id"]) == files["a.jpg"]


def test_a_second_run_reads_nothing(store: Store, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch):
    device = make_device("cam-a", {"a.jpg": jpeg(1), "broken.jpg": b"x", "b.jpg": jpeg(2)})
    ingest(device, store)

    def read(*_: object) -> bytes:
        raise AssertionError("a known file was read")

    monkeypatch.setattr("storage.devices.DeviceStorage.read", read)
    report = ingest(device, store)
    assert (report.found, report.new, report.known, report.refused) == (3, 0, 3, 0)


def test_a_touched_file_is_the_same_image_in_another_state(
    store: Store, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch
):
    device = make_device("cam-a", {"a.jpg": jpeg(1)})
    ingest(device, store)
    encode(store)
    os.utime(Path(device.storage, "a.jpg"), (5, 5))
    assert ingest(device, store).new == 1
    assert store.missing(ENCODING) == []
    monkeypatch.setattr("storage.devices.DeviceStorage.read", None)
    assert ingest(device, store).known == 1


def test_a_changed_file_is_another_image(store: Store, make_device: MakeDevice):
    device = make_device("cam-a", {"a.jpg": jpeg(1)})
    ingest(device, store)
    make_device("cam-a", {"a.jpg": jpeg(2)})
    assert ingest(device, store).new == 1
    # Both are pictures that were taken; the first has landed.
    assert {pending.image_id for pending in store.missing(ENCODING)} == {image_id(jpeg(n)) for n in (1, 2)}


def test_equal_files_are_one_image_with_two_sources(store: Store, make_device: MakeDevice):
    ingest(make_device("cam-a", {"a.jpg": jpeg(1), "copy.jpg": jpeg(1)}), store)
    ingest(make_device("cam-b", {"other.jpg": jpeg(1)}), store)
    table = store.scan(SOURCES)
    assert table.num_rows == 3
    assert set(table["image_id"].to_pylist()) == {image_id(jpeg(1))}
    assert len(store.missing(ENCODING)) == 1
    assert len(Landing(store.url).image_ids()) == 1


def test_limit(store: Store, make_device: MakeDevice):
    device = make_device("cam-a", {f"{i}.jpg": jpeg(i) for i in range(5)})
    assert [ingest(device, store, limit=2).new for _ in range(4)] == [2, 2, 1, 0]


def test_time_of_capture(store: Store, make_device: MakeDevice):
    exif = Image.Exif()
    exif[0x0132] = "2025:03:04 05:06:07"
    dated = coco({"exif.jpg": [], "coco.jpg": []}, date_captured="2024-01-02 03:04:05")
    files = {"exif.jpg": jpeg(1, exif=exif), "coco.jpg": jpeg(2), "file.jpg": jpeg(3), "annotations.json": dated}
    device = make_device("cam-a", files)
    os.utime(Path(device.storage, "file.jpg"), (9, 1_700_000_000))
    ingest(device, store)
    found = {path: (row["captured_from"], row["captured_at"]) for path, row in rows(store).items()}
    assert found == {
        "exif.jpg": ("exif", datetime(2025, 3, 4, 5, 6, 7, tzinfo=UTC)),
        "coco.jpg": ("coco", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        "file.jpg": ("file", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
    }


def test_corrected_labels_make_a_new_source_without_reading_the_picture(
    store: Store, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch
):
    one, two = coco({"a.jpg": [[1, 2, 3, 4]]}), coco({"a.jpg": [[60, 2, 30, 4], [1, 1, 2, 2]]})
    device = make_device("cam-a", {"a.jpg": jpeg(1), "annotations.json": one})
    ingest(device, store)
    encode(store)
    sweep(store, ENCODING)
    monkeypatch.setattr("storage.devices.DeviceStorage.read", None)
    make_device("cam-a", {"annotations.json": two})
    report = ingest(device, store)
    assert (report.new, report.known) == (1, 0)
    assert report.notes == ("a.jpg: box 'boat' at (60, 2) of 30x4 px clipped to the picture of 64x48 px",)
    (pending,) = store.missing(ENCODING)
    assert [box.x for box in boxes_from_canonical(pending.labels)] == [1.0, 60.0]
    # And back again: the earlier encoding counts once more, so that nothing is missing.
    make_device("cam-a", {"annotations.json": one})
    assert ingest(device, store).new == 1
    assert ingest(device, store).new == 0
    assert store.missing(ENCODING) == []


def test_labels_that_no_longer_speak_of_a_file_change_nothing(store: Store, make_device: MakeDevice):
    device = make_device("cam-a", {"a.jpg": jpeg(1), "annotations.json": coco({"a.jpg": [[1, 2, 3, 4]]})})
    ingest(device, store)
    Path(device.storage, "annotations.json").unlink()
    assert ingest(device, store).new == 0
    make_device("cam-a", {"annotations.json": coco({"a.jpg": []})})
    assert ingest(device, store).new == 1


def png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (jpeg(1, (200, 150))[:-700], "incomplete: the JPEG cannot be decoded: "),
        (b"", "incomplete: the file is empty"),
        (png(), "not a JPEG, WebP or AVIF: it starts with 89 50 4e 47"),
        (b"just text", "not a JPEG, WebP or AVIF: it starts with"),
        (jpeg(1)[:4], "incomplete: the JPEG cannot be decoded: "),
    ],
    ids=["truncated", "empty", "png", "text", "four bytes"],
)
def test_a_broken_file_is_quarantined_and_the_rest_goes_on(
    store: Store, make_device: MakeDevice, data: bytes, reason: str
):
    device = make_device("cam-a", {"a.jpg": jpeg(1), "broken.jpg": data, "z.jpg": jpeg(2)})
    report = ingest(device, store)
    assert (report.found, report.new, report.refused) == (3, 2, 1)
    (row,) = store.scan(QUARANTINE).to_pylist()
    assert (row["device"], row["path"], row["size"]) == ("cam-a", "broken.jpg", len(data))
    assert row["reason"].startswith(f"broken.jpg: {reason}")
    advice = "; it is read again once it changes", "; replace the file on the device or remove it"
    assert row["reason"].endswith(advice["incomplete" not in reason])
    assert row["image_id"] == image_id(data)
    # Repaired, it is taken.
    make_device("cam-a", {"broken.jpg": jpeg(3)})
    assert ingest(device, store).new == 1


def test_too_many_pixels(store: Store, make_device: MakeDevice):
    size = bytearray(jpeg(2))
    at = size.index(b"\xff\xc0") + 5
    size[at : at + 4] = (9_000).to_bytes(2, "big") * 2
    report = ingest(make_device("cam-a", {"a.jpg": jpeg(1), "big.jpg": bytes(size)}), store)
    assert (report.new, report.refused) == (1, 1)
    assert "big.jpg: the picture has 9000x9000 pixels; at most 50,000,000" in refused(store)["big.jpg"]


def test_too_many_bytes_are_not_even_read(store: Store, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("storage.intake.taking.MAX_PICTURE_BYTES", 5_000)
    big = jpeg(2) + bytes(9_000)
    read = DeviceStorage.read
    paths: list[str] = []
    monkeypatch.setattr(DeviceStorage, "read", lambda self, path: paths.append(path) or read(self, path))
    ingest(make_device("cam-a", {"a.jpg": jpeg(1), "big.jpg": big}), store)
    assert f"big.jpg: the file has {len(big):,} bytes; at most 5,000" in refused(store)["big.jpg"]
    assert paths == ["a.jpg"]


def test_grey_cmyk_and_rotated_pictures_are_taken(store: Store, make_device: MakeDevice):
    exif = Image.Exif()
    exif[0x0112] = 6
    files = {"grey.jpg": jpeg(1, mode="L"), "cmyk.jpg": jpeg(2, mode="CMYK"), "turned.jpg": jpeg(3, exif=exif)}
    device = make_device("cam-a", files | {"annotations.json": coco({"turned.jpg": [[0, 0, 10, 5]]})})
    assert ingest(device, store).new == 3
    frames = {p.path: read_frame(p, store.url, {}) for p in store.missing(ENCODING)}
    assert {path: frame.size for path, frame in frames.items()} == {
        "grey.jpg": (64, 48),
        "cmyk.jpg": (64, 48),
        "turned.jpg": (48, 64),
    }
    # The label was drawn on the stored raster, 64x48: its top left corner is the top right one of the
    # upright picture.
    (box,) = frames["turned.jpg"].boxes
    assert (box.x, box.y, box.width, box.height) == (43, 0, 5, 10)
    assert np.ptp(frames["grey.jpg"].pixels.astype(int), axis=2).max() == 0


def test_boxes_outside_the_frame_are_clipped_or_refused_with_a_note(store: Store, make_device: MakeDevice):
    labels = coco({"a.jpg": [[50, 40, 100, 100], [200, 200, 5, 5], [1, 1, 0, 3], [2, 2, 4, 4]]})
    report = ingest(make_device("cam-a", {"a.jpg": jpeg(1), "annotations.json": labels}), store)
    assert report.new == 1
    assert sorted(report.notes) == [
        "a.jpg: box 'boat' at (1, 1) of 0x3 px refused: it has no area",
        "a.jpg: box 'boat' at (200, 200) of 5x5 px refused: it lies outside the picture of 64x48 px",
        "a.jpg: box 'boat' at (50, 40) of 100x100 px clipped to the picture of 64x48 px",
    ]
    assert len(rows(store)["a.jpg"]["notes"]) == 3
    (pending,) = store.missing(ENCODING)
    assert [(b.x, b.y, b.width, b.height) for b in read_frame(pending, store.url, {}).boxes] == [
        (2, 2, 4, 4),
        (50, 40, 14, 8),
    ]


@pytest.mark.parametrize(
    ("name", "spelled", "reason"),
    [
        ("gone.jpg", "gone.jpg", "no picture of the device's storage has this name; add the file or remove"),
        ("../secret.jpg", "../secret.jpg", "its name holds an empty part, `.` or `..`"),
        ("/etc/a.jpg", "/etc/a.jpg", "its name is an absolute path"),
        ("a\nb.jpg", "a\\nb.jpg", "its name holds control characters"),
        ("\ud800.jpg", "\\ud800.jpg", "or is not UTF-8"),
        ("y" * 2000, "y" * 299 + "…", "its name has 2,000 characters"),
        ("twin.jpg", "twin.jpg", "several files of the device have this name; write the path"),
    ],
)
def test_labels_of_no_file_are_quarantined_and_the_rest_goes_on(
    store: Store, make_device: MakeDevice, name: str, spelled: str, reason: str
):
    files = {"a.jpg": jpeg(1), "1/twin.jpg": jpeg(2), "2/twin.jpg": jpeg(3)}
    labels = coco({name: [[1, 1, 2, 2]], "a.jpg": [[1, 1, 2, 2]]})
    device = make_device("cam-a", files | {"annotations.json": labels})
    report = ingest(device, store)
    assert (report.new, report.refused) == (3, 1)
    said = refused(store)[quarantine_path(name)]
    assert said.startswith(f"annotations.json names {spelled}: ")
    assert reason in said
    assert rows(store)["a.jpg"]["labels"] != "[]"
    again = ingest(device, store)
    assert (again.new, again.refused) == (0, 0)


def test_a_bare_name_stands_for_the_one_file_of_that_name(store: Store, make_device: MakeDevice):
    labels = coco({"a.jpg": [[1, 1, 2, 2]], "images/a.jpg": [[3, 3, 2, 2]]})
    report = ingest(make_device("cam-a", {"images/a.jpg": jpeg(1), "annotations.json": labels}), store)
    assert (report.new, report.refused) == (1, 1)
    assert "another entry speaks of the same file" in next(iter(refused(store).values()))


def test_a_file_name_with_a_newline_is_quarantined(store: Store, make_device: MakeDevice):
    device = make_device("cam-a", {"a.jpg": jpeg(1), "b\n\x1b[2J.jpg": jpeg(2)})
    with open(os.fsencode(device.storage) + b"/\xff.jpg", "wb") as file:  # noqa: PTH123 (a name of bytes)
        file.write(jpeg(3))
    report = ingest(device, store)
    assert (report.found, report.new, report.refused) == (3, 1, 2)
    assert refused(store)[quarantine_path("b\n\x1b[2J.jpg")].endswith(
        "its name holds control characters (such as a newline) or is not UTF-8; rename it"
    )
    assert quarantine_path("\udcff.jpg") in refused(store)
    assert all(path.isprintable() and reason.isprintable() for path, reason in refused(store).items())
    assert ingest(device, store).known == 3


def test_a_link_is_quarantined(store: Store, make_device: MakeDevice, tmp_path: Path):
    (tmp_path / "secret.jpg").write_bytes(jpeg(1))
    device = make_device("cam-a", {"a.jpg": jpeg(2)})
    Path(device.storage, "link.jpg").symlink_to(tmp_path / "secret.jpg")
    assert ingest(device, store).new == 1
    assert refused(store)["link.jpg"].startswith("link.jpg: it is a link")


def test_broken_labels_hold_the_device_back_until_they_are_repaired(store: Store, make_device: MakeDevice):
    device = make_device("cam-a", {"a.jpg": jpeg(1), "annotations.json": b'{"images": 3}'})
    for refusals in (1, 0):
        report = ingest(device, store)
        assert (report.found, report.new, report.refused) == (1, 0, refusals)
        assert "until it is repaired" in report.notes[0]
    assert "annotations.json: `images` is missing or not a list" in refused(store)["annotations.json"]
    make_device("cam-a", {"annotations.json": coco({"a.jpg": [[1, 1, 2, 2]]})})
    assert ingest(device, store).new == 1
    assert rows(store)["a.jpg"]["labels"] != "[]"


def test_an_annotated_size_that_is_none_is_left_out(store: Store, make_device: MakeDevice):
    labels = coco({"a.jpg": [[1, 1, 2, 2]]}, width=10**12, height=-4)
    assert ingest(make_device("cam-a", {"a.jpg": jpeg(1), "annotations.json": labels}), store).new == 1
    assert rows(store)["a.jpg"]["annotated_width"] is None


def test_a_file_that_is_being_written_waits(store: Store, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch):
    device = make_device("cam-a", {"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    whole = {"a.jpg": jpeg(1), "b.jpg": jpeg(2)[:-10]}
    monkeypatch.setattr("storage.devices.DeviceStorage.read", lambda self, path: whole[path])
    report = ingest(device, store)
    assert (report.new, report.refused) == (1, 0)
    assert "b.jpg: left for the next run: it is being written" in report.notes[0]
    monkeypatch.undo()
    assert ingest(device, store).new == 1


def test_a_storage_that_does_not_exist(store: Store, make_device: MakeDevice):
    device = make_device("cam-a")
    Path(device.storage).rmdir()
    with pytest.raises(DeviceError, match="does not exist; check `storage` of device cam-a"):
        ingest(device, store)


def test_a_store_that_cannot_be_written(make_device: MakeDevice, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        ingest(make_device("cam-a", {"a.jpg": jpeg(1)}), Store(f"{tmp_path}/file/store"))


def test_a_crash_between_landing_and_commit_loses_nothing(
    store: Store, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch
):
    device = make_device("cam-a", {"a.jpg": jpeg(1), "b.jpg": b"broken"})

    def die(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "append", lambda self, rows: die() if rows else 0)
    with pytest.raises(KeyboardInterrupt):
        ingest(device, store)
    monkeypatch.undo()
    assert sweep(store, ENCODING) == 0
    report = ingest(device, store)
    assert (report.new, report.refused) == (1, 1)
    assert len(store.missing(ENCODING)) == 1


def test_read_frame_falls_back_to_the_device_and_checks_the_hash(store: Store, make_device: MakeDevice):
    device = make_device("cam-a", {"a.jpg": jpeg(1), "annotations.json": coco({"a.jpg": [[1, 2, 3, 4]]})})
    ingest(device, store)
    (pending,) = store.missing(ENCODING)
    landed = read_frame(pending, store.url, {})
    Landing(store.url).discard([pending.image_id])
    fetched = read_frame(pending, store.url, {"cam-a": device})
    assert np.array_equal(landed.pixels, fetched.pixels)
    assert (landed.image_id, landed.labels_id) == (pending.image_id, pending.labels_id)
    with pytest.raises(DeviceError, match=r"a\.jpg of device cam-a has not landed, and the fleet has no such device"):
        read_frame(pending, store.url, {})
    make_device("cam-a", {"a.jpg": jpeg(2)})
    with pytest.raises(DeviceError, match="other content now; ingest it anew"):
        read_frame(pending, store.url, {"cam-a": device})
    assert store.scan(SOURCES, where=pc.field("path") == "a.jpg").num_rows == 1


def set_time(device: Device, path: str, at: float) -> None:
    os.utime(Path(device.storage, path), (at, at))


def test_a_renamed_file_is_the_same_image_from_another_place(store: Store, make_device: MakeDevice):
    device = make_device("cam-a", {"a.jpg": jpeg(1)})
    ingest(device, store)
    encode(store)
    Path(device.storage, "a.jpg").rename(Path(device.storage, "b.jpg"))
    assert ingest(device, store).new == 1
    assert sorted(rows(store)) == ["a.jpg", "b.jpg"]
    assert store.missing(ENCODING) == []
    assert ingest(device, store).known == 1


def test_a_late_file_that_is_older_than_all_known_ones_is_taken(store: Store, make_device: MakeDevice):
    device = make_device("cam-a", {"new.jpg": jpeg(1)})
    ingest(device, store)
    make_device("cam-a", {"late.jpg": jpeg(2)})
    set_time(device, "late.jpg", 1_000)
    report = ingest(device, store)
    assert (report.new, report.known) == (1, 1)
    assert {"late.jpg", "new.jpg"} == set(rows(store))


def test_the_devices_clock_goes_back(store: Store, make_device: MakeDevice):
    one, two = jpeg(1), jpeg(2)
    two += bytes(len(one) - len(two)) if len(one) > len(two) else b""
    one += bytes(len(two) - len(one))
    device = make_device("cam-a", {"a.jpg": one})
    ingest(device, store)
    make_device("cam-a", {"a.jpg": two})  # in place, of the same size
    set_time(device, "a.jpg", 1_000)
    assert ingest(device, store).new == 1
    assert {pending.image_id for pending in store.missing(ENCODING)} == {image_id(one), image_id(two)}
    assert rows(store)["a.jpg"]["image_id"] == image_id(two)
    assert ingest(device, store).new == 0


def test_our_own_clock_goes_back(store: Store, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch):
    device = make_device("cam-a", {"a.jpg": jpeg(1), "annotations.json": coco({"a.jpg": [[1, 1, 2, 2]]})})
    ingest(device, store)

    class Past(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(2021, 1, 1, tzinfo=tz)

    monkeypatch.setattr("storage.tables.datetime", Past)
    make_device("cam-a", {"a.jpg": jpeg(2), "annotations.json": coco({"a.jpg": [[5, 5, 2, 2]]})})
    assert ingest(device, store).new == 1
    assert rows(store)["a.jpg"]["image_id"] == image_id(jpeg(2))
    assert rows(store)["a.jpg"]["labels"].startswith("[[5.0")
    assert ingest(device, store).new == 0


def test_another_etag_alone_is_another_file(store: Store, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch):
    tags = {"a.jpg": "one"}
    plain, stat = DeviceStorage.list, DeviceStorage.stat

    def listed(self: DeviceStorage) -> Listing:
        found = plain(self)
        return replace(found, pictures=tuple(replace(file, etag=tags.get(file.path)) for file in found.pictures))

    monkeypatch.setattr(DeviceStorage, "list", listed)
    monkeypatch.setattr(DeviceStorage, "stat", lambda self, path: replace(stat(self, path), etag=tags.get(path)))
    device = make_device("cam-a", {"a.jpg": jpeg(1)})
    set_time(device, "a.jpg", 5)
    ingest(device, store)
    assert ingest(device, store).known == 1
    replacement = jpeg(1)[:-2] + b"\xff\xd9"
    Path(device.storage, "a.jpg").write_bytes(replacement)
    set_time(device, "a.jpg", 5)
    tags["a.jpg"] = "two"
    assert ingest(device, store).new == 1
    assert rows(store)["a.jpg"]["etag"] == "two"


def test_rows_from_before_etags_still_count(store: Store, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch):
    device = make_device("cam-a", {"a.jpg": jpeg(1), "broken.jpg": b"x"})
    ingest(device, store)
    plain = DeviceStorage.list

    def listed(self: DeviceStorage) -> Listing:
        found = plain(self)
        return replace(found, pictures=tuple(replace(file, etag="new") for file in found.pictures))

    monkeypatch.setattr(DeviceStorage, "list", listed)
    monkeypatch.setattr("storage.devices.DeviceStorage.read", None)
    assert ingest(device, store).known == 2


def test_the_oldest_files_come_first(store: Store, make_device: MakeDevice):
    device = make_device("cam-a", {f"{i}.jpg": jpeg(i) for i in range(4)})
    for path, at in (("0.jpg", 40), ("1.jpg", 10), ("2.jpg", 30), ("3.jpg", 20)):
        set_time(device, path, at)
    taken = []
    for left in (3, 2, 1, 0):
        report = ingest(device.model_copy(update={"limit": 1}), store)
        assert (report.new, report.backlog) == (1, left)
        (path,) = set(rows(store)) - set(taken)
        taken.append(path)
    assert taken == ["1.jpg", "3.jpg", "2.jpg", "0.jpg"]


def test_files_that_cannot_be_read_do_not_use_up_the_limit(
    store: Store, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch
):
    files = {f"{i:02}.jpg": jpeg(i) for i in range(6)}
    device = make_device("cam-a", files)
    read = DeviceStorage.read

    def fail(self: DeviceStorage, path: str) -> bytes:
        if path < "04.jpg":
            raise DeviceError("no such luck")
        return read(self, path)

    monkeypatch.setattr(DeviceStorage, "read", fail)
    report = ingest(device, store, limit=1)
    assert (report.new, report.left, report.backlog) == (1, 4, 1)
    assert ingest(device, store, limit=1).new == 1
    monkeypatch.undo()
    assert ingest(device, store).new == 4


def test_a_device_that_goes_away_in_the_middle(store: Store, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("storage.intake.taking._GIVE_UP_SECONDS", -1.0)
    device = make_device("cam-a", {f"{i:02}.jpg": jpeg(i) for i in range(20)})
    read = DeviceStorage.read

    def fail(self: DeviceStorage, path: str) -> bytes:
        if path > "03.jpg":
            raise DeviceError("the line is dead")
        return read(self, path)

    monkeypatch.setattr(DeviceStorage, "read", fail)
    with pytest.raises(DeviceError, match=r"cam-a has given none of the last 8 files: .*line is dead.*4 new files are"):
        ingest(device, store)
    monkeypatch.undo()
    assert ingest(device, store).new == 16


def test_what_changes_while_it_is_read_waits(store: Store, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch):
    device = make_device("cam-a", {"a.jpg": jpeg(1)})
    read = DeviceStorage.read

    def then_touch(self: DeviceStorage, path: str) -> bytes:
        data = read(self, path)
        set_time(device, path, 77)
        return data

    monkeypatch.setattr(DeviceStorage, "read", then_touch)
    report = ingest(device, store)
    assert (report.new, report.left, report.refused) == (0, 1, 0)
    assert "it has changed since it was listed" in report.notes[0]
    monkeypatch.undo()
    assert ingest(device, store).new == 1


@pytest.mark.parametrize("data", [jpeg(1)[:-200], b"", jpeg(1)[:-200] + bytes(200)], ids=["cut", "empty", "zeros"])
def test_a_file_without_its_end_waits_while_it_is_young(store: Store, make_device: MakeDevice, data: bytes):
    device = make_device("cam-a", {"a.jpg": data}, settle=10_000.0)
    set_time(device, "a.jpg", time.time() - 5_000)
    report = ingest(device, store)
    assert (report.new, report.left, report.refused) == (0, 1, 0)
    assert report.notes[0].endswith("it may still be written")
    set_time(device, "a.jpg", time.time() - 20_000)
    assert ingest(device, store).refused == 1
    assert ingest(device, store).known == 1
    # It was whole after all, only slow: it is read again of itself.
    make_device("cam-a", {"a.jpg": jpeg(1)})
    assert ingest(device, store).new == 1


def test_a_time_in_the_future_is_no_sign_of_writing(store: Store, make_device: MakeDevice):
    device = make_device("cam-a", {"a.jpg": jpeg(1)[:-200], "whole.jpg": jpeg(2)}, settle=10_000.0)
    for path in ("a.jpg", "whole.jpg"):
        set_time(device, path, time.time() + 20_000)
    report = ingest(device, store)
    assert (report.new, report.refused) == (1, 1)


def test_poison_is_quarantined_and_the_rest_goes_on(store: Store, make_device: MakeDevice):
    poisoned = jpeg(2, comment=POISON)
    device = make_device("cam-a", {"a.jpg": jpeg(1), "b.jpg": poisoned, "c.jpg": jpeg(3)})
    with Validator(1, check="tests.storage.poison:check") as validator:
        report = ingest(device, store, validator=validator)
        assert (report.new, report.refused) == (2, 1)
        assert "failed twice: its worker was killed by SIGKILL" in refused(store)["b.jpg"]
        assert ingest(device, store, validator=validator).known == 3


def test_two_runs_at_once_take_everything_once(store: Store, make_device: MakeDevice):
    device = make_device("cam-a", {f"{i}.jpg": jpeg(i) for i in range(30)} | {"x.jpg": b"broken"})
    with ThreadPoolExecutor(3) as pool:
        reports = list(pool.map(lambda _: ingest(device, Store(store.url)), range(3)))
    assert sum(report.new for report in reports) == 30
    assert sum(report.refused for report in reports) == 1
    assert sorted(store.scan(SOURCES)["path"].to_pylist()) == sorted(f"{i}.jpg" for i in range(30))


def count_parses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    parsed: list[int] = []

    def parse(data: bytes) -> dict[str, ImageLabels]:
        parsed.append(len(data))
        return parse_coco(data)

    monkeypatch.setattr("storage.intake.device_labels.parse_coco", parse)
    return parsed


def test_known_labels_are_not_even_parsed(store: Store, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch):
    labels = coco({"a.jpg": [[1, 2, 3, 4]], "b.jpg": []})
    device = make_device("cam-a", {"a.jpg": jpeg(1), "b.jpg": jpeg(2), "annotations.json": labels})
    parsed = count_parses(monkeypatch)
    ingest(device, store)
    assert len(parsed) == 1
    assert ingest(device, store).known == 2
    assert len(parsed) == 1
    # Touched, but the same: compared once, and no more.
    set_time(device, "annotations.json", 99)
    assert [ingest(device, store).new for _ in range(3)] == [0, 0, 0]
    assert len(parsed) == 2
    assert rows(store)["a.jpg"]["labels"] == '[[1.0,2.0,3.0,4.0,"boat"]]'


def test_a_kill_after_the_relabelled_are_committed_loses_nothing(
    store: Store, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch
):
    device = make_device("cam-a", {f"{i}.jpg": jpeg(i) for i in range(4)})
    ingest(device, store)
    make_device("cam-a", {"new.jpg": jpeg(9), "annotations.json": coco({f"{i}.jpg": [[i, 1, 2, 2]] for i in range(4)})})
    append, appended = Store.append, []

    def append_once(self: Store, rows: list) -> int:
        if rows and isinstance(rows[0], Source):
            appended.append(len(rows))
            if len(appended) == 2:
                raise KeyboardInterrupt
        return append(self, rows)

    monkeypatch.setattr(Store, "append", append_once)
    with pytest.raises(KeyboardInterrupt):
        ingest(device, store)
    assert appended[0] == 4
    monkeypatch.undo()
    parsed = count_parses(monkeypatch)
    report = ingest(device, store)
    assert (report.new, report.known) == (1, 4)
    assert len(parsed) == 1  # for the new one
    assert {path: row["labels"] != "[]" for path, row in rows(store).items()} == {
        "new.jpg": False,
        **{f"{i}.jpg": True for i in range(4)},
    }


def test_a_kill_before_the_relabelled_are_committed_loses_nothing(
    store: Store, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch
):
    device = make_device("cam-a", {"a.jpg": jpeg(1)})
    ingest(device, store)
    make_device("cam-a", {"new.jpg": jpeg(9), "annotations.json": coco({"a.jpg": [[1, 1, 2, 2]]})})
    monkeypatch.setattr(Store, "append", lambda self, rows: 1 / 0 if rows else 0)
    with pytest.raises(ZeroDivisionError):
        ingest(device, store)
    monkeypatch.undo()
    assert ingest(device, store).new == 2
    assert rows(store)["a.jpg"]["labels"] != "[]"


def test_a_run_that_still_held_the_last_labels_is_corrected(store: Store, make_device: MakeDevice):
    """Another run read the labels before they changed, and commits after this one has compared what it knew."""
    labels = coco({"a.jpg": [], "b.jpg": [[1, 1, 2, 2]]})
    device = make_device("cam-a", {"a.jpg": jpeg(1), "annotations.json": labels})
    ingest(device, store)
    old = rows(store)["a.jpg"]["labels_state"]
    make_device("cam-a", {"b.jpg": jpeg(2)})
    file = DeviceStorage(device).stat("b.jpg")
    late = Source(
        image_id(jpeg(2)), labels_id(()), "cam-a", "b.jpg", file.size, file.modified, file.modified, "file", "[]"
    )
    store.append([replace(late, labels_state=f"{old} of before")])
    assert ingest(device, store).new == 1
    assert rows(store)["b.jpg"]["labels"] != "[]"
    assert ingest(device, store).new == 0


def test_labels_of_a_picture_that_is_gone_from_the_device_are_corrected(store: Store, make_device: MakeDevice):
    device = make_device("cam-a", {"a.jpg": jpeg(1), "annotations.json": coco({"a.jpg": [[1, 1, 2, 2]]})})
    ingest(device, store)
    Path(device.storage, "a.jpg").unlink()
    assert ingest(device, store).refused == 0
    make_device("cam-a", {"b.jpg": jpeg(2), "annotations.json": coco({"a.jpg": [[7, 1, 2, 2]]})})
    report = ingest(device, store)
    assert (report.new, report.refused) == (2, 0)
    assert rows(store)["a.jpg"]["labels"].startswith("[[7.0")


def test_labels_that_are_being_written_hold_the_device_back_without_a_row(store: Store, make_device: MakeDevice):
    device = make_device("cam-a", {"a.jpg": jpeg(1), "annotations.json": coco({"a.jpg": []})[:-9]}, settle=10_000.0)
    set_time(device, "annotations.json", time.time())
    report = ingest(device, store)
    assert (report.new, report.waiting, report.refused) == (0, 1, 0)
    assert "but it may still be written" in report.notes[0]
    make_device("cam-a", {"annotations.json": coco({"a.jpg": []})})
    assert ingest(device, store).new == 1


def test_notes_are_bounded(store: Store, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("storage.intake.tally.MAX_NOTES", 5)
    labels = coco({"a.jpg": [[n, 1, 100, 100] for n in range(12)]})
    report = ingest(make_device("cam-a", {"a.jpg": jpeg(1), "annotations.json": labels}), store)
    assert len(report.notes) == 6
    assert report.notes[-1] == "and 7 more notes like these"


HOSTILE = [
    "$(touch pwned).jpg", "`id`.jpg", "a;rm -rf *.jpg", "' OR '1'='1.jpg", '"quoted".jpg', "%s%n%d{0}.jpg",
    "[bold]x[/bold].jpg", "**md** ![a](x).jpg", "*.jpg", "[a-z]?.jpg", "a\\nb.jpg", "-rf.jpg", "~root.jpg",
    "NUL.jpg", "/".join(["d" * 200] * 4) + "/" + "x" * 190 + ".jpg", "ünï☃.jpg", "a#b?c=d&e.jpg",
    " lead and trail .jpg",
]  # fmt: skip


def test_hostile_names_are_names_and_nothing_else(store: Store, make_device: MakeDevice):
    files = {name: jpeg(number) for number, name in enumerate(HOSTILE)}
    boxes = {name: [[50, 40, 100, 100]] for name in files}
    device = make_device("cam-a", files | {"annotations.json": coco(boxes)})
    report = ingest(device, store)
    assert (report.new, report.refused) == (len(files), 0)
    assert {path: row["image_id"] for path, row in rows(store).items()} == {n: image_id(d) for n, d in files.items()}
    assert all(note.isprintable() for note in report.notes)
    assert sorted(path.name for path in Path(store.url, "landing").iterdir()) == sorted(
        f"{image_id(data)}.jpg" for data in files.values()
    )
    assert ingest(device, store).known == len(files)
    for pending in store.missing(ENCODING):
        assert read_frame(pending, store.url, {}).boxes
    # And in the quarantine, by the same names.
    make_device("cam-a", dict.fromkeys(files, b"broken"))
    assert ingest(device, store).refused == len(files)
    assert ingest(device, store).known == len(files)
    assert all(path.isprintable() and reason.isprintable() for path, reason in refused(store).items())


def test_names_that_reach_out_of_the_storage_are_refused(
    store: Store, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "devices" / "secret.jpg").parent.mkdir(parents=True)
    (tmp_path / "devices" / "secret.jpg").write_bytes(jpeg(1))
    names = ["../../secret.jpg", "/etc/passwd.jpg", "a//b.jpg", "./a.jpg", "x" * 1_001 + ".jpg", "a\x1b]0;x\x07.jpg"]
    time_of = datetime(2024, 1, 1, tzinfo=UTC)
    listing = Listing(tuple(DeviceFile(name, 100, time_of) for name in names), {})
    monkeypatch.setattr(DeviceStorage, "list", lambda self: listing)
    report = ingest(make_device("cam-a"), store)
    assert (report.new, report.refused) == (0, len(names))
    assert Landing(store.url).image_ids() == []
    assert ingest(make_device("cam-a"), store).known == len(names)


def test_two_names_that_are_spelled_alike_are_two_files(store: Store, make_device: MakeDevice):
    device = make_device("cam-a", {"a\nb.jpg": jpeg(1), "a\\nb.jpg": jpeg(1)})
    report = ingest(device, store)
    assert (report.new, report.refused) == (1, 1)
    assert list(rows(store)) == ["a\\nb.jpg"]


YOLO = LabelsPlace(format="yolo", path="labels")
VOC = LabelsPlace(format="voc")


def voc(x: int, size: tuple[int, int] = (64, 48)) -> bytes:
    box = f"<xmin>{x}</xmin><ymin>2</ymin><xmax>{x + 10}</xmax><ymax>12</ymax>"
    return (
        f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>"
        f"<object><name>boat</name><bndbox>{box}</bndbox></object></annotation>"
    ).encode()


def boxes(store: Store, path: str) -> list[list]:
    return json.loads(rows(store)[path]["labels"])


def test_yolo_labels_come_late_change_and_speak_of_the_upright_picture(
    store: Store, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch
):
    exif = Image.Exif()
    exif[0x0112] = 6
    pictures = {"images/a.jpg": jpeg(1), "images/sub/turned.jpg": jpeg(2, exif=exif), "c.jpg": jpeg(3)}
    labels = {"classes.txt": b"boat\ncar\n", "labels/sub/turned.txt": b"1 0.5 0.5 0.5 0.25\n"}
    device = make_device("cam-a", pictures | labels, labels=YOLO)
    assert ingest(device, store).new == 3
    assert boxes(store, "images/sub/turned.jpg") == [[12.0, 24.0, 24.0, 16.0, "car"]]  # of 48x64 pixels
    assert (rows(store)["images/a.jpg"]["annotated_width"], rows(store)["images/a.jpg"]["labels_state"]) == (64, None)
    monkeypatch.setattr("storage.devices.DeviceStorage.read", None)  # known pictures are not read again
    make_device("cam-a", {"labels/images/a.txt": b"0 0.5 0.5 0.25 0.5\n"})
    report = ingest(device, store)
    assert (report.new, report.known) == (1, 2)
    assert boxes(store, "images/a.jpg") == [[24.0, 12.0, 16.0, 24.0, "boat"]]
    assert ingest(device, store).known == 3
    make_device("cam-a", {"labels/images/a.txt": b"0 0.5 0.5 0.25 0.5\n"})  # touched: another state, equal labels
    assert [ingest(device, store).new for _ in range(2)] == [1, 0]
    make_device("cam-a", {"classes.txt": b"ship\ncar\n"})
    assert [ingest(device, store).new for _ in range(2)] == [2, 0]
    assert boxes(store, "images/a.jpg")[0][4] == "ship"
    assert len(store.missing(ENCODING)) == 3


def test_a_broken_label_file_keeps_its_own_picture_waiting_and_no_other(store: Store, make_device: MakeDevice):
    files = {"a.jpg": jpeg(1), "b.jpg": jpeg(2), "b.xml": b"<annotation><object></annotation>", "c.jpg": jpeg(3)}
    device = make_device("cam-a", files, labels=VOC)
    report = ingest(device, store)
    assert (report.new, report.refused, report.waiting) == (2, 1, 1)
    assert refused(store)["b.xml"].endswith("repair it: the picture waits for it")
    report = ingest(device, store)
    assert (report.new, report.known, report.refused, report.waiting) == (0, 2, 0, 1)
    make_device("cam-a", {"b.xml": voc(5)})
    assert ingest(device, store).new == 1
    assert [case.standing for case in cases(store)] == ["retry"]  # off the list
    # Broken later, it leaves the picture the labels that it has.
    make_device("cam-a", {"b.xml": b"nonsense"})
    report = ingest(device, store)
    assert (report.new, report.known, report.refused) == (0, 3, 1)
    assert boxes(store, "b.jpg")[0][0] in (4.0, 5.0)
    assert ingest(device, store).known == 3
    make_device("cam-a", {"b.xml": voc(25)})
    assert ingest(device, store).new == 1
    assert boxes(store, "b.jpg")[0][0] in (24.0, 25.0)


def test_broken_or_missing_class_names_hold_the_device_back(store: Store, make_device: MakeDevice):
    device = make_device("cam-a", {"a.jpg": jpeg(1), "labels/a.txt": b"0 0.5 0.5 0.5 0.5\n"}, labels=YOLO)
    for refusals in (1, 0):
        report = ingest(device, store)
        assert (report.new, report.waiting, report.refused) == (0, 1, refusals)
    assert (
        "classes.txt: the device's storage has no such file of class names; repair it" in refused(store)["classes.txt"]
    )
    make_device("cam-a", {"classes.txt": b"\xff\xfe\x00"})
    assert ingest(device, store).waiting == 1
    make_device("cam-a", {"classes.txt": b"boat\n"})
    assert ingest(device, store).new == 1
    assert {case.standing for case in cases(store)} == {"retry"}


def test_yolo_after_the_pictures_were_taken_without_it(store: Store, make_device: MakeDevice):
    device = make_device("cam-a", {"a.jpg": jpeg(1), "labels/a.txt": b"0 0.5 0.5 0.5 0.5\n", "classes.txt": b"boat"})
    ingest(device, store)
    assert boxes(store, "a.jpg") == []
    device = device.model_copy(update={"labels": YOLO})
    assert [ingest(device, store).new for _ in range(2)] == [1, 0]
    assert boxes(store, "a.jpg") == [[16.0, 12.0, 32.0, 24.0, "boat"]]


def test_many_changed_label_files_are_worked_off_under_the_limit(store: Store, make_device: MakeDevice):
    device = make_device("cam-a", {f"{i}.jpg": jpeg(i) for i in range(5)}, labels=VOC)
    ingest(device, store)
    make_device("cam-a", {f"{i}.xml": voc(i) for i in range(5)})
    assert [ingest(device, store, limit=2).new for _ in range(4)] == [2, 2, 1, 0]


def test_position_and_serial_numbers_never_travel(store: Store, make_device: MakeDevice, tiny: Preset, tmp_path: Path):
    secrets = [b"SERIAL-0815-XYZ", b"Secretville 12", b"GPS-AREA-NAME", b"Owner Mc Ownerface"]
    exif = Image.Exif()
    exif[0xA431] = secrets[0].decode()
    exif.get_ifd(0x8769)[0xA431] = secrets[0].decode()
    exif.get_ifd(0x8769)[0xA430] = secrets[3].decode()
    exif.get_ifd(0x8825)[0x001D] = "2024:05:06"
    exif.get_ifd(0x8825)[0x001C] = secrets[2]
    exif.get_ifd(0x8825)[0x0002] = (48.123456, 11.0, 0.0)
    exif[0x010E] = secrets[1].decode()
    picture = jpeg(1, exif=exif, comment=secrets[1])
    assert all(secret in picture for secret in secrets)
    device = make_device("cam-a", {"a.jpg": picture, "annotations.json": coco({"a.jpg": [[20, 20, 12, 12]]})})
    ingest(device, store)
    frames = [read_frame(pending, store.url, {}) for pending in store.missing(encoding_id(tiny))]
    store.append(encode_frames(frames, tiny))
    sweep(store, encoding_id(tiny))
    other = make_device("cam-b")
    assert deliver(store, other, candidates(store, encoding_id(tiny)), SigningKey.new()).sent
    found = [path for root in (store.url, str(tmp_path / "devices" / "cam-b")) for path in Path(root).rglob("*")]
    files = [path for path in found if path.is_file()]
    assert {path.suffix for path in files} >= {".parquet", ".json"}
    for path in files:
        data = path.read_bytes()
        if path.suffix == ".parquet":
            data += repr(pq.read_table(path, partitioning=None).to_pydict()).encode()
        for secret in (*secrets, b"48.12", b"GPSInfo"):
            assert secret not in data, path


def test_class_names_in_a_file_of_another_suffix(store: Store, make_device: MakeDevice):
    files = {"a.jpg": jpeg(1), "a.txt": b"0 0.5 0.5 0.5 0.5\n", "obj.names": b"boat\n"}
    place = LabelsPlace(format="yolo", path="", classes="obj.names")
    assert ingest(make_device("cam-a", files, labels=place), store).new == 1
    assert boxes(store, "a.jpg")[0][4] == "boat"


def test_label_files_read_again_cost_one_look_up_a_chunk(
    store: Store, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch
):
    device = make_device("cam-a", {f"{i:02}.jpg": jpeg(i) for i in range(20)}, labels=VOC)
    ingest(device, store)
    make_device("cam-a", {f"{i:02}.xml": voc(i) for i in range(20)})
    scans: list[object] = []
    scan = Store.scan
    monkeypatch.setattr(Store, "scan", lambda self, of, *a, **k: scans.append(of) or scan(self, of, *a, **k))

    assert ingestion.ingest(device, store).new == 20
    assert scans.count(SOURCES) == 2


INGEST = """
import sys
from storage.fleet import Device
from storage.ingestion import ingest
from storage.store import Store
import storage.intake.tally
storage.intake.tally.CHUNK = 3
if __name__ == "__main__":
    folder, store, home = sys.argv[1:]
    device = Device(name="cam-a", storage=folder, inbox=home + "/in", home=home, after="delete")
    print("begun", flush=True)
    print(ingest(device, Store(store)).new, flush=True)
"""


@pytest.mark.drill
def test_killed_again_and_again_it_takes_everything_once(store: Store, make_device: MakeDevice, tmp_path: Path):
    files = {f"{i % 7}/{i:03}.jpg": jpeg(i) for i in range(300)}
    labels = {name: [[number % 40, 1, 9, 9]] for number, name in enumerate(files)}
    device = make_device("cam-a", files | {"broken.jpg": b"x", "annotations.json": coco(labels)})
    script = tmp_path / "ingest.py"
    script.write_text(INGEST)
    rng = random.Random(5)
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}  # noqa: PTH109
    kills = 0
    for _ in range(60):
        process = subprocess.Popen(
            [sys.executable, str(script), device.storage, store.url, str(tmp_path / "home")],
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        assert process.stdout is not None
        process.stdout.readline()
        try:
            process.wait(rng.uniform(0, 0.8))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        said, _ = process.communicate()
        if rng.random() < 0.3:
            encode(store)
        if kills >= 12 and said.strip() == b"0":
            break
    assert kills >= 12
    for _ in range(2):
        ingest(device.model_copy(update={"after": "delete"}), store)
        encode(store)
    assert ingest(device.model_copy(update={"after": "delete"}), store).new == 0
    table = store.scan(SOURCES)
    assert sorted(table["path"].to_pylist()) == sorted(files)
    assert {row["path"]: row["image_id"] for row in table.to_pylist()} == {n: image_id(d) for n, d in files.items()}
    assert all(row["labels"] != "[]" for row in table.to_pylist())
    assert store.lookup([image_id(data) for data in files.values()]).num_rows == len(files)
    assert list(refused(store)) == ["broken.jpg"]
    assert sorted(path.name for path in Path(device.storage).rglob("*.*")) == ["annotations.json", "broken.jpg"]


def test_a_label_file_over_the_limit_is_not_even_read(
    store: Store, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("storage.intake.device_labels.MAX_FILE_BYTES", 1_000)
    monkeypatch.setattr(DeviceStorage, "read_label", None)
    device = make_device("cam-a", {"a.jpg": jpeg(1), "annotations.json": bytes(1_001)})
    report = ingest(device, store)
    assert (report.new, report.waiting, report.refused) == (0, 1, 1)
    assert "the file has 1,001 bytes; at most 1,000 are read" in refused(store)["annotations.json"]


def test_labels_of_many_pictures_that_are_not_there_are_bounded(
    store: Store, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("storage.intake.device_labels.MAX_STRAYS", 3)
    labels = coco({f"none-{i}.jpg": [] for i in range(10)} | {"a.jpg": [[1, 1, 2, 2]]})
    report = ingest(make_device("cam-a", {"a.jpg": jpeg(1), "annotations.json": labels}), store)
    assert (report.new, report.refused) == (1, 4)
    assert "more than 3 entries that speak of no picture" in refused(store)["annotations.json"]


def test_webp_and_avif_are_taken_as_jpegs_are(make_device: MakeDevice, tmp_path: Path) -> None:
    def saved(seed: int, form: str) -> bytes:
        buffer = io.BytesIO()
        with Image.open(io.BytesIO(jpeg(seed))) as image:
            image.save(buffer, form, quality=60)
        return buffer.getvalue()

    store = Store(str(tmp_path / "store"))
    pictures = {"a.webp": saved(1, "WEBP"), "b.AVIF": saved(2, "AVIF"), "named-so.jpg": saved(3, "WEBP")}
    boxes_ = {"a.webp": [[4, 4, 8, 8]], "b.AVIF": [[5, 5, 8, 8]]}
    broken = {
        "cut.webp": pictures["a.webp"][:-9],
        "cut.avif": pictures["b.AVIF"][:-9],
        "no.webp": b"hello world, hello",
    }
    device = make_device(files={**pictures, **broken, "annotations.json": coco(boxes_)})
    report = ingest(device, store)
    assert (report.found, report.new, report.refused) == (6, 3, 3)
    rows = {row["path"]: row for row in store.scan(SOURCES).to_pylist()}
    assert {path: row["image_id"] for path, row in rows.items()} == {p: image_id(d) for p, d in pictures.items()}
    reasons = refused(store)
    assert "incomplete" in reasons["cut.webp"]
    assert "incomplete" in reasons["cut.avif"]
    assert "not a JPEG, WebP or AVIF" in reasons["no.webp"]
    for pending in store.missing(ENCODING):
        frame = read_frame(pending, store.url, {device.name: device})
        assert frame.image_id == image_id(pictures[pending.path])
        assert len(frame.boxes) == (pending.path in boxes_)
    assert not has_news(device, store)
