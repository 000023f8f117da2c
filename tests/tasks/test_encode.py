import logging
from dataclasses import replace
from pathlib import Path

import pytest

from storage.fleet import Device, Fleet
from storage.quarantine import cases, drop
from storage.store import Store
from storage.tables import Refusal, Source
from tasks import encode
from tests.storage.examples import encoded_image, source


@pytest.fixture(autouse=True)
def _logger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "get_run_logger", lambda: logging.getLogger("run"))


def test_an_image_that_another_run_has_encoded_and_swept_meanwhile_is_not_refused(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    (tmp_path / "storage").mkdir()  # and the files are gone from the device
    place = str(tmp_path / "storage")
    fleet = Fleet(devices=(Device(name="cam-a", storage=place, inbox=str(tmp_path / "in"), home=str(tmp_path)),))
    sources: list[Source] = [source(1), source(2)]
    store.append(sources)
    encoding = encode.encoding_of("instant")
    pending = store.missing(encoding)
    store.append([replace(encoded_image(1), encoding_id=encoding)])
    batch = encode.encode_batch.fn(1, pending, "instant", store.url, fleet, 1, "cpu")
    assert batch.images == ()
    (refusal,) = batch.refusals
    assert (refusal.image_id, refusal.path) == (sources[1].image_id, "0002.jpg")
    assert "has not landed" in refusal.reason or "cannot be read" in refusal.reason


def test_a_picture_that_is_nowhere_any_more_can_be_given_up(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    store.append([source(1), source(2)])
    one = source(1)
    store.append([Refusal(one.device, one.path, None, None, "0001.jpg has not landed", one.image_id)])
    assert [pending.path for pending in encode.find_missing.fn(store.url, "instant")] == ["0001.jpg", "0002.jpg"]
    drop(store, cases(store))
    assert [pending.path for pending in encode.find_missing.fn(store.url, "instant")] == ["0002.jpg"]
