import io
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from PIL import Image

from rinr.labels import boxes_from_canonical, image_id
from storage.devices import DeviceError
from storage.fleet import Device
from storage.ingestion import ingest, read_frame
from storage.landing import Landing, sweep
from storage.store import Store, StoreError
from storage.tables import QUARANTINE, SOURCES
from tests.storage.examples import ENCODING, coco, encoded_image, jpeg

MakeDevice = Callable[..., Device]


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


def test_a_touched_file_is_still_one_source(store: Store, make_device: MakeDevice):
    device = make_device("cam-a", {"a.jpg": jpeg(1)})
    ingest(device, store)
    os.utime(Path(device.storage, "a.jpg"), (5, 5))
    report = ingest(device, store)
    assert (report.new, report.known) == (0, 1)
    assert store.scan(SOURCES).num_rows == 1


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
        (jpeg(1, (200, 150))[:-700], "the JPEG cannot be decoded: "),
        (b"", "the file is empty"),
        (png(), "not a JPEG: it starts with 89 50 4e 47"),
        (b"just text", "not a JPEG: it starts with"),
        (jpeg(1)[:4], "the JPEG cannot be decoded: "),
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
    assert row["reason"].endswith("; replace the file on the device or remove it")
    assert row["image_id"] == image_id(data)
    # Repaired, it is taken.
    make_device("cam-a", {"broken.jpg": jpeg(3)})
    assert ingest(device, store).new == 1


def test_too_many_pixels(store: Store, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("rinr.frames.MAX_PIXELS", 64 * 48)
    report = ingest(make_device("cam-a", {"a.jpg": jpeg(1), "big.jpg": jpeg(2, (64, 49))}), store)
    assert (report.new, report.refused) == (1, 1)
    assert "big.jpg: the picture has 64x49 pixels; at most 3,072" in refused(store)["big.jpg"]


def test_too_many_bytes_are_not_even_read(store: Store, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch):
    for module in ("rinr.frames", "storage.devices", "storage.ingestion"):
        monkeypatch.setattr(f"{module}.MAX_JPEG_BYTES", 5_000)
    ingest(make_device("cam-a", {"a.jpg": jpeg(1), "big.jpg": jpeg(2) + bytes(9_000)}), store)
    assert "big.jpg: the file has 5,001 bytes; at most 5,000" in refused(store)["big.jpg"]


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
        ("gone.jpg", "gone.jpg", "no JPEG of the device's storage has this name; add the file or remove"),
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
    assert refused(store)[spelled].startswith(f"annotations.json names {spelled}: ")
    assert reason in refused(store)[spelled]
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
    assert refused(store)["b\\n\\x1b[2J.jpg"].endswith(
        "its name holds control characters (such as a newline) or is not UTF-8; rename it"
    )
    assert "\\udcff.jpg" in refused(store)
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
