"""What entropy decoding leaves is kept in files that are right or not there, whatever happens to them."""

import logging
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from rinr.shard import to_table
from rinr.training import cache, loading
from rinr.training.loading import load_weights, reopen
from rinr.training.sources import payloads_of

ROOT = Path(__file__).parents[3]


@pytest.fixture
def sources(mixed):
    return payloads_of(to_table(mixed[:3]))


@pytest.fixture
def decoded(monkeypatch):
    """How many frames were entropy decoded."""
    counts = []
    plain = loading.entropy_decode
    monkeypatch.setattr(
        loading, "entropy_decode", lambda frames, **how: (counts.append(len(frames)), plain(frames, **how))[1]
    )
    return counts


def boxes(loaded):
    return loaded.weights.boxes.tolist()


def test_what_was_decoded_once_is_mapped_the_next_time(sources, decoded, tmp_path):
    first = load_weights(sources, tmp_path)
    assert decoded == [3]
    again = load_weights(sources, tmp_path)
    assert decoded == [3]
    assert boxes(first) == boxes(again)
    assert [file.parent for file in again.files] == [tmp_path]
    assert again.files == first.files
    assert len(list(tmp_path.iterdir())) == 1
    assert reopen(again.files).boxes.tolist() == boxes(first)


def test_each_source_has_a_file_so_that_a_new_shard_costs_its_own_frames(mixed, decoded, tmp_path):
    old, new = payloads_of(to_table(mixed[:3])), payloads_of(to_table(mixed[3:5]))
    load_weights(old, tmp_path)
    both = load_weights(old + new, tmp_path)
    assert decoded == [3, 2]
    assert len(both.files) == 2
    assert boxes(both) == boxes(load_weights(old + new, None))


def test_other_payloads_or_another_order_find_no_file(mixed, decoded, tmp_path):
    load_weights(payloads_of(to_table(mixed[:3])), tmp_path)
    load_weights(payloads_of(to_table(mixed[2::-1])), tmp_path)
    assert decoded == [3, 3]


def test_weights_of_another_version_are_not_read_and_older_ones_are_removed(sources, decoded, tmp_path, monkeypatch):
    load_weights(sources, tmp_path)
    for module in ("rinr.training.cache", "rinr.weights_file"):
        monkeypatch.setattr(f"{module}.WEIGHTS_VERSION", 99)
    load_weights(sources, tmp_path)
    assert decoded == [3, 3]
    assert [path.name[:10] for path in tmp_path.iterdir()] == ["weights-99"]


@pytest.mark.parametrize("harm", ["flipped", "cut short", "empty", "zeros"])
def test_a_damaged_file_is_made_again(sources, decoded, tmp_path, caplog, harm):
    first = load_weights(sources, tmp_path)
    (path,) = first.files
    data = bytearray(path.read_bytes())
    path.unlink()  # what is mapped already stays as it is
    data[len(data) // 3] ^= 1
    harmed = {"flipped": data, "cut short": data[: len(data) // 2], "empty": b"", "zeros": bytes(len(data))}[harm]
    path.write_bytes(harmed)
    with caplog.at_level(logging.WARNING):
        again = load_weights(sources, tmp_path)
    assert f"{path} are damaged; it is made again" in caplog.text
    assert decoded == [3, 3]
    assert boxes(again) == boxes(first)
    assert cache.open_checked(path).boxes.tolist() == boxes(first)


def test_every_single_bit_counts(sources, tmp_path):
    (path,) = load_weights(sources, tmp_path).files
    data = path.read_bytes()
    for place in range(0, len(data), len(data) // 40):
        path.unlink()
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])
        with pytest.raises(ValueError, match="damaged"):
            cache.open_checked(path)


def test_a_full_disk_means_no_cache_and_a_note(sources, decoded, tmp_path, caplog):
    """A limit on the size of files, which fails a write in its middle as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        loaded = load_weights(sources, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert loaded.files is None
    (note,) = loaded.notes
    assert note.startswith("There is no cache of these frames, as it cannot be written: ")
    assert note in caplog.text
    assert list(tmp_path.iterdir()) == []
    assert boxes(loaded) == boxes(load_weights(sources, None))


def test_a_folder_that_cannot_be_made_means_no_cache_and_a_note(sources, tmp_path):
    (tmp_path / "file").touch()
    loaded = load_weights(sources, tmp_path / "file")
    assert len(loaded.notes) == 1
    assert len(loaded.weights) == 3


def test_what_a_killed_process_left_is_removed_once_it_is_old(sources, tmp_path):
    old, young = tmp_path / "weights-1-aa.part", tmp_path / "weights-1-bb.part"
    for path in (old, young, tmp_path / "mine.part"):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    load_weights(sources, tmp_path)
    assert not old.exists()
    assert young.exists()
    assert (tmp_path / "mine.part").exists()


SCRIPT = """
import sys, pyarrow.parquet as pq
from pathlib import Path
from rinr.training.loading import load_weights
from rinr.training.sources import payloads_of
print(load_weights(payloads_of(sys.argv[1]), Path(sys.argv[2])).weights.boxes.tolist())
"""


def process(*arguments):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *map(str, arguments)], stdout=subprocess.PIPE, cwd=ROOT, text=True
    )


@pytest.mark.drill
def test_drill_processes_at_once_and_killed_ones_leave_a_cache_that_is_right(mixed, tmp_path):
    """Many rounds: two processes fill one cache at once, one of them is killed at some moment."""
    import pyarrow.parquet as pq

    shard, folder = tmp_path / "shard.parquet", tmp_path / "cache"
    pq.write_table(to_table(mixed), shard)
    wanted = str(load_weights(payloads_of(shard), None).weights.boxes.tolist())
    began = time.monotonic()
    assert process(shard, folder).communicate()[0].strip() == wanted
    usual = time.monotonic() - began
    whole = 0
    for number in range(20):
        for path in folder.iterdir():
            path.unlink()
        one, other = process(shard, folder), process(shard, folder)
        time.sleep(usual * (0.5 + number / 20))
        one.kill()
        one.communicate()
        assert other.communicate()[0].strip() == wanted
        for path in folder.glob("*.arrow"):
            assert str(cache.open_checked(path).boxes.tolist()) == wanted
            whole += 1
    print(f"20 rounds, {whole} files, all of them whole")


def test_rendering_from_the_map_is_rendering_from_memory(mixed, tmp_path):
    from rinr.decoder import LoadedFrames

    sources = payloads_of(to_table(mixed))
    mapped, plain = (load_weights(sources, folder).weights for folder in (tmp_path, None))
    for budget in (None, 0):
        pictures = [
            LoadedFrames(weights, budget=budget).render(range(len(mixed)), 40, 30) for weights in (mapped, plain)
        ]
        assert torch.equal(*pictures)
