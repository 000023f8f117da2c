"""Ingestion from real servers: S3, SFTP and HTTP, and what becomes of originals there."""

import pytest

from rinr.labels import image_id
from storage.devices import DeviceStorage
from storage.fleet import Device
from storage.ingestion import ingest, read_frame
from storage.landing import sweep
from storage.store import Store
from storage.tables import SOURCES
from tests.storage.examples import ENCODING, coco, encoded_image, jpeg
from tests.storage.test_device_servers import make_place  # noqa: F401  (a fixture)
from tests.storage.test_ingestion import _one_validator, validator  # noqa: F401  (fixtures)

FILES = {
    "a.jpg": jpeg(1),
    "sub/b ä#%41.JPEG": jpeg(2),
    "annotations.json": coco({"a.jpg": [[1, 1, 5, 5]]}),
}


def encode(store: Store) -> None:
    store.append([encoded_image(0, image_id=p.image_id, labels_id=p.labels_id) for p in store.missing(ENCODING)])
    sweep(store, ENCODING)


@pytest.mark.parametrize("kind", ["s3", "sftp", "http"])
def test_what_is_known_is_not_read_again(store: Store, make_place, kind: str, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    place = make_place(kind, FILES)
    device = Device(name="cam", inbox="/in", home="/home", settle=0.0, **place.fields())
    report = ingest(device, store)
    assert (report.found, report.new, report.left, report.notes) == (2, 2, 0, ())
    assert {row["path"]: row["image_id"] for row in store.scan(SOURCES).to_pylist()} == {
        path: image_id(data) for path, data in FILES.items() if path != "annotations.json"
    }
    with monkeypatch.context() as patch:
        for read in ("read", "read_label"):
            patch.setattr(DeviceStorage, read, None)
        assert ingest(device, store).known == 2
    encode(store)
    pending = store.missing("another encoding")
    assert {read_frame(one, store.url, {"cam": device}).image_id for one in pending} == {
        image_id(jpeg(1)),
        image_id(jpeg(2)),
    }


@pytest.mark.parametrize("after", ["move", "delete"])
@pytest.mark.parametrize("kind", ["s3", "sftp"])
def test_originals_on_servers(store: Store, make_place, kind: str, after: str):  # noqa: F811
    place = make_place(kind, FILES)
    device = Device(name="cam", inbox="/in", home="/home", settle=0.0, after=after, **place.fields())
    ingest(device, store)
    encode(store)
    report = ingest(device, store)
    assert (report.retired, report.notes) == (2, ())
    assert ingest(device, store).found == 0
    if after == "move":
        pending = store.missing("another encoding")
        assert len([read_frame(one, store.url, {"cam": device}) for one in pending]) == 2


def test_http_originals_stay_with_a_note(store: Store, make_place):  # noqa: F811
    device = Device(
        name="cam", inbox="/in", home="/home", settle=0.0, after="delete", **make_place("http", FILES).fields()
    )
    ingest(device, store)
    encode(store)
    report = ingest(device, store)
    assert (report.retired, report.known) == (0, 2)
    assert "HTTP only reads" in report.notes[0]
    assert 'set `after` to "keep"' in report.notes[0]
