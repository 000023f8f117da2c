"""Backgrounds of a clip: the network that its frames share, and what each frame adds to what a decoder makes of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from rinr.camera_motion import Brightness, Motion, register, rows_and_columns
from rinr.clip_canvas import Canvas, canvas_of, mosaic
from rinr.clips import brightness, outside, unit
from rinr.codec.clip import ClipPlace, SharedPart, pack_part, part_name
from rinr.codec.frame import EncodedFrame
from rinr.decoder import LoadedFrames
from rinr.frames import Frame
from rinr.networks.families import family_named
from rinr.networks.payload import Member, write_networks
from rinr.networks.settings import ClipSettings, CosineSettings
from rinr.weights import NO_SHARED, Shared, frame_weights

ROUNDS = 2  # a third one gains nothing
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


def fit_base(
    frames: Sequence[Frame],
    motions: Sequence[Motion],
    settings: ClipSettings,
    device: str,
    tiles: tuple[int, ...] = (),
    *,
    rounds: int = ROUNDS,
) -> Base | None:
    """Fit what frames of one size share.

    Args:
        frames: of one clip.
        motions: of each in any one reference.
        settings: of the base.
        device: where to fit.
        tiles: sides of tiles to try in place of the settings'.
        rounds: see :func:`settled`.

    Returns:
        ``None`` where no canvas holds them.
    """
    family, size = family_named(settings.base.family), frames[0].size
    if isinstance(family, OfClips):
        pictures = [unit(frame, device).permute(1, 2, 0) for frame in frames]
        network = family.fit_clip(pictures, settings.base)
        canvas, times = Canvas(size, ((0, 0),) * len(frames), ((0, 0),) * len(frames)), list(range(len(frames)))
    else:
        found = canvas_of(settled(frames, motions, device, rounds), size)
        if found is None:
            return None
        canvas, times = found, [0] * len(frames)
        picture = mosaic_of(frames, canvas, device)
        own = base_settings(settings, len(frames))
        (network,) = family.fit([picture.permute(1, 2, 0)], replace(own, tiles=tiles) if tiles else own)
    member = Member(family, network)
    part = SharedPart(*canvas.size, write_networks([member]))
    payload = pack_part(part)
    name = part_name(payload)
    places = (
        ClipPlace(name, time, zoom, shift) for time, zoom, shift in zip(times, canvas.zooms, canvas.shifts, strict=True)
    )
    return Base(payload, Shared(part, member), tuple(places))


def base_settings(settings: ClipSettings, frames: int) -> CosineSettings:
    """Of the base of so many frames: its step falls as the root of their number, as an error's worth rises with it."""
    base, step = settings.base, settings.base.step * math.sqrt(settings.most_frames / frames)
    return replace(base, step=min(step, settings.background.step) if settings.background else step)


def settled(frames: Sequence[Frame], motions: Sequence[Motion], device: str, rounds: int = ROUNDS) -> list[Motion]:
    """Motions looked for again, ``rounds`` times, on the mosaic of them all: errors from frame to frame add up."""
    found, size = list(motions), frames[0].size
    known = [brightness(frame, device) for frame in frames]
    for _ in range(rounds):
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


def mosaic_of(frames: Sequence[Frame], canvas: Canvas, device: str) -> Tensor:
    """The mean of frames on their canvas, ``[3, height, width]``; boxes count where nothing else is known."""
    counts = [_counts(frame, device) for frame in frames]
    picture, _ = mosaic([unit(frame, device) for frame in frames], canvas.motions, canvas.size, counts)
    return picture


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


def canvas_picture(shared: Shared, device: str) -> Tensor:
    """All that a shared network shows, where it is none of time: ``[3, height, width]``, not clamped."""
    return rendered((shared.part.width, shared.part.height), shared.member, device)


def _counts(frame: Frame, device: str) -> Tensor | None:
    there = outside(frame, device)
    return None if there is None else there.float().clamp(min=_BENEATH_BOXES)
