import numpy as np
import pytest

from benchmarks.accuracy_statistics import Spread, above, difference, interval, needed, no_worse, spread

ADDITIVE = np.array([[1.0, 3.0], [5.0, 7.0]])
"""Rows 4 apart, columns 2 apart, nothing else."""

NOISE = np.array([[0.0, 2.0], [4.0, 2.0]])
"""Residuals of -1, 1, 1, -1; what rows differ by is no more than that explains."""


def test_parts_of_the_variance_worked_out_by_hand() -> None:
    assert spread(ADDITIVE) == Spread(sequences=8.0, seeds=2.0, rest=0.0)
    assert spread(NOISE) == Spread(sequences=0.0, seeds=0.0, rest=4.0)


def test_parts_of_the_variance_are_those_that_made_the_table() -> None:
    chance = np.random.default_rng(1)
    rows, columns = chance.normal(0, 3, (400, 1)), chance.normal(0, 2, (1, 400))
    found = spread(rows + columns + chance.normal(0, 1, (400, 400)))
    assert (found.sequences, found.seeds, found.rest) == pytest.approx((9, 4, 1), rel=0.2)


def test_variance_needs_two_of_each() -> None:
    with pytest.raises(ValueError, match="1 sequences and 3 seeds"):
        spread(np.zeros((1, 3)))


def test_an_interval_reaches_as_far_as_what_is_drawn() -> None:
    # Two sequences of 0 and 2: a quarter of all draws takes the first twice, another one the second.
    assert interval(np.array([[0.0], [2.0]])) == (0.0, 2.0)
    assert interval(np.array([[0.0], [2.0]]), over_sequences=False) == (1.0, 1.0)
    # Drawn are two rows and two columns; the lowest mean, of row 1 and column 1, in one draw of 16.
    assert interval(ADDITIVE) == (1.0, 7.0)
    assert interval(ADDITIVE, over_sequences=False) == (3.0, 5.0)


def test_an_interval_covers_about_its_share() -> None:
    chance, covered = np.random.default_rng(2), 0
    for _ in range(100):
        table = 5 + chance.normal(0, 2, (25, 1)) + chance.normal(0, 1, (1, 25)) + chance.normal(0, 2, (25, 25))
        low, high = interval(table, draws=500)
        covered += low <= 5 <= high
    assert 88 <= covered <= 100


def test_a_difference_is_paired_and_reproducible() -> None:
    theirs = np.random.default_rng(3).normal(50, 20, (6, 4))
    one = difference(theirs + 1.5, theirs)
    assert (one.mean, one.low, one.high, one.seeds_low, one.seeds_high) == pytest.approx((1.5,) * 5)
    assert (one.sequences, one.seeds) == (6, 4)
    ours = theirs + np.random.default_rng(4).normal(0, 3, (6, 4))
    assert difference(ours, theirs) == difference(ours, theirs)


def test_scores_that_are_no_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 2\) and \(2, 3\)"):
        difference(np.zeros((2, 2)), np.zeros((2, 3)))


def test_verdicts() -> None:
    theirs = np.full((2, 2), 50.0)
    assert no_worse(theirs - 1.9, theirs, margin=2) == "no worse"
    assert no_worse(theirs - 2.1, theirs, margin=2) == "worse"
    assert above(theirs + 0.1, theirs) == "above"
    assert above(theirs - 0.1, theirs) == "below"
    # Sequences that gain 1 and -11 points: others may gain; these lose in the mean.
    split = no_worse(theirs + np.array([[1.0], [-11.0]]), theirs, margin=2)
    assert split.startswith("undecided, needs more than ")
    assert split.endswith("on these very sequences worse")
    assert above(theirs, theirs) == "undecided, lies on the border itself"
    assert above(theirs[:, :1] + 9, theirs[:, :1]) == "undecided, needs at least 2 seeds and 2 sequences"
    assert no_worse(theirs + NOISE - 3, theirs, margin=2).startswith("undecided, needs about ")


def test_how_many_seeds_worked_out_by_hand() -> None:
    # Mean 2, variance of the mean over n seeds 4 / (2 n): within (0.5 / 1.96)² = 0.0651 from n = 30.7 on.
    assert needed(NOISE, 1.5) == "needs about 31 seeds"
    # One would do, but those there are did not: at least one more.
    assert needed(NOISE, -2.0) == "needs about 3 seeds"
    # The rows alone have 8 / 2 = 4, more than the (1 / 1.96)² = 0.260 that is allowed, which 8 / n is from 30.7 on.
    assert needed(ADDITIVE, 3.0) == "needs more than 31 sequences, with any number of seeds"
    assert needed(np.ones((3, 1)), 0.0) == "needs at least 2 seeds and 2 sequences"
