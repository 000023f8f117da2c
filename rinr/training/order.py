"""In which order a pass shows its pictures: shuffled, and where asked for with like ones in one batch.

Pictures whose networks have the same shape are decoded by the same products, so a batch of them takes less time than a
batch of all sorts. Within a *window* of some batches like pictures can be put together without a loss of randomness
that training would notice: which pictures are in a window, which of them share a batch and in which order its batches
come is drawn anew in each epoch.
"""

import numpy as np
import numpy.typing as npt

from rinr.training.chance import Use, uniform

Places = npt.NDArray[np.int64]


def pass_order(
    count: int, batch_size: int, *, seed: int, epoch: int, groups: Places | None = None, window: int = 1
) -> Places:
    """The places ``0`` to ``count - 1`` in the order of a pass; each ``batch_size`` of them are a batch.

    Args:
        count: of pictures.
        batch_size: pictures a batch. Without ``groups`` the order does not depend on it.
        seed: of the shuffling.
        epoch: the pass.
        groups: ``[count]``; pictures of equal numbers are decoded together.
        window: batches within which like pictures are put together; with 1 none are.

    Returns:
        ``[count]``, each place once. Pictures of a batch that cannot be filled stand at the end, ungrouped.
    """
    order = np.argsort(uniform(seed, epoch, Use.ORDER, count), kind="stable")
    if groups is None or window <= 1:
        return order
    full = count // batch_size
    turns = uniform(seed, epoch, Use.BATCHES, full)
    for first in range(0, full, window):
        last = min(first + window, full)
        mine = slice(first * batch_size, last * batch_size)
        places = order[mine]
        batches = places[np.argsort(groups[places], kind="stable")].reshape(-1, batch_size)
        order[mine] = batches[np.argsort(turns[first:last], kind="stable")].ravel()
    return order


def batches_of(order: Places, batch_size: int, *, start: int = 0, rank: int = 0, world: int = 1) -> list[Places]:
    """An order cut into batches, or one process's share of each.

    Args:
        order: as :func:`pass_order` gives it for ``batch_size * world`` pictures a batch.
        batch_size: pictures a batch and process.
        start: batches to leave out, as they were done already.
        rank: which process this is, from 0.
        world: how many processes share the pass.

    Returns:
        The same number of batches for every process, with as many pictures: what processes share has no picture twice,
        and up to ``world - 1`` pictures that cannot be shared evenly are left out.
    """
    if not 0 <= rank < world:
        raise ValueError(f"rank is {rank}, expected 0 to {world - 1}: of {world} processes")
    together = [order[first : first + batch_size * world] for first in range(0, len(order), batch_size * world)]
    shares = [len(batch) // world for batch in together]
    mine = [batch[rank * share : (rank + 1) * share] for batch, share in zip(together, shares, strict=True)]
    return [batch for batch in mine if len(batch)][start:]
