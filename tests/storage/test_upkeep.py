"""Compaction, vacuum, look-ups and clocks: what a store is after months, and while it is looked after."""

import fcntl
import multiprocessing
import os
import random
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from rinr.codec.frame import pack_frame
from storage.store import LOOSE_FILES, Store
from storage.tables import IMAGES, LAYOUTS, QUARANTINE, SOURCES, Delivery, Refusal
from storage.weights import compaction
from storage.weights.delta import Table
from tests.storage.examples import ENCODING, clip_of, digest, encoded_image, shared_part, source


@pytest.fixture
def many(store: Store) -> Store:
    """Forty images and their sources, two a commit, in no order."""
    numbers = list(range(40))
    random.Random(0).shuffle(numbers)
    for start in range(0, 40, 2):
        store.append([encoded_image(number) for number in numbers[start : start + 2]])
        store.append([source(number) for number in numbers[start : start + 2]])
    return store


def ids(table: pa.Table) -> list[str]:
    return table["image_id"].to_pylist()


def data_files(store: Store, table: str = "images") -> list[Path]:
    return sorted(Path(store.url, table).glob("*.parquet"))


class TestLookup:
    @pytest.mark.parametrize("compacted", [False, True])
    def test_finds_each_image_and_no_other(self, many: Store, compacted: bool):
        if compacted:
            many.compact(loose=2)
        for store in (many, Store(many.url)):
            for number in (0, 17, 39):
                table = store.lookup([digest(f"image {number}")])
                assert table.schema == IMAGES.schema
                assert [(row["image_id"], row["payload"]) for row in table.to_pylist()] == [
                    (digest(f"image {number}"), pack_frame(encoded_image(number).frame))
                ]
        three = many.lookup([digest(f"image {n}") for n in (1, 2, 99)], ["image_id"])
        assert sorted(ids(three)) == sorted(digest(f"image {n}") for n in (1, 2))
        assert many.lookup([]).num_rows == 0

    def test_gives_the_newest_labels_of_each_encoding(self, many: Store):
        corrected = replace(encoded_image(3), labels_id=digest("corrected"))
        many.append([replace(encoded_image(3), encoding_id="other"), corrected])
        table = many.lookup([corrected.image_id], ["labels_id", "encoding_id"])
        # The sources still say the labels of before.
        assert {(row["labels_id"], row["encoding_id"]) for row in table.to_pylist()} == {
            (digest("labels 3"), ENCODING),
            (digest("labels 3"), "other"),
        }
        many.append([source(3, labels_id=corrected.labels_id, ingested_at=datetime.now(UTC))])
        assert many.lookup([corrected.image_id], ["labels_id"], encoding_id=ENCODING)["labels_id"].to_pylist() == [
            corrected.labels_id
        ]

    def test_reads_only_files_that_may_hold_the_image(self, many: Store, monkeypatch: pytest.MonkeyPatch):
        many.lookup([digest("image 2")])  # from now on the handle is warm
        read: list[int] = []
        scan = Table.scan

        def counted(self: Table, columns, where=None, files=None) -> pa.Table:
            read.append(len(self.files) if files is None else len(files))
            return scan(self, columns, where, files)

        monkeypatch.setattr(Table, "scan", counted)
        assert many.lookup([digest("image 2")]).num_rows == 1
        assert read == [1]
        read.clear()
        assert many.append([encoded_image(100)]) == 1  # the key of none that is there: nothing is read but what is new
        assert many.append([encoded_image(101)]) == 1
        assert all(files <= 1 for files in read if files)
        assert sum(read) <= 20 + 1, "the first append reads the keys of 20 files, the second those of the first"


class TestMissing:
    def test_among_some_images(self, many: Store):
        asked = [digest(f"image {n}") for n in (1, 2, 50)]
        assert many.missing(ENCODING, asked) == []
        many.append([source(50)])
        assert [pending.image_id for pending in many.missing(ENCODING, asked)] == [digest("image 50")]
        assert [pending.image_id for pending in many.missing(ENCODING)] == [digest("image 50")]
        assert {pending.image_id for pending in many.missing("other", asked)} == set(asked)
        assert many.missing(ENCODING, []) == []

    def test_a_picture_whose_file_was_replaced_before_it_was_encoded_is_not_lost(self, store: Store):
        store.append([source(1, path="a.jpg")])
        store.append([source(2, path="a.jpg", ingested_at=datetime.now(UTC))])
        assert {pending.image_id for pending in store.missing(ENCODING)} == {digest("image 1"), digest("image 2")}

    def test_a_file_that_is_there_speaks_before_one_that_was_replaced(self, store: Store):
        first = source(1, path="a.jpg")
        later = [first.ingested_at + timedelta(minutes=n) for n in range(3)]
        store.append([first])
        store.append([source(1, path="b.jpg", labels="[]", labels_id=digest("none"), ingested_at=later[1])])
        store.append([source(2, path="a.jpg", ingested_at=later[2])])
        wanted = {pending.image_id: pending.labels_id for pending in store.missing(ENCODING)}
        assert wanted[first.image_id] == digest("none")


class TestClocks:
    def test_what_comes_later_is_newer_though_the_clock_went_back(self, store: Store):
        first = source(1)
        store.append([first])
        earlier = first.ingested_at - timedelta(days=2)
        corrected = replace(first, labels_id=digest("new"), labels="[]", ingested_at=earlier)
        assert store.append([corrected]) == 1
        assert [pending.labels_id for pending in store.missing(ENCODING)] == [digest("new")]
        assert store.append([replace(first, ingested_at=earlier)]) == 1, "back to the first labels, as a new row"
        assert [pending.labels_id for pending in store.missing(ENCODING)] == [first.labels_id]
        times = store.scan(SOURCES, ["ingested_at"])["ingested_at"].to_pylist()
        assert len(set(times)) == 3

    def test_a_refusal_is_taken_back_and_given_again(self, store: Store):
        refusal = Refusal("cam-a", "a.jpg", 10, datetime(2026, 1, 1, tzinfo=UTC), "a.jpg: broken")
        retry = replace(refusal, status="retry", quarantined_at=refusal.quarantined_at - timedelta(days=1))
        again = replace(refusal, quarantined_at=retry.quarantined_at)
        assert [store.append([row]) for row in (refusal, refusal, retry, retry, again, again)] == [1, 0, 1, 0, 1, 0]
        rows = store.scan(QUARANTINE).sort_by("quarantined_at")
        assert rows["status"].to_pylist() == ["refused", "retry", "refused"]


class TestCompaction:
    def test_sorts_into_few_files_and_changes_no_row(self, many: Store):
        before = {layout.name: many.scan(layout).sort_by(layout.probe) for layout in LAYOUTS}
        rewrites = {rewrite.table: rewrite for rewrite in many.compact()}
        assert set(rewrites) == {"images", "sources"}
        assert (rewrites["images"].files_before, rewrites["images"].files_after) == (20, 1)
        for layout in LAYOUTS:
            assert many.scan(layout).sort_by(layout.probe) == before[layout.name]
        (path,) = DeltaTable(many.table_url("images")).file_uris()
        assert ids(pq.read_table(path, columns=["image_id"])) == sorted(digest(f"image {n}") for n in range(40))
        assert many.compact() == [], "what is sorted is left as it is"

    def test_waits_until_it_is_worth_it(self, store: Store):
        for number in range(LOOSE_FILES - 1):
            store.append([encoded_image(number)])
        assert store.compact() == []
        store.append([encoded_image(LOOSE_FILES)])
        assert [rewrite.files_after for rewrite in store.compact()] == [1]

    def test_every_plain_column_can_be_filtered_by_before_and_after(self, many: Store):
        """With deltalake's datasets a filter finds nothing where the log has no statistics of its column."""
        many.append([clip_of([101], shared_part(1))])
        for _ in range(2):
            everything = many.scan(IMAGES)
            for name in IMAGES.schema.names:
                if name in ("payload", "objects"):
                    continue
                value = next(v for v in everything[name].to_pylist() if v is not None)
                found = (
                    DeltaTable(many.table_url("images")).to_pyarrow_dataset().to_table(filter=pc.field(name) == value)
                )
                assert found.num_rows == everything[name].to_pylist().count(value) > 0, name
                assert many.scan(IMAGES, [name], pc.field(name) == value).num_rows == found.num_rows, name
            assert many.scan(IMAGES, ["image_id"], pc.field("object_db").is_null()).num_rows == 20
            many.compact(loose=2)

    def test_images_of_several_files_are_sorted_into_disjoint_ranges(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr("storage.weights.compaction.FILE_BYTES", 20_000)
        for start in range(0, 1200, 600):
            store.append([encoded_image(n) for n in range(start, start + 600)])
        store.compact(loose=2)
        table = Table(store.table_url("images"), IMAGES)
        table.refresh()
        files = sorted(table.files, key=lambda file: file.low or "")
        assert len(files) > 1
        assert all((a.high or "") < (b.low or "") for a, b in pairwise(files))
        assert sum(file.rows for file in files) == 1200

    def test_an_append_after_it_reads_nothing_of_it(self, many: Store, monkeypatch: pytest.MonkeyPatch):
        assert many.append([encoded_image(0)]) == 0  # from now on the handle knows all keys
        Store(many.url).compact()
        read: list[str] = []
        scan = Table.scan

        def seen(self: Table, columns, where=None, files=None) -> pa.Table:
            read.extend(files)
            return scan(self, columns, where, files)

        monkeypatch.setattr(Table, "scan", seen)
        assert many.append([encoded_image(100)]) == 1
        assert read == []
        assert many.append([encoded_image(7)]) == 0, "its key is still known to be there"
        assert len(read) == 2, "the file of image 100, and the compacted one"

    @pytest.mark.parametrize("other", ["compaction", "deltalake"])
    def test_of_two_at_once_one_gives_way(self, many: Store, other: str):
        late = Table(many.table_url("images"), IMAGES)
        late.refresh()
        read = pc.field("image_id") != ""
        before = many.scan(IMAGES, where=read).sort_by("image_id")
        exchange = Table.exchange

        def overtaken(self: Table, actions, transaction: str) -> bool:
            if other == "compaction":
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(Table, "exchange", exchange)
                    assert [rewrite.table for rewrite in Store(many.url).compact()] == ["images", "sources"]
            else:
                DeltaTable(many.table_url("images")).optimize.z_order(["image_id"])
            return exchange(self, actions, transaction)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Table, "exchange", overtaken)
            assert not compaction.compact(late)
        assert many.scan(IMAGES, where=read).sort_by("image_id") == before

    def test_rows_appended_while_it_runs_stay(self, many: Store, monkeypatch: pytest.MonkeyPatch):
        exchange = Table.exchange

        def late(self: Table, actions, transaction: str) -> bool:
            Store(many.url).append([encoded_image(100)])
            return exchange(self, actions, transaction)

        monkeypatch.setattr(Table, "exchange", late)
        assert [rewrite.table for rewrite in many.compact()] == ["images", "sources"]
        assert many.scan(IMAGES).num_rows == 41
        assert many.append([encoded_image(100)]) == 0

    def test_writes_files_as_an_append_does(self, many: Store):
        def layout(path: str) -> dict[str, tuple[str, bool, bool]]:
            group = pq.read_metadata(path).row_group(0)
            columns = [group.column(number) for number in range(group.num_columns)]
            return {
                column.path_in_schema: (
                    column.compression,
                    "RLE_DICTIONARY" in column.encodings,
                    column.statistics is not None,
                )
                for column in columns
                if not column.path_in_schema.startswith("objects.")
            }

        before = layout(DeltaTable(many.table_url("images")).file_uris()[0])
        many.compact()
        (after,) = DeltaTable(many.table_url("images")).file_uris()
        assert layout(after) == before
        log = pa.table(DeltaTable(many.table_url("images")).get_add_actions(flatten=True)).to_pylist()[0]
        assert (log["min.image_id"], log["num_records"]) == (min(digest(f"image {n}") for n in range(40)), 40)
        assert (
            log["max.created_at"] >= many.scan(IMAGES, ["created_at"]).sort_by("created_at")["created_at"][-1].as_py()
        )

    def test_readers_and_writers_go_on_through_maintenance(self, store: Store):
        """Two writers and a reader beside a process that compacts and vacuums without pause."""
        store.create()
        context = multiprocessing.get_context("forkserver")
        with context.Pool(4) as pool:
            writers = [pool.apply_async(_write, (store.url, n)) for n in range(2)]
            reader = pool.apply_async(_read, (store.url,))
            keeper = pool.apply_async(_maintain, (store.url,))
            assert [writer.get(120) for writer in writers] == [40, 40]
            (Path(store.url) / "stop").touch()
            rewrites = keeper.get(120)
            seen = reader.get(120)
        assert rewrites > 0
        assert seen == sorted(seen)
        assert sorted(ids(store.scan(IMAGES))) == sorted(digest(f"image {n}") for n in range(80))


class TestVacuum:
    def test_an_open_reader_goes_on_and_leftovers_go(self, many: Store):
        reader = DeltaTable(many.table_url("images"))
        orphan = Path(many.url, "images", "part-00000-orphan.parquet")
        orphan.write_bytes(b"refused commit")
        many.compact()
        assert many.vacuum(timedelta(hours=1)) == 0, "all of it is younger than an hour"
        assert ds.dataset([uri.removeprefix("file://") for uri in reader.file_uris()]).count_rows() == 40
        long_ago = time.time() - 2 * 3600
        os.utime(orphan, (long_ago, long_ago))
        assert many.vacuum(timedelta(hours=1)) == 1
        assert not orphan.exists()
        assert reader.to_pyarrow_table().num_rows == 40

    def test_what_killed_writers_left_goes_too(self, many: Store):
        images = Path(many.url, "images")
        unfinished = [images / "part-1.parquet#1", images / "_delta_log" / "_commit_x.json.tmp"]
        for path in unfinished:
            path.write_bytes(b"half")
        assert many.vacuum() == 0
        many.compact()
        assert many.vacuum(timedelta(0), exclusive=True) == 40 + len(unfinished)
        assert [path for path in unfinished if path.exists()] == []
        assert len(data_files(many)) == len(data_files(many, "sources")) == 1
        assert len(list((images / "_delta_log").glob("*.json"))) == 1
        assert many.scan(IMAGES).num_rows == 40
        assert many.append([encoded_image(39), encoded_image(40)]) == 1

    def test_a_handle_finds_its_way_after_its_files_are_gone(self, many: Store, monkeypatch: pytest.MonkeyPatch):
        other = Store(many.url)
        assert other.scan(IMAGES).num_rows == 40
        many.compact()
        many.vacuum(timedelta(0), exclusive=True)
        # Between its look at the log and its reading: as if it had not seen the compaction.
        refresh = Table.refresh
        monkeypatch.setattr(Table, "refresh", lambda self, *, anew=False: refresh(self, anew=True) if anew else True)
        assert other.scan(IMAGES).num_rows == 40

    def test_needs_an_hour_or_the_store_for_itself(self, store: Store):
        with pytest.raises(ValueError, match=r"at least 1:00:00 is needed.*`exclusive`"):
            store.vacuum(timedelta(minutes=59))

    def test_where_nothing_is_to_be_done_nothing_is_written(self, many: Store):
        many.compact()
        many.vacuum()
        before = sorted(path.name for path in Path(many.url).rglob("*") if path.is_file())
        assert many.compact() == []
        assert many.vacuum() == 0
        assert sorted(path.name for path in Path(many.url).rglob("*") if path.is_file()) == before

    def test_of_nothing(self, store: Store):
        assert store.compact() == []
        assert store.vacuum() == 0
        assert not Path(store.url).exists()


def test_a_long_path_keeps_its_place_in_sorted_files(store: Store):
    """Statistics of long text are cut: what is cut must not hide a row."""
    paths = [f"{'x' * 150}/{number:03}.jpg" for number in range(40)]
    for number, path in enumerate(paths):
        store.append([source(number % 60, path=path)])
    store.compact(loose=2)
    for path in (paths[0], paths[21], paths[39]):
        assert Store(store.url).scan(SOURCES, ["path"], pc.field("path") == path)["path"].to_pylist() == [path]
        assert store.append([source(paths.index(path) % 60, path=path)]) == 0


def test_rows_of_several_kinds_are_refused(store: Store):
    with pytest.raises(TypeError, match="several kinds: EncodedImage, Source"):
        store.append([encoded_image(1), source(1)])
    assert store.append([Delivery("cam-b", 1, 1, "planned")]) == 1


def _until_stopped(url: str, step: Callable[[], None]) -> None:
    deadline = time.monotonic() + 100
    while not (Path(url) / "stop").exists() and time.monotonic() < deadline:
        step()


def _write(url: str, writer: int) -> int:
    store = Store(url)
    # Each twice, and half of them by both.
    numbers = [n for n in range(80) if n % 2 == writer] * 2
    return sum(store.append([encoded_image(number)]) for number in numbers)


def _read(url: str) -> list[int]:
    counts: list[int] = []
    store = Store(url)
    _until_stopped(url, lambda: counts.append(store.scan(IMAGES, ["payload"]).num_rows))
    return counts


def _maintain(url: str) -> int:
    store, rewrites = Store(url), []
    _until_stopped(url, lambda: rewrites.extend(store.compact(loose=4)) or store.vacuum(timedelta(hours=1)))  # type: ignore[func-returns-value]
    return len(rewrites)


def test_a_vacuum_removes_what_killed_writers_left_beside_the_tables(many: Store):
    left = [Path(many.url, ".store.json.7-abc.part"), Path(many.url, "landing", f".{digest('x')}.jpg.7-abc.part")]
    left[1].parent.mkdir()
    for path in left:
        path.write_bytes(b"half")
    assert many.vacuum(timedelta(hours=1)) == 0
    assert all(path.exists() for path in left)
    assert many.vacuum(timedelta(0), exclusive=True) == len(left)
    assert not any(path.exists() for path in left)


def test_a_compaction_removes_what_a_killed_one_left_and_no_other(
    many: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    killed, running, fresh = (tmp_path / f"rinr-compaction-{name}" for name in ("killed", "running", "fresh"))
    for folder in (killed, running, fresh):
        folder.mkdir()
        (folder / "run.parquet").write_bytes(b"rows")
        os.utime(folder, (time.time() - 120, time.time() - 120 * (folder != fresh)))
    lock = os.open(running, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    many.compact(loose=2)
    os.close(lock)
    assert sorted(tmp_path.glob("rinr-compaction-*")) == [fresh, running]


def test_a_vacuum_that_meets_a_compaction_looks_again(many: Store, monkeypatch: pytest.MonkeyPatch):
    vacuum, met = DeltaTable.vacuum, []

    def late(table: DeltaTable, *arguments: object, **options: object) -> list[str]:
        if not met:
            met.append(table)
            raise CommitFailedError("a concurrent transaction deleted data this operation read")
        return vacuum(table, *arguments, **options)

    monkeypatch.setattr(DeltaTable, "vacuum", late)
    many.compact(loose=2)
    assert many.vacuum(timedelta(0), exclusive=True) > 0
    assert met
