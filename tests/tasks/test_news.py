import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest

from storage.fleet import Device, Fleet
from storage.ingestion import ingest
from storage.store import Store
from tasks import encode, news
from tasks.news import EVERYTHING, News, look_for_news
from tests.storage.examples import encoded_image, jpeg


@pytest.fixture(autouse=True)
def _logger(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for module in (news, encode):
        monkeypatch.setattr(module, "get_run_logger", lambda: logging.getLogger("run"))


def camera(folder: Path, name: str, files: dict[str, bytes]) -> Device:
    storage = folder / name / "storage"
    storage.mkdir(parents=True)
    for path, data in files.items():
        (storage / path).write_bytes(data)
        os.utime(storage / path, (1_000, 1_000))
    return Device(name=name, storage=str(storage), inbox=str(folder / name / "in"), home=str(folder / name))


def test_what_is_new_at_one_stage_is_new_at_the_next_ones(tmp_path: Path) -> None:
    fleet = Fleet(devices=(camera(tmp_path, "a", {"a.jpg": jpeg(1)}),))
    store = Store(str(tmp_path / "store"))
    assert look_for_news.fn(fleet, store.url, "instant") == EVERYTHING
    assert not (tmp_path / "store").exists(), "it only looks"
    ingest(fleet.devices[0], store)
    assert look_for_news.fn(fleet, store.url, "instant") == News(pictures=False, images=True, deliveries=True)


def test_nothing_new_is_no_news(tmp_path: Path) -> None:
    fleet = Fleet(devices=(camera(tmp_path, "a", {"a.jpg": jpeg(1)}), camera(tmp_path, "b", {})))
    store = Store(str(tmp_path / "store"))
    only = Fleet(devices=fleet.devices[:1])  # whose own picture nobody else gets
    ingest(fleet.devices[0], store)
    (pending,) = store.missing(encode.encoding_of("instant"))
    row = encoded_image(1, image_id=pending.image_id, labels_id=pending.labels_id)
    store.append([replace(row, encoding_id=encode.encoding_of("instant"))])
    found = look_for_news.fn(only, store.url, "instant")
    assert found == News(pictures=False, images=False, deliveries=False)
    assert not found


def test_a_device_that_is_away_is_news_and_hides_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gone = Device(name="gone", storage=str(tmp_path / "gone"), inbox=str(tmp_path / "in"), home=str(tmp_path / "h"))
    found = look_for_news.fn(Fleet(devices=(gone, camera(tmp_path, "b", {}))), str(tmp_path / "store"), "instant")
    assert found.pictures
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith("gone: ")
