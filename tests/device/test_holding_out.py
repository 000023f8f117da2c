from itertools import groupby

import pytest

from device.holding_out import LARGEST_BLOCK, held_out


def blocks(places):
    return [(kind, len(list(run))) for kind, run in groupby(places)]


def test_of_every_three_blocks_the_last_is_held_out_and_blocks_grow():
    assert blocks(held_out(63, 1 / 3)) == [
        *[(False, 2), (True, 1)],
        *[(False, 4), (True, 2)],
        *[(False, 8), (True, 4)],
        *[(False, 16), (True, 8)],
        (False, 18),
    ]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 0.3, 1 / 3, 0.5, 0.7, 0.99])
def test_in_the_long_run_the_share_is_held_out_in_blocks(share):
    places = held_out(100_000, share)
    assert sum(places) / len(places) == pytest.approx(share, abs=0.02)
    assert min(length for kind, length in blocks(places)[-20:-1] if kind) >= LARGEST_BLOCK


@pytest.mark.parametrize("share", [0.1, 1 / 3, 0.5, 1])
def test_what_a_picture_is_for_never_changes_as_others_come(share):
    whole = held_out(500, share)
    assert all(held_out(count, share) == whole[:count] for count in range(500))


def test_all_of_them_can_be_held_out():
    assert all(held_out(1_000, 1))
