"""What a PyTorch user does with a dataset: a DataLoader with and without workers, and several processes."""

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, DistributedSampler

from rinr.training.dataset import RinrDataset
from rinr.training.pictures import Batch, collate

ROOT = Path(__file__).parents[3]
SIZE = (64, 48)


@pytest.fixture(scope="module")
def dataset(mixed, tmp_path_factory):
    return RinrDataset(mixed, size=SIZE, cache=tmp_path_factory.mktemp("cache"))


def equal(one: Batch, other: Batch) -> bool:
    return torch.equal(one.images, other.images) and all(
        torch.equal(a[name], b[name])
        for a, b in zip(one.targets, other.targets, strict=True)
        for name in ("boxes", "labels", "image_id")
    )


def test_a_data_loader_gives_what_batches_give(dataset):
    loader = DataLoader(dataset, batch_size=3, collate_fn=collate)
    for loaded, batch in zip(loader, dataset.batches(3), strict=True):
        assert equal(loaded, batch)


def test_a_shuffling_data_loader_shows_each_picture_once_and_as_a_pass_shows_it(dataset):
    shown = dict(
        example
        for batch in dataset.batches(2, seed=5, epoch=3, augment=True)
        for example in ((int(t["image_id"]), image) for image, t in batch.examples())
    )
    examples = dataset.examples(seed=5, epoch=3)
    seen = []
    for images, targets in DataLoader(
        examples, 4, shuffle=True, collate_fn=lambda items: tuple(zip(*items, strict=True))
    ):
        for image, target in zip(images, targets, strict=True):
            place = int(target["image_id"])
            torch.testing.assert_close(image, shown[place], atol=1e-5, rtol=0)
            seen.append(place)
    assert sorted(seen) == list(range(len(dataset)))


def test_a_batch_is_decoded_in_one_go(dataset, monkeypatch):
    asked = []
    plain = dataset.batch
    monkeypatch.setattr(
        dataset, "batch", lambda places, **options: (asked.append(len(places)), plain(places, **options))[1]
    )
    list(DataLoader(dataset, batch_size=3, collate_fn=collate))
    assert asked == [3, 3, len(dataset) - 6]


def test_one_picture_can_be_asked_for(dataset):
    image, target = dataset[-1]
    assert image.shape == (3, 48, 64)
    assert int(target["image_id"]) == len(dataset) - 1
    with pytest.raises(IndexError, match=f"of {len(dataset)} pictures"):
        dataset[len(dataset)]


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.drill)])
def test_workers_give_the_same_batches(dataset, method):
    loader = DataLoader(dataset, batch_size=3, num_workers=2, multiprocessing_context=method, collate_fn=collate)
    batches = list(loader)
    for loaded, batch in zip(batches, dataset.batches(3), strict=True):
        assert equal(loaded, batch)


def test_nothing_heavy_goes_to_a_worker_that_can_open_the_cache(mixed, dataset):
    import pickle  # what a DataLoader does with a dataset for workers that are spawned; nothing of ours reads one

    light = pickle.dumps(dataset)
    heavy = pickle.dumps(RinrDataset(mixed, size=SIZE))
    weights = dataset._weights.nbytes
    assert len(light) < 8_000 < weights < len(heavy)
    for copy in (pickle.loads(light), pickle.loads(heavy)):  # noqa: S301
        (one,), (other,) = copy.batches(99, seed=1, augment=True), dataset.batches(99, seed=1, augment=True)
        assert equal(one, other)


def test_processes_share_a_pass(dataset):
    """Two processes' batches, put together, are those of one with twice the batch size."""
    shares = [list(dataset.batches(2, seed=3, augment=True, rank=rank, world=2)) for rank in (0, 1)]
    single = list(dataset.batches(4, seed=3, augment=True))
    ids = [[int(t["image_id"]) for batch in share for t in batch.targets] for share in shares]
    assert not set(ids[0]) & set(ids[1])
    for one, other, both in zip(*shares, single, strict=False):
        pictures = torch.cat([one.images, other.images])
        torch.testing.assert_close(pictures, both.images[: len(pictures)], atol=1e-5, rtol=0)


def test_a_distributed_sampler_gives_disjoint_shares(dataset):
    seen = []
    for rank in (0, 1):
        sampler = DistributedSampler(dataset, num_replicas=2, rank=rank, shuffle=True, seed=1, drop_last=True)
        loader = DataLoader(dataset, batch_size=2, sampler=sampler, collate_fn=collate)
        seen += [int(target["image_id"]) for batch in loader for target in batch.targets]
    assert len(set(seen)) == len(seen) == len(dataset) // 2 * 2


GLOO = """
import os, sys, torch, torch.distributed as dist
from pathlib import Path
from rinr.codec.frame import unpack_frame
from rinr.shard import ShardRow
from rinr.training.dataset import RinrDataset

torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=int(sys.argv[2]), world_size=2)
files = sorted(Path("tests/golden").glob("*.rinr"))
rows = [ShardRow(f"{number:064x}", unpack_frame(file.read_bytes())) for number, file in enumerate(files)]
dataset = RinrDataset(rows, size=(64, 48))
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Conv2d(3, 1, 3))
seen = []
for batch in dataset.batches(1, seed=0, augment=True, rank=dist.get_rank(), world=dist.get_world_size()):
    model(batch.images).square().mean().backward()
    seen += [int(target["image_id"]) for target in batch.targets]
shares = [None, None]
dist.all_gather_object(shares, seen)
assert not set(shares[0]) & set(shares[1]) and len(shares[0]) == len(shares[1]), shares
print(sorted(shares[0] + shares[1]))
dist.destroy_process_group()
"""


@pytest.mark.drill
def test_drill_two_processes_train_one_model(tmp_path, mixed):
    arguments = [sys.executable, "-c", GLOO, str(tmp_path / "meet")]
    processes = [
        subprocess.Popen([*arguments, str(rank)], cwd=ROOT, stdout=subprocess.PIPE, text=True) for rank in (0, 1)
    ]
    told = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert told[0] == told[1]
    print(f"pictures seen by two processes: {told[0].strip()}")


@pytest.mark.parametrize("start", [1, 3])
def test_a_pass_that_goes_on_in_its_middle_is_the_same_pass_to_the_bit(dataset, mixed, start):
    uninterrupted = list(dataset.batches(2, seed=9, epoch=4, augment=True))
    again = RinrDataset(mixed, size=SIZE).batches(2, seed=9, epoch=4, augment=True, start=start)
    for one, other in itertools.zip_longest(uninterrupted[start:], again):
        assert equal(one, other)


def test_a_window_keeps_like_frames_together(mixed):
    rows = [mixed[0], mixed[1]] * 12
    dataset = RinrDataset(rows, size=SIZE, window=3)
    groups = dataset.groups()
    assert len(set(groups.tolist())) == 2
    batches = [[int(groups[int(t["image_id"])]) for t in batch.targets] for batch in dataset.batches(4, seed=0)]
    assert sorted(itertools.chain(*batches)) == sorted(groups.tolist())
    assert sum(len(set(batch)) == 1 for batch in batches) >= 4
    dataset.window = 1
    plain = [[int(groups[int(t["image_id"])]) for t in batch.targets] for batch in dataset.batches(4, seed=0)]
    assert sum(len(set(batch)) == 1 for batch in plain) <= 2


def test_a_batch_size_of_none_is_refused(dataset):
    with pytest.raises(ValueError, match="batch size is 0, expected at least 1"):
        next(dataset.batches(0))


def test_workers_cannot_share_an_accelerator(dataset, monkeypatch):
    monkeypatch.setattr(dataset, "device", torch.device("cuda"))
    monkeypatch.setattr("rinr.training.indexed.get_worker_info", lambda: object())
    with pytest.raises(RuntimeError, match="decoded on cuda, which a DataLoader's workers cannot share"):
        dataset[0]


def test_colours_are_normalized_where_a_detector_wants_it():
    batch = Batch(torch.rand(2, 3, 4, 5), [{}, {}])
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    wanted = (batch.images.numpy().transpose(0, 2, 3, 1) - mean) / deviation
    np.testing.assert_allclose(batch.normalized(mean, deviation).numpy().transpose(0, 2, 3, 1), wanted, atol=1e-5)
