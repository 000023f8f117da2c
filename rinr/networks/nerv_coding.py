"""What a NeRV's integers become: a header that says its shape, and one stream for all networks of a body.

A body::

    bits u8 | frames varint | base u8 | levels u8 | stem varint | blocks u8 | channels varint
    for each block: stride u8, channels varint
    for each network and tensor: step u8, model u8
    stream of rinr.codec.entropy: every network's tensors, flat, under their models

Layers are the two of the multi-layer perceptron, one a block, and the head; each has two tensors, weights and biases.
How many weights the perceptron's second layer has follows from the region: it makes a grid of
``ceil(side / product of strides)`` cells each way.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rinr.codec.bits import MAX_BITS, MIN_BITS
from rinr.codec.bytestream import PayloadError, Reader, varint
from rinr.codec.entropy import MODELS, choose_model, decode, encode, ideal_bits

MAX_FRAMES = 65_536
MAX_BLOCKS, MAX_STRIDE, MAX_CHANNELS, MAX_STEM = 8, 8, 1_024, 4_096
MAX_WEIGHTS = 1 << 22
"""Weights of one body at most."""
MAX_ACTIVATIONS = 1 << 24
"""Numbers that one layer puts out at most: with this, what a rendered frame takes in memory is bounded."""
OUTPUT_COST = 256
"""Multiplications that cost about as much time as one activation: small wide layers are not cheap."""
BASE_UNIT = 64
_MAX_FREQUENCY = 1 << 30
OUTPUTS = 3

Integers = npt.NDArray[np.int32]
Size = tuple[int, int]


@dataclass(frozen=True)
class NervShape:
    """A network's shape, whatever the size of its frames.

    Attributes:
        channels: of the grid that the perceptron puts out, and of what each block puts out: one more than ``strides``.
        strides: by how much each block enlarges, either way.
        stem: width of the perceptron's hidden layer.
        levels: frequencies of the positional code, which has a sine and a cosine of each (the paper's ``l``).
        base: ratio of neighbouring frequencies (the paper's ``b``), in 64ths.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    stem: int
    levels: int
    base: int = 80

    def __str__(self) -> str:
        blocks = "".join(f"-{stride}:{c}" for stride, c in zip(self.strides, self.channels[1:], strict=True))
        return f"{2 * self.levels}-{self.stem}-{self.channels[0]}{blocks}"

    def cells(self, size: Size) -> Size:
        """Columns and rows of the perceptron's grid for frames of ``(width, height)`` pixels."""
        stride = math.prod(self.strides)
        return -(-size[0] // stride), -(-size[1] // stride)

    def tensors(self, size: Size) -> list[tuple[int, ...]]:
        """Shapes of weights and biases, layer after layer, for frames of ``(width, height)`` pixels."""
        columns, rows = self.cells(size)
        first = self.channels[0] * rows * columns
        shapes: list[tuple[int, ...]] = [(self.stem, 2 * self.levels), (self.stem,), (first, self.stem), (first,)]
        for inputs, outputs, stride in zip(self.channels, self.channels[1:], self.strides, strict=False):
            shapes += [(outputs * stride**2, inputs, 3, 3), (outputs * stride**2,)]
        return [*shapes, (OUTPUTS, self.channels[-1], 1, 1), (OUTPUTS,)]

    def parameters(self, size: Size) -> int:
        """Weights and biases of one network."""
        return sum(math.prod(shape) for shape in self.tensors(size))

    def activations(self, size: Size) -> int:
        """Numbers that the layer with the most puts out."""
        columns, rows = self.cells(size)
        most, enlarged = self.channels[0], 1
        for stride, channels in zip(self.strides, self.channels[1:], strict=True):
            enlarged *= stride
            most = max(most, channels * enlarged**2)
        return max(most, OUTPUTS * enlarged**2) * columns * rows

    def multiplications(self, size: Size) -> int:
        """Of one frame; each number that a layer puts out counts as ``OUTPUT_COST`` more."""
        columns, rows = self.cells(size)
        a_cell, enlarged = (self.stem + OUTPUT_COST) * self.channels[0], 1
        for inputs, outputs, stride in zip(self.channels, self.channels[1:], self.strides, strict=False):
            enlarged *= stride
            a_cell += (9 * inputs + OUTPUT_COST) * outputs * enlarged**2
        a_cell += (self.channels[-1] + OUTPUT_COST) * OUTPUTS * enlarged**2
        return (2 * self.levels + OUTPUT_COST) * self.stem + a_cell * columns * rows


@dataclass(frozen=True)
class NervNetwork:
    """One network of a clip: integers, and what says what they mean.

    Attributes:
        shape: of the network.
        size: of a frame, ``(width, height)`` in pixels.
        frames: of the clip.
        bits: width of the integers.
        steps: the tensors' step codes.
        weights: integers of all tensors, flat.
    """

    shape: NervShape
    size: Size
    frames: int
    bits: int
    steps: tuple[int, ...]
    weights: Integers

    @property
    def shared(self) -> tuple[NervShape, int, int]:
        """Networks of equal shape, frames and bits are written in one body."""
        return self.shape, self.frames, self.bits

    @property
    def group(self) -> tuple[NervShape, Size, bool]:
        """Shape, size, and whether the weights fit in a byte."""
        return self.shape, self.size, self.bits <= 8

    @property
    def multiplications(self) -> int:
        """Of a frame, for each of its pixels."""
        return -(-self.shape.multiplications(self.size) // (self.size[0] * self.size[1]))

    @property
    def tensors(self) -> list[Integers]:
        """The flat weights of each tensor."""
        counts = [math.prod(shape) for shape in self.shape.tensors(self.size)]
        return np.split(self.weights, np.cumsum(counts)[:-1])


def write(networks: Sequence[NervNetwork]) -> bytes:
    """Write networks. The inverse of :func:`read`.

    Raises:
        ValueError: their shapes, frames or bits differ, or are over what a body may say.
    """
    if any(network.shared != networks[0].shared for network in networks):
        raise ValueError("networks of one body have equal shapes, frames and bits")
    first = networks[0]
    header = _header(first)
    tensors = [tensor for network in networks for tensor in network.tensors]
    models = [choose_model(tensor, first.bits) for tensor in tensors]
    steps = [step for network in networks for step in network.steps]
    named = bytes(value for pair in zip(steps, models, strict=True) for value in pair)
    try:
        _read_header(Reader(header, "nerv"), [network.size for network in networks])
    except PayloadError as error:
        raise ValueError(str(error)) from None
    return header + named + encode(tensors, first.bits, models)


def read(data: bytes, sizes: Sequence[Size]) -> list[NervNetwork]:
    """Read a body of networks for regions of these sizes.

    Raises:
        PayloadError: malformed, or over a limit.
    """
    reader = Reader(data, "nerv")
    shape, frames, bits = _read_header(reader, sizes)
    shapes = [tensor for size in sizes for tensor in shape.tensors(size)]
    named = [(reader.u8("step"), reader.u8("model", high=MODELS - 1)) for _ in shapes]
    stream = reader.rest()
    models, counts = [model for _, model in named], [math.prod(each) for each in shapes]
    tensors = decode(stream, counts, bits, models)
    if encode(tensors, bits, models) != stream:
        raise PayloadError("nerv: the coded weights are not what their writer makes of them: damaged")
    each = len(shapes) // len(sizes)
    return [
        NervNetwork(
            shape,
            size,
            frames,
            bits,
            tuple(step for step, _ in named[first : first + each]),
            np.concatenate(tensors[first : first + each]),
        )
        for size, first in zip(sizes, range(0, len(shapes), each), strict=True)
    ]


def header_bytes(network: NervNetwork) -> int:
    """Bytes before the coded weights of a body of one network."""
    return len(_header(network)) + 2 * len(network.steps)


def tensor_bits(network: NervNetwork) -> list[float]:
    """The ideal code length of each tensor, in bits."""
    return [ideal_bits(tensor, network.bits, choose_model(tensor, network.bits)) for tensor in network.tensors]


def _header(network: NervNetwork) -> bytes:
    shape = network.shape
    blocks = [
        bytes([stride]) + varint(channels) for stride, channels in zip(shape.strides, shape.channels[1:], strict=True)
    ]
    return b"".join(
        [
            bytes([network.bits]),
            varint(network.frames),
            bytes([shape.base, shape.levels]),
            varint(shape.stem),
            bytes([len(blocks)]),
            varint(shape.channels[0]),
            *blocks,
        ]
    )


def _read_header(reader: Reader, sizes: Sequence[Size]) -> tuple[NervShape, int, int]:
    bits = reader.u8("bits", low=MIN_BITS, high=MAX_BITS)
    frames = reader.varint("frames", low=1, high=MAX_FRAMES)
    base, levels = reader.u8("base", low=BASE_UNIT), reader.u8("levels", low=1)
    if base**levels > _MAX_FREQUENCY * BASE_UNIT**levels:
        raise PayloadError(f"nerv: levels is {levels}: frequencies of more than {_MAX_FREQUENCY:,} at this base")
    stem = reader.varint("stem", low=1, high=MAX_STEM)
    blocks = reader.u8("blocks", high=MAX_BLOCKS)
    channels, strides = [reader.varint("channels", low=1, high=MAX_CHANNELS)], []
    for _ in range(blocks):
        strides.append(reader.u8("stride", low=1, high=MAX_STRIDE))
        channels.append(reader.varint("channels", low=1, high=MAX_CHANNELS))
    shape = NervShape(tuple(channels), tuple(strides), stem, levels, base)
    if (weights := sum(map(shape.parameters, sizes))) > MAX_WEIGHTS:
        raise PayloadError(f"nerv: shape is {shape}: {weights:,} weights, expected at most {MAX_WEIGHTS:,} in all")
    if (most := max(map(shape.activations, sizes))) > MAX_ACTIVATIONS:
        raise PayloadError(f"nerv: shape is {shape}: a layer of {most:,} outputs, expected at most {MAX_ACTIVATIONS:,}")
    return shape, frames, bits
