"""Random numbers that depend on what they are for alone: on seed, epoch and place, not on what was drawn before.

So a picture is shown in the same way whatever batch it is in, and a pass that goes on in its middle is the same pass.
Philox (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", 2011) is a function from a key and a counter to
bits; NumPy keeps that function the same from version to version.
"""

from enum import IntEnum

import numpy as np
import numpy.typing as npt


class Use(IntEnum):
    """What numbers are for: those of one use tell nothing of those of another."""

    ORDER = 0
    BATCHES = 1
    LOOKS = 2
    PATCHES = 3


def uniform(seed: int, epoch: int, use: Use, count: int, place: int = 0) -> npt.NDArray[np.float64]:
    """``[count]`` numbers from 0 to below 1.

    Args:
        seed: any integer; the lowest 64 bits count.
        epoch: the pass, likewise.
        use: see :class:`Use`.
        count: how many.
        place: of the picture that they are for.
    """
    key = np.array([seed & _BITS, epoch & _BITS], dtype=np.uint64)
    counter = np.array([0, 0, place, use], dtype=np.uint64)  # the lowest word counts on as numbers are drawn
    bits = np.random.Philox(key=key, counter=counter).random_raw(count)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


_BITS = (1 << 64) - 1
