import numpy as np
import pytest

from rinr.training.order import batches_of, pass_order


def grouped(epoch, seed=0, *, count=960, batch_size=8, window=16, kinds=4):
    groups = np.arange(count) % kinds
    return pass_order(count, batch_size, seed=seed, epoch=epoch, groups=groups, window=window), groups


def test_every_picture_comes_once_and_seed_and_epoch_alone_decide_when():
    order = pass_order(100, 8, seed=3, epoch=1)
    assert sorted(order) == list(range(100))
    assert np.array_equal(order, pass_order(100, 5, seed=3, epoch=1))
    for other in (pass_order(100, 8, seed=4, epoch=1), pass_order(100, 8, seed=3, epoch=2)):
        assert (order == other).mean() < 0.1


def test_a_window_puts_like_pictures_into_one_batch():
    order, groups = grouped(0)
    assert sorted(order) == list(range(960))
    mixed = [len(set(groups[batch])) for batch in batches_of(order, 8)]
    # Of a window's 16 batches those at which one kind ends and the next begins hold two: three, however they fall.
    assert np.mean([kinds == 1 for kinds in mixed]) > 0.75
    assert max(mixed) <= 3
    plain = [len(set(groups[batch])) for batch in batches_of(pass_order(960, 8, seed=0, epoch=0), 8)]
    assert np.mean(plain) > 3


def test_pictures_of_a_batch_that_cannot_be_filled_are_no_special_ones():
    for epoch in range(20):
        order, _ = grouped(epoch, count=101, kinds=2)
        assert np.array_equal(order[96:], pass_order(101, 8, seed=0, epoch=epoch)[96:])


def test_a_windows_order_tells_as_little_of_when_a_picture_comes_as_plain_shuffling():
    """Over epochs each picture's position is uniform: by mean, by spread, and by a chi-squared of ten bins."""
    epochs = 300
    positions = np.stack([np.argsort(grouped(epoch)[0]) for epoch in range(epochs)]) / 960
    # The mean of 300 uniform numbers has a deviation of 0.0167: of 960 pictures none should be five of them away.
    assert np.abs(positions.mean(axis=0) - 0.5).max() < 5 * 0.0167
    assert np.abs(positions.std(axis=0) - 12**-0.5).max() < 0.06
    counts = np.apply_along_axis(lambda p: np.histogram(p, bins=10, range=(0, 1))[0], 0, positions)
    chi = np.square(counts - epochs / 10).sum(axis=0) / (epochs / 10)
    assert abs(chi.mean() - 9) < 0.5  # nine degrees of freedom
    # Kinds are not favoured either: each has its share of the first tenth of every pass.
    first = np.stack([np.bincount(grouped(epoch)[0][:96] % 4, minlength=4) for epoch in range(epochs)])
    assert np.abs(first.mean(axis=0) - 24).max() < 2


def test_a_windows_neighbours_change_from_epoch_to_epoch():
    """Two of a kind share a batch about four times as often as by chance (there are four kinds), and never for good."""

    def mates(epoch, picture):
        order, _ = grouped(epoch)
        place = int(np.flatnonzero(order == picture)[0]) // 8
        return set(order[place * 8 : place * 8 + 8].tolist()) - {picture}

    for picture in (0, 17, 402):
        met = [other for epoch in range(60) for other in mates(epoch, picture)]
        counts = np.bincount(met, minlength=960)
        assert (counts > 0).sum() > 150  # of 239 of its kind, in 420 meetings: 198 if drawn at random
        assert counts.max() <= 9
        assert sum(other % 4 != picture % 4 for other in met) > 10  # and others are met, too


@pytest.mark.parametrize("count", [48, 50, 65])
def test_processes_share_a_pass_without_a_picture_twice(count):
    order = pass_order(count, 8, seed=0, epoch=0)
    shares = [batches_of(order, 4, rank=rank, world=2) for rank in range(2)]
    assert [len(batch) for batch in shares[0]] == [len(batch) for batch in shares[1]]
    seen = np.concatenate([batch for share in shares for batch in share])
    assert len(set(seen.tolist())) == len(seen) >= count - 1
    for step, (one, other) in enumerate(zip(*shares, strict=True)):
        together = batches_of(order, 8)[step]
        assert set(one.tolist()) | set(other.tolist()) <= set(together.tolist())


def test_a_start_leaves_out_what_was_done():
    order = pass_order(50, 4, seed=0, epoch=0)
    whole, rest = batches_of(order, 4), batches_of(order, 4, start=7)
    assert [batch.tolist() for batch in rest] == [batch.tolist() for batch in whole[7:]]
    assert batches_of(order, 4, start=99) == []


@pytest.mark.parametrize(("rank", "world"), [(2, 2), (-1, 2), (0, 0)])
def test_a_rank_that_is_not_there_is_refused(rank, world):
    with pytest.raises(ValueError, match=f"rank is {rank}, expected 0 to"):
        batches_of(np.arange(4), 2, rank=rank, world=world)
