"""What verification finds, and what a repair makes of it."""

import shutil
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from rinr.codec.frame import EncodedFrame, pack_frame
from storage.store import Store, StoreError
from storage.tables import IMAGES, LAYOUTS, Delivery, source_row
from storage.upkeep.repair import plan, repair
from storage.upkeep.verification import LISTED, Damage, examine, verify
from tests.storage.examples import ENCODING, digest
from tests.storage.stores import (
    append_raw,
    delivery,
    files,
    fill,
    image_file,
    read_raw,
    sound_image,
    sound_row,
    sound_source,
)


@pytest.fixture
def filled(store: Store) -> Store:
    fill(store)
    return store


def counts(damage: Damage) -> dict[tuple[str, str], int]:
    return {(table, kind): number for table, kind, number in damage.counts}


def missing(store: Store) -> set[str]:
    return {pending.image_id for pending in store.missing(ENCODING)}


def ids(*numbers: int) -> set[str]:
    return {digest(f"image {number}") for number in numbers}


def mended(store: Store, lost: set[str], images: int) -> None:
    """A repaired store is clean, lacks what it says, can be filtered, and is whole after the next encoding."""
    assert verify(store.url).clean
    assert missing(store) == lost
    rows = read_raw(store, "images", pc.field("encoding_id") == ENCODING)
    assert len(rows) == len({row["image_id"] for row in rows}) == images - len(lost)
    numbers = [number for number in range(images) if digest(f"image {number}") in lost]
    assert store.append([sound_image(number) for number in numbers]) == len(lost)
    assert missing(store) == set()
    assert verify(store.url).clean


def test_a_sound_store_is_clean_and_counted(filled: Store) -> None:
    told: list[tuple[int, int]] = []
    damage = verify(filled.url, lambda done, total: told.append((done, total)))
    assert damage.clean
    assert damage.findings == ()
    assert [(table.name, table.rows, table.files) for table in damage.tables] == [
        ("images", 12, 3), ("parts", 0, 0), ("sources", 12, 1), ("quarantine", 1, 1), ("deliveries", 1, 1),
    ]  # fmt: skip
    on_disk = sum(path.stat().st_size for layout in LAYOUTS for path in files(filled, layout.name))
    assert sum(table.bytes for table in damage.tables) == on_disk
    assert told[0] == (0, on_disk)
    assert told[-1] == (on_disk, on_disk)


def test_no_store_is_no_clean_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        verify(str(tmp_path / "nowhere"))


def test_a_newer_store_is_refused(filled: Store) -> None:
    (Path(filled.url) / "store.json").write_text('{"format": "rinr-store", "version": 7}')
    with pytest.raises(StoreError, match="of version 7, this program knows up to 4: update rinr"):
        verify(filled.url)


def test_orphans_and_landed_pictures_are_told_and_no_damage(filled: Store) -> None:
    (Path(filled.url) / "images" / "left-behind.parquet").write_bytes(b"x" * 100)
    (Path(filled.url) / "landing").mkdir()
    (Path(filled.url) / "landing" / f"{digest('a picture')}.jpg").write_bytes(b"x")
    damage = verify(filled.url)
    assert damage.clean
    assert (damage.tables[0].orphans, damage.tables[0].orphan_bytes) == (1, 100)
    assert damage.landed == 1


def test_a_flipped_byte_in_a_payload_is_found_by_its_checksum(filled: Store) -> None:
    """Written uncompressed, a file shows its payloads as they are: one byte of one of them is another."""
    path = image_file(filled, 5)
    payload = pack_frame(sound_image(5).frame)
    table = pq.read_table(path)
    pq.write_table(table, path, compression="none", use_dictionary=False, write_statistics=False)
    data = bytearray(path.read_bytes())
    data[data.index(payload) + len(payload) // 2] ^= 1
    path.write_bytes(data)
    damage = verify(filled.url)
    assert counts(damage) == {("images", "file"): 1, ("images", "row"): 1}  # the size is another too
    row = next(finding for finding in damage.findings if finding.kind == "row")
    assert "checksum" in row.what.lower() or "crc" in row.what.lower()
    assert (row.file, row.row_group, row.row) == (path.name, 0, 1)
    assert digest("image 5") in str(row.key)
    repair(filled.url)
    mended(filled, ids(5), 12)


def test_a_flipped_byte_of_a_compressed_file(filled: Store) -> None:
    path = image_file(filled, 5)
    column = pq.ParquetFile(path).metadata.row_group(0).column(IMAGES.schema.names.index("payload"))
    data = bytearray(path.read_bytes())
    data[column.data_page_offset + column.total_compressed_size // 2] ^= 0xFF
    path.write_bytes(data)
    damage = verify(filled.url)
    assert not damage.clean
    assert {(finding.table, finding.file) for finding in damage.findings} == {("images", path.name)}
    result = repair(filled.url)
    lost = missing(filled)
    assert lost <= ids(4, 5, 6, 7)
    assert lost
    assert result.after.clean
    mended(filled, lost, 12)


@pytest.mark.parametrize("left", [0, 100, 3000])
def test_a_truncated_file(filled: Store, left: int) -> None:
    path = image_file(filled, 5)
    path.write_bytes(path.read_bytes()[:left])
    damage = verify(filled.url)
    assert {finding.file for finding in damage.findings} == {path.name}
    assert counts(damage) == {("images", "file"): 1}
    assert f"it has {left:,} bytes, and the log says" in damage.findings[0].what
    result = repair(filled.url)
    assert result.aside == (f"images-{path.name}",)
    assert (Path(filled.url) / "damaged" / f"images-{path.name}").stat().st_size == left
    mended(filled, ids(4, 5, 6, 7), 12)


def test_a_file_that_is_gone(filled: Store) -> None:
    path = image_file(filled, 9)
    path.unlink()
    damage = verify(filled.url)
    assert [(finding.table, finding.kind, finding.what, finding.file) for finding in damage.findings] == [
        ("images", "file", "the file is not there", path.name)
    ]
    repair(filled.url)
    mended(filled, ids(8, 9, 10, 11), 12)


def test_the_readable_row_groups_of_a_damaged_file_are_rescued(store: Store) -> None:
    store.append([sound_source(number) for number in range(1200)])
    store.append([sound_image(number) for number in range(1200)])
    (path,) = files(store)
    opened = pq.ParquetFile(path).metadata
    assert opened.num_row_groups == 3
    column = opened.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    data[start : start + 60] = b"\xff" * 60
    path.write_bytes(data)
    damage = verify(store.url)
    assert counts(damage) == {("images", "row group"): 1}
    assert (damage.findings[0].file, damage.findings[0].row_group) == (path.name, 1)
    kept = {row["image_id"] for group in (0, 2) for row in pq.ParquetFile(path).read_row_group(group).to_pylist()}
    result = repair(store.url)
    assert result.rescued == (("images", len(kept)),)
    mended(store, ids(*range(1200)) - kept, 1200)


WRONG = {
    "a payload of another codec": ({"payload": b"JUNK" * 20}, "payload: "),
    "no payload": ({"payload": None}, "written before version 2 of the payload column: encode anew"),
    "bytes that do not add up": ({"bytes_objects": 5}, "bytes_objects is 5, and the payload says"),
    "another width": ({"width": 65}, "width is 65, and the payload says 64"),
    "other boxes": ({"objects": []}, "objects are not the 1 boxes of the payload"),
    "an id that is none": ({"encoding_id": "a'b"}, 'encoding_id is "a\'b"'),
    "a NaN": ({"background_db": float("nan")}, "background_db is nan"),
    "no time": ({"created_at": None}, "created_at is None"),
}


@pytest.mark.parametrize(("changes", "words"), WRONG.values(), ids=WRONG)
def test_a_row_that_says_what_cannot_be(filled: Store, changes: dict[str, Any], words: str) -> None:
    filled.append([sound_source(13)])
    append_raw(filled, "images", [sound_row(13, **changes)])
    damage = verify(filled.url)
    assert counts(damage) == {("images", "row"): 1}
    assert words in damage.findings[0].what
    assert digest("image 13") in str(damage.findings[0].key)
    result = repair(filled.url)
    assert result.dropped == (("images", 1),)
    kept = pq.read_table(Path(filled.url) / "damaged" / result.aside[0]).to_pylist()
    assert [row["image_id"] for row in kept] == [digest("image 13")]
    assert verify(filled.url).clean
    assert missing(filled) == ids(13)
    assert len(read_raw(filled, "images", pc.field("encoding_id") == ENCODING)) == 12


def test_ids_that_are_none_are_dropped_with_any_text_in_them(filled: Store) -> None:
    nasty = ["' OR 1=1 --", "\\'", "", "a\nb", "\N{SNOWMAN}%_", "x\0y", None]
    for text in nasty:
        append_raw(filled, "images", [sound_row(1, image_id=text)])
    damage = verify(filled.url)
    assert counts(damage)["images", "row"] == len(nasty)
    assert all("\n" not in f"{finding.key}{finding.what}" for finding in damage.findings)
    assert repair(filled.url).dropped == (("images", len(nasty)),)
    assert len(read_raw(filled, "images")) == 12
    mended(filled, set(), 12)


def test_a_row_that_stands_twice(filled: Store) -> None:
    append_raw(filled, "images", [sound_row(3)])
    damage = verify(filled.url)
    assert counts(damage) == {("images", "duplicate"): 1}
    assert digest("image 3") in str(damage.findings[0].key)
    assert repair(filled.url).dropped == (("images", 1),)
    mended(filled, set(), 12)


def test_of_a_good_and_a_damaged_row_of_one_key_the_good_one_stays(filled: Store) -> None:
    append_raw(filled, "images", [sound_row(3, payload=b"RI junk")])
    assert counts(verify(filled.url)) == {("images", "row"): 1, ("images", "duplicate"): 1}
    repair(filled.url)
    mended(filled, set(), 12)


def test_a_file_that_was_a_again_is_no_duplicate(filled: Store) -> None:
    filled.append([sound_source(77, path="0001.jpg", ingested_at=datetime(2030, 1, 1, tzinfo=UTC))])
    filled.append([sound_source(1, ingested_at=datetime(2030, 1, 2, tzinfo=UTC))])
    assert len(read_raw(filled, "sources", pc.field("path") == "0001.jpg")) == 3
    assert verify(filled.url).clean


def test_a_row_that_another_program_changed(filled: Store) -> None:
    """What deltalake's `update` writes, pyarrow cannot filter: such a file is written anew."""
    DeltaTable(filled.table_url("images")).update({"preset": "''"}, predicate=f"image_id = '{digest('image 6')}'")
    with pytest.raises(pa.ArrowNotImplementedError):
        read_raw(filled, "images", pc.field("image_id").isin([digest("image 6")]))
    damage = verify(filled.url)
    assert counts(damage) == {("images", "row"): 1, ("images", "file"): 1}
    repair(filled.url)
    assert read_raw(filled, "images", pc.field("image_id").isin([digest("image 6")])) == []
    mended(filled, ids(6), 12)


SOURCES_WRONG = {
    "labels": ({"labels": "[[1,"}, "labels are not a list"),
    "other labels": ({"labels": "[]"}, "labels_id is not the hash of labels"),
    "no list": ({"labels": '{"a": 1}'}, "labels are not a list"),
    "deep": ({"labels": "[" * 100_000}, "labels are not a list"),
    "a negative size": ({"size": -1}, "size is -1"),
    "no time": ({"ingested_at": None}, "ingested_at is None"),
    "an early time": ({"modified": datetime(1901, 1, 1, tzinfo=UTC)}, "modified is"),
    "half a size": ({"annotated_width": None}, "only one is given"),
}


@pytest.mark.parametrize(("changes", "words"), SOURCES_WRONG.values(), ids=SOURCES_WRONG)
def test_a_source_that_says_what_cannot_be(filled: Store, changes: dict[str, Any], words: str) -> None:
    row = source_row(sound_source(1, path="o'neill/\x1b[2J.jpg")) | changes
    append_raw(filled, "sources", [row])
    damage = verify(filled.url)
    assert counts(damage) == {("sources", "row"): 1}
    assert words in damage.findings[0].what
    assert "\x1b" not in str(damage.findings[0])
    assert repair(filled.url).dropped == (("sources", 1),)
    mended(filled, set(), 12)


def test_quarantine_and_deliveries(filled: Store) -> None:
    (refused,) = read_raw(filled, "quarantine")
    append_raw(filled, "quarantine", [refused | {"status": "lost", "path": "it's.jpg"}])
    (sent,) = read_raw(filled, "deliveries")
    append_raw(filled, "deliveries", [sent | {"shard": "second", "labels_ids": sent["labels_ids"][:1]}])
    damage = verify(filled.url)
    assert counts(damage) == {("quarantine", "row"): 1, ("deliveries", "row"): 1}
    assert "status is 'lost'" in damage.findings[0].what
    assert "differ in length" in damage.findings[1].what
    repair(filled.url)
    assert verify(filled.url).clean
    assert (len(read_raw(filled, "quarantine")), len(read_raw(filled, "deliveries"))) == (1, 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"status": "lost"}, "status is 'lost', expected planned, sent, acknowledged,"),
        ({"status": None}, "status is None"),
        ({"generation": 0}, "generation and sequence are 0 and 1, expected 1 or more"),
        ({"sequence": -1}, "generation and sequence are 1 and -1"),
        ({"sequence": 7}, "shard is 'shard-0001-00000001', and its generation and sequence say shard-0001-00000007"),
        ({"number": None}, "number is missing"),
        ({"encoding_id": None}, "encoding_id is None"),
        ({"sha256": "x"}, "sha256 is 'x'"),
        ({"image_ids": None}, "image_ids are missing"),
        ({"image_ids": ["x", "y"]}, "image_ids hold 'x', which is no id"),
        ({"rows": 3}, "differ in length (image_ids: 2, labels_ids: 2, rows: 3)"),
        ({"status": "sent", "labels_ids": None}, "labels_ids are missing"),
    ],
)
def test_events_of_deliveries(filled: Store, changes: dict[str, Any], words: str) -> None:
    (planned,) = read_raw(filled, "deliveries")
    append_raw(filled, "deliveries", [planned | changes])
    damage = verify(filled.url)
    assert words in damage.findings[0].what
    repair(filled.url)
    assert verify(filled.url).clean
    assert [row["status"] for row in read_raw(filled, "deliveries")] == ["planned"]


def test_events_without_images_are_sound(filled: Store) -> None:
    filled.append([Delivery("cam-b", 1, 1, status, number=n) for n, status in enumerate(("acknowledged", "asked"))])
    filled.append([Delivery("cam-b", 1, 0, "heard", number=3), Delivery("cam-b", 2, 0, "reset")])
    sizes = {"encoding_id": ENCODING, "sha256": digest("s"), "bytes": 5, "payload_bytes": 4, "rows": 2}
    filled.append([Delivery("cam-b", 1, 1, "sent", **sizes), Delivery("cam-b", 1, 1, "refused", reason="edited")])
    assert verify(filled.url).clean


def test_relations_that_lead_nowhere_are_named_and_their_rows_kept(filled: Store) -> None:
    filled.append([sound_image(50)])
    filled.append([delivery(2, [3, 60, 61])])
    damage = verify(filled.url)
    assert counts(damage) == {("images", "relation"): 1, ("deliveries", "relation"): 1}
    first, second = damage.findings
    assert digest("image 50") in str(first.key)
    assert second.what == "2 of its 3 images have no row in images"
    result = repair(filled.url)
    assert result.dropped == ()
    after = verify(filled.url)
    assert after.clean
    assert after.awaited == 3
    assert len(read_raw(filled, "images")) == 13
    filled.append([sound_source(50), sound_source(60), sound_source(61)])
    filled.append([sound_image(60)])
    assert verify(filled.url).awaited == 1
    filled.append([sound_image(51)])
    assert counts(verify(filled.url)) == {("images", "relation"): 1}  # nobody spoke of this one


def test_a_lost_source_drops_no_image_and_comes_back_with_the_next_ingestion(filled: Store) -> None:
    files(filled, "sources")[0].unlink()
    assert counts(verify(filled.url)) == {("sources", "file"): 1, ("images", "relation"): 12}
    repair(filled.url)
    after = verify(filled.url)
    assert (after.clean, after.awaited) == (True, 12)
    assert len(read_raw(filled, "images")) == 12
    filled.append([sound_source(number) for number in range(12)])
    mended(filled, set(), 12)


def test_a_delivered_image_that_is_dropped_is_awaited(filled: Store) -> None:
    image_file(filled, 0).unlink()
    repair(filled.url)
    after = verify(filled.url)
    assert (after.clean, after.awaited) == (True, 2)
    mended(filled, ids(0, 1, 2, 3), 12)


def test_an_unreadable_log_is_named_and_left(filled: Store) -> None:
    for entry in (Path(filled.url) / "images" / "_delta_log").glob("*.json"):
        entry.write_bytes(b"{ no log")
    damage = verify(filled.url)
    assert damage.findings[0].kind == "log"
    assert counts(damage)["images", "log"] == 1
    result = repair(filled.url)
    assert ("images", "log", 1) in result.after.counts
    assert "copy of the store" in " ".join(plan(examine(filled.url)))


def test_many_findings_are_counted_and_some_listed(filled: Store) -> None:
    filled.append([sound_source(number) for number in range(100, 150)])
    append_raw(filled, "images", [sound_row(number, width=1) for number in range(100, 150)])
    damage = verify(filled.url)
    assert counts(damage) == {("images", "row"): 50}
    assert len(damage.findings) == LISTED
    repair(filled.url)
    assert missing(filled) == ids(*range(100, 150))


def test_a_repair_that_is_asked_first_may_be_refused(filled: Store) -> None:
    image_file(filled, 1).unlink()
    before = DeltaTable(filled.table_url("images")).version()
    seen: list[tuple[str, ...]] = []

    def no(damage: Damage, steps: tuple[str, ...]) -> bool:
        seen.append(steps)
        return False

    result = repair(filled.url, ask=no)
    assert result.before == result.after
    assert len(seen[0]) == 2  # the file, and the delivery of what is not there any more
    assert "which is not there" in seen[0][0]
    assert DeltaTable(filled.table_url("images")).version() == before
    assert not (Path(filled.url) / "damaged").exists()


def test_a_sound_store_is_left_alone(filled: Store) -> None:
    before = {layout.name: DeltaTable(filled.table_url(layout.name)).version() for layout in LAYOUTS}
    repair(filled.url)
    assert before == {layout.name: DeltaTable(filled.table_url(layout.name)).version() for layout in LAYOUTS}
    assert not (Path(filled.url) / "damaged").exists()


STOPS = [
    "storage.upkeep.repair.write_deltalake",  # before the rescued rows stand in the table
    pytest.param("storage.upkeep.repair._Work._put_aside", marks=pytest.mark.drill),
    "fsspec.implementations.local.LocalFileSystem.mv",  # they do, and the damaged file as well
    "deltalake.DeltaTable.repair",  # the file is moved, and the log still names it
    pytest.param("storage.upkeep.repair._awaited", marks=pytest.mark.drill),
]


def interrupted(url: str, stop: str) -> None:
    """A repair whose process ends with SIGKILL where it would call something."""
    program = f"""
        import os, signal
        from unittest.mock import patch
        from storage.upkeep.repair import repair

        def end(*_, **__):
            os.kill(os.getpid(), signal.SIGKILL)

        with patch({stop!r}, end):
            repair({url!r})
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, timeout=120)
    assert done.returncode == -9, done.stderr.decode()


def spoil(store: Store) -> set[str]:
    """A file whose last row group cannot be read, a file gone, a damaged row and a double one; what is lost."""
    store.append([sound_source(number) for number in range(12, 700)])
    store.append([sound_image(number) for number in range(12, 700)])
    path = image_file(store, 100)
    opened = pq.ParquetFile(path)
    last = opened.num_row_groups - 1
    lost = set(opened.read_row_group(last)["image_id"].to_pylist())
    start = opened.metadata.row_group(last).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 60] = b"\xff" * 60
    path.write_bytes(data)
    image_file(store, 9).unlink()
    append_raw(store, "images", [sound_row(700, payload=b"junk"), sound_row(1)])
    store.append([sound_source(700)])
    return lost | ids(8, 9, 10, 11, 700)


@pytest.mark.parametrize("stop", STOPS)
def test_a_repair_that_is_killed_is_finished_by_the_next(filled: Store, stop: str) -> None:
    lost = spoil(filled)
    interrupted(filled.url, stop)
    repair(filled.url)
    assert verify(filled.url).clean
    assert missing(filled) == lost
    rows = [row["image_id"] for row in read_raw(filled, "images", pc.field("encoding_id") == ENCODING)]
    assert len(rows) == len(set(rows)) == 701 - len(lost)
    assert set(rows) == ids(*range(701)) - lost


def test_a_large_row_group_is_not_held_in_memory(store: Store) -> None:
    """A row group of 96 MB of payloads, on which a verification and the interpreter take less than half of that."""
    noise = np.random.default_rng(1)
    store.append([sound_source(number) for number in range(96)])
    frames = [EncodedFrame(64, 48, noise.bytes(1_000_000)) for _ in range(96)]
    store.append([sound_image(number, frame=frame, object_db=None) for number, frame in enumerate(frames)])
    program = f"""
        import resource
        from storage.upkeep.verification import verify
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert verify({store.url!r}).clean
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    assert int(done.stdout) < 60_000  # kB; the file alone has 96,000


@pytest.mark.drill
@pytest.mark.parametrize("seed", range(4))
def test_bytes_flipped_anywhere(store: Store, tmp_path: Path, seed: int) -> None:
    """Whatever bit is flipped: nothing ends but in words, and a repaired store is clean and read by pyarrow."""
    fill(store)
    random = Random(seed)
    found = 0
    for attempt in range(40):
        copy = Store(str(tmp_path / f"copy-{attempt}"))
        shutil.copytree(store.url, copy.url)
        path = random.choice(files(copy, random.choice(LAYOUTS).name))
        data = bytearray(path.read_bytes())
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
        path.write_bytes(data)
        if not verify(copy.url).clean:
            found += 1
            repair(copy.url)
            assert verify(copy.url).clean, (seed, attempt)
        for layout in LAYOUTS:
            read_raw(copy, layout.name)
    print(f"seed {seed}: {found} of 40 flips found; the others changed nothing that has a checksum")
    assert found >= 20
