"""What a SIREN's integers become: one stream for all networks of a body.

A body::

    bits u8 | stream of rinr.codec.entropy, for each network: shape, steps, layers

``bits`` is the width of an integer, 2 to 16. In the stream, for each network:

1. *Shape*: one bit, whether it is that of the network before (no bit for the first). Otherwise the width, 8 bits, 0 for
   an empty network, whose values are zero and which ends here; and the layers, 5 bits.
2. *Steps*, one a layer, named as in :mod:`rinr.codec.quantize`. Up to 12 bits wide: half the difference from what is
   expected, signed. Expected is the step of this layer in the network before, if it had this shape; otherwise
   ``_FIRST_STEP``, then the step of the layer before, and for the last layer ``_LAST_STEP``. Wider: 8 bits flat.
3. *Layers*, each one its weights, output after output, and then its biases.

What a hidden layer puts out may change its order, and its sign, if what the next layer takes in changes with it: the
sine is odd. Outputs are therefore ordered by rising bias, none of them negative, and a bias costs the difference from
the one before: about ``log2(n!) + n`` bits less for ``n`` outputs. The last layer's biases are colours, coded as they
are: of up to 14 bits where weights have fewer, the low two of them flat.

Weights and biases are coded under geometric models of expected magnitudes that follow from the integers before them
(:func:`_weights`, :func:`_phases`), through integer arithmetic alone: no scale is written, and no machine's floating
point matters. Integers of more than 12 bits are split: what is above the low ``bits - 12`` is coded so, and these
follow, flat.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from rinr.codec.bits import MAX_BITS, MIN_BITS, largest
from rinr.codec.bytestream import PayloadError, Reader
from rinr.codec.entropy import GeometricDecoder, GeometricEncoder, GeometricMeter

MAX_WIDTH, MAX_LAYERS = 255, 32
INPUTS, OUTPUTS = 2, 3
MAX_WEIGHTS = 1 << 19
"""Weights of one body at most: what bounds the memory and time that a payload can ask for."""

MODELLED_BITS, COLOUR_BITS = 12, 14
_FIRST_STEP, _LAST_STEP, _STEP_MEAN = 164, 148, 1024
# What is expected before anything was seen, in 256ths, and how many integers that counts for.
_WEIGHT_MEAN, _PHASE_MEAN, _COLOUR_MEAN = 1024, 768, 4096
_WEIGHT_TRUST, _PHASE_TRUST = 4, 2

Integers = npt.NDArray[np.int32]
Coder = GeometricEncoder | GeometricDecoder | GeometricMeter


@dataclass(frozen=True, order=True)
class Shape:
    """A network's shape: ``layers`` linear layers, all but the last ``width`` wide; a width of 0 is no network."""

    width: int
    layers: int

    def __str__(self) -> str:
        return f"{self.width}x{self.layers}" if self.width else "empty"

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """``(inputs, outputs)`` of each layer."""
        if not self.width:
            return ()
        widths = [INPUTS, *[self.width] * (self.layers - 1), OUTPUTS]
        return tuple(pairwise(widths))

    @property
    def parameters(self) -> int:
        """Weights and biases of one network."""
        return sum((inputs + 1) * outputs for inputs, outputs in self.sizes)


EMPTY = Shape(0, 0)


@dataclass(frozen=True)
class SirenNetwork:
    """One network: integers, and what says what they mean.

    Attributes:
        shape: width and layers.
        bits: width of the integers.
        steps: the layers' step codes.
        weights: integers of all layers, flat; a layer is ``[outputs, inputs + 1]``, the bias last.
        stopped: why its fit stopped, ``steps``, ``enough`` or ``time``; not written, and ``None`` once read.
    """

    shape: Shape
    bits: int
    steps: tuple[int, ...]
    weights: Integers
    stopped: str | None = None

    @property
    def shared(self) -> int:
        """Networks of equal bits are written in one body."""
        return self.bits

    @property
    def multiplications(self) -> int:
        """Of an evaluation at one point."""
        return self.shape.parameters

    @property
    def group(self) -> tuple[Shape, bool]:
        """Shape, and whether the weights fit in a byte."""
        return self.shape, int(np.abs(self.weights).max(initial=0)) <= 127

    @property
    def layers(self) -> list[Integers]:
        """Views of the weights, ``[outputs, inputs + 1]`` a layer."""
        ends = np.cumsum([(inputs + 1) * outputs for inputs, outputs in self.shape.sizes])
        parts = np.split(self.weights, ends)[:-1]
        return [part.reshape(o, i + 1) for part, (i, o) in zip(parts, self.shape.sizes, strict=True)]


def write(networks: Sequence[SirenNetwork]) -> bytes:
    """Write networks of equal bits. The inverse of :func:`read`, but for the order and signs of hidden outputs.

    Raises:
        ValueError: their bits differ.
    """
    bits = networks[0].bits
    if any(network.bits != bits for network in networks):
        raise ValueError("networks of one body have equal bits")
    coder = GeometricEncoder()
    previous = None
    for network in networks:
        ordered = in_order(network)
        _shape(coder, ordered.shape, previous)
        _steps_and_layers(coder, ordered, previous)
        previous = ordered
    return bytes([bits]) + coder.finish()


def read(data: bytes, count: int) -> list[SirenNetwork]:
    """Read ``count`` networks.

    Raises:
        PayloadError: malformed, or of more than ``MAX_WEIGHTS`` weights.
    """
    reader = Reader(data, "siren")
    bits = reader.u8("bits", low=MIN_BITS, high=MAX_BITS)
    coder = GeometricDecoder(reader.rest())
    networks: list[SirenNetwork] = []
    total = 0
    for _ in range(count):
        previous = networks[-1] if networks else None
        shape = _shape(coder, EMPTY, previous)
        total += shape.parameters
        if total > MAX_WEIGHTS:
            raise PayloadError(f"siren: shape is {shape}: more than {MAX_WEIGHTS} weights in all")
        blank = SirenNetwork(shape, bits, (0,) * len(shape.sizes), np.zeros(shape.parameters, dtype=np.int32))
        networks.append(_steps_and_layers(coder, blank, previous))
    coder.expect_end()
    return networks


def ideal_bits(network: SirenNetwork) -> list[float]:
    """What a network costs on its own under the models used, in bits: shape and steps first, then layer by layer."""
    meter = GeometricMeter()
    totals = [0.0]
    ordered = in_order(network)
    _shape(meter, ordered.shape, None)
    _steps_and_layers(meter, ordered, None, lambda: totals.append(meter.bits))
    return [end - start for start, end in pairwise(totals)]


def body_bits(networks: Sequence[SirenNetwork]) -> list[float]:
    """What each network costs in a body of them all, in bits: less than on its own where it is like the one before."""
    meter = GeometricMeter()
    totals, previous = [0.0], None
    for network in networks:
        ordered = in_order(network)
        _shape(meter, ordered.shape, previous)
        _steps_and_layers(meter, ordered, previous)
        totals.append(meter.bits)
        previous = ordered
    return [end - start for start, end in pairwise(totals)]


def in_order(network: SirenNetwork) -> SirenNetwork:
    """The same network with hidden outputs ordered by rising bias, none of them negative."""
    weights = network.weights.copy()
    same = replace(network, weights=weights)
    for layer, following in pairwise(same.layers):
        unused = ~following[:, :-1].any(axis=0)
        layer[unused] = 0
        negative = layer[:, -1] < 0
        layer[negative] *= -1
        following[:, :-1][:, negative] *= -1
        order = np.argsort(layer[:, -1], kind="stable")
        layer[:] = layer[order]
        following[:, :-1] = following[:, :-1][:, order]
    return same


def _shape(coder: Coder, shape: Shape, previous: SirenNetwork | None) -> Shape:
    if previous and _flat(coder, int(shape == previous.shape), 1):
        return previous.shape
    width = _flat(coder, shape.width, 8)
    if not width:
        return EMPTY
    layers = _flat(coder, max(shape.layers - 1, 0), 5) + 1
    if layers < 2:
        raise PayloadError(f"siren: layers is {layers}, expected 2 to {MAX_LAYERS}")
    return Shape(width, layers)


def _steps_and_layers(
    coder: Coder, network: SirenNetwork, previous: SirenNetwork | None, on_part: Callable[[], None] = lambda: None
) -> SirenNetwork:
    """Take a network through a coder: one walk writes, reads (into the network's weights) and measures."""
    steps = _steps(coder, network, previous)
    on_part()
    for index, layer in enumerate(network.layers):
        _weights(coder, layer[:, :-1], network.bits)
        if index + 1 < len(steps):
            _phases(coder, layer[:, -1], network.bits)
        else:
            _colours(coder, layer[:, -1], network.bits)
        on_part()
    return replace(network, steps=steps)


def _steps(coder: Coder, network: SirenNetwork, previous: SirenNetwork | None) -> tuple[int, ...]:
    if network.bits > MODELLED_BITS:
        return tuple(_flat(coder, step, 8) for step in network.steps)
    steps: list[int] = []
    for index, step in enumerate(network.steps):
        if previous and previous.shape == network.shape:
            expected = previous.steps[index]
        elif index == 0:
            expected = _FIRST_STEP
        else:
            expected = _LAST_STEP if index + 1 == network.shape.layers else steps[-1]
        difference = np.array([(step - expected) // 2], dtype=np.int32)
        steps.append(expected + 2 * int(coder.signed(difference, _STEP_MEAN)[0]))
        if not 0 <= steps[-1] <= 255:
            raise PayloadError(f"siren: step is {steps[-1]}, expected 0 to 255")
    return tuple(steps)


def _weights(coder: Coder, weights: Integers, bits: int) -> None:
    """Weights ``[outputs, inputs]``: each output's are expected to be as large as those of the outputs before."""
    shift = max(bits - MODELLED_BITS, 0)
    total, seen = 0, 0
    for output in weights:
        mean = (_WEIGHT_MEAN * _WEIGHT_TRUST + 256 * total) // (_WEIGHT_TRUST + seen)
        high = coder.signed(output >> shift, mean)
        output[:] = (high << shift) + coder.flat(output & ((1 << shift) - 1), shift)
        total, seen = total + int(np.abs(high).sum()), seen + len(high)
    _check(weights, bits, "weight")


def _phases(coder: Coder, biases: Integers, bits: int) -> None:
    """A hidden layer's biases, which rise: each difference is expected to be as large as those before."""
    shift = max(bits - MODELLED_BITS, 0)
    before, total = 0, 0
    for place, bias in enumerate(biases.tolist()):
        mean = (_PHASE_MEAN * _PHASE_TRUST + 256 * total) // (_PHASE_TRUST + place)
        difference = max(bias - before, 0)
        high = coder.unsigned(difference >> shift, mean)
        before += (high << shift) + _flat(coder, difference & ((1 << shift) - 1), shift)
        total += high
        biases[place] = before
    _check(biases, bits, "bias")


def _colours(coder: Coder, biases: Integers, bits: int) -> None:
    """The last layer's biases."""
    bits = max(bits, COLOUR_BITS)
    shift = bits - MODELLED_BITS
    high = coder.signed(biases >> shift, _COLOUR_MEAN)
    biases[:] = (high << shift) + coder.flat(biases & ((1 << shift) - 1), shift)
    _check(biases, bits, "colour")


def _flat(coder: Coder, value: int, bits: int) -> int:
    return int(coder.flat(np.array([value], dtype=np.int32), bits)[0])


def _check(integers: Integers, bits: int, field: str) -> None:
    peak = int(np.abs(integers).max(initial=0))
    if peak > largest(bits):
        raise PayloadError(f"siren: {field} is {peak} in magnitude, expected at most {largest(bits)} of {bits} bits")
