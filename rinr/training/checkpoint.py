"""Checkpoints: a training's state as a file, which says whose it is and whether it is whole.

A safetensors file with one entry of JSON::

    weights.<name>, means.<name>, squares.<name>      tensors, as the state has them
    training    {"key": ..., "sha256": of all the rest, "step": ..., "epochs": [...], ...}

safetensors has no checksum, and a weight with one bit changed is still a number: hence ``sha256``.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from torch import Tensor

from rinr.training.evaluate import Precision
from rinr.training.safetensors_file import WeightsFileError, read_weights, write_weights
from rinr.training.state import Epoch, TrainingState

_ENTRY = "training"
_PARTS = ("weights", "means", "squares")
_NUMBERS = ("step", "learning_rate", "at_once", "loss_sum", "decode_seconds", "step_seconds")


class CheckpointError(ValueError):
    """A checkpoint that is damaged, or none; the message says how."""


def write_checkpoint(state: TrainingState, key: str) -> bytes:
    """A state as a file. The inverse of :func:`read_checkpoint`.

    Args:
        key: says whose it is: a training with another key does not go on from it.
    """
    tensors = {f"{part}.{name}": tensor for part in _PARTS for name, tensor in getattr(state, part).items()}
    document: dict[str, Any] = {name: getattr(state, name) for name in _NUMBERS}
    document["epochs"] = [asdict(epoch) for epoch in state.epochs]
    document["key"] = key
    document["sha256"] = _digest(document, tensors)
    return write_weights(tensors, _ENTRY, json.dumps(document, sort_keys=True))


def read_checkpoint(data: bytes, key: str) -> TrainingState | None:
    """The state of a file; ``None`` where it is another training's.

    Raises:
        CheckpointError: it is damaged, or none.
    """
    try:
        tensors, text = read_weights(data, _ENTRY)
        document = json.loads(text or "")
        expected = document.pop("sha256")
        if _digest(document, tensors) != expected:
            raise ValueError("its bytes are not those that were written")
        if document["key"] != key:
            return None
        parts: dict[str, dict[str, Tensor]] = {part: {} for part in _PARTS}
        for name, tensor in tensors.items():
            part, _, of = name.partition(".")
            parts[part][of] = tensor
        epochs = tuple(_epoch(one) for one in document["epochs"])
        fields: dict[str, Any] = {**{name: document[name] for name in _NUMBERS}, **parts}
        return TrainingState(epochs=epochs, **fields)
    except (WeightsFileError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"it is no checkpoint, or damaged: {str(error)[:150]}") from None


def _digest(document: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def _epoch(fields: Mapping[str, Any]) -> Epoch:
    precision = fields["precision"]
    return Epoch(**{**fields, "precision": Precision(**precision) if precision else None})
