"""How many bytes a fleet's round of training images costs, by equations: the paper's, and what they leave out.

The paper (arXiv 2408.05617, "Multi-Device Communication Modeling") counts pictures alone: D bytes of captured JPEG, n
receivers of each, and INRs of a times the JPEGs' bytes::

    device to device   n D              every device sends its pictures to each receiver itself
    through the fog    D + n a D        they go up once, and INRs of them come down n times
    ratio              n / (1 + n a)    below n however small the INRs are, because the upload stays

:class:`Exchange` and the functions that take one extend this by labels, manifests and acknowledgements, losses,
receivers that want a part, radios that reach all at once, what clips share, uploads that are not the captured JPEG, and
models sent in place of pictures. Nothing here measures: sizes are means a picture, in bytes, and come from the caller.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

ROW_BYTES = 77.0
"""What a picture costs beside its payload: its id in the shard and in the manifest, and a length (docs/shard.md)."""

SHARD_BYTES = 650.0
"""What a shard costs besides: the ends of its file, the fields and the signature of its manifest (docs/shard.md)."""

ACKNOWLEDGEMENT_BYTES = 283.0
"""A signed acknowledgement of a device that received all, without the report of a training."""

MAX_SHARD_ROWS, MAX_SHARD_BYTES = 20_000, 64 * 1024 * 1024
MAX_WAITING_SHARDS = 4
"""A device acknowledges at least once in so many shards."""

MOST_RECEIVERS = 100_000
"""Where the search for a break-even that has no closed form ends."""


def device_to_device(captured: float, receivers: float) -> float:
    """The paper's bytes without a fog: ``n D``."""
    return receivers * captured


def through_fog(captured: float, receivers: float, relative_size: float, upload: float = 1.0) -> float:
    """The paper's bytes through the fog: ``D + n a D``; with uploads of ``u`` times the JPEGs, ``u D + n a D``."""
    return captured * (upload + receivers * relative_size)


def ratio(receivers: float, relative_size: float, upload: float = 1.0) -> float:
    """How many times fewer bytes the paper's fog takes: ``n / (u + n a)``; 5.16 with n = 9, a = 0.083, u = 1."""
    return receivers / (upload + receivers * relative_size)


def bound(receivers: float, upload: float = 1.0) -> float:
    """What :func:`ratio` stays below, were INRs of no size at all: ``n / u``."""
    return receivers / upload


def relative_size(ratio: float, receivers: float, upload: float = 1.0) -> float:
    """The size ``a = 1 / ratio - u / n`` that gives a ratio; negative where none does, being past the bound."""
    return 1 / ratio - upload / receivers


def paper_break_even(relative_size: float, upload: float = 1.0) -> int | None:
    """The fewest receivers with which the paper's fog takes fewer bytes: the first n above ``u / (1 - a)``."""
    return None if relative_size >= 1 else math.floor(upload / (1 - relative_size)) + 1


@dataclass(frozen=True)
class Exchange:
    """A round: what a fleet has captured goes to those that lack it.

    Attributes:
        images: captured in the round by all devices together, about as many by each.
        devices: that take part.
        receivers: of each picture, the device that took it not counted.
        share: of what it is offered, the part that a receiver wants; what others want does not matter to it.
        loss: the part of what is sent that does not arrive. It is sent again until it does, so that a byte is sent
            ``1 / (1 - loss)`` times on average.
        broadcast: whether one sending reaches all receivers.

    Raises:
        ValueError: a value that no fleet has; the message names the field.
    """

    images: int
    devices: int
    receivers: int
    share: float = 1.0
    loss: float = 0.0
    broadcast: bool = False

    def __post_init__(self) -> None:
        if self.images < 1:
            raise ValueError(f"images is {self.images}, expected 1 or more")
        if self.devices < 2:
            raise ValueError(f"devices is {self.devices}, expected 2 or more: one alone has nobody to send to")
        if not 1 <= self.receivers < self.devices:
            raise ValueError(
                f"receivers is {self.receivers}, expected 1 to {self.devices - 1}: fewer than the {self.devices} "
                "devices, since nobody is sent its own pictures"
            )
        if not 0 < self.share <= 1:
            raise ValueError(f"share is {self.share:g}, expected more than 0 and at most 1")
        if not 0 <= self.loss < 1:
            raise ValueError(f"loss is {self.loss:g}, expected 0 or more and less than 1")

    @property
    def sendings(self) -> float:
        """How often a byte for one hearer is sent until it arrives: ``1 / (1 - p)``."""
        return 1 / (1 - self.loss)

    @property
    def copies(self) -> float:
        """How often a picture's bytes are sent, on average, until all who want it have it.

        ``n s / (1 - p)`` one by one. A broadcast is repeated for whoever has not heard it yet: after t sendings a
        receiver still lacks what it wants with probability ``s p^t``, and so on average there are as many sendings as
        the sum over t of ``1 - (1 - s p^t)^n``.
        """
        if not self.broadcast:
            return self.receivers * self.share * self.sendings
        return _broadcasts(self.receivers, self.share, self.loss)

    @property
    def recipients(self) -> float:
        """Devices that are sent anything: all, or fewer where there are fewer pictures than that takes."""
        return min(self.devices, max(1.0, self.images * self.receivers * self.share))


@dataclass(frozen=True)
class Traffic:
    """Bytes on the air in a round, those that were sent again included.

    Attributes:
        up: sent by devices.
        down: sent by the fog.
    """

    up: float
    down: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.up + self.down


@dataclass(frozen=True)
class SharedPart:
    """What frames of a clip share, sent to a receiver once however many of them it wants.

    Attributes:
        bytes: of the shared part.
        frames: that need it.
    """

    bytes: float
    frames: int

    def a_frame(self, exchange: Exchange) -> float:
        """Of a frame, so many bytes for each copy of it: part and row, divided over the frames that are wanted.

        A receiver needs the part unless it wants none of the k frames: with probability ``1 - (1 - s)^k``.
        """
        needed = 1 - (1 - exchange.share) ** self.frames
        return needed * (self.bytes + ROW_BYTES) / (self.frames * exchange.share)


NOTHING_SHARED = SharedPart(0.0, 0)


def direct(exchange: Exchange, picture: float, labels: float = 0.0) -> Traffic:
    """Every device sends its pictures to the receivers itself, labels beside them: the paper's ``n D``, and labels.

    Args:
        exchange: the round.
        picture: bytes of one as it is sent.
        labels: bytes of its labels as they are sent, where they are not inside.
    """
    return Traffic(up=exchange.images * exchange.copies * (picture + labels), down=0.0)


def relayed(exchange: Exchange, upload: float, payload: float, shared: SharedPart = NOTHING_SHARED) -> Traffic:
    """Pictures go up once and payloads of them come down: the paper's ``D + n a D``, with all that travels beside them.

    Each device that is sent anything gets shards of its own, each with a manifest, and acknowledges them.

    Args:
        exchange: the round.
        upload: bytes of a picture and its labels as they go up.
        payload: bytes of a picture as it comes down, labels included; rows, manifests and shards are added here.
        shared: what frames of clips share besides.
    """
    down = payload + ROW_BYTES + (shared.a_frame(exchange) if shared.frames else 0.0)
    shards = _shards(exchange, payload)
    each_way = exchange.recipients * exchange.sendings
    heard = math.ceil(shards / MAX_WAITING_SHARDS) * ACKNOWLEDGEMENT_BYTES
    return Traffic(
        up=exchange.images * upload * exchange.sendings + each_way * heard,
        down=exchange.images * exchange.copies * down + each_way * shards * SHARD_BYTES,
    )


def model_sent(exchange: Exchange, upload: float, model: float) -> Traffic:
    """Pictures go up once, the fog trains, and all devices get the model: ``D + N M`` for N devices.

    The paper's other choice ("Multi-Device Communication Modeling"). Each device acknowledges the model.

    Args:
        exchange: the round.
        upload: bytes of a picture and its labels as they go up.
        model: bytes of the model.
    """
    copies = _broadcasts(exchange.devices, 1.0, exchange.loss) if exchange.broadcast else _each(exchange)
    return Traffic(
        up=exchange.images * upload * exchange.sendings + _each(exchange) * ACKNOWLEDGEMENT_BYTES,
        down=copies * model,
    )


def images_for_model(exchange: Exchange, payload: float, model: float) -> int:
    """From how many images a round :func:`model_sent` takes fewer bytes than :func:`relayed` of the same uploads.

    ``N M > E n s (P + row) + N shard``, for E images, solved for E, with one shard a device; the acknowledgements are
    the same.
    """
    a_device = _each(exchange)
    copies = _broadcasts(exchange.devices, 1.0, exchange.loss) if exchange.broadcast else a_device
    saved = copies * model - a_device * SHARD_BYTES
    return max(math.floor(saved / (exchange.copies * (payload + ROW_BYTES))) + 1, 1)


def break_even(exchange: Exchange, picture: float, labels: float, upload: float, payload: float) -> int | None:
    """The fewest receivers with which :func:`relayed` takes fewer bytes than :func:`direct`, in a fleet one larger.

    One by one, both sides are straight lines in n, and losses cancel. With E images, J + L bytes direct, U up, P and a
    row down, and c for a device's shard and acknowledgement::

        E n s (J + L)  >  E U + E n s (P + row) + (n + 1) c
        n  >  (E U + c) / (E s (J + L - P - row) - c)

    All devices are sent something here, in one shard each. Broadcasts are looked through from 1 receiver on.

    Returns:
        ``None`` where no number of receivers does it.
    """
    if exchange.broadcast:
        return _searched(exchange, picture, labels, lambda tried: relayed(tried, upload, payload))
    a_device = SHARD_BYTES + ACKNOWLEDGEMENT_BYTES
    saved = exchange.images * exchange.share * (picture + labels - payload - ROW_BYTES) - a_device
    if saved <= 0:
        return None
    return math.floor((exchange.images * upload + a_device) / saved) + 1


def model_break_even(exchange: Exchange, picture: float, labels: float, upload: float, model: float) -> int | None:
    """The fewest receivers with which :func:`model_sent` takes fewer bytes than :func:`direct`, likewise.

    One by one, with M bytes of model and c of an acknowledgement: ``E n s (J + L) > E U + (n + 1) (M + c)``.
    """
    if exchange.broadcast:
        return _searched(exchange, picture, labels, lambda tried: model_sent(tried, upload, model))
    a_device = model + ACKNOWLEDGEMENT_BYTES
    saved = exchange.images * exchange.share * (picture + labels) - a_device
    return None if saved <= 0 else math.floor((exchange.images * upload + a_device) / saved) + 1


def radio_seconds(traffic: Traffic, rate: float) -> float:
    """Seconds that all of it takes on one radio that devices and fog share, one sending at a time.

    Args:
        traffic: of a round.
        rate: bytes a second.
    """
    return traffic.total / rate


def own_link_seconds(traffic: Traffic, exchange: Exchange, rate: float) -> float:
    """Seconds until the last device is done where each has a link of its own, on which it sends or hears at a time.

    The fog hears and sends on all of them at once. What devices send each other takes both ends' time; a broadcast
    takes that of all.

    Args:
        traffic: of a round.
        exchange: the round.
        rate: bytes a second of each link.
    """
    own = traffic.up / exchange.devices
    heard = traffic.down if exchange.broadcast else traffic.down / exchange.devices
    if traffic.down == 0:
        heard = traffic.up - own if exchange.broadcast else own
    return (own + heard) / rate


def with_receivers(exchange: Exchange, receivers: int) -> Exchange:
    """The same round with so many receivers of each picture; the fleet is as large as that takes, or larger already."""
    return replace(exchange, receivers=receivers, devices=max(exchange.devices, receivers + 1))


def _each(exchange: Exchange) -> float:
    return exchange.devices * exchange.sendings


def _shards(exchange: Exchange, payload: float) -> int:
    """For each device that is sent anything."""
    rows = exchange.images * exchange.receivers * exchange.share / exchange.recipients
    return max(math.ceil(rows / MAX_SHARD_ROWS), math.ceil(rows * payload / MAX_SHARD_BYTES), 1)


def _broadcasts(receivers: int, share: float, loss: float) -> float:
    """How often something is broadcast until all who want it have heard it, on average: see :attr:`Exchange.copies`."""
    total, lacking = 0.0, share
    while lacking > 1e-15:
        # What 1 - (1 - x)^n is, also where x is too small for a difference from 1.
        total -= math.expm1(receivers * math.log1p(-lacking)) if lacking < 1 else -1.0
        lacking *= loss
    return total


def _searched(exchange: Exchange, picture: float, labels: float, other: Callable[[Exchange], Traffic]) -> int | None:
    """Past a few receivers more of them hardly change anything: numbers are doubled, then halved."""

    def gains(receivers: int) -> bool:
        tried = replace(exchange, receivers=receivers, devices=receivers + 1)
        return other(tried).total < direct(tried, picture, labels).total

    low, high = 0, 1
    while not gains(high):
        if high >= MOST_RECEIVERS:
            return None
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if gains(middle) else (middle, high)
    return high
