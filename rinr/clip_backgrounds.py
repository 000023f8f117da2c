"""Backgrounds of a clip: the network that its frames share, and what each frame adds to what a decoder makes of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from rinr.camera_motion import Brightness, Motion, register, rows_and_columns
from rinr.clip_canvas import Canvas, canvas_of, mosaic, on_canvas
from rinr.clips import brightness, outside, unit
from rinr.codec.clip import NAME_BYTES, ClipPlace, SharedPart, pack_part, part_name
from rinr.codec.frame import EncodedFrame
from rinr.decoder import LoadedFrames
from rinr.frames import Frame
from rinr.networks.cosine_time import COSINE_TIME, CanvasFit, CosineTimeNetwork
from rinr.networks.families import family_named
from rinr.networks.payload import Member, write_networks
from rinr.networks.settings import ClipSettings, CosineTimeSettings
from rinr.weights import NO_SHARED, Shared, frame_weights

_ROUNDS = 2  # a third one gains nothing
_BENEATH_BOXES = 1e-2
"""How much a pixel in a box counts in the mosaic: where no frame shows what is behind, the boxes' mean stands."""


@runtime_checkable
class OfClips(Protocol):
    """A family whose networks are functions of time as well, fitted to all frames of a clip at once."""

    def fit_clip(self, frames: Sequence[Tensor], settings: Any) -> Any:
        """Fit one network to frames ``[height, width, 3]`` of one size, in order of time."""


@dataclass(frozen=True)
class Base:
    """What a clip shares, and where frames lie in it.

    Attributes:
        payload: the shared part's bytes.
        shared: the same, read.
        places: one a frame.
    """

    payload: bytes
    shared: Shared
    places: tuple[ClipPlace, ...]

    @property
    def by_name(self) -> dict[bytes, Shared]:
        """As decoders ask for it."""
        return {part_name(self.payload): self.shared}


Enough = Callable[[Base], bool]
"""Whether a clip's frames are as good over a base as they are alone."""


def fit_base(
    frames: Sequence[Frame],
    motions: Sequence[Motion],
    settings: ClipSettings,
    device: str,
    enough: Enough | None = None,
) -> Base | None:
    """Fit what frames of one size share.

    Args:
        frames: of one clip.
        motions: of each in any one reference.
        settings: of the base.
        device: where to fit.
        enough: where the settings name several steps, the largest that is enough; without it the largest.

    Returns:
        ``None`` where no canvas holds them.
    """
    family, size = family_named(settings.base.family), frames[0].size
    if isinstance(family, OfClips):
        pictures = [unit(frame, device).permute(1, 2, 0) for frame in frames]
        still = ((0, 0),) * len(frames)
        return _base(Member(family, family.fit_clip(pictures, settings.base)), Canvas(size, still, still))
    canvas = canvas_of(settled(frames, motions, device), size)
    if canvas is None:
        return None
    assert isinstance(settings.base, CosineTimeSettings)
    counts = [_counts(frame, device) for frame in frames]
    laid = on_canvas([unit(frame, device) for frame in frames], canvas.motions, canvas.size, counts)

    base, fit = settings.base, CanvasFit(laid, settings.base)

    def made(step: float, sweeps: int) -> Base:
        return _base(Member(COSINE_TIME, fit.network(step, sweeps)), canvas)

    step = largest_enough(base.steps, lambda step: enough is None or enough(made(step, 1)))
    return made(step, base.sweeps)


def largest_enough(steps: Sequence[float], enough: Callable[[float], bool]) -> float:
    """The largest of rising steps that is enough, or the smallest, found by halving."""
    low, high = 0, len(steps) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if enough(steps[middle]) else (low, middle - 1)
    return steps[low]


def _base(member: Member, canvas: Canvas) -> Base:
    part = SharedPart(*canvas.size, write_networks([member]))
    payload = pack_part(part)
    name = part_name(payload)
    places = [
        ClipPlace(name, number, zoom, shift)
        for number, (zoom, shift) in enumerate(zip(canvas.zooms, canvas.shifts, strict=True))
    ]
    return Base(payload, Shared(part, member), tuple(places))


def settled(frames: Sequence[Frame], motions: Sequence[Motion], device: str) -> list[Motion]:
    """Motions looked for once more on the mosaic of them all, where small errors from frame to frame add up."""
    found, size = list(motions), frames[0].size
    known = [brightness(frame, device) for frame in frames]
    for _ in range(_ROUNDS):
        canvas = canvas_of(found, size)
        if canvas is None:
            break
        whole = _brightness_of_all(known, canvas)
        found = [
            register(own, whole, motion, finest=True).motion for own, motion in zip(known, canvas.motions, strict=True)
        ]
    return found


def _brightness_of_all(frames: Sequence[Brightness], canvas: Canvas) -> Brightness:
    """The mosaic of frames at their finest level: what :func:`rinr.camera_motion.register` looks at."""
    level = frames[0].finest
    small = [frame.levels[level] for frame in frames]
    own, whole = frames[0].size, canvas.size
    rows, columns = small[0][0].shape[2:]
    shape = rows_and_columns(whole, level)
    (across, wide), (down, high) = (own[0] / columns, whole[0] / shape[1]), (own[1] / rows, whole[1] / shape[0])
    motions = [
        Motion(
            (motion.scale[0] * across / wide, motion.scale[1] * down / high),
            (motion.shift[0] / wide, motion.shift[1] / high),
        )
        for motion in canvas.motions
    ]
    counts = [count[0, 0].clamp(min=_BENEATH_BOXES) for _, count in small]
    picture, weight = mosaic([luma[0] for luma, _ in small], motions, (shape[1], shape[0]), counts)
    return Brightness(whole, {level: (picture[None], (weight > 0).to(picture)[None, None])})


def fit_difference(
    frame: Frame,
    place: ClipPlace,
    base: Base,
    settings: ClipSettings,
    device: str,
    *,
    wanted: Tensor | None = None,
    tiles: tuple[int, ...] = (),
) -> Member | None:
    """Fit what a frame adds to what its clip shares; ``None``: nothing is worth its bytes.

    Args:
        frame: of the clip.
        place: where it lies.
        base: what the clip shares.
        settings: of the difference.
        device: where to fit.
        wanted: ``[height, width]`` bool, where a difference is wanted; what objects' networks cover is theirs alone.
            ``None``: everywhere.
        tiles: sides of tiles to try in place of the settings'.
    """
    if settings.background is None:
        return None
    own = replace(settings.background, tiles=tiles) if tiles else settings.background
    left = unit(frame, device) - rendered(frame.size, None, device, place, base.by_name)
    left = left if wanted is None else left * wanted
    family = family_named(own.family)
    (network,) = family.fit([left.permute(1, 2, 0)], own)
    return Member(family, network) if network.coarse.any() or network.fine.any() else None


def rendered(
    size: tuple[int, int],
    background: Member | None,
    device: str,
    place: ClipPlace | None = None,
    shared: Mapping[bytes, Shared] = NO_SHARED,
) -> Tensor:
    """A background of a frame of ``(width, height)`` as a decoder makes it, ``[3, height, width]``, not clamped."""
    bare = EncodedFrame(*size, b"", clip=place)
    loaded = LoadedFrames(frame_weights([bare], [background], [()], shared), device)
    (picture,) = loaded.render_backgrounds(torch.tensor([0], device=device), *size)
    return picture


def last_time(shared: Shared) -> int:
    """Of the last frame that a shared network was made for, where it is one of time; otherwise zero."""
    network = shared.member.network if shared.member else None
    return network.frames - 1 if isinstance(network, CosineTimeNetwork) else 0


def canvas_picture(shared: Shared, device: str) -> Tensor:
    """All that a shared network shows at its last time: ``[3, height, width]``, not clamped."""
    name = bytes(NAME_BYTES)
    place = ClipPlace(name, last_time(shared))
    return rendered((shared.part.width, shared.part.height), None, device, place, {name: shared})


def _counts(frame: Frame, device: str) -> Tensor | None:
    there = outside(frame, device)
    return None if there is None else there.float().clamp(min=_BENEATH_BOXES)
