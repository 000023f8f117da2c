"""What a network family is: the one interface behind which pictures become payloads and payloads pixels.

A family is one file that offers an object with these methods, and a line in :mod:`rinr.networks.families`.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

from torch import Tensor

OnWork = Callable[[int], None]
"""Told how many image-steps (one step of one picture's fit) were just done."""


class Network(Protocol):
    """One network after entropy decoding: small integers and numbers."""

    @property
    def group(self) -> Hashable:
        """Networks of equal groups can be stacked."""


class Stack(Protocol):
    """Networks of one group on a device, evaluated together."""

    def evaluate(self, chosen: Tensor, coordinates: Tensor) -> Tensor:
        """Values of some of the networks.

        Args:
            chosen: ``[n]``, which networks.
            coordinates: ``[n | 1, points, 2]``, x and y from -1 (left, top edge) to 1 (right, bottom edge).

        Returns:
            ``[n, points, 3]``, not clamped.
        """


class Family(Protocol):
    """A kind of network."""

    name: str
    code: int

    def work(self, settings: Any) -> int:
        """Image-steps that one picture's fit takes, for progress bars."""

    def fit(self, pictures: Sequence[Tensor], settings: Any, on_work: OnWork | None = None) -> list[bytes]:
        """Fit one network a picture and write its network payload.

        Args:
            pictures: ``[height, width, 3]`` each, float32, of any sizes, on the device where to fit.
            settings: of the family's own type.
            on_work: for progress bars.
        """

    def parse(self, payload: bytes) -> Network:
        """Entropy decode one network payload.

        Raises:
            PayloadError: malformed.
        """

    def stack(self, networks: Sequence[Any], device: str) -> Stack:
        """Put networks of one group on a device."""
