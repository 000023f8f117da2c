"""Weights of frames in a file that is mapped into memory: an Arrow IPC file of one row, a list an array.

Shapes, families and labels stand in the schema's metadata as JSON. Nothing is checked here but that the file is one of
these: who opens it knows by a hash that it is what was written.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rinr.weights import FrameWeights, NetworkWeights, Stacked

WEIGHTS_VERSION = 2
"""Changes whenever a family's arrays, or what they mean, do: files of other versions are not read."""

_ABOUT = b"rinr weights"
_OF_FRAMES = ("sizes", "pasted", "boxes", "owners", "labels", "overlapping", "part_of", "places")
_NETWORKS = ("backgrounds", "objects", "shared")

Array = npt.NDArray[Any]


def write_weights(path: Path, weights: FrameWeights) -> None:
    """Write weights to a file. The inverse of :func:`map_weights`.

    Raises:
        OSError: the file cannot be written.
    """
    arrays = dict(_arrays(weights))
    columns = []
    for array in arrays.values():
        flat = np.ascontiguousarray(array).reshape(-1)
        values = pa.array(flat.view(np.uint8) if flat.dtype == np.bool_ else flat)
        columns.append(pa.LargeListArray.from_arrays(pa.array([0, len(flat)], pa.int64()), values))
    about = {
        "version": WEIGHTS_VERSION,
        "names": weights.names,
        "arrays": {name: [array.dtype.str, *array.shape] for name, array in arrays.items()},
        **{kind: [[stacked.family, stacked.group] for stacked in getattr(weights, kind).stacks] for kind in _NETWORKS},
    }
    batch = pa.record_batch(columns, names=list(arrays))
    schema = batch.schema.with_metadata({_ABOUT: json.dumps(about)})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        writer.write(batch.replace_schema_metadata(schema.metadata))


def map_weights(path: Path) -> FrameWeights:
    """Weights in a file, as arrays over its memory map: what is read of them is read from the disk when it is used.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a file of weights of this version.
    """
    # Private to this process, so that arrays over it may be handed to torch, which wants to be able to write.
    memory = np.asarray(np.memmap(path, dtype=np.uint8, mode="c"))
    batch = pa.ipc.open_file(pa.py_buffer(memory)).get_batch(0)
    about = json.loads(batch.schema.metadata[_ABOUT])
    if about["version"] != WEIGHTS_VERSION:
        raise ValueError(f"{path}: weights of version {about['version']}, expected {WEIGHTS_VERSION}")
    arrays: dict[str, Array] = {}
    for name, (dtype, *shape) in about["arrays"].items():
        values = batch.column(name).values
        start = values.buffers()[1].address - memory.ctypes.data if len(values) else 0
        size = len(values) * np.dtype(dtype).itemsize
        arrays[name] = memory[start : start + size].view(dtype).reshape(shape)

    def networks(kind: str) -> NetworkWeights:
        stacks = []
        for number, (family, group) in enumerate(about[kind]):
            prefix = f"{kind}.{number}."
            own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
            stacks.append(Stacked(family, own, group))
        return NetworkWeights(arrays[f"{kind}.stack_of"], arrays[f"{kind}.place_in"], tuple(stacks))

    of_frames: dict[str, Any] = {name: arrays[name] for name in _OF_FRAMES}
    of_networks: dict[str, Any] = {kind: networks(kind) for kind in _NETWORKS}
    return FrameWeights(**of_frames, **of_networks, names=tuple(about["names"]))


def _arrays(weights: FrameWeights) -> Iterator[tuple[str, Array]]:
    for name in _OF_FRAMES:
        yield name, getattr(weights, name)
    for kind in _NETWORKS:
        networks: NetworkWeights = getattr(weights, kind)
        yield f"{kind}.stack_of", networks.stack_of
        yield f"{kind}.place_in", networks.place_in
        for number, stacked in enumerate(networks.stacks):
            for name, array in stacked.arrays.items():
                yield f"{kind}.{number}.{name}", np.asarray(array)
