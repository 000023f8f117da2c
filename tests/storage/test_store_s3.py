"""The store and the landing place in an object store: S3, as moto's server has it."""

import hashlib
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from itertools import count
from urllib.parse import urlsplit

import fsspec
import pytest
from deltalake import DeltaTable

from storage.landing import Landing, sweep
from storage.store import Store, StoreError
from storage.tables import IMAGES, LAYOUTS, SOURCES
from tests.s3_process import make_bucket, s3_process
from tests.storage.examples import ENCODING, digest, encoded_image, jpeg
from tests.storage.stores import fill, sound_image, sound_source

_NUMBERS = count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    with s3_process() as environment:
        yield environment


@pytest.fixture
def url(server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    yield f"{make_bucket(f'bucket-{next(_NUMBERS)}')}/some/store"
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def files(url: str) -> set[str]:
    """All objects of a store, by their names under its URL."""
    place = url.removeprefix("s3://")
    found = fsspec.filesystem("s3", skip_instance_cache=True).find(place)
    return {name.removeprefix(f"{place}/") for name in found}


def named(url: str) -> set[str]:
    """The Parquet files that the tables' snapshots name, likewise."""
    start = f"{urlsplit(url).path}/"
    uris = [uri for layout in LAYOUTS for uri in DeltaTable(f"{url}/{layout.name}").file_uris()]
    return {urlsplit(uri).path.removeprefix(start) for uri in uris}


def append_all(url: str, environment: dict[str, str], numbers: list[int]) -> int:
    """What one of several racing writers does; returns the rows that it added."""
    os.environ.update(environment)
    store = Store(url)
    return sum(
        store.append([encoded_image(number) for number in numbers[start : start + 4]])
        for start in range(0, len(numbers), 4)
    )


def test_racing_writers_append_each_row_exactly_once(url: str, server: dict[str, str]):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.storage.examples"])
    orders = [list(range(24)), list(range(24)), list(reversed(range(24)))]
    with ProcessPoolExecutor(len(orders), mp_context=context) as pool:
        added = [pool.submit(append_all, url, server, order) for order in orders]
        counts = [future.result(timeout=120) for future in added]
    assert sum(counts) == 24
    rows = DeltaTable(f"{url}/images").to_pyarrow_table(columns=["image_id"])["image_id"].to_pylist()
    assert Counter(rows) == Counter(digest(f"image {number}") for number in range(24))


def test_every_verb(url: str):
    store = Store(url)
    assert store.scan(IMAGES).num_rows == 0
    fill(store)
    assert store.append([sound_image(number) for number in range(14)]) == 2
    store.append([sound_source(number) for number in range(12, 14)])
    assert sorted(store.scan(IMAGES, ["image_id"])["image_id"].to_pylist()) == sorted(
        digest(f"image {number}") for number in range(14)
    )
    assert store.lookup([digest("image 3")], ["bytes_total"]).num_rows == 1
    assert [len(store.missing(encoding)) for encoding in (ENCODING, "another")] == [0, 14]
    assert {rewrite.table for rewrite in store.compact(loose=2)} == {"images", "sources"}
    assert store.vacuum(timedelta(hours=1)) == 0
    assert store.vacuum(timedelta(0), exclusive=True) > 0
    assert {name for name in files(url) if "_delta_log" not in name} == named(url) | {"store.json"}
    for handle in (store, Store(url)):
        assert handle.scan(SOURCES).num_rows == 14
        assert handle.lookup([digest("image 13")]).num_rows == 1
    assert not store.verify().findings


def test_the_landing_place(url: str):
    store, landing = Store(url), Landing(url)
    assert landing.image_ids() == []
    data = jpeg(1)
    identity = hashlib.sha256(data).hexdigest()
    landing.put(identity, data)
    landing.put(identity, data)
    assert (landing.image_ids(), landing.get(identity)) == ([identity], data)
    assert sweep(store, ENCODING) == 0
    store.append([sound_source(1, image_id=identity)])
    store.append([sound_image(1, image_id=identity)])
    assert sweep(store, ENCODING) == 1
    assert (landing.image_ids(), landing.get(identity)) == ([], None)
    landing.discard([identity])


def test_a_bucket_that_is_not_there_is_said(url: str):
    nowhere = "s3://no-such-bucket/store"
    with pytest.raises(StoreError, match="cannot be written: The specified bucket does not exist"):
        Store(nowhere).create()
    with pytest.raises(StoreError, match=r"cannot be read: .*The specified bucket does not exist; check its URL"):
        Store(nowhere).scan(IMAGES)


def test_a_server_that_is_away_is_said(url: str, monkeypatch: pytest.MonkeyPatch):
    jpg = jpeg(1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    fsspec.get_filesystem_class("s3").clear_instance_cache()  # whose members know the server that answers
    away = Store(url)
    for verb in (away.create, lambda: away.append([encoded_image(1)]), lambda: away.scan(IMAGES), away.compact):
        with pytest.raises(StoreError, match=r"127\.0\.0\.1:9"):
            verb()
    landing = Landing(f"{url}/away")
    for use in (
        landing.image_ids,
        lambda: landing.put(hashlib.sha256(jpg).hexdigest(), jpg),
        lambda: landing.discard([digest("x")]),
    ):
        with pytest.raises(StoreError, match=r"the landing place .* cannot be used: .*127.0.0.1:9"):
            use()
