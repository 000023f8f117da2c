"""From payloads to weights: out of the cache where they are in it, by entropy decoding otherwise."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from rinr.codec.bytestream import PayloadError
from rinr.codec.frame import unpack_frame
from rinr.training import cache
from rinr.training.shared_parts import gather
from rinr.training.sources import Payloads
from rinr.weights import FrameWeights, Shared, entropy_decode, join
from rinr.weights_file import map_weights

log = logging.getLogger(__name__)

OnFrames = Callable[[int, int], None]
"""Told how many frames are ready, and how many there are in all."""

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")

_CHUNK = 256  # frames as Python objects at a time


@dataclass(frozen=True)
class Loaded:
    """Weights of a source.

    Attributes:
        weights: of all frames, in their order.
        image_ids: of them, source by source.
        files: in which they lie, in the order of the frames; ``None`` where some lie in memory alone.
        notes: what a reader has to know, such as that there is no cache as the disk is full.
    """

    weights: FrameWeights
    image_ids: tuple[pa.ChunkedArray, ...]
    files: tuple[Path, ...] | None
    notes: tuple[str, ...]


def load_weights(sources: Sequence[Payloads], folder: Path | None, on_frames: OnFrames | None = None) -> Loaded:
    """Entropy decode what is not in the cache, and put it there.

    Frames that need a shared part which is in none of the sources are left out, and stand in the notes.

    Args:
        sources: each has a file of its own in the cache.
        folder: of the cache; without one nothing is written or read.
        on_frames: for progress.

    Raises:
        PayloadError: a payload that cannot be decoded; the message names its image, or its images where it is what
            they share. Or no frame is left.
    """
    gathered = gather(sources)
    total, done = sum(map(len, gathered.sources)), 0
    parts: list[FrameWeights] = []
    files: list[Path] = []
    notes = list(gathered.notes)
    for source, names in zip(gathered.sources, gathered.needed, strict=True):

        def tell(ready: int, before: int = done) -> None:
            if on_frames:
                on_frames(before + ready, total)

        key = cache.key_of(source.frames, [gathered.parts[name] for name in names]) if folder else ""
        found: tuple[Path | None, FrameWeights] | None = cache.find(folder, key) if folder else None
        if not found:
            decoded = _decode(source, gathered.read(names), tell)
            found = None, decoded
            if folder:
                try:
                    written = cache.put(folder, key, decoded)
                    found = written, map_weights(written)
                except OSError as error:
                    notes.append(
                        f"There is no cache of {source.where or 'these frames'}, as it cannot be written: {error}. "
                        "The frames will be entropy decoded again next time."
                    )
                    log.warning("%s", notes[-1])
        file, weights = found
        parts.append(weights)
        if file:
            files.append(file)
        done += len(source)
        tell(0, done)
    image_ids = tuple(source.image_ids for source in gathered.sources)
    in_files = tuple(files) if len(files) == len(gathered.sources) else None
    return Loaded(join(parts, copy=not files), image_ids, in_files, tuple(notes))


def reopen(files: Sequence[Path]) -> FrameWeights:
    """The weights of cached files in a worker process; its parent has checked the files, which never change.

    Raises:
        OSError: a file is not there any more.
    """
    return join([map_weights(file) for file in files], copy=False)


def _decode(source: Payloads, shared: Mapping[bytes, Shared], tell: Callable[[int], None]) -> FrameWeights:
    parts = []
    for first in range(0, len(source), _CHUNK):
        payloads = source.frames.slice(first, _CHUNK).to_pylist()
        names = [raw.hex() for raw in source.image_ids.slice(first, _CHUNK).to_pylist()]
        frames = [_named(unpack_frame, payload, name, source) for payload, name in zip(payloads, names, strict=True)]
        try:
            parts.append(entropy_decode(frames, read=shared))
        except PayloadError:  # which one it was is found one by one
            for frame, name in zip(frames, names, strict=True):
                _named(partial(entropy_decode, read=shared), [frame], name, source)
            raise
        tell(first + len(frames))
    return join(parts)


def _named(work: Callable[[_Given], _Made], given: _Given, image_id: str, source: Payloads) -> _Made:
    """Some work on one frame; its error names the image, and the file where it is from one."""
    try:
        return work(given)
    except PayloadError as error:
        where = f"{source.where}: " if source.where else ""
        raise PayloadError(f"{where}the frame of image {image_id}: {error}") from None
