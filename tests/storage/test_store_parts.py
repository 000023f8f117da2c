"""Clips in the store: what their frames share stands there once and before them, and its bytes are divided."""

import random
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable, write_deltalake

from rinr.codec.clip import part_id
from rinr.codec.frame import pack_frame
from rinr.shard import frames_of
from storage.store import Store
from storage.tables import IMAGES, PARTS, SOURCES, image_row, now
from storage.upkeep.statistics import statistics
from tests.storage.examples import ENCODING, clip_of, digest, encoded_image, shared_part, source

ONE, TWO = shared_part(1, 1000), shared_part(2, 301)


def test_a_clip_is_stored_as_its_part_and_its_images(store: Store):
    clip = clip_of(range(3), ONE)
    assert store.append([clip]) == 3
    (part,) = store.scan(PARTS).to_pylist()
    assert part.pop("created_at") is not None
    assert part == {
        "part_id": part_id(ONE),
        "encoding_id": ENCODING,
        "payload": ONE,
        "width": 96,
        "height": 72,
        "frames": 3,
        "bytes": len(ONE),
    }
    rows = store.scan(IMAGES)
    assert frames_of(rows) == [image.frame for image in clip.images]
    assert rows["part_id"].to_pylist() == [part_id(ONE)] * 3
    assert rows["clip"].to_pylist() == ["one of 3 frames"] * 3
    assert rows["bytes_total"].to_pylist() == [len(pack_frame(image.frame)) for image in clip.images]
    assert sum(rows["bytes_shared"].to_pylist()) == pytest.approx(len(ONE))


def test_each_part_stands_once_whoever_appends_it_and_however_often(store: Store):
    clips = [clip_of(range(3), ONE), clip_of(range(3, 5), TWO)]
    assert store.append(clips) == 5
    assert Store(store.url).append(clips) == 0
    assert store.append([clip_of([5, 6], ONE, new=False)]) == 2  # frames that came later
    assert store.append([clip_of([7], ONE)]) == 1
    assert sorted(store.scan(PARTS)["part_id"].to_pylist()) == sorted(map(part_id, (ONE, TWO)))
    assert store.scan(IMAGES).num_rows == 8


def test_a_kill_after_the_parts_leaves_what_the_next_append_completes(store: Store, monkeypatch: pytest.MonkeyPatch):
    clip = clip_of(range(3), ONE)
    plain = Store._append

    def killed(self, layout, rows):
        if layout is IMAGES:
            raise KeyboardInterrupt
        return plain(self, layout, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "_append", killed)
        with pytest.raises(KeyboardInterrupt):
            store.append([clip])
    assert store.scan(IMAGES).num_rows == 0
    assert store.parts([part_id(ONE)]) == {part_id(ONE): ONE}
    assert Store(store.url).append([clip]) == 3
    assert store.scan(PARTS).num_rows == 1


def test_parts_are_looked_up_by_id(store: Store):
    assert store.parts([part_id(ONE)]) == {}
    store.append([clip_of([0], ONE)])
    store.append([clip_of([1], TWO), clip_of([2], shared_part(3))])
    asked = [part_id(TWO), None, part_id(ONE), part_id(ONE), digest("no part")]
    assert store.parts(asked) == Store(store.url).parts(asked) == {part_id(ONE): ONE, part_id(TWO): TWO}
    assert store.parts([None]) == {}


def test_rows_of_several_kinds_and_malformed_parts_are_refused(store: Store):
    with pytest.raises(TypeError, match="EncodedClip, EncodedImage"):
        store.append([clip_of([0], ONE), encoded_image(1)])
    with pytest.raises(ValueError, match="shared part"):
        store.append([clip_of([0], ONE[:-1])])
    assert store.scan(IMAGES).num_rows == 0


def test_bytes_of_a_part_are_divided_over_its_frames(store: Store):
    store.append([clip_of(range(3), ONE), clip_of(range(3, 5), TWO)])
    store.append([encoded_image(5), *clip_of([6], ONE, new=False).images])
    store.append([source(number, device="cam-a" if number < 3 else "cam-b") for number in range(7)])
    rows = store.scan(IMAGES).to_pylist()
    own = sum(len(row["payload"]) for row in rows)
    held = store.summary()
    assert (held.bytes_total, held.bytes_shared) == (own, len(ONE) + len(TWO))
    found = statistics(store.url)
    assert (found.payload_bytes, found.shared_bytes) == (own + len(ONE) + len(TWO), len(ONE) + len(TWO))
    of_first = sum(len(row["payload"]) for row in rows if row["image_id"] in {digest(f"image {n}") for n in range(3)})
    by_device = {share.name: share.bytes for share in found.devices}
    assert by_device == {"cam-a": of_first + len(ONE), "cam-b": own - of_first + len(TWO)}
    for shares in (found.families, found.encodings, found.days):
        assert sum(share.bytes for share in shares) == found.payload_bytes
    assert [table.name for table in found.tables] == ["images", "parts", "sources", "quarantine", "deliveries"]
    assert found.ratio == sum(table.bytes for table in found.tables) / found.payload_bytes


def test_compaction_and_vacuum_know_the_table(store: Store):
    for number in range(4):
        store.append([clip_of([number], shared_part(number))])
    before = store.scan(PARTS).sort_by("part_id")
    assert {(rewrite.table, rewrite.files_after) for rewrite in store.compact(loose=1)} == {("images", 1), ("parts", 1)}
    assert store.scan(PARTS).sort_by("part_id") == before
    assert store.parts([part_id(shared_part(2))]) == {part_id(shared_part(2)): shared_part(2)}
    files = len(list(Path(store.table_url("parts")).glob("*.parquet")))
    store.vacuum(timedelta(0), exclusive=True)
    assert len(list(Path(store.table_url("parts")).glob("*.parquet"))) == 1 < files


def test_one_frame_that_is_deleted_leaves_the_others_readable(store: Store):
    store.append([clip_of(range(3), ONE)])
    DeltaTable(store.table_url("images")).delete(f"image_id = '{digest('image 0')}'")
    left = DeltaTable(store.table_url("images")).to_pyarrow_table(columns=["image_id", "part_id"]).to_pylist()
    assert len(left) == 2
    assert Store(store.url).parts(row["part_id"] for row in left) == {part_id(ONE): ONE}


def test_a_store_of_before_there_were_clips_is_read_and_extended(store: Store):
    """Version 3: three columns fewer, and no table of parts."""
    old = [encoded_image(number) for number in range(3)]
    schema = IMAGES.schema
    for name in ("bytes_shared", "part_id", "clip"):
        schema = schema.remove(schema.get_field_index(name))
    DeltaTable.create(store.table_url("images"), schema)
    Path(store.url, "store.json").write_text('{"format": "rinr-store", "version": 3}\n')
    rows = [{name: image_row(image, now())[name] for name in schema.names} for image in old]
    write_deltalake(store.table_url("images"), pa.Table.from_pylist(rows, schema=schema), mode="append")

    opened = Store(store.url)
    read = opened.scan(IMAGES).to_pylist()
    assert {(row["part_id"], row["bytes_shared"], row["clip"]) for row in read} == {(None, 0.0, "")}
    assert opened.summary().bytes_shared == 0
    assert opened.parts([part_id(ONE)]) == {}
    assert statistics(store.url).shared_bytes == 0
    assert opened.append(old) == 0
    assert opened.append([clip_of([3, 4], ONE)]) == 2
    assert Path(store.url, "store.json").read_text() == '{"format": "rinr-store", "version": 4}\n'
    assert opened.scan(IMAGES, where=pc.field("part_id") == part_id(ONE)).num_rows == 2
    assert opened.scan(IMAGES).num_rows == 5
    assert {rewrite.table for rewrite in opened.compact(loose=1)} == {"images"}
    assert Store(store.url).scan(IMAGES).num_rows == 5


_APPEND = """
import sys
from storage.store import Store
from tests.storage.examples import clip_of, shared_part

store = Store(sys.argv[1])
for number in range(12):
    store.append([clip_of(range(3 * number, 3 * number + 3), shared_part(number, 500))])
    print(number, flush=True)
"""


@pytest.mark.drill
def test_clips_that_are_killed_while_they_are_appended_stand_once(tmp_path: Path):
    """SIGKILL at any moment, and again: each part and each image is there once, and no image lacks its part."""
    chance = random.Random(1)
    command = [sys.executable, "-c", _APPEND]
    between = 0
    for kill in range(12):
        url = str(tmp_path / f"store-{kill}")
        with subprocess.Popen([*command, url], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE) as process:
            for _ in range(chance.randrange(1, 11)):
                process.stdout.readline()
            time.sleep(chance.uniform(0, 0.1))
            process.kill()
        store = Store(url)
        needed, parts = set(store.scan(IMAGES)["part_id"].to_pylist()), store.scan(PARTS)["part_id"].to_pylist()
        assert needed <= set(parts)
        between += needed < set(parts)
        subprocess.run([*command, url], cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL, check=True)
        parts, images = store.scan(PARTS)["part_id"].to_pylist(), store.scan(IMAGES)["image_id"].to_pylist()
        assert sorted(parts) == sorted(part_id(shared_part(number, 500)) for number in range(12))
        assert sorted(images) == sorted(digest(f"image {number}") for number in range(36))
    print(f"12 kills, {between} between a part and its images; each store then has 12 parts and 36 images, each once")


def test_what_waits_says_when_it_was_captured(store: Store):
    store.append([source(1), source(2)])
    times = {row["path"]: row["captured_at"] for row in store.scan(SOURCES).to_pylist()}
    assert {pending.path: pending.captured_at for pending in store.missing(ENCODING)} == times
