"""Entropy coding of signed integers under static models, one a level of expected magnitude.

``constriction``'s range coder under tables of integer counts that are shipped with the package (``symbol_counts.csv``;
how they were made stands in ``benchmarks/fit_symbol_counts.py``): a row a level, a column a magnitude from 0 to 32.
A value and its negative are equally likely. Magnitude 32 stands for 32 and more: what is over follows after all values
that were put together at this level, for each a number of bits, flat below 16, and those bits less the leading one,
flat.
"""

from functools import cache
from importlib.resources import files
from typing import Any

import constriction
import numpy as np
import numpy.typing as npt

from rinr.codec.bytestream import PayloadError

LEVELS = 64
ESCAPE = 32
MAX_MAGNITUDE = ESCAPE + (1 << 15) - 2
_LENGTHS = 16
_ESCAPES_OF_LAST_WORDS = 32  # 16 bytes: the words that a decoder reads ahead, and zeros that were left out

Integers = npt.NDArray[np.int32]

_Categorical = constriction.stream.model.Categorical
_Uniform = constriction.stream.model.Uniform


class SymbolEncoder:
    """Writes one stream. The mirror image of :class:`SymbolDecoder`."""

    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()

    def put(self, values: Integers, levels: npt.NDArray[np.int64]) -> None:
        """Code values, sorted by their levels and otherwise in their order.

        Args:
            values: ``[n]``, at most ``MAX_MAGNITUDE`` in magnitude.
            levels: ``[n]``, from 0 to ``LEVELS - 1``.
        """
        for level, mine in _runs(levels):
            some = values[mine]
            clipped = np.minimum(np.maximum(some, -ESCAPE), ESCAPE)  # np.clip looks up its limits each time
            self._coder.encode((clipped + ESCAPE).astype(np.int32), _model(level))
            for over in np.abs(some[np.abs(clipped) == ESCAPE]) - ESCAPE + 1:
                bits = int(over).bit_length() - 1
                self._coder.encode(bits, _uniform(_LENGTHS))
                if bits:
                    self._coder.encode(int(over) - (1 << bits), _uniform(1 << bits))

    def finish(self) -> bytes:
        """The stream. The coder works in words of four bytes; zero bytes at the end are put back when decoding."""
        return bytes(self._coder.get_compressed().astype("<u4").tobytes().rstrip(b"\0"))


class SymbolDecoder:
    """Reads one stream. The mirror image of :class:`SymbolEncoder`."""

    def __init__(self, data: bytes, what: str) -> None:
        padded = data + b"\0" * (-len(data) % 4)
        self._what = what
        # Beyond its end a stream reads as zeros, which are escapes. One costs four bits and more, and some time.
        self._escapes_left = 2 * len(data) + _ESCAPES_OF_LAST_WORDS
        self._coder = constriction.stream.queue.RangeDecoder(np.frombuffer(padded, dtype="<u4").astype(np.uint32))

    def take(self, levels: npt.NDArray[np.int64]) -> Integers:
        """Decode one value a level, in the order in which they were put.

        Raises:
            PayloadError: the stream does not hold what was asked.
        """
        values = np.empty(len(levels), dtype=np.int32)
        try:
            for level, mine in _runs(levels):
                some = self._coder.decode(_model(level), len(mine)).astype(np.int32) - ESCAPE
                escaped = np.flatnonzero(np.abs(some) == ESCAPE)
                self._escapes_left -= len(escaped)
                if self._escapes_left < 0:
                    raise PayloadError(f"{self._what}: the coded weights end before all are read")
                for index in escaped:
                    bits = int(self._coder.decode(_uniform(_LENGTHS)))
                    over = (1 << bits) + (int(self._coder.decode(_uniform(1 << bits))) if bits else 0)
                    some[index] = np.sign(some[index]) * (ESCAPE + over - 1)
                values[mine] = some
        except PayloadError:
            raise
        except (ValueError, AssertionError, RuntimeError) as error:
            raise PayloadError(f"{self._what}: the coded weights do not decode: {error}") from None
        return values


@cache
def code_lengths() -> npt.NDArray[np.float32]:
    """Bits of a value by level and magnitude, its sign included, ``[LEVELS, ESCAPE + 1]``; not what follows escapes."""
    counts = _counts().astype(np.float64)
    total = 2 * counts.sum(axis=1, keepdims=True)
    counts[:, 0] *= 2
    return np.asarray(-np.log2(counts / total), dtype=np.float32)


def ideal_bits(values: Integers, levels: npt.NDArray[np.int64]) -> float:
    """The ideal code length of values under their levels' models, in bits."""
    magnitudes = np.abs(values)
    escaped = magnitudes[magnitudes >= ESCAPE] - ESCAPE + 1
    bits = code_lengths().astype(np.float64)[levels, np.minimum(magnitudes, ESCAPE)].sum()
    return float(bits + sum(np.log2(_LENGTHS) + int(over).bit_length() - 1 for over in escaped))


def _runs(levels: npt.NDArray[np.int64]) -> list[tuple[int, npt.NDArray[np.int64]]]:
    """Each level that stands there, in rising order, with the places where it stands."""
    order = np.argsort(levels, kind="stable")
    starts = np.flatnonzero(np.diff(levels[order], prepend=-1))
    return [(int(levels[part[0]]), part) for part in np.split(order, starts[1:]) if len(part)]


@cache
def _counts() -> npt.NDArray[np.int64]:
    text = files("rinr.codec").joinpath("symbol_counts.csv").read_text()
    return np.array([[int(cell) for cell in line.split(",")] for line in text.split()], dtype=np.int64)


@cache
def _model(level: int) -> Any:
    side = _counts()[level].astype(np.float64)
    return _Categorical(np.concatenate([side[:0:-1], 2 * side[:1], side[1:]]), perfect=False)


@cache
def _uniform(size: int) -> Any:
    return _Uniform(max(size, 2))
