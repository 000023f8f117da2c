"""Which of a device's own pictures are held out of training, to test on.

Neighbours in time show nearly the same, so that a picture is no test of what was learned from the one before. Pictures
are therefore taken in blocks of neighbours, and of every few blocks the last is held out::

    share 1/3     0 1 [2]   34 56 [78]   9...12 13...16 [17...20]   ... up to blocks of 32

Blocks grow, so that a few pictures are enough to begin with and many leave few seams. What a picture is for follows
from its place alone: as pictures come after it, it stays what it was.
"""

from fractions import Fraction

LARGEST_BLOCK = 32


def held_out(pictures: int, share: float) -> list[bool]:
    """Whether each picture is held out, in the order in which they were captured.

    Args:
        pictures: how many there are.
        share: of them that is held out, over many; more than 0, at most 1.
    """
    exact = Fraction(share).limit_denominator(100)
    blocks_a_round = -(-exact.denominator // max(exact.numerator, 1))
    places: list[bool] = []
    block = 0
    while len(places) < pictures:
        size = min(2 ** (block // blocks_a_round), LARGEST_BLOCK)
        places += [(block + 1) * exact // 1 > block * exact // 1] * size
        block += 1
    return places[:pictures]
