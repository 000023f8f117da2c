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


@pytest.mark.parametrize(
    ("items", "size", "lengths"),
    [(5, 2, [1, 2, 2]), (130, 64, [43, 43, 44]), (64, 64, [64]), (65, 64, [32, 33]), (3, 1, [1, 1, 1]), (0, 2, [])],
)
def test_every_item_is_in_one_batch_in_order_and_rests_are_spread(items: int, size: int, lengths: list[int]) -> None:
    parts = split(range(items), size)
    assert [item for part in parts for item in part] == list(range(items))
    assert [len(part) for part in parts] == lengths
