import multiprocessing
import random
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from rinr.shard import frames_of
from storage.store import Store, StoreError
from storage.tables import DELIVERIES, IMAGES, LAYOUTS, QUARANTINE, SOURCES, Delivery, Layout, Refusal, image_row, now
from storage.weights.delta import ROW_GROUP
from tests.storage.examples import ENCODING, append_numbers, digest, encoded_image, source


def test_images_read_back_as_they_were_appended(store: Store):
    images = [encoded_image(number) for number in range(5)]
    assert store.append(images) == 5
    table = store.scan(IMAGES)
    assert table.schema == IMAGES.schema
    assert frames_of(table) == [image.frame for image in images]
    assert table["image_id"].to_pylist() == [image.image_id for image in images]
    assert table["object_db"].to_pylist() == [None, 31.0, None, 33.0, None]


def test_a_store_from_before_a_column_was_added_is_read_and_written_on(tmp_path: Path):
    store = Store(str(tmp_path / "store"))
    added = ("picked", "stopped")
    old = pa.schema([field for field in IMAGES.schema if field.name not in added])
    rows = [image_row(encoded_image(0), now())]
    write_deltalake(store.table_url("images"), pa.Table.from_pylist(rows, schema=old))
    assert DeltaTable(store.table_url("images")).to_pyarrow_table().column_names == old.names
    assert store.scan(IMAGES)["picked"].to_pylist() == [None]
    assert store.append([encoded_image(0), encoded_image(1)]) == 1
    table = store.scan(IMAGES).sort_by("created_at")
    assert table.schema == IMAGES.schema
    assert table["picked"].to_pylist() == [None, "siren 10x3"]
    assert frames_of(table) == [encoded_image(n).frame for n in (0, 1)]


def test_what_is_present_is_not_appended_again(store: Store):
    assert store.append([encoded_image(0), encoded_image(1), encoded_image(0)]) == 2
    assert store.append([encoded_image(1), encoded_image(2)]) == 1
    assert Store(store.url).append([encoded_image(n) for n in range(3)]) == 0
    assert store.append([]) == 0
    assert store.scan(IMAGES).num_rows == 3


def test_racing_processes_append_each_image_exactly_once(store: Store):
    """Four processes on a store that none of them finds made: 24 images that all have, and 6 that only one has."""
    orders = [list(range(24)) + list(range(24 + 6 * writer, 30 + 6 * writer)) for writer in range(4)]
    for writer, order in enumerate(orders):
        random.Random(writer).shuffle(order)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.storage.examples"])
    with ProcessPoolExecutor(4, mp_context=context) as pool:
        added = [pool.submit(append_numbers, store.url, order, 5, writers=4) for order in orders]
        counts = [future.result(timeout=120) for future in added]
    assert sum(counts) == 48
    assert min(counts) >= 6
    files = DeltaTable(store.table_url("images")).file_uris()
    rows = [name for file in files for name in pq.read_table(file, columns=["image_id"])["image_id"].to_pylist()]
    assert sorted(rows) == sorted(digest(f"image {number}") for number in range(48))


def test_racing_first_writers_of_every_table(tmp_path: Path):
    for attempt in range(3):
        url = str(tmp_path / f"store {attempt}")
        start = threading.Barrier(6)

        def write(_: int, url: str = url, start: threading.Barrier = start) -> tuple[int, int]:
            own = Store(url)
            start.wait()
            return own.append([source(1), source(2)]), own.append([refusal()])

        with ThreadPoolExecutor(6) as pool:
            counts = list(pool.map(write, range(6)))
        assert sum(sources for sources, _ in counts) == 2
        assert sum(refusals for _, refusals in counts) == 1
        assert Store(url).scan(SOURCES).num_rows == 2


def refusal() -> Refusal:
    return Refusal("cam-a", "x.jpg", 3, datetime(2025, 1, 2, tzinfo=UTC), "x.jpg: bad")


def test_refusals_are_one_a_file_state_and_reason(store: Store):
    one = replace(refusal(), modified=None, size=None)
    assert store.append([one, replace(one, quarantined_at=now())]) == 1
    assert store.append([one]) == 0
    assert store.append([replace(one, reason="other"), replace(one, size=4)]) == 2
    assert store.scan(QUARANTINE, ["reason"]).num_rows == 3


def test_events_of_deliveries_are_one_a_device_shard_status_and_number(store: Store):
    planned = Delivery("cam-b", 1, 1, "planned", image_ids=("i",), labels_ids=("l",))
    assert store.append([planned, replace(planned, device="cam-c")]) == 2
    assert store.append([replace(planned, bytes=11, image_ids=("j",))]) == 0
    events = [replace(planned, status="asked", number=number) for number in (1, 2, 2, -1)]
    assert store.append([*events, replace(planned, generation=2), replace(planned, sequence=2)]) == 5
    where = pc.field("status") == "planned"
    assert store.scan(DELIVERIES, ["image_ids"], where)["image_ids"].to_pylist() == [["i"]] * 4


def test_events_of_many_threads_go_in_few_commits_and_each_hears_of_its_own(store: Store):
    store.create()
    before = DeltaTable(store.table_url("deliveries")).version()
    start = threading.Barrier(16)

    def work(number: int) -> tuple[int, int, int]:
        start.wait()
        own = [Delivery(f"cam-{number}", 1, sequence, "planned") for sequence in range(3)]
        shared = Delivery("cam-x", 1, 1, "planned", bytes=number)
        return store.append(own), store.append([shared]), store.append([*own[1:], Delivery("cam-y", 1, number, "sent")])

    with ThreadPoolExecutor(16) as pool:
        counts = list(pool.map(work, range(16)))
    assert [(first, last) for first, _, last in counts] == [(3, 1)] * 16
    assert sum(shared for _, shared, _ in counts) == 1
    assert store.scan(DELIVERIES).num_rows == 16 * 4 + 1
    assert DeltaTable(store.table_url("deliveries")).version() - before < 48


def test_where_a_commit_fails_the_rows_of_other_threads_are_not_lost(store: Store, monkeypatch: pytest.MonkeyPatch):
    append, failures = Store._append, iter([OSError("no space")])

    def failing(self: Store, layout: Layout, rows: list[dict]) -> list[bool]:
        for failure in failures:
            raise failure
        return append(self, layout, rows)

    monkeypatch.setattr(Store, "_append", failing)
    raised = []

    def work(number: int) -> None:
        try:
            store.append([Delivery(f"cam-{number}", 1, 1, "planned")])
        except OSError:
            raised.append(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(raised) == 1
    devices = set(store.scan(DELIVERIES)["device"].to_pylist())
    assert devices == {f"cam-{number}" for number in range(8)} - {f"cam-{number}" for number in raised}


def test_a_source_that_comes_back_to_earlier_labels_is_a_new_row(store: Store):
    first = source(1)
    changed = replace(first, labels_id=digest("new"), ingested_at=first.ingested_at + timedelta(seconds=1))
    again = replace(first, ingested_at=first.ingested_at + timedelta(seconds=2))
    assert [store.append([row]) for row in (first, first, changed, again, again)] == [1, 0, 1, 1, 0]
    assert [pending.labels_id for pending in store.missing(ENCODING)] == [first.labels_id]


def test_images_are_those_of_the_newest_labels(store: Store):
    old = encoded_image(1)
    new = replace(old, labels_id=digest("corrected"))
    other = replace(old, encoding_id="other")
    for image in (old, encoded_image(2), new, other):
        store.append([image])
    taken = set(zip(*store.scan(IMAGES, ["labels_id", "encoding_id"]).columns, strict=True))
    assert {(a.as_py(), b.as_py()) for a, b in taken} == {
        (new.labels_id, ENCODING),
        (old.labels_id, "other"),
        (encoded_image(2).labels_id, ENCODING),
    }
    assert store.scan(IMAGES, ["labels_id"], superseded=True).num_rows == 4
    # The sources say that the old labels count again.
    store.append([source(1)])
    one = store.scan(
        IMAGES, ["labels_id"], (pc.field("image_id") == old.image_id) & (pc.field("encoding_id") == ENCODING)
    )
    assert one["labels_id"].to_pylist() == [old.labels_id]


def test_missing_are_the_newest_labels_without_a_row(store: Store):
    early = source(1).ingested_at
    corrected = replace(source(2), labels_id=digest("c"), labels="[]", ingested_at=early + timedelta(hours=1))
    store.append([source(3), source(1), source(2)])
    store.append([corrected])
    assert [pending.path for pending in store.missing(ENCODING)] == ["0001.jpg", "0002.jpg", "0003.jpg"]
    store.append([encoded_image(1), encoded_image(2)])
    two, three = store.missing(ENCODING)
    assert (two.image_id, two.labels_id, two.labels) == (corrected.image_id, digest("c"), b"[]")
    assert (three.path, three.device, three.annotated_size) == ("0003.jpg", "cam-a", (128, 96))
    assert three.labels == b'[[1.0,2.0,3.0,4.0,"boat"]]'
    assert len(store.missing("another encoding")) == 3


def test_what_is_missing_comes_in_slices_by_id_until_nothing_is_left(store: Store):
    numbers = range(1, 12)
    # Older labels that have no row of their own, of images that are encoded with the newest: they lack nothing.
    old = [replace(source(number), path=f"old-{number}", labels_id=digest("old")) for number in (1, 2)]
    store.append(old)
    store.append([source(number) for number in numbers])
    store.append([encoded_image(number) for number in (1, 2, 5)])
    lacking = sorted(digest(f"image {number}") for number in numbers if number not in (1, 2, 5))
    assert store.count_missing(ENCODING) == len(lacking) + len(old)
    for limit in (1, 3, 8, 100):
        seen: list[str] = []
        while part := store.missing(ENCODING, limit=limit, after=max(seen, default="")):
            assert len(part) <= limit
            assert [pending.path for pending in part] == sorted(pending.path for pending in part)
            seen += [pending.image_id for pending in part]
        assert sorted(seen) == lacking, limit
        assert len(seen) == len(lacking)


def test_an_unlabelled_copy_does_not_hide_the_labels(store: Store):
    labelled = source(1)
    copy = replace(
        labelled,
        device="cam-b",
        labels="[]",
        labels_id=digest("none"),
        ingested_at=labelled.ingested_at + timedelta(hours=1),
    )
    store.append([labelled, copy])
    assert [pending.labels_id for pending in store.missing(ENCODING)] == [labelled.labels_id]


def test_summary(store: Store):
    images = [encoded_image(0), encoded_image(1), encoded_image(2, family="nerv")]
    store.append(images)
    summary = store.summary()
    assert summary.images == 3
    assert summary.bytes_total == sum(image.frame.bytes_total for image in images)
    assert summary.bytes_background == 3 * 192
    assert summary.bytes_objects == 21
    assert summary.bytes_overhead == summary.bytes_total - 3 * 192 - 21
    assert summary.background_db == pytest.approx((25 + 26 + 27) / 3)
    assert summary.object_db == pytest.approx(31)
    assert summary.families == ("nerv", "siren")
    assert store.summary("unknown").images == 0


def test_a_store_that_is_not_there_reads_as_empty(store: Store):
    for layout in LAYOUTS:
        table = store.scan(layout)
        assert table.num_rows == 0
        assert table.schema == layout.schema
    assert store.missing(ENCODING) == []
    assert store.summary().images == 0
    assert store.summary().object_db is None
    assert not Path(store.url).exists()


def test_create_makes_all_tables_and_can_be_repeated(store: Store):
    store.create()
    store.create()
    names = ["deliveries", "images", "parts", "quarantine", "sources", "store.json"]
    assert sorted(path.name for path in Path(store.url).iterdir()) == names
    assert store.append([encoded_image(1)]) == 1


def test_filters_work_after_every_operation(store: Store):
    """Strings that were written as views would fail here, and so would a scan that counts replaced files."""
    for number in range(6):
        store.append([encoded_image(number)])
    table = DeltaTable(store.table_url("images"))

    def found() -> list[str]:
        where = (pc.field("image_id") == digest("image 3")) & (pc.field("family") == "siren")
        return store.scan(IMAGES, ["image_id"], where)["image_id"].to_pylist()

    assert found() == [digest("image 3")]
    table.optimize.compact()
    assert found() == [digest("image 3")]
    assert store.append([encoded_image(3), encoded_image(7)]) == 1
    table.update_incremental()
    table.optimize.z_order(["image_id"])
    assert found() == [digest("image 3")]
    assert store.scan(IMAGES).num_rows == 7
    assert len(list(Path(store.table_url("images")).glob("*.parquet"))) > 1, (
        "replaced files must still lie there for this test"
    )


def test_a_long_path_is_found_again(store: Store):
    path = "a/" * 100 + "z" * 200 + ".jpg"
    assert store.append([source(1, path=path)]) == 1
    assert store.append([source(1, path=path)]) == 0
    assert store.scan(SOURCES, where=pc.field("path") == path).num_rows == 1


def test_row_groups_are_small_compressed_and_in_order(store: Store):
    numbers = list(range(ROW_GROUP + 100))
    store.append([encoded_image(number) for number in numbers])
    (file,) = Path(store.url, "images").glob("*.parquet")
    parquet = pq.ParquetFile(file)
    assert [parquet.metadata.row_group(i).num_rows for i in range(2)] == [ROW_GROUP, 100]
    columns = {column.path_in_schema: column for column in map(parquet.metadata.row_group(0).column, range(24))}
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    assert columns["image_id"].statistics is not None
    assert columns["payload"].statistics is None
    assert "RLE_DICTIONARY" not in columns["payload"].encodings
    assert parquet.read(["image_id"])["image_id"].to_pylist() == [digest(f"image {n}") for n in numbers]


def test_plain_paths_file_urls_and_relative_paths_are_one_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    relative = Store("a store")
    relative.append([encoded_image(1)])
    monkeypatch.chdir("/")
    assert relative.scan(IMAGES).num_rows == 1
    assert Store(f"file://{tmp_path}/a store/").scan(IMAGES).num_rows == 1
    assert (tmp_path / "a store" / "images").is_dir()


@pytest.mark.parametrize("url", ["{}/a file/store", "/proc/store"])
def test_a_store_that_cannot_be_written(tmp_path: Path, url: str):
    (tmp_path / "a file").write_text("in the way")
    store = Store(url.format(tmp_path))
    for write in (store.create, lambda: store.append([encoded_image(1)])):
        with pytest.raises(StoreError) as error:
            write()
        assert str(error.value).startswith(f"the store {store.url} cannot be written: ")
        assert "check that the place exists" in str(error.value)
        assert "\n" not in str(error.value)


def test_a_url_that_nobody_knows():
    with pytest.raises(StoreError, match=r"the store nowhere://x cannot be opened: .*check its URL"):
        Store("nowhere://x")


def test_a_damaged_table(store: Store):
    log = Path(store.url, "images", "_delta_log")
    log.mkdir(parents=True)
    (log / "00000000000000000000.json").write_text("nonsense")
    with pytest.raises(StoreError, match="cannot be read"):
        store.scan(IMAGES)
    with pytest.raises(StoreError, match="cannot be written"):
        store.append([encoded_image(1)])


def test_a_table_that_others_never_stop_writing(store: Store, monkeypatch: pytest.MonkeyPatch):
    from deltalake.exceptions import CommitFailedError

    def refuse(*_: object, **__: object) -> None:
        raise CommitFailedError("conflict")

    monkeypatch.setattr("storage.weights.delta.write_deltalake", refuse)
    monkeypatch.setattr("storage.store._LONGEST_PAUSE", 0)
    with pytest.raises(StoreError, match="60 attempts"):
        store.append([encoded_image(1)])


def test_batches_are_one_commit_each(store: Store):
    store.append([encoded_image(1), encoded_image(2)])
    table = DeltaTable(store.table_url("images"))
    assert table.version() == 1
    assert isinstance(pa.table(table.get_add_actions(flatten=True)), pa.Table)
    assert len(table.file_uris()) == 1
