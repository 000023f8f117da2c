"""Frames after entropy decoding: their networks as arrays of small integers, those of one shape stacked.

That is what lies on an accelerator while a detector is trained, and what a cache on the disk holds.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rinr.box_arrays import box_arrays
from rinr.boxes import Box
from rinr.codec.bytestream import PayloadError
from rinr.codec.clip import SharedPart, part_name, unpack_part
from rinr.codec.frame import EncodedFrame
from rinr.networks.family import Arrays
from rinr.networks.payload import Member, read_networks
from rinr.networks.rows import Segments, pieces_of

Parts = Mapping[bytes, bytes]
"""Shared parts by the names that frames call them by (:func:`rinr.codec.clip.part_name`)."""

NO_PARTS: Parts = {}
NO_SHARED: Mapping[bytes, "Shared"] = {}

# Bytes a network: what is smaller is soon copied, and dear to gather piece by piece.
_LARGE_ROW = 256


@dataclass(frozen=True)
class Shared:
    """A shared part whose network was read, or fitted, already."""

    part: SharedPart
    member: Member | None


@dataclass(frozen=True)
class Stacked:
    """Networks that one family renders together.

    Attributes:
        family: its name.
        arrays: as the family's ``arrays`` gives them.
        group: what its networks have in common, in words: those of equal family and group can be stacked.
    """

    family: str
    arrays: Arrays
    group: str = ""


@dataclass(frozen=True)
class NetworkWeights:
    """Networks of any groups.

    Attributes:
        stack_of: ``[networks]`` int32, in which stack each is; -1: there is none, and nothing is added there.
        place_in: ``[networks]`` int32, its place in that stack.
        stacks: one a group.
    """

    stack_of: npt.NDArray[np.int32]
    place_in: npt.NDArray[np.int32]
    stacks: tuple[Stacked, ...]


@dataclass(frozen=True)
class FrameWeights:
    """Frames with their networks.

    Attributes:
        sizes: ``[frames, 2]`` int32, width and height of the working frames in pixels.
        pasted: ``[frames]`` bool, whether objects replace the background.
        backgrounds: one a frame.
        boxes: ``[objects, 4]`` int32, x, y, width and height in pixels of the working frame.
        owners: ``[objects]`` int32, the frame of each, rising.
        labels: ``[objects]`` int32, indices into ``names``.
        overlapping: ``[objects]`` bool, whether the box shares a pixel with another of its frame.
        objects: one an object.
        names: of labels, sorted.
        shared: networks of shared parts, one a part, to which backgrounds of clips' frames are added.
        part_of: ``[frames]`` int32, which shared network a frame lies in; -1: it stands alone.
        places: ``[frames, 5]`` float64, of frames of a clip: see :meth:`rinr.codec.clip.ClipPlace.window`, then time.
    """

    sizes: npt.NDArray[np.int32]
    pasted: npt.NDArray[np.bool_]
    backgrounds: NetworkWeights
    boxes: npt.NDArray[np.int32]
    owners: npt.NDArray[np.int32]
    labels: npt.NDArray[np.int32]
    overlapping: npt.NDArray[np.bool_]
    objects: NetworkWeights
    names: tuple[str, ...]
    shared: NetworkWeights
    part_of: npt.NDArray[np.int32]
    places: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def nbytes(self) -> int:
        """Bytes of all networks."""
        stacks = (*self.backgrounds.stacks, *self.objects.stacks, *self.shared.stacks)
        return sum(int(array.nbytes) for stacked in stacks for array in stacked.arrays.values())


class MissingPartError(PayloadError):
    """A frame needs a shared part that is not there.

    Attributes:
        part: its name.
    """

    def __init__(self, part: bytes) -> None:
        super().__init__(f"frame payload: it needs the shared part {part.hex()}, which is not here")
        self.part = part


def parts_of(payloads: Iterable[bytes]) -> dict[bytes, bytes]:
    """Payloads of shared parts by their names."""
    return {part_name(payload): payload for payload in payloads}


def entropy_decode(
    frames: Sequence[EncodedFrame], parts: Parts = NO_PARTS, read: Mapping[bytes, Shared] = NO_SHARED
) -> FrameWeights:
    """The weights of frames, and of the shared parts that they need.

    Args:
        frames: alone, or of clips.
        parts: the shared parts that they need.
        read: those of them that were read already.

    Raises:
        MissingPartError: a frame needs a part that is not among ``parts``.
        PayloadError: a network payload, or a shared part, is malformed, or a part is not the one that its name says.
    """
    backgrounds = [read_networks(frame.background, [(frame.width, frame.height)])[0] for frame in frames]
    objects = [read_networks(frame.objects, [(box.width, box.height) for box in frame.boxes]) for frame in frames]
    needed = {frame.clip.part: None for frame in frames if frame.clip}  # in the order in which they are needed
    return frame_weights(
        frames, backgrounds, objects, {name: read.get(name) or read_shared(name, parts) for name in needed}
    )


def read_shared(name: bytes, parts: Parts) -> Shared:
    """Entropy decode one shared part.

    Raises:
        MissingPartError: it is not among ``parts``.
        PayloadError: it is malformed, or not the one that its name says.
    """
    payload = parts.get(name)
    if payload is None:
        raise MissingPartError(name)
    if part_name(payload) != name:
        raise PayloadError(f"shared part {name.hex()}: its hash is {part_name(payload).hex()}: damaged, or another one")
    return read_part(payload)


def read_part(payload: bytes) -> Shared:
    """Entropy decode a shared part.

    Raises:
        PayloadError: malformed.
    """
    part = unpack_part(payload)
    (member,) = read_networks(part.network, [(part.width, part.height)])
    return Shared(part, member)


def frame_weights(
    frames: Sequence[EncodedFrame],
    backgrounds: Sequence[Member | None],
    objects: Sequence[Sequence[Member | None]],
    shared: Mapping[bytes, Shared] = NO_SHARED,
) -> FrameWeights:
    """The weights of frames whose networks were read, or fitted, already.

    Args:
        frames: of which sizes and boxes are taken.
        backgrounds: one a frame; ``None`` is black.
        objects: one a box of each frame; ``None`` adds nothing.
        shared: what frames of a clip lie in, by name.
    """
    number = {name: index for index, name in enumerate(shared)}
    canvases = {name: (each.part.width, each.part.height) for name, each in shared.items()}
    labelled = box_arrays([frame.boxes for frame in frames])
    return FrameWeights(
        sizes=_integers([(frame.width, frame.height) for frame in frames], 2),
        pasted=np.array([frame.pasted for frame in frames], dtype=np.bool_),
        backgrounds=_networks(backgrounds),
        boxes=labelled.boxes,
        owners=labelled.owners,
        labels=labelled.labels,
        overlapping=np.array([each for frame in frames for each in _overlapping(frame.boxes)], dtype=np.bool_),
        objects=_networks([member for of_frame in objects for member in of_frame]),
        names=labelled.names,
        shared=_networks([each.member for each in shared.values()]),
        part_of=_integers([number[frame.clip.part] if frame.clip else -1 for frame in frames]),
        places=np.array([_place(frame, canvases) for frame in frames], dtype=np.float64).reshape(-1, 5),
    )


def _place(frame: EncodedFrame, canvases: Mapping[bytes, tuple[int, int]]) -> tuple[float, ...]:
    if not frame.clip:
        return 1.0, 0.0, 1.0, 0.0, 0.0
    return *frame.clip.window((frame.width, frame.height), canvases[frame.clip.part]), float(frame.clip.time)


def join(parts: Sequence[FrameWeights], *, copy: bool = True) -> FrameWeights:
    """Weights of several sets of frames as those of all of them, one after another.

    Args:
        parts: one or more.
        copy: arrays are copied to lie in one piece. Otherwise the large ones stay in their pieces.
    """
    if len(parts) == 1:
        return parts[0]
    names = tuple(sorted({name for part in parts for name in part.names}))
    number = {name: index for index, name in enumerate(names)}
    firsts = np.cumsum([0, *map(len, parts)])
    before_shared = np.cumsum([0, *(len(part.shared.stack_of) for part in parts)])
    return FrameWeights(
        sizes=np.concatenate([part.sizes for part in parts]),
        pasted=np.concatenate([part.pasted for part in parts]),
        backgrounds=_join_networks([part.backgrounds for part in parts], copy),
        boxes=np.concatenate([part.boxes for part in parts]),
        owners=np.concatenate([part.owners + np.int32(first) for part, first in zip(parts, firsts, strict=False)]),
        labels=np.concatenate([_integers([number[name] for name in part.names])[part.labels] for part in parts]),
        overlapping=np.concatenate([part.overlapping for part in parts]),
        objects=_join_networks([part.objects for part in parts], copy),
        names=names,
        shared=_join_networks([part.shared for part in parts], copy),
        part_of=np.concatenate(
            [
                np.where(part.part_of < 0, -1, part.part_of + before).astype(np.int32)
                for part, before in zip(parts, before_shared, strict=False)
            ]
        ),
        places=np.concatenate([part.places for part in parts]),
    )


def _join_networks(parts: Sequence[NetworkWeights], copy: bool) -> NetworkWeights:
    groups: dict[tuple[str, str], list[Stacked]] = {}
    stack_of, place_in = [], []
    for part in parts:
        numbers, before = [], []
        for stacked in part.stacks:
            own = groups.setdefault((stacked.family, stacked.group), [])
            numbers.append(list(groups).index((stacked.family, stacked.group)))
            before.append(sum(len(next(iter(other.arrays.values()))) for other in own))
            own.append(stacked)
        there = part.stack_of >= 0
        # The last entries are for networks that are not there: -1 is the last place.
        stack_of.append(_integers([*numbers, -1])[part.stack_of])
        place_in.append(part.place_in + np.where(there, _integers([*before, 0])[part.stack_of], 0).astype(np.int32))
    stacks = tuple(Stacked(own[0].family, _join_arrays(own, copy), own[0].group) for own in groups.values())
    return NetworkWeights(np.concatenate(stack_of), np.concatenate(place_in), stacks)


def _join_arrays(stacks: Sequence[Stacked], copy: bool) -> Arrays:
    joined: dict[str, Any] = {}
    for name, first in stacks[0].arrays.items():
        pieces = [piece for stacked in stacks for piece in pieces_of(stacked.arrays[name])]
        large = first.nbytes > _LARGE_ROW * len(first)
        joined[name] = np.concatenate(pieces) if copy or not large or len(pieces) == 1 else Segments(pieces)
    return joined


def _networks(members: Sequence[Member | None]) -> NetworkWeights:
    groups: dict[Hashable, list[int]] = {}
    for index, member in enumerate(members):
        if member:
            groups.setdefault(member.group, []).append(index)
    stack_of, place_in = np.full(len(members), -1, dtype=np.int32), np.zeros(len(members), dtype=np.int32)
    stacks: list[Stacked] = []
    for group in groups.values():
        inside = [member for index in group if (member := members[index])]
        stack_of[group], place_in[group] = len(stacks), np.arange(len(group))
        family = inside[0].family
        arrays = family.arrays([member.network for member in inside])
        stacks.append(Stacked(family.name, arrays, repr(inside[0].network.group)))
    return NetworkWeights(stack_of, place_in, tuple(stacks))


def _integers(values: Sequence[object], width: int = 0) -> npt.NDArray[np.int32]:
    return np.array(values, dtype=np.int32).reshape((-1, width) if width else (-1,))


def _overlapping(boxes: Sequence[Box]) -> list[bool]:
    """Whether each box shares a pixel with another one."""
    sides = _integers([(b.x, b.y, b.x + b.width, b.y + b.height) for b in boxes], 4)
    shared = []
    for one in sides:  # one after another: thousands of boxes need no table of pairs
        start, stop = np.maximum(sides[:, :2], one[:2]), np.minimum(sides[:, 2:], one[2:])
        shared.append(int((start < stop).all(axis=1).sum()) > 1)
    return shared
