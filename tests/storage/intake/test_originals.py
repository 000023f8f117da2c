"""What becomes of originals on their devices: never anything to one whose picture is not safe."""

import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from rinr.labels import image_id
from storage.devices import DeviceError, DeviceStorage
from storage.fleet import Device
from storage.ingestion import ingest, read_frame
from storage.intake.validation import Validator
from storage.landing import Landing, sweep
from storage.store import Store
from tests.storage.examples import ENCODING, coco, encoded_image, jpeg

MakeDevice = Callable[..., Device]


@pytest.fixture(scope="module")
def validator() -> Iterator[Validator]:
    with Validator(1) as started:
        yield started


@pytest.fixture(autouse=True)
def _one_validator(validator: Validator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.ingestion.Validator", lambda: nullcontext(validator))


@pytest.fixture
def taken(store: Store, make_device: MakeDevice) -> Callable[..., Device]:
    """A device whose pictures are ingested and encoded."""

    def make(after: str, files: dict[str, bytes] | None = None, **changes: object) -> Device:
        files = files or {"a.jpg": jpeg(1), "sub/b.jpg": jpeg(2)}
        device = write(make_device, files).model_copy(update={"after": after, **changes})
        ingest(device, store)
        encode(store)
        return device

    return make


def write(make_device: MakeDevice, files: dict[str, bytes], at: int = 1_000) -> Device:
    device = make_device("cam-a", files)
    for path in files:
        os.utime(Path(device.storage, path), (at, at))
    return device


def encode(store: Store) -> None:
    store.append([encoded_image(0, image_id=p.image_id, labels_id=p.labels_id) for p in store.missing(ENCODING)])
    sweep(store, ENCODING)


def files_of(device: Device) -> list[str]:
    root = Path(device.storage)
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_kept_where_nothing_is_said(store: Store, taken: Callable[..., Device]):
    device = taken("keep")
    assert ingest(device, store).retired == 0
    assert files_of(device) == ["a.jpg", "sub/b.jpg"]


def test_deleted_once_encoded_and_the_labels_stay(store: Store, taken: Callable[..., Device], make_device: MakeDevice):
    labels = coco({"a.jpg": [[1, 1, 5, 5]]})
    device = taken("delete", {"a.jpg": jpeg(1), "b.jpg": jpeg(2), "annotations.json": labels})
    write(make_device, {"c.jpg": jpeg(3)})  # new: it is taken, and stays until it is encoded
    report = ingest(device, store)
    assert (report.retired, report.new, report.refused, report.notes) == (2, 1, 0, ())
    assert files_of(device) == ["annotations.json", "c.jpg"]
    assert ingest(device, store).retired == 0
    encode(store)
    assert ingest(device, store).retired == 1
    assert files_of(device) == ["annotations.json"]
    report = ingest(device, store)
    assert (report.found, report.new, report.refused) == (0, 0, 0)


def test_moved_out_of_sight_and_found_again(store: Store, taken: Callable[..., Device], make_device: MakeDevice):
    device = taken("move")
    assert ingest(device, store).retired == 2
    assert files_of(device) == [".taken/a.jpg", ".taken/sub/b.jpg"]
    assert ingest(device, store).found == 0
    # Encoded in another way it is needed once more, and read from where it lies.
    (pending, _) = store.missing("another encoding")
    assert read_frame(pending, store.url, {"cam-a": device}).image_id == pending.image_id
    # Another picture of the same name does not displace it.
    write(make_device, {"a.jpg": jpeg(7)}, 2_000)
    ingest(device, store)
    encode(store)
    assert ingest(device, store).retired == 1
    assert Path(device.storage, ".taken/a.jpg").read_bytes() == jpeg(1)
    assert Path(device.storage, f".taken/{image_id(jpeg(7))[:16]}/a.jpg").read_bytes() == jpeg(7)
    for pending in store.missing("another encoding"):
        assert read_frame(pending, store.url, {"cam-a": device}).image_id == pending.image_id


def test_the_limit_bounds_a_run(store: Store, taken: Callable[..., Device]):
    device = taken("delete", {f"{i}.jpg": jpeg(i) for i in range(5)})
    assert [ingest(device, store, limit=2).retired for _ in range(4)] == [2, 2, 1, 0]


def test_nothing_happens_before_the_picture_is_encoded(store: Store, make_device: MakeDevice):
    device = write(make_device, {"a.jpg": jpeg(1)}).model_copy(update={"after": "delete"})
    for _ in range(3):
        assert ingest(device, store).retired == 0
    assert files_of(device) == ["a.jpg"]


def test_a_damaged_payload_keeps_the_original(
    store: Store, taken: Callable[..., Device], monkeypatch: pytest.MonkeyPatch
):
    device = taken("delete")
    sound = Store.lookup

    def damaged(self: Store, image_ids: list[str], columns: list[str] | None = None, **options: object):
        table = sound(self, image_ids, columns, **options)
        if "payload" not in table.column_names:
            return table
        payloads = [
            data[:-1] + bytes([data[-1] ^ 1]) if image == image_id(jpeg(1)) else data
            for image, data in zip(table["image_id"].to_pylist(), table["payload"].to_pylist(), strict=True)
        ]
        return table.set_column(table.column_names.index("payload"), "payload", [payloads])

    monkeypatch.setattr(Store, "lookup", damaged)
    report = ingest(device, store)
    assert report.retired == 1
    assert report.notes == ("a.jpg: not deleted: its payload in the store is damaged; run `rinr store verify`",)
    assert files_of(device) == ["a.jpg"]


def test_the_row_is_read_by_a_fresh_handle(store: Store, taken: Callable[..., Device], monkeypatch: pytest.MonkeyPatch):
    device = taken("delete")
    handles: list[Store] = []
    sound = Store.lookup
    monkeypatch.setattr(Store, "lookup", lambda self, *a, **k: handles.append(self) or sound(self, *a, **k))
    assert ingest(device, store).retired == 2
    assert handles
    assert all(handle is not store for handle in handles)


def test_labels_that_were_corrected_keep_the_original_until_it_is_encoded_anew(
    store: Store, taken: Callable[..., Device], make_device: MakeDevice
):
    device = taken("delete", {"a.jpg": jpeg(1), "annotations.json": coco({"a.jpg": [[1, 1, 5, 5]]})})
    write(make_device, {"annotations.json": coco({"a.jpg": [[2, 2, 5, 5]]})}, 2_000)
    for _ in range(2):
        assert ingest(device, store).retired == 0
    (pending,) = store.missing(ENCODING)
    assert read_frame(pending, store.url, {"cam-a": device}).boxes[0].x == 2
    encode(store)
    assert ingest(device, store).retired == 1


def test_an_unlabelled_copy_of_a_labelled_picture(store: Store, taken: Callable[..., Device], make_device: MakeDevice):
    labelled = make_device("cam-b", {"x.jpg": jpeg(1), "annotations.json": coco({"x.jpg": [[1, 1, 5, 5]]})})
    for path in ("x.jpg", "annotations.json"):
        os.utime(Path(labelled.storage, path), (1_000, 1_000))
    ingest(labelled, store)
    device = taken("delete", {"a.jpg": jpeg(1)})  # encoded with the labels of the other device alone
    assert ingest(device, store).retired == 1


def test_a_file_that_was_replaced_is_not_touched(
    store: Store, taken: Callable[..., Device], make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch
):
    device = taken("delete", {"a.jpg": jpeg(1)})
    write(make_device, {"a.jpg": jpeg(2)}, 2_000)
    report = ingest(device, store)
    assert (report.retired, report.new) == (0, 1)
    assert files_of(device) == ["a.jpg"]
    # Even under the same size and time.
    encode(store)
    other = bytearray(jpeg(2))
    other[-10] ^= 1
    write(make_device, {"a.jpg": bytes(other)}, 2_000)
    report = ingest(device, store)
    assert report.retired == 0
    assert "other content than what was taken, under the same size and time" in report.notes[0]
    assert files_of(device) == ["a.jpg"]


def test_a_file_that_changes_while_it_is_read_again_stays(
    store: Store, taken: Callable[..., Device], monkeypatch: pytest.MonkeyPatch
):
    device = taken("delete", {"a.jpg": jpeg(1)})
    read = DeviceStorage.read

    def then_append(self: DeviceStorage, path: str) -> bytes:
        data = read(self, path)
        with Path(device.storage, path).open("ab") as file:
            file.write(b"more")
        return data

    monkeypatch.setattr(DeviceStorage, "read", then_append)
    report = ingest(device, store)
    assert report.retired == 0
    assert "it has changed since it was listed" in report.notes[0]


@pytest.mark.parametrize("after", ["move", "delete"])
@pytest.mark.parametrize("step", ["list", "read", "stat", "move", "delete"])
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_a_kill_at_any_step_loses_nothing(
    store: Store, taken: Callable[..., Device], monkeypatch: pytest.MonkeyPatch, after: str, step: str, done: bool
):
    device = taken(after)
    do = getattr(DeviceStorage, step)
    calls: list[object] = []

    def die(self: DeviceStorage, *arguments: object) -> object:
        calls.append(arguments)
        if done:
            do(self, *arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(DeviceStorage, step, die)
    try:
        ingest(device, store)
    except KeyboardInterrupt:
        pass
    else:
        assert not calls
    monkeypatch.undo()
    for _ in range(2):
        ingest(device, store)
    left = [".taken/a.jpg", ".taken/sub/b.jpg"] if after == "move" else []
    assert files_of(device) == left
    assert store.missing(ENCODING) == []
    assert {source["image_id"] for source in store.lookup([image_id(jpeg(1)), image_id(jpeg(2))]).to_pylist()} == {
        image_id(jpeg(1)),
        image_id(jpeg(2)),
    }


def test_a_storage_that_cannot_be_written(store: Store, taken: Callable[..., Device], monkeypatch: pytest.MonkeyPatch):
    device = taken("delete", {f"{i:02}.jpg": jpeg(i) for i in range(12)})

    def refuse(self: DeviceStorage, path: str) -> None:
        raise DeviceError("HTTP only reads")

    monkeypatch.setattr(DeviceStorage, "delete", refuse)
    report = ingest(device, store)
    assert report.retired == 0
    assert report.notes[0] == ('00.jpg: cannot be deleted: HTTP only reads; set `after` to "keep" where it may not be')
    assert report.notes[-1] == "no more files are deleted in this run: 8 have failed"
    assert len(report.notes) == 9


def test_while_labels_are_broken_nothing_is_deleted(
    store: Store, taken: Callable[..., Device], make_device: MakeDevice
):
    device = taken("delete", {"a.jpg": jpeg(1), "annotations.json": coco({"a.jpg": [[1, 1, 5, 5]]})})
    write(make_device, {"annotations.json": b"{", "b.jpg": jpeg(2)}, 2_000)
    assert ingest(device, store).retired == 0
    assert files_of(device) == ["a.jpg", "annotations.json", "b.jpg"]


def test_landed_pictures_are_enough_without_the_device(store: Store, make_device: MakeDevice):
    device = write(make_device, {"a.jpg": jpeg(1)})
    ingest(device, store)
    Path(device.storage, "a.jpg").unlink()
    (pending,) = store.missing(ENCODING)
    assert Landing(store.url).get(pending.image_id) == jpeg(1)
    assert read_frame(replace(pending, device="gone"), store.url, {}).image_id == pending.image_id
