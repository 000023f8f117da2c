"""A shared part serves frames wherever it stands; what lacks it is left out, and what is damaged refused, by name."""

import logging

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import torch

from rinr.codec.bytestream import PayloadError
from rinr.codec.clip import SharedPart, pack_part
from rinr.decoder import decode
from rinr.shard import SHARD, ShardPart, ShardRow, to_table
from rinr.training import shared_parts
from rinr.training.dataset import RinrDataset
from rinr.training.loading import load_weights
from rinr.training.sources import payloads_of
from rinr.weights import parts_of
from tests.clips import clip_frame, shared_part

ONE, TWO = ShardPart(shared_part(7)), ShardPart(shared_part(8))


def rows(*seeds, part=ONE):
    return [ShardRow(f"{seed:064x}", clip_frame(seed, part and part.payload)) for seed in seeds]


def shown(dataset):
    """What each frame looks like, by its id."""
    return dict(zip(dataset.image_ids, dataset.batch(range(len(dataset))).images, strict=True))


@pytest.mark.parametrize("form", ["rows", "tables", "folder", "file", "dataset"])
def test_a_part_serves_frames_wherever_it_stands(form, tmp_path):
    late = [*rows(1, 2), *rows(3, part=None)]
    early = [*rows(4, part=TWO), ONE, TWO, *rows(5)]
    tables = [to_table(late), to_table(early)]
    for name, table in zip("ab", tables, strict=True):
        pq.write_table(table, tmp_path / f"{name}.parquet")
    pq.write_table(pa.concat_tables(tables), tmp_path.with_suffix(".parquet"))
    source = {
        "rows": [*late, *early],
        "tables": tables,
        "folder": tmp_path,
        "file": tmp_path.with_suffix(".parquet"),
        "dataset": ds.dataset(tmp_path, format="parquet"),
    }[form]
    dataset = RinrDataset(source, size=(64, 48))
    frames = {row.image_id: row.frame for row in (*late, *early) if isinstance(row, ShardRow)}
    assert dataset.image_ids == tuple(frames)
    assert dataset.notes == ()
    found = shown(dataset)
    for image_id, frame in frames.items():
        alone = torch.from_numpy(decode(frame, parts=parts_of([ONE.payload, TWO.payload]))).permute(2, 0, 1) / 255
        assert (found[image_id].clamp(0, 1) - alone).abs().max() < 3 / 255


def test_frames_that_lack_their_part_are_left_out_by_name_and_come_in_with_it(tmp_path, caplog):
    source = [to_table(rows(1, 2)), to_table([*rows(3, part=None), *rows(4, part=TWO), TWO])]
    with caplog.at_level(logging.WARNING):
        dataset = RinrDataset(source, size=(64, 48), cache=tmp_path)
    assert dataset.image_ids == (f"{3:064x}", f"{4:064x}")
    (note,) = dataset.notes
    assert note in caplog.text
    assert "2 frames are left out" in note
    assert ONE.part_id[:16] in note
    assert f"{1:064x}, {2:064x}" in note

    # What the cache holds of half a source is not taken for all of it.
    whole = RinrDataset([*source, to_table([ONE])], size=(64, 48), cache=tmp_path)
    assert len(whole) == 4
    assert whole.notes == ()
    again = RinrDataset([*source, to_table([ONE])], size=(64, 48), cache=tmp_path)
    assert again.cache_files == whole.cache_files
    fresh = RinrDataset([*source, to_table([ONE])], size=(64, 48))
    for one, other in ((whole, again), (whole, fresh)):
        assert all(torch.equal(shown(one)[name], image) for name, image in shown(other).items())


def test_one_source_that_gets_its_part_is_decoded_anew(tmp_path):
    mixed = [*rows(1), *rows(2, part=None)]
    half = load_weights(payloads_of(to_table(mixed)), tmp_path)
    whole = load_weights(payloads_of([*mixed, ONE]), tmp_path)
    other = load_weights(payloads_of([*mixed, ONE, TWO]), tmp_path)  # a part that nothing needs changes nothing
    assert [len(loaded.weights) for loaded in (half, whole, other)] == [1, 2, 2]
    assert half.files != whole.files == other.files


def test_nothing_is_left_without_the_part():
    with pytest.raises(PayloadError, match=rf"no encoded frames to train on: 2 frames .*{ONE.part_id[:16]}"):
        RinrDataset(rows(1, 2))
    with pytest.raises(ValueError, match="no encoded frames to train on: the source has shared parts alone"):
        RinrDataset([ONE])


@pytest.mark.parametrize("harm", ["damaged", "another", "network"])
def test_a_damaged_part_is_refused_and_all_its_frames_are_named(harm, tmp_path):
    payload, identity, of = ONE.payload, ONE.part_id, ONE
    if harm == "damaged":
        payload = payload[:20] + bytes([payload[20] ^ 8]) + payload[21:]
    elif harm == "another":
        payload = TWO.payload
    else:  # its hash is right, what it holds is nonsense
        payload = pack_part(SharedPart(96, 72, b"\x84" + bytes(40)))
        of = ShardPart(payload)
        identity = of.part_id
    table = pa.Table.from_pylist([{"image_id": bytes.fromhex(identity), "payload": payload}], schema=SHARD)
    pq.write_table(table, tmp_path / "a.parquet")
    pq.write_table(to_table([*rows(1, 2, part=of), *rows(3, part=None)]), tmp_path / "b.parquet")
    with pytest.raises(PayloadError, match=f"the shared part {identity[:16]}") as caught:
        RinrDataset(tmp_path)
    assert f"2 frames need it: {1:064x}, {2:064x}" in str(caught.value)


def test_a_part_is_entropy_decoded_once_for_all_sources(monkeypatch, tmp_path):
    read = []
    plain = shared_parts.read_shared
    monkeypatch.setattr(shared_parts, "read_shared", lambda name, parts: (read.append(name), plain(name, parts))[1])
    tables = [to_table(rows(1, 2)), to_table([*rows(3), ONE]), to_table(rows(4))]
    RinrDataset(tables, cache=tmp_path)
    assert len(read) == 1
    RinrDataset(tables, cache=tmp_path)
    assert len(read) == 1


def test_frames_that_lie_in_parts_of_one_shape_are_decoded_together():
    large = ShardPart(shared_part(9, (160, 120)))
    rows_of = [*rows(1, 2), *rows(3, part=TWO), *rows(4, part=large), *rows(5, 6, part=None)]
    groups = RinrDataset([ONE, TWO, large, *rows_of], size=(64, 48)).groups().tolist()
    assert groups[0] == groups[1] == groups[2]
    assert groups[4] == groups[5]
    assert len(set(groups)) == 3


def test_many_frames_alone_cost_little_to_look_through():
    sources = payloads_of(to_table(rows(1, part=None) * 50))
    gathered = shared_parts.gather(sources)
    assert gathered.sources[0] is sources[0]
    assert gathered.needed == ((),)
    assert not gathered.parts
    assert np.array_equal(gathered.sources[0].image_ids.to_pylist(), [bytes(31) + b"\x01"] * 50)
