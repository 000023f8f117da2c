import pytest
import torch

from rinr.training.dataset import RinrDataset
from rinr.training.jpegs import JpegDataset
from rinr.training.mixture import Together
from tests.conftest import frame


@pytest.fixture
def parts(encoded):
    decoded = RinrDataset(encoded([frame(0), frame(1, ()), frame(2)]))
    return decoded, JpegDataset([frame(7), frame(8)], size=decoded.size)


def test_batches_hold_the_pictures_of_all_parts(parts):
    both = Together(parts)
    assert len(both) == 5
    (batch,) = both.batches(8)
    (first,), (second,) = parts[0].batches(8), parts[1].batches(8)
    assert torch.equal(batch.images, torch.cat([first.images, second.images]))
    assert [int(target["image_id"]) for target in batch.targets] == [0, 1, 2, 3, 4]
    for target, own in zip(batch.targets, first.targets + second.targets, strict=True):
        assert torch.equal(target["boxes"], own["boxes"])
        assert torch.equal(target["labels"], own["labels"])


def test_shuffled_batches_mix_the_parts_and_a_picture_is_shown_alike_in_any(parts):
    both = Together(parts)
    shown = {}
    for size in (2, 5):
        batches = list(both.batches(size, seed=4, epoch=2, augment=True))
        mixed = [{int(target["image_id"]) < 3 for target in batch.targets} for batch in batches]
        assert any(len(kinds) == 2 for kinds in mixed)
        for batch in batches:
            for image, target in batch.examples():
                before = shown.setdefault(int(target["image_id"]), image)
                torch.testing.assert_close(before, image, atol=1e-5, rtol=0)
    assert sorted(shown) == [0, 1, 2, 3, 4]


def test_pictures_at_the_same_place_of_two_parts_are_shown_differently():
    one = JpegDataset([frame(0)], size=(64, 48))
    (batch,) = Together([one, one]).batches(2, seed=0, augment=True)
    assert not torch.equal(batch.images[0], batch.images[1])


def test_an_empty_part_adds_nothing(parts):
    both = Together([JpegDataset([], size=parts[0].size), parts[0]])
    assert [int(t["image_id"]) for batch in both.batches(2) for t in batch.targets] == [0, 1, 2]


def test_groups_of_different_parts_are_different(parts):
    assert Together([*parts, parts[0]]).groups().tolist() == [0, 0, 0, 1, 1, 2, 2, 2]


def test_parts_that_differ_in_size_are_refused(parts):
    with pytest.raises(ValueError, match=r"must be of one size, .*64x48 on cpu.*64x64 on cpu"):
        Together([parts[0], JpegDataset([], size=(64, 64))])
    with pytest.raises(ValueError, match="no datasets"):
        Together([])
