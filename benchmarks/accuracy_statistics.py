"""What a table of paired scores says: differences, how sure they are, and how many seeds would settle them.

Scores are arrays ``[sequences, seeds]`` in points (hundredths of mean average precision). Two arms are compared cell by
cell: a cell's two runs started from the same weights and saw their pictures in the same order and the same light.

Sequences and seeds are both samples, crossed: every seed saw every sequence. An interval therefore draws sequences and
seeds, each with replacement, and takes the mean of the cells where they cross.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]

CONFIDENCE = 0.95
_Z = 1.96  # of a normal distribution, within which that share lies
_DRAWS = 10_000
_MOST_SEEDS = 1_000
_TOO_FEW = "needs at least 2 seeds and 2 sequences"


@dataclass(frozen=True)
class Difference:
    """One arm beside another, in points.

    Attributes:
        mean: over all cells.
        low: end of the interval over sequences and seeds.
        high: its other end.
        seeds_low: end of the interval over seeds alone, for these very sequences.
        seeds_high: its other end.
        sequences: how many.
        seeds: how many.
    """

    mean: float
    low: float
    high: float
    seeds_low: float
    seeds_high: float
    sequences: int
    seeds: int


@dataclass(frozen=True)
class Spread:
    """Where the variance of a single cell's difference comes from, in points squared; none below zero.

    Attributes:
        sequences: some sequences gain more than others.
        seeds: some seeds gain more than others.
        rest: of a single run.
    """

    sequences: float
    seeds: float
    rest: float


def difference(ours: Scores, theirs: Scores) -> Difference:
    """Compare two arms.

    Args:
        ours: ``[sequences, seeds]``, in points.
        theirs: of the same shape, cell by cell the same sequence and seed.
    """
    apart = _apart(ours, theirs)
    low, high = interval(apart)
    seeds_low, seeds_high = interval(apart, over_sequences=False)
    return Difference(float(apart.mean()), low, high, seeds_low, seeds_high, *apart.shape)


def interval(apart: Scores, *, over_sequences: bool = True, draws: int = _DRAWS, seed: int = 0) -> tuple[float, float]:
    """The middle 95 % of bootstrapped means of ``[sequences, seeds]``; the same for the same input.

    With a handful of seeds or sequences such an interval is somewhat too narrow, as every bootstrap is.

    Args:
        over_sequences: draw sequences as well as seeds: what holds for other sequences like these.
    """
    sequences, seeds = apart.shape
    chance = np.random.default_rng(seed)
    # How often each was drawn: the mean over drawn cells is then one product a draw.
    columns = chance.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws) / seeds
    if over_sequences:
        rows = chance.multinomial(sequences, np.full(sequences, 1 / sequences), size=draws) / sequences
    else:
        rows = np.full((draws, sequences), 1 / sequences)
    means = np.einsum("dr,rc,dc->d", rows, apart, columns)
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(means, [tail, 100 - tail])
    return float(low), float(high)


def spread(apart: Scores) -> Spread:
    """Variance components of a crossed layout with one observation a cell, by the analysis of variance.

    Args:
        apart: ``[sequences, seeds]``, at least two of each.

    Raises:
        ValueError: fewer.
    """
    rows, columns = apart.shape
    if min(rows, columns) < 2:
        raise ValueError(f"{rows} sequences and {columns} seeds: variances need at least two of each")
    by_row, by_column = apart.mean(axis=1), apart.mean(axis=0)
    left = apart - by_row[:, None] - by_column[None, :] + apart.mean()
    rest = float(np.square(left).sum() / ((rows - 1) * (columns - 1)))
    return Spread(
        sequences=max((columns * float(by_row.var(ddof=1)) - rest) / columns, 0.0),
        seeds=max((rows * float(by_column.var(ddof=1)) - rest) / rows, 0.0),
        rest=rest,
    )


def no_worse(ours: Scores, theirs: Scores, margin: float) -> str:
    """Whether an arm is no worse than another by more than a margin, in words.

    "no worse": the whole interval lies above minus the margin. "worse": all of it lies below. Otherwise undecided, with
    what would narrow it enough were mean and variances as they are now, and what holds for these very sequences.

    Args:
        margin: in points, more than zero.
    """
    return _verdict(ours, theirs, -margin, "no worse", "worse")


def above(ours: Scores, theirs: Scores) -> str:
    """Whether an arm is better than another, in words: the whole interval lies on one side of zero, or undecided."""
    return _verdict(ours, theirs, 0.0, "above", "below")


def _verdict(ours: Scores, theirs: Scores, border: float, over: str, under: str) -> str:
    one = difference(ours, theirs)
    if min(ours.shape) < 2:
        return f"undecided, {_TOO_FEW}"
    if one.low > border:
        return over
    if one.high < border:
        return under
    here = over if one.seeds_low > border else under if one.seeds_high < border else ""
    return f"undecided, {needed(_apart(ours, theirs), border)}" + (f"; on these very sequences {here}" if here else "")


def needed(apart: Scores, border: float) -> str:
    """How many seeds, or else sequences, would part the mean difference from a border, in words."""
    sequences, seeds = apart.shape
    if min(sequences, seeds) < 2:
        return _TOO_FEW
    components, distance = spread(apart), abs(float(apart.mean()) - border)
    if distance == 0:
        return "lies on the border itself"
    allowed = (distance / _Z) ** 2
    fixed = components.sequences / sequences
    if fixed < allowed:
        count = math.ceil((components.seeds + components.rest / sequences) / (allowed - fixed))
        if count <= _MOST_SEEDS:
            return f"needs about {max(count, seeds + 1)} seeds"
    count = math.ceil(components.sequences / allowed)
    return f"needs more than {max(count, sequences)} sequences, with any number of seeds"


def _apart(ours: Scores, theirs: Scores) -> Scores:
    if ours.shape != theirs.shape or ours.ndim != 2 or not ours.size:
        raise ValueError(
            f"scores of {ours.shape} and {theirs.shape}: must be [sequences, seeds], equal and not empty, to be paired"
        )
    return np.asarray(ours - theirs, dtype=np.float64)
