"""What a network family is: the one interface behind which pictures become networks, networks bytes, and bytes pixels.

::

    pictures --fit--> networks --write--> bytes --read--> networks --arrays--> small integers
    small integers --stack--> on the accelerator --render--> pixels

A family is one file that offers an object with these methods, and a line in :mod:`rinr.networks.families`.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

Arrays = Mapping[str, Any]
"""NumPy arrays by name; the first axis of each runs over networks. Large ones may be
:class:`rinr.networks.rows.Segments`."""

OnWork = Callable[[int], None]
"""Told how many image-steps (one step of one picture's fit) were just done."""


class Network(Protocol):
    """One network as it is before entropy coding and after entropy decoding: small integers and numbers."""

    @property
    def group(self) -> Hashable:
        """Networks of equal groups can be stacked."""

    @property
    def shared(self) -> Hashable:
        """Networks for which this is equal can be written in one body."""

    @property
    def multiplications(self) -> int:
        """About how many an evaluation at one point takes: what a payload may ask of a decoder is bounded by it."""


class Stack(Protocol):
    """Networks of one group on a device, rendered together."""

    @property
    def dear(self) -> bool:
        """Whether evaluating them takes far longer than asking for it, so that fewer points, or more threads, pay."""

    def render(self, chosen: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Values of some of the networks on grids of points.

        Args:
            chosen: ``[n]``, which networks.
            x: ``[n | 1, columns]``, from -1 (the region's left edge) to 1 (its right edge).
            y: ``[n | 1, rows]``, from -1 (top edge) to 1 (bottom edge).

        Returns:
            ``[n, 3, rows, columns]``, not clamped.
        """

    def render_points(self, chosen: Tensor, points: Tensor) -> Tensor:
        """Values of some of the networks at single points, where no grid holds them.

        Args:
            chosen: ``[n]``, which networks.
            points: ``[n, 2, count]``, x and y from -1 to 1; what lies beyond has no meaning, but is finite.

        Returns:
            ``[n, 3, count]``, not clamped.
        """


@runtime_checkable
class InPlace(Protocol):
    """What a stack may offer besides: to render into memory that is there, where that is faster than to copy."""

    def render_into(
        self,
        pictures: Sequence[Tensor],
        chosen: Tensor,
        x: Sequence[Tensor],
        y: Sequence[Tensor],
        *,
        times: Tensor | None = None,
        add: bool = False,
    ) -> None:
        """As :meth:`Stack.render`, into one ``[3, rows, columns]`` a network, of any sizes: each at its own
        ``x [columns]`` and ``y [rows]``, or all at one; added to what is there where asked for. ``times`` are for
        :class:`Timed` networks alone."""


@runtime_checkable
class Timed(Protocol):
    """What a stack offers whose networks are functions of time as well: those that a clip's frames share. What it gives
    without a time is its first frame."""

    def render_at(self, chosen: Tensor, times: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """As :meth:`Stack.render`, of frames ``times [n]``, counted from zero."""

    def render_points_at(self, chosen: Tensor, times: Tensor, points: Tensor) -> Tensor:
        """As :meth:`Stack.render_points`, likewise."""


class Family(Protocol):
    """A kind of network."""

    name: str
    code: int

    def work(self, settings: Any) -> int:
        """Image-steps that one picture's fit takes, for progress bars."""

    def fit(
        self,
        pictures: Sequence[Tensor],
        settings: Any,
        on_work: OnWork | None = None,
        *,
        shares: Sequence[float] | None = None,
    ) -> list[Any]:
        """Fit and quantize one network a picture.

        Args:
            pictures: ``[height, width, 3]`` each, float32, of any sizes, on the device where to fit.
            settings: of the family's own type.
            on_work: for progress bars.
            shares: how much each picture's mean squared error counts, 1 without them: where bits have a price, they
                are as dear again where it counts half. Families that sum errors over pixels need not look at it.
        """

    def write(self, networks: Sequence[Any]) -> bytes:
        """Entropy code networks for which ``shared`` is equal into one body. The inverse of :meth:`read`."""

    def read(self, data: bytes, sizes: Sequence[tuple[int, int]]) -> list[Any]:
        """Entropy decode a body of several networks.

        Args:
            data: the body.
            sizes: ``(width, height)`` of the region of each network, in pixels.

        Raises:
            PayloadError: malformed; the message names the field.
        """

    def arrays(self, networks: Sequence[Any]) -> Arrays:
        """Networks of one group as arrays of small integers: all that rendering them takes."""

    def stack(self, arrays: Arrays, device: str, share: float = 1.0) -> Stack:
        """Put networks of one group on a device.

        Args:
            arrays: as :meth:`arrays` gives them.
            device: where to render.
            share: of the networks whose weights lie there. The others' stay where they are until they are rendered.
        """


@runtime_checkable
class Describing(Protocol):
    """What a family may offer besides: to say what its networks are, for ``rinr inspect`` and the store's rows."""

    def describe(self, network: Any) -> dict[str, Any]:
        """Settings and sizes of one network by name, JSON values alone; ``brief`` says it in a few words."""

    def describe_body(self, body: bytes, networks: Sequence[Any]) -> dict[str, Any]:
        """What a body says of all its networks, likewise; ``header_bytes`` are those before the coded weights."""

    def ideal_bits(self, networks: Sequence[Any]) -> list[float]:
        """The ideal code length of each network's weights in a body of them all, in bits."""
