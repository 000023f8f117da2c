"""Batches of clips: whole runs, what earlier clips share, broken frames, and rows exactly once whoever is killed."""

import logging
from pathlib import Path

import numpy as np
import pytest

from rinr.codec.clip import part_id
from rinr.codec.frame import unpack_frame
from rinr.decoder import decode
from rinr.labels import image_id
from rinr.metrics import psnr
from rinr.weights import parts_of
from storage.clip_runs import runs
from storage.landing import Landing
from storage.store import Store
from storage.tables import IMAGES, PARTS, QUARANTINE, Layout, Pending
from tasks import encode
from tasks.fitting import fit_batch
from tests.conftest import jpeg
from tests.rinr.standing import still
from tests.storage.waiting import land


@pytest.fixture(autouse=True)
def _logger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "get_run_logger", lambda: logging.getLogger("run"))
    monkeypatch.setattr(encode, "quarantine_grew", lambda device, count: None)
    for name in ("find_among", "find_missing", "order_missing"):
        monkeypatch.setattr(encode, name, getattr(encode, name).fn)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def batches(store: Store, wanted: int = 1) -> list[list[Pending]]:
    return list(encode.missing_batches(store.url, "clip", 1, wanted))


def run_once(store: Store, most: int | None = None) -> int:
    """Encode and commit as the flow does, ``most`` batches of it."""
    known, added = encode.known_parts.fn(store.url, "clip"), 0
    assert known is not None
    for batch in batches(store)[:most]:
        encoded = fit_batch(batch, "clip", store.url, (), "cpu", known.near(batch))
        added += encode.commit_batch.fn(store.url, encoded)
        known.committed(encoded.images)
    return added


def rows(store: Store) -> list[dict]:
    return sorted(store.scan(IMAGES).to_pylist(), key=lambda row: row["image_id"])


def test_a_run_is_one_batch_and_every_image_is_in_one(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    land(store, range(5))
    land(store, range(3), seed=1, device="cam-b")
    land(store, [0], seed=2, hours=3)
    for size in (encode.ROUND, 6, 4, 1):
        monkeypatch.setattr(encode, "ROUND", size)
        if size > 5:  # a run longer than what is looked up at once is cut
            assert [len(batch) for batch in batches(store)] == [5, 1, 3]
        found = [pending.image_id for batch in batches(store) for pending in batch]
        assert sorted(found) == sorted(store.missing_in_order(encode.encoding_of("clip")))
    monkeypatch.setattr(encode, "ROUND", 6)
    assert [len(run) for batch in batches(store, 64) for run in runs(batch, 2.0)] == [5, 1, 3]


def test_frames_of_a_clip_are_committed_after_what_they_share(store: Store) -> None:
    land(store, range(6))
    assert run_once(store) == 6
    (part,) = store.scan(PARTS).to_pylist()
    assert part["frames"] == 6
    found = rows(store)
    assert {row["part_id"] for row in found} == {part["part_id"]} == {part_id(part["payload"])}
    assert sum(row["bytes_shared"] for row in found) == pytest.approx(part["bytes"])
    for row in found:
        jpegs = Landing(store.url).get(row["image_id"])
        number = next(number for number in range(6) if image_id(jpeg(still(0, number))) == image_id(jpegs))
        decoded = decode(unpack_frame(row["payload"]), parts=parts_of([part["payload"]]))
        assert psnr(still(0, number), decoded) > 17


def test_a_run_that_is_killed_between_leaves_the_store_that_it_would_have_left(tmp_path: Path) -> None:
    whole, killed = Store(str(tmp_path / "whole")), Store(str(tmp_path / "killed"))
    for each in (whole, killed):
        land(each, range(7))
        land(each, range(7, 14), device="cam-b")
    assert run_once(whole) == 14
    # Killed after one batch; then between the parts of a batch and its images; then a batch comes back twice.
    assert run_once(killed, most=1) == 7
    (batch,) = batches(killed)
    encoded = fit_batch(batch, "clip", killed.url, (), "cpu")
    append = Store._append

    def die(store: Store, layout: Layout, rows: list[dict]) -> list[bool]:
        if layout is PARTS:
            return append(store, layout, rows)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "_append", die)
        with pytest.raises(KeyboardInterrupt):
            encode.commit_batch.fn(killed.url, encoded)
    assert run_once(killed) == 7
    assert encode.commit_batch.fn(killed.url, encoded) == 0
    changes = dict.fromkeys(("created_at", "fit_seconds"))
    assert [row | changes for row in rows(killed)] == [row | changes for row in rows(whole)]
    parts = [sorted(each.scan(PARTS, ["part_id"])["part_id"].to_pylist()) for each in (whole, killed)]
    assert parts[0] == parts[1]
    assert len(parts[0]) == 2


def test_a_frame_that_cannot_be_read_spoils_no_clip_and_may_join_it_later(store: Store) -> None:
    sources = land(store, range(6))
    lost = sources[4].image_id
    jpegs = Landing(store.url).get(lost)
    assert jpegs is not None
    Landing(store.url).discard([lost])
    assert run_once(store) == 5
    assert [row["image_id"] for row in store.scan(QUARANTINE).to_pylist()] == [lost]
    before = {row["image_id"]: row["payload"] for row in rows(store)}
    (part,) = store.scan(PARTS)["part_id"].to_pylist()
    Landing(store.url).put(lost, jpegs)
    assert run_once(store) == 1
    after = {row["image_id"]: row for row in rows(store)}
    assert {name: row["payload"] for name, row in after.items() if name != lost} == before
    assert store.scan(PARTS)["part_id"].to_pylist() == [part]
    assert (after[lost]["part_id"], after[lost]["bytes_shared"]) == (part, 0.0)
    decoded = decode(unpack_frame(after[lost]["payload"]), parts=parts_of(store.parts([part]).values()))
    assert psnr(still(0, 4), decoded) > 17


def test_other_presets_make_no_clips(store: Store) -> None:
    land(store, range(3))
    assert encode.known_parts.fn(store.url, "instant") is None
    (batch,) = encode.missing_batches(store.url, "instant", 1, 8)
    encoded = fit_batch(batch, "instant", store.url, (), "cpu")
    assert encode.commit_batch.fn(store.url, encoded) == 3
    assert len(encoded.clips) == 1
    assert {row["part_id"] for row in rows(store)} == {None}
    assert np.array_equal(encoded.images, encoded.clips[0].images)
