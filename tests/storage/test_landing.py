import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from rinr.labels import image_id
from storage.landing import Landing, sweep
from storage.store import Store, StoreError
from tests.storage.examples import ENCODING, digest, encoded_image, jpeg, source


def test_what_is_put_is_there_until_discarded(store: Store):
    landing = Landing(store.url)
    data = jpeg(1)
    assert landing.get(image_id(data)) is None
    assert landing.image_ids() == []
    landing.put(image_id(data), data)
    landing.put(image_id(data), data)
    assert landing.get(image_id(data)) == data
    assert landing.image_ids() == [image_id(data)]
    landing.discard([image_id(data), digest("not there")])
    assert landing.get(image_id(data)) is None


def test_a_damaged_file_counts_as_absent(store: Store):
    landing = Landing(store.url)
    data = jpeg(1)
    landing.put(image_id(data), data)
    (file,) = Path(store.url, "landing").iterdir()
    file.write_bytes(data[:-1])
    assert landing.get(image_id(data)) is None
    landing.put(image_id(data), data)
    assert landing.get(image_id(data)) == data


@pytest.mark.parametrize("name", ["../x", "", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_only_hashes_are_names(store: Store, name: str):
    with pytest.raises(ValueError, match="image_id"):
        Landing(store.url).get(name)
    with pytest.raises(ValueError, match="image_id"):
        Landing(store.url).put(name, b"x")


def test_a_place_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"landing place .*file/landing cannot be used: Not a directory; check"):
        Landing(str(tmp_path / "file")).put(image_id(b"x"), b"x")


def test_sweep_discards_what_is_encoded_and_nothing_else(store: Store):
    pictures = [jpeg(number) for number in range(4)]
    ids = [image_id(data) for data in pictures]
    landing = Landing(store.url)
    for identity, data in zip(ids, pictures, strict=True):
        landing.put(identity, data)
    encoded, waiting, relabelled, unspoken = ids
    store.append([source(n, image_id=identity) for n, identity in enumerate((encoded, waiting, relabelled))])
    store.append([encoded_image(0, image_id=encoded), encoded_image(9, image_id=relabelled)])
    assert sweep(store, ENCODING) == 1
    assert landing.image_ids() == sorted([waiting, relabelled, unspoken])
    assert sweep(store, ENCODING) == 0
    assert sweep(store, "another encoding") == 0
    store.append([replace(encoded_image(2), image_id=relabelled)])
    assert sweep(store, ENCODING) == 1


def test_sweep_of_nothing(store: Store):
    assert sweep(store, ENCODING) == 0


def test_sweep_removes_what_killed_writers_left_a_day_ago(store: Store):
    data = jpeg(1)
    Landing(store.url).put(image_id(data), data)
    folder = Path(store.url, "landing")
    old, new = folder / f".{image_id(data)}.jpg.1-abc.part", folder / f".{image_id(data)}.jpg.2-def.part"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 90_000,) * 2)
    assert sweep(store, ENCODING) == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted([new.name, f"{image_id(data)}.jpg"])


def test_sweep_of_more_than_one_slice(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("storage.landing._SLICE", 2)
    pictures = [jpeg(number) for number in range(7)]
    ids = [image_id(data) for data in pictures]
    for identity, data in zip(ids, pictures, strict=True):
        Landing(store.url).put(identity, data)
    store.append([source(number, image_id=identity) for number, identity in enumerate(ids)])
    store.append([encoded_image(number, image_id=identity) for number, identity in enumerate(ids[:5])])
    assert sweep(store, ENCODING) == 5
    assert Landing(store.url).image_ids() == sorted(ids[5:])
