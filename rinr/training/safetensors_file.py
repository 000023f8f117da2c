"""Tensors in a safetensors file with one entry of text beside them: bounded when read, and never unpickled.

One entry alone, since safetensors writes several in an order that differs from run to run, and equal weights are to be
equal bytes.
"""

import json
from collections.abc import Mapping

import torch
from torch import Tensor

MAX_BYTES = 512 * 1024 * 1024
"""Of a file that is read."""

MAX_TENSORS = 10_000

_MAX_HEADER = 4 * 1024 * 1024


class WeightsFileError(ValueError):
    """A file that is no weights file that is taken; the message says what was expected."""


def write_weights(tensors: Mapping[str, Tensor], name: str, text: str) -> bytes:
    """A file of the tensors and the entry ``name``. The inverse of :func:`read_weights`."""
    import safetensors.torch

    return safetensors.torch.save(
        {of: tensor.detach().cpu().contiguous() for of, tensor in tensors.items()}, {name: text}
    )


def read_weights(data: bytes, name: str) -> tuple[dict[str, Tensor], str | None]:
    """The tensors of a file, on the CPU, and its entry ``name``; ``None`` where it has no such entry.

    Raises:
        WeightsFileError: it is too large, no safetensors file, or holds what is no finite number.
    """
    import safetensors
    import safetensors.torch

    if len(data) > MAX_BYTES:
        raise WeightsFileError(f"it has {len(data):,} bytes, expected at most {MAX_BYTES:,}")
    header = _header(data)
    try:
        tensors = safetensors.torch.load(data)
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise WeightsFileError(f"it is no safetensors file: {str(error)[:100]}") from None
    for of, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise WeightsFileError(f"its {of[:80]!r} holds what is no finite number")
    entries = header.get("__metadata__", {})
    text = entries.get(name) if isinstance(entries, dict) else None
    return tensors, text if isinstance(text, str) else None


def _header(data: bytes) -> dict[str, object]:
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= size <= min(_MAX_HEADER, len(data) - 8):
        raise WeightsFileError("it is no safetensors file: it ends before its header does, or has none")
    try:
        header = json.loads(data[8 : 8 + size])
    except (ValueError, RecursionError):
        raise WeightsFileError("it is no safetensors file: its header is not JSON") from None
    if not isinstance(header, dict) or len(header) > MAX_TENSORS:
        raise WeightsFileError(f"it is no safetensors file of at most {MAX_TENSORS:,} tensors")
    return header
