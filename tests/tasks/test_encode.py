import logging
from dataclasses import replace
from pathlib import Path

import pytest

from storage.fleet import Device, Fleet
from storage.quarantine import KILLED, cases, drop, refuse, retry, unfitted
from storage.store import Store
from storage.tables import Pending, Refusal, Source
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
    batch = encode.encode_batch.fn(1, pending, "instant", store.url, fleet.devices, "cpu")
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


def test_a_picture_that_killed_its_worker_is_fitted_again_when_somebody_says_so(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    store.append([source(1), source(2), source(3)])
    encoding = encode.encoding_of("instant")
    killer, _, unread = store.missing(encoding)
    refuse(store, [unfitted(killer, KILLED), unfitted(unread, "it has not landed")])

    def found() -> list[str]:
        return [pending.path for pending in encode.find_missing.fn(store.url, "instant")]

    assert found() == ["0002.jpg", "0003.jpg"]
    chosen = [case for case in cases(store) if case.refusal.path == "0001.jpg"]
    retry(store, chosen)
    assert found() == ["0001.jpg", "0002.jpg", "0003.jpg"]
    refuse(store, [unfitted(killer, KILLED)])
    assert found() == ["0002.jpg", "0003.jpg"]
    store.append([replace(encoded_image(1), encoding_id=encoding)])
    assert not [case for case in cases(store) if case.refusal.path == "0001.jpg" and case.standing == "open"]


def test_all_that_is_missing_comes_once_in_batches_a_round_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path / "store"))
    store.append([source(number) for number in range(23)])
    rounds: list[tuple[int, str]] = []
    search = encode.find_missing.fn

    def find(url: str, preset: str, limit: int, after: str) -> list[Pending]:
        rounds.append((limit, after))
        return search(url, preset, limit, after)

    monkeypatch.setattr(encode, "find_missing", find)
    monkeypatch.setattr(encode, "ROUND", 10)
    parts = list(encode.missing_batches(store.url, "instant", 1, 0))
    assert [len(part) for part in parts] == [10, 10, 1, 1, 1]
    assert len(rounds) == 4  # the last finds nothing: what was refused on the way is not tried again
    identities = [pending.image_id for part in parts for pending in part]
    assert sorted(identities) == sorted(source(number).image_id for number in range(23))
    assert len(set(identities)) == 23


def test_when_the_first_of_a_slice_are_given_up_the_search_goes_on(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    store.append([source(number) for number in range(6)])
    pending = sorted(store.missing(encode.encoding_of("instant")), key=lambda item: item.image_id)
    refuse(store, [unfitted(item, "it has not landed") for item in pending[:4]])
    drop(store, cases(store))
    for limit in (1, 2, 3):
        (first, *_) = encode.find_missing.fn(store.url, "instant", limit)
        assert first.image_id == pending[4].image_id


def test_only_the_devices_of_a_batch_travel_with_it(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    store.append([source(1), source(2, device="cam-b")])
    places = {"storage": "/s", "inbox": "/i", "home": "/h"}
    fleet = Fleet(devices=tuple(Device(name=name, **places) for name in ("cam-a", "cam-b", "cam-c")))
    one, two = store.missing(encode.encoding_of("instant"))
    assert [device.name for device in encode.devices_of([one], fleet)] == ["cam-a"]
    assert [device.name for device in encode.devices_of([two, one], fleet)] == ["cam-a", "cam-b"]
