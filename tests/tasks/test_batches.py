import pytest

from tasks.batches import batch_size, split


@pytest.mark.parametrize(
    ("images", "workers", "size"), [(36, 2, 6), (1, 2, 1), (0, 2, 1), (7, 1, 3), (10_000, 2, 64), (13, 2, 3)]
)
def test_an_automatic_batch_is_an_even_share_of_at_most_64(images: int, workers: int, size: int) -> None:
    assert batch_size(images, workers) == size


def test_the_wanted_size_is_taken_within_its_bounds() -> None:
    assert batch_size(1000, 2, 512) == 512
    with pytest.raises(ValueError, match="a batch of 513 images: choose 1 to 512, or 0"):
        batch_size(1000, 2, 513)
    with pytest.raises(ValueError, match="a batch of -1 images"):
        batch_size(1000, 2, -1)


def test_every_item_is_in_one_batch_in_order() -> None:
    assert split([1, 2, 3, 4, 5], 2) == [[1, 2], [3, 4], [5]]
    assert split([], 2) == []
