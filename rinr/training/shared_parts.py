"""What frames of clips share, brought together: a part that stands in one source serves frames of all others."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rinr.codec.bytestream import PayloadError
from rinr.codec.clip import part_name
from rinr.codec.frame import part_needed
from rinr.shard import check_part, needing_told
from rinr.training.sources import Payloads
from rinr.weights import Parts, Shared, read_shared

log = logging.getLogger(__name__)

_BEGINNING = 40  # bytes of a payload, in which the name of the part that it needs surely stands
_TOLD = 20  # frames of one part in a note


@dataclass(frozen=True)
class Gathered:
    """Frames whose shared parts are all there.

    Attributes:
        sources: those that have such frames, without the others.
        needed: of each source the names of the parts that its frames need, in the order in which they need them.
        parts: all that there are.
        notes: which frames are left out, and why.
    """

    sources: tuple[Payloads, ...]
    needed: tuple[tuple[bytes, ...], ...]
    parts: Parts
    notes: tuple[str, ...]
    _frames: dict[bytes, list[str]]
    _read: dict[bytes, Shared] = field(default_factory=dict)

    def read(self, names: Sequence[bytes]) -> dict[bytes, Shared]:
        """Shared networks, each entropy decoded once for all sources.

        Raises:
            PayloadError: a part cannot be decoded; the message names it and all frames that need it.
        """
        for name in names:
            if name not in self._read:
                try:
                    self._read[name] = read_shared(name, self.parts)
                except PayloadError as error:
                    told = needing_told(self._frames[name])
                    raise PayloadError(f"the shared part {name.hex()}: {error}; {told}") from None
        return {name: self._read[name] for name in names}


def gather(sources: Sequence[Payloads]) -> Gathered:
    """Leave out, with a warning, the frames that need a part which is in none of the sources.

    Raises:
        PayloadError: no frame is left, or a part is not the one that its id says; the message names it and all frames
            that need it.
    """
    needs = [_needs(source) for source in sources]
    frames: dict[bytes, list[str]] = {}
    for source, of_source in zip(sources, needs, strict=True):
        for place, name in of_source.items():
            frames.setdefault(name, []).append(source.image_ids[place].as_py().hex())
    parts: dict[bytes, bytes] = {}
    for source in sources:
        for identity, payload in source.parts:
            try:
                check_part(identity, payload)
            except PayloadError as error:
                where = f"{source.where}: " if source.where else ""
                told = needing_told(frames.get(bytes.fromhex(identity[:16]), []))
                raise PayloadError(f"{where}{error}; {told}") from None
            parts[part_name(payload)] = payload

    kept = [
        (_without(source, {place for place, name in of_source.items() if name not in parts}), of_source)
        for source, of_source in zip(sources, needs, strict=True)
    ]
    kept = [(source, of_source) for source, of_source in kept if len(source)]
    notes = tuple(_left_out(name, image_ids) for name, image_ids in frames.items() if name not in parts)
    if not kept:
        raise PayloadError(f"no encoded frames to train on: {' '.join(notes)}")
    for note in notes:
        log.warning("%s", note)
    return Gathered(
        sources=tuple(source for source, _ in kept),
        needed=tuple(tuple(dict.fromkeys(name for name in each.values() if name in parts)) for _, each in kept),
        parts=parts,
        notes=notes,
        _frames=frames,
    )


def _needs(source: Payloads) -> dict[int, bytes]:
    """Places of a clip's frames, and the name of the part that each needs."""
    beginnings = pc.binary_slice(source.frames, 0, _BEGINNING).to_pylist()
    named = ((place, part_needed(beginning)) for place, beginning in enumerate(beginnings))
    return {place: name for place, name in named if name is not None}


def _without(source: Payloads, places: set[int]) -> Payloads:
    if not places:
        return source
    kept = np.ones(len(source), bool)
    kept[list(places)] = False
    mask = pa.array(kept)
    return replace(source, image_ids=source.image_ids.filter(mask), frames=source.frames.filter(mask))


def _left_out(name: bytes, image_ids: Sequence[str]) -> str:
    more = f" and {len(image_ids) - _TOLD:,} more" if len(image_ids) > _TOLD else ""
    are = "frame is" if len(image_ids) == 1 else "frames are"
    return (
        f"{len(image_ids):,} {are} left out, as the shared part {name.hex()} that their clip needs is not here: "
        f"{', '.join(image_ids[:_TOLD])}{more}."
    )
