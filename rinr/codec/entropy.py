"""Entropy coding of quantized weights: ``constriction``'s range coder under models made of integers alone.

A model is a table of integer frequencies over ``-top ... top`` that both ends compute with integer arithmetic from one
byte. Floating point takes no part in it: two machines whose ``exp`` differs in the last bit would build two tables, and
a stream coded under one does not decode under the other.

Model codes: 0 to 63 two-sided geometric (Laplacian) with ratio ``1 - 2**(-code / 4)``; 64 to 127 Gaussian, whose ratio
between neighbours is ``(1 - 2**(-(code - 64) / 4)) ** (2 k - 1)``; 128 flat. Integers of more than 8 bits are split:
their high 8 bits are coded under the model, the low ones flat.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import constriction
import numpy as np
import numpy.typing as npt

from rinr.codec.bytestream import PayloadError
from rinr.codec.quantize import largest

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
