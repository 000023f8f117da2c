from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import storage.delivery as delivery_module
from rinr.codec.encoded import EncodedImage
from storage.delivery import deliver
from storage.fleet import Device
from storage.inbox import Inbox, ShardError
from storage.store import Store
from storage.tables import DELIVERIES, delivery_from_row
from tests.storage.examples import ENCODING, digest, encoded_image, source

MakeDevice = Callable[..., Device]


def fill(store: Store, numbers: dict[int, str]) -> list[EncodedImage]:
    """Images with the device that each came from."""
    images = [encoded_image(number) for number in numbers]
    store.append(images)
    store.append([source(number, device=name) for number, name in numbers.items()])
    return images


def keys(*numbers: int) -> list[tuple[str, str, str]]:
    images = [encoded_image(number) for number in numbers]
    return sorted((image.image_id, image.labels_id, image.encoding_id) for image in images)


def test_a_device_gets_the_images_of_the_others(store: Store, make_device: MakeDevice):
    images = fill(store, {0: "cam-a", 1: "cam-b", 2: "cam-c", 3: "cam-b"})
    device = make_device("cam-a")
    delivery = deliver(store, device, encoding_id=ENCODING)
    assert delivery is not None
    assert sorted(delivery.keys) == keys(1, 2, 3)
    assert delivery.payload_bytes == sum(image.frame.bytes_total for image in images[1:])
    (manifest,) = Inbox(device.inbox).manifests()
    rows = Inbox(device.inbox).read(manifest, device="cam-a")
    assert {row.image_id: row.frame for row in rows} == {image.image_id: image.frame for image in images[1:]}
    assert delivery.bytes == Path(device.inbox, f"{delivery.shard}.parquet").stat().st_size
    (written,) = store.scan(DELIVERIES).to_pylist()
    assert delivery_from_row(written) == delivery


def test_nothing_is_delivered_twice(store: Store, make_device: MakeDevice):
    device = make_device("cam-a")
    assert deliver(store, device, encoding_id=ENCODING) is None
    fill(store, {0: "cam-a", 1: "cam-b"})
    assert deliver(store, device, encoding_id=ENCODING) is not None
    assert deliver(store, device, encoding_id=ENCODING) is None
    fill(store, {2: "cam-b"})
    second = deliver(store, device, encoding_id=ENCODING)
    assert second is not None
    assert sorted(second.keys) == keys(2)
    assert store.scan(DELIVERIES).num_rows == 2
    # A device may empty its inbox: what was delivered stays delivered.
    for file in Path(device.inbox).iterdir():
        file.unlink()
    assert deliver(store, device, encoding_id=ENCODING) is None


def test_each_device_gets_its_own(store: Store, make_device: MakeDevice):
    fill(store, {0: "cam-a", 1: "cam-b", 2: "cam-c"})
    lacks = {}
    for name in ("cam-a", "cam-b", "cam-c"):
        delivery = deliver(store, make_device(name), encoding_id=ENCODING)
        assert delivery is not None
        lacks[name] = sorted(delivery.keys)
    assert lacks == {"cam-a": keys(1, 2), "cam-b": keys(0, 2), "cam-c": keys(0, 1)}


def test_an_image_that_the_device_has_as_well_is_not_sent(store: Store, make_device: MakeDevice):
    fill(store, {0: "cam-b"})
    store.append([source(0, device="cam-a", path="same.jpg")])
    assert deliver(store, make_device("cam-a"), encoding_id=ENCODING) is None


def test_other_encodings_are_not_sent(store: Store, make_device: MakeDevice):
    fill(store, {0: "cam-b"})
    assert deliver(store, make_device("cam-a"), encoding_id="another") is None


def test_corrected_labels_are_sent_and_old_ones_are_not(store: Store, make_device: MakeDevice):
    (image,) = fill(store, {0: "cam-b"})
    corrected = replace(image, labels_id=digest("corrected"))
    device = make_device("cam-a")
    deliver(store, device, encoding_id=ENCODING)
    store.append([corrected])
    store.append([source(0, device="cam-b", labels_id=corrected.labels_id)])
    second = deliver(store, device, encoding_id=ENCODING)
    assert second is not None
    assert second.keys == ((image.image_id, corrected.labels_id, ENCODING),)
    late = deliver(store, make_device("cam-c"), encoding_id=ENCODING)
    assert late is not None
    assert late.keys == second.keys


@pytest.mark.parametrize("at", ["Inbox.put", "Store.append"])
def test_a_crash_at_any_step_is_made_good(
    store: Store, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch, at: str
):
    fill(store, {0: "cam-a", 1: "cam-b", 2: "cam-b"})
    device = make_device("cam-a")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    if at == "Inbox.put":
        monkeypatch.setattr(
            "storage.folder.Folder.write", lambda self, name, data: die() if name.endswith(".json") else None
        )
    else:
        monkeypatch.setattr(Store, "append", lambda self, rows: die() if rows else 0)
    with pytest.raises(KeyboardInterrupt):
        deliver(store, device, encoding_id=ENCODING)
    monkeypatch.undo()
    delivery = deliver(store, device, encoding_id=ENCODING)
    assert delivery is not None
    assert sorted(delivery.keys) == keys(1, 2)
    assert deliver(store, device, encoding_id=ENCODING) is None
    assert len(Inbox(device.inbox).manifests()) == 1
    assert store.scan(DELIVERIES).num_rows == 1


def test_rows_that_newer_labels_overtook_wait_for_the_next_run(
    store: Store, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch
):
    fill(store, {0: "cam-b"})
    device = make_device("cam-a")
    overtaken = ("a" * 64, "b" * 64, ENCODING)
    with monkeypatch.context() as patch:
        patch.setattr(delivery_module, "_lacking", lambda *_: [overtaken])
        assert deliver(store, device, encoding_id=ENCODING) is None
        patch.setattr(delivery_module, "_lacking", lambda *_: [overtaken, *keys(0)])
        delivery = deliver(store, device, encoding_id=ENCODING)
    assert delivery is not None
    assert list(delivery.keys) == keys(0)


def test_an_inbox_of_two_devices_is_refused(store: Store, make_device: MakeDevice):
    fill(store, {0: "cam-a", 1: "cam-b"})
    first = make_device("cam-a")
    deliver(store, first, encoding_id=ENCODING)
    second = make_device("cam-b").model_copy(update={"inbox": first.inbox})
    with pytest.raises(ShardError, match="is addressed to cam-a, not to cam-b; check `inbox` of both"):
        deliver(store, second, encoding_id=ENCODING)


def test_large_deliveries_go_in_parts(store: Store, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch):
    fill(store, dict.fromkeys(range(5), "cam-b"))
    monkeypatch.setattr("storage.delivery.MAX_ROWS", 2)
    device = make_device("cam-a")
    sizes = []
    while delivery := deliver(store, device, encoding_id=ENCODING):
        sizes.append(delivery.rows)
    assert sizes == [2, 2, 1]
