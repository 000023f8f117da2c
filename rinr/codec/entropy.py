"""Entropy coding of quantized weights: ``constriction``'s range coder under models made of integers alone.

A model is a table of integer frequencies over ``-top ... top`` that both ends compute with integer arithmetic from one
byte. Floating point takes no part in it: two machines whose ``exp`` differs in the last bit would build two tables, and
a stream coded under one does not decode under the other.

Model codes: 0 to 63 two-sided geometric (Laplacian) with ratio ``1 - 2**(-code / 4)``; 64 to 127 Gaussian, whose ratio
between neighbours is ``(1 - 2**(-(code - 64) / 4)) ** (2 k - 1)``; 128 flat. Integers of more than 8 bits are split:
their high 8 bits are coded under the model, the low ones flat.
"""

from bisect import bisect_right
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import constriction
import numpy as np
import numpy.typing as npt

from rinr.codec.bits import largest
from rinr.codec.bytestream import PayloadError

_Categorical = constriction.stream.model.Categorical
_Uniform = constriction.stream.model.Uniform

FLAT = 128
MODELS = FLAT + 1
_MODELLED_BITS = 8
_ONE = 1 << 30
_PEAK = 1 << 20
# 2 ** (-j / 4) for j = 0 ... 3, in units of 2 ** -30: written out, so that no machine computes them.
_QUARTER_OCTAVES = (1_073_741_824, 902_905_651, 759_250_125, 638_450_708)

Integers = npt.NDArray[np.int32]


def choose_model(integers: Integers, bits: int) -> int:
    """The code of the model under which these integers cost the fewest bits."""
    top = _top(bits)
    counts = np.bincount(_split(integers, bits)[0] + top, minlength=2 * top + 1)
    return int(np.argmin(_code_lengths(top) @ counts))


def ideal_bits(integers: Integers, bits: int, model: int) -> float:
    """The ideal code length of the integers under a model, in bits."""
    symbols, low = _split(integers, bits)
    top = _top(bits)
    return float(_code_lengths(top)[model][symbols + top].sum()) + low.size * (bits - _MODELLED_BITS)


def encode(tensors: Sequence[Integers], bits: int, models: Sequence[int]) -> bytes:
    """Code flat integer tensors one after another into one stream. The inverse of :func:`decode`."""
    coder, top = constriction.stream.queue.RangeEncoder(), _top(bits)
    for tensor, model in zip(tensors, models, strict=True):
        high, low = _split(tensor, bits)
        coder.encode(high + top, _model(top, model))
        if low.size:
            coder.encode(low, _Uniform(1 << (bits - _MODELLED_BITS)))
    words = coder.get_compressed().astype("<u4").tobytes()
    # The coder works in words of four bytes; zero bytes that end the last one are put back when decoding.
    return words[:-4] + words[-4:].rstrip(b"\0")


def decode(data: bytes, counts: Sequence[int], bits: int, models: Sequence[int]) -> list[Integers]:
    """Decode ``counts[i]`` integers under ``models[i]`` for each tensor. The inverse of :func:`encode`.

    Raises:
        PayloadError: the stream does not hold what was asked.
    """
    padded = data + b"\0" * (-len(data) % 4)
    coder = constriction.stream.queue.RangeDecoder(np.frombuffer(padded, dtype="<u4").astype(np.uint32))
    top = _top(bits)
    tensors = []
    try:
        for count, model in zip(counts, models, strict=True):
            values = coder.decode(_model(top, model), count).astype(np.int32) - top
            if bits > _MODELLED_BITS:
                shift = bits - _MODELLED_BITS
                values = (values << shift) + coder.decode(_Uniform(1 << shift), count).astype(np.int32)
            tensors.append(values)
    except (ValueError, AssertionError, RuntimeError) as error:
        raise PayloadError(f"network payload: the coded weights do not decode: {error}") from None
    return tensors


def _split(integers: Integers, bits: int) -> tuple[Integers, Integers]:
    """High bits, which the model codes, and low bits, which are flat (empty up to 8 bits)."""
    shift = max(bits - _MODELLED_BITS, 0)
    if shift == 0:
        return integers, np.empty(0, dtype=np.int32)
    return integers >> shift, integers & ((1 << shift) - 1)


def _top(bits: int) -> int:
    """The largest magnitude a model has to cover; the high bits of a split integer reach -128."""
    return largest(bits) if bits <= _MODELLED_BITS else 1 << (_MODELLED_BITS - 1)


@cache
def _frequencies(top: int, model: int) -> npt.NDArray[np.int64]:
    """Integer frequencies of ``-top ... top``, none of them zero."""
    if model == FLAT:
        return np.ones(2 * top + 1, dtype=np.int64)
    kind, index = divmod(model, 64)
    ratio = _ONE - (_QUARTER_OCTAVES[index % 4] >> (index // 4))
    square = ratio * ratio >> 30
    side = [_PEAK]
    factor = ratio
    for _ in range(top):
        side.append(max(side[-1] * factor >> 30, 1))
        if kind == 1:
            factor = factor * square >> 30
    return np.array(side[:0:-1] + side, dtype=np.int64)


@cache
def _model(top: int, model: int) -> Any:
    return _Categorical(_frequencies(top, model).astype(np.float64), perfect=False)


@cache
def _code_lengths(top: int) -> npt.NDArray[np.float64]:
    """Bits a symbol, ``[models, symbols]``."""
    tables = np.stack([_frequencies(top, model) for model in range(MODELS)]).astype(np.float64)
    return np.asarray(-np.log2(tables / tables.sum(axis=1, keepdims=True)))


GEOMETRIC_TOP = 2048
"""The largest magnitude of a symbol under a geometric model chosen by its mean."""


class GeometricEncoder:
    """Writes one stream of symbols under geometric models that are chosen by expected magnitude.

    :class:`GeometricDecoder` and :class:`GeometricMeter` have the same methods, so that one walk over what is to be
    coded writes, reads and measures. Expected magnitudes are in 256ths and integers: both ends must choose alike.
    """

    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()

    def signed(self, values: Integers, mean: int) -> Integers:
        """Code values from -2048 to 2048 whose magnitude is expected to be ``mean / 256``; gives them back."""
        self._coder.encode(values + GEOMETRIC_TOP, _signed_model(_CODES[bisect_right(_SIGNED_BOUNDS, mean)]))
        return values

    def unsigned(self, value: int, mean: int) -> int:
        """Code a value from 0 to 2048 that is expected to be ``mean / 256``; gives it back."""
        self._coder.encode(value, _unsigned_model(_CODES[bisect_right(_UNSIGNED_BOUNDS, mean)]))
        return value

    def flat(self, values: Integers, bits: int) -> Integers:
        """Code values of so many bits, all alike; gives them back."""
        if bits:
            self._coder.encode(values, _flat_model(bits))
        return values

    def finish(self) -> bytes:
        """The stream. The coder works in words of four bytes; zero bytes at the end are put back when decoding."""
        return bytes(self._coder.get_compressed().astype("<u4").tobytes().rstrip(b"\0"))


class GeometricDecoder:
    """Reads one stream: the mirror image of :class:`GeometricEncoder`. Values given to it only say how many to read.

    Raises:
        PayloadError: in any method, where the stream does not hold what is asked.
    """

    def __init__(self, data: bytes) -> None:
        padded = data + b"\0" * (-len(data) % 4)
        self._coder = constriction.stream.queue.RangeDecoder(np.frombuffer(padded, dtype="<u4").astype(np.uint32))

    def signed(self, values: Integers, mean: int) -> Integers:
        """The next values from -2048 to 2048."""
        return self._take(_signed_model(_CODES[bisect_right(_SIGNED_BOUNDS, mean)]), len(values)) - GEOMETRIC_TOP

    def unsigned(self, value: int, mean: int) -> int:
        """The next value from 0 to 2048."""
        return int(self._take(_unsigned_model(_CODES[bisect_right(_UNSIGNED_BOUNDS, mean)]), 1)[0])

    def flat(self, values: Integers, bits: int) -> Integers:
        """The next values of so many bits."""
        return self._take(_flat_model(bits), len(values)) if bits else np.zeros_like(values)

    def expect_end(self) -> None:
        """Refuse a stream that holds more than was taken."""
        if not self._coder.maybe_exhausted():
            raise PayloadError("coded weights: bytes left over at the end of the stream")

    def _take(self, model: Any, count: int) -> Integers:
        try:
            return np.asarray(self._coder.decode(model, count), dtype=np.int32)
        except (ValueError, AssertionError, RuntimeError) as error:
            raise PayloadError(f"coded weights: the stream does not decode: {error}") from None


class GeometricMeter:
    """Adds up ideal code lengths in place of writing: ``bits``."""

    def __init__(self) -> None:
        self.bits = 0.0

    def signed(self, values: Integers, mean: int) -> Integers:
        """Add what :meth:`GeometricEncoder.signed` would cost."""
        self.bits += float(_signed_lengths(_CODES[bisect_right(_SIGNED_BOUNDS, mean)])[np.abs(values)].sum())
        return values

    def unsigned(self, value: int, mean: int) -> int:
        """Add what :meth:`GeometricEncoder.unsigned` would cost."""
        self.bits += float(_unsigned_lengths(_CODES[bisect_right(_UNSIGNED_BOUNDS, mean)])[value])
        return value

    def flat(self, values: Integers, bits: int) -> Integers:
        """Add so many bits a value."""
        self.bits += len(values) * bits
        return values


def _ratio(code: int) -> int:
    return _ONE - (_QUARTER_OCTAVES[code % 4] >> (code // 4))


def _bounds(means: Sequence[int]) -> list[int]:
    """Expected magnitudes, in 256ths, from which the next code's model fits better."""
    return [(low + high) // 2 for low, high in pairwise(means)]


# Code 0 allows nothing but zeros, so that one surprise would cost as much as twenty weights.
_CODES = range(1, 45)
_SIGNED_BOUNDS = _bounds([512 * _ratio(c) * _ONE // (_ONE * _ONE - _ratio(c) ** 2) for c in _CODES])
_UNSIGNED_BOUNDS = _bounds([256 * _ratio(c) // (_ONE - _ratio(c)) for c in _CODES])


@cache
def _signed_model(code: int) -> Any:
    return _Categorical(_frequencies(GEOMETRIC_TOP, code).astype(np.float64), perfect=False)


@cache
def _unsigned_model(code: int) -> Any:
    return _Categorical(_frequencies(GEOMETRIC_TOP, code)[GEOMETRIC_TOP:].astype(np.float64), perfect=False)


@cache
def _flat_model(bits: int) -> Any:
    return _Uniform(1 << bits)


@cache
def _signed_lengths(code: int) -> npt.NDArray[np.float64]:
    return _lengths(_frequencies(GEOMETRIC_TOP, code))[GEOMETRIC_TOP:]


@cache
def _unsigned_lengths(code: int) -> npt.NDArray[np.float64]:
    return _lengths(_frequencies(GEOMETRIC_TOP, code)[GEOMETRIC_TOP:])


def _lengths(frequencies: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.log2(frequencies.sum()) - np.log2(frequencies))
