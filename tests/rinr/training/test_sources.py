import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from rinr.codec.bytestream import PayloadError
from rinr.shard import to_table
from rinr.training.loading import load_weights
from rinr.training.sources import payloads_of


@pytest.fixture
def table(mixed):
    return to_table(mixed[:5])


def test_files_folders_tables_and_datasets_give_the_same_payloads(mixed, table, tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    pq.write_table(table[:2], folder / "a.parquet")
    pq.write_table(table[2:], folder / "b.parquet")
    (folder / "a.manifest.json").write_text("{}")
    extended = table.append_column("device", pa.array(["x"] * 5))
    pq.write_table(extended, tmp_path / "shard.parquet")
    sources = {
        "rows": mixed[:5],
        "table": table,
        "more columns": extended,
        "file": tmp_path / "shard.parquet",
        "text": str(tmp_path / "shard.parquet"),
        "folder": folder,
        "dataset": ds.dataset(folder, format="parquet", exclude_invalid_files=True),
        "a part of it": ds.dataset(tmp_path / "shard.parquet").filter(ds.field("device") == "x"),
    }
    for name, source in sources.items():
        parts = payloads_of(source)
        assert len(parts) == (2 if name == "folder" else 1), name
        assert [p for part in parts for p in part.frames.to_pylist()] == table["payload"].to_pylist(), name
        assert [i for part in parts for i in part.image_ids.to_pylist()] == table["image_id"].to_pylist(), name


def test_sources_without_frames_are_refused(table, tmp_path):
    for empty in ([], table[:0], ds.dataset(table[:0])):
        with pytest.raises(ValueError, match="no encoded frames to train on: the source has no rows"):
            payloads_of(empty)
    with pytest.raises(ValueError, match=r"the folder .* holds no \.parquet file"):
        payloads_of(tmp_path)
    pq.write_table(table[:0], tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="has no rows"):
        payloads_of(tmp_path)
    pq.write_table(table, tmp_path / "b.parquet")
    assert list(map(len, payloads_of(tmp_path))) == [5]


def test_what_is_no_shard_is_named(table, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no shard .*gone\.parquet"):
        payloads_of(tmp_path / "gone.parquet")
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(ValueError, match=r"text\.parquet is damaged, or not a Parquet file"):
        payloads_of(tmp_path / "text.parquet")
    pq.write_table(table.drop_columns(["payload"]), tmp_path / "half.parquet")
    with pytest.raises(ValueError, match=r"half\.parquet: .*no column payload"):
        payloads_of(tmp_path / "half.parquet")
    with pytest.raises(ValueError, match="no column payload"):
        payloads_of(ds.dataset(table.drop_columns(["payload"])))
    spoilt = table.set_column(0, "image_id", pa.array(["a"] * 5))
    with pytest.raises(ValueError, match="image_id is string, expected fixed_size_binary"):
        payloads_of(spoilt)


@pytest.mark.parametrize("where", ["checksum", "network"])
def test_a_payload_that_was_damaged_after_verification_is_named_with_its_image_and_file(mixed, table, tmp_path, where):
    import zlib

    payloads = table["payload"].to_pylist()
    harmed = bytearray(payloads[3])
    harmed[-12] ^= 0x40
    if where == "network":  # a checksum that fits: what is found is found by entropy decoding
        harmed[5:-4] = bytes(len(harmed) - 9)
        harmed[-4:] = zlib.crc32(bytes(harmed[:-4])).to_bytes(4, "little")
    payloads[3] = bytes(harmed)
    pq.write_table(table.set_column(1, table.schema.field("payload"), pa.array(payloads)), tmp_path / "s.parquet")
    name = mixed[3].image_id
    for folder in (None, tmp_path / "cache"):
        with pytest.raises(PayloadError, match=rf"s\.parquet: the frame of image {name}: ") as caught:
            load_weights(payloads_of(tmp_path / "s.parquet"), folder)
        assert ("damaged" in str(caught.value)) == (where == "checksum")
