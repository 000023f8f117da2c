"""SIREN networks as the first version of the format wrote them: read and never written.

A body is networks one after another, each a length varint and::

    width u8 | layers u8 | bits u8 | for each layer: step u8, model u8 | coded weights, layer after layer
"""

from collections.abc import Sequence

import numpy as np

from rinr.codec import entropy
from rinr.codec.bits import MAX_BITS, MIN_BITS
from rinr.codec.bytestream import PayloadError, Reader
from rinr.networks.siren import SirenFamily
from rinr.networks.siren_coding import MAX_LAYERS, Shape, SirenNetwork

MAX_WEIGHTS = 1 << 22
"""Weights of one body at most: what bounds the memory that a payload can ask for."""


class Siren1Family(SirenFamily):
    """The family ``siren-1``: networks of the first version."""

    name = "siren-1"
    code = 1

    def write(self, networks: Sequence[SirenNetwork]) -> bytes:
        """Refused: the first version is not written any more."""
        raise ValueError("networks of the format's first version are read and never written; write them as siren")

    def read(self, data: bytes, sizes: Sequence[tuple[int, int]]) -> list[SirenNetwork]:
        """Entropy decode the networks of a body."""
        reader, networks, weights = Reader(data, "siren-1"), [], 0
        for _ in sizes:
            network = Reader(reader.take(reader.varint("network length"), "network"), "siren-1")
            networks.append(_read_network(network, MAX_WEIGHTS - weights))
            weights += networks[-1].shape.parameters
        reader.expect_end()
        return networks


def _read_network(reader: Reader, most: int) -> SirenNetwork:
    shape = Shape(reader.u8("width", low=1), reader.u8("layers", low=2, high=MAX_LAYERS))
    if shape.parameters > most:
        raise PayloadError(f"siren-1: networks of more than {MAX_WEIGHTS:,} weights in all")
    bits = reader.u8("bits", low=MIN_BITS, high=MAX_BITS)
    steps, models = [], []
    for _ in shape.sizes:
        steps.append(reader.u8("step"))
        models.append(reader.u8("model", high=entropy.MODELS - 1))
    counts = [(inputs + 1) * outputs for inputs, outputs in shape.sizes]
    weights = entropy.decode(reader.rest(), counts, bits, models)
    # The first version wrote a layer input by input.
    turned = [
        tensor.reshape(inputs + 1, outputs).T.reshape(-1)
        for tensor, (inputs, outputs) in zip(weights, shape.sizes, strict=True)
    ]
    return SirenNetwork(shape, bits, tuple(steps), np.concatenate(turned))


SIREN_1 = Siren1Family()
