"""Encoding: a group of labelled frames to backgrounds, residuals and payloads.

First all backgrounds are fitted, quantized and coded; then each box's residual is taken from the *decoded* background,
so that the object network also mends what quantization did; then all residuals are fitted together.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
import torch
from torch import Tensor

from rinr.boxes import Box
from rinr.captured_file import captured_member
from rinr.codec.clip import ClipPlace
from rinr.codec.encoded import EncodedImage
from rinr.codec.frame import EncodedFrame
from rinr.decoder import LoadedFrames, to_pixels
from rinr.frames import Frame, resize
from rinr.inspection import brief
from rinr.metrics import frame_psnr
from rinr.networks.families import family_named
from rinr.networks.payload import Member, write_networks
from rinr.networks.settings import MAX_QUALITY, CodecSettings
from rinr.outcome import Outcome, check_searchable, reach
from rinr.policy import cheapest
from rinr.presets import Preset, Settings, codec_preset, encoding_id
from rinr.version import CODEC_VERSION
from rinr.weights import NO_SHARED, Shared, frame_weights

Progress = Callable[[int, int], None]
"""Told ``(done, total)`` in image-steps: one Adam step of one network."""

GROUP = 64
"""Frames that are held in memory at once."""

MOST_REPEATED = 1.5
"""How many times the area that boxes with networks cover together those networks have in all, at most."""

_MOSTLY_NEW = 0.75


def encode(
    frames: Sequence[Frame],
    preset: Preset,
    *,
    outcome: Outcome | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> list[EncodedImage]:
    """Fit, quantize and code labelled frames.

    The payloads do not depend on which frames are encoded together, nor, without a time budget, on the machine's speed.

    Args:
        frames: of any sizes.
        preset: see :mod:`rinr.presets`.
        outcome: what each image should come to, for presets whose networks have a step to search; see
            :mod:`rinr.outcome`.
        device: where to fit, ``cpu`` or ``cuda``.
        progress: told how far it is.

    Returns:
        One encoded image a frame, in their order.

    Raises:
        FloatingPointError: a fit diverged, at smaller learning rates as well.
        ValueError: an outcome is asked of a preset that cannot be asked for one.
    """
    if outcome is not None and outcome.asks:
        check_searchable(preset)
        search = partial(reach, outcome, preset)
        return _encode_one_by_one(frames, encoding_id(preset, outcome), search, device, progress)
    if preset.policy is not None:
        return _encode_one_by_one(frames, encoding_id(preset), partial(_by_policy, preset), device, progress)
    networks = [preset.background] * len(frames)
    networks += [
        settings
        for frame in frames
        for number in boxes_with_networks(frame.boxes, frame.size)
        if (settings := preset.object_network(frame.boxes[number].area))
    ]
    count = Work(sum(family_named(n.family).work(n) for n in networks), progress)
    encoded: list[EncodedImage] = []
    for start in range(0, len(frames), GROUP):
        encoded += _encode_group(frames[start : start + GROUP], preset, device, count)
    return encoded


def _ignore(work: int) -> None:
    pass


class Work:
    """Steps that are done, of so many, told as they are counted."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.done, self.total, self.progress = 0, total, progress

    def __call__(self, work: int = 1) -> None:
        """Count some more."""
        self.done += work
        if self.progress:
            self.progress(min(self.done, self.total), self.total)


def _encode_group(
    frames: Sequence[Frame], preset: Preset, device: str, on_work: Callable[[int], None]
) -> list[EncodedImage]:
    started = time.perf_counter()
    backgrounds = fit_backgrounds(frames, preset, device, on_work)
    return encode_on(frames, backgrounds, preset, device=device, on_work=on_work, started=started)


def _encode_one_by_one(
    frames: Sequence[Frame],
    name: str,
    search: "Callable[[_Trials], EncodedImage]",
    device: str,
    progress: Progress | None,
) -> list[EncodedImage]:
    """One frame after another, each as a search over its trials finds it; ``name`` is the encoding's id."""
    images = []
    for index, frame in enumerate(frames):
        started = time.perf_counter()
        image = search(_Trials(frame, device))
        images.append(replace(image, encoding_id=name, fit_seconds=time.perf_counter() - started))
        if progress:
            progress(index + 1, len(frames))
    return images


class _Trials:
    """One frame encoded with one preset after another; those that differ in their objects alone share a background."""

    def __init__(self, frame: Frame, device: str) -> None:
        self.frame, self.device = frame, device
        self.backgrounds: dict[Settings, list[Member]] = {}

    def __call__(self, preset: Preset) -> EncodedImage:
        started, settings = time.perf_counter(), preset.background
        if settings not in self.backgrounds:
            self.backgrounds[settings] = fit_backgrounds([self.frame], preset, self.device)
        (image,) = encode_on([self.frame], self.backgrounds[settings], preset, device=self.device, started=started)
        return image

    def captured(self) -> EncodedImage | None:
        """The captured file as a background, without objects of their own; ``None`` where it cannot be one."""
        itself = captured_member(self.frame)
        if itself is None:
            return None
        preset = codec_preset(CodecSettings(itself.family.name, MAX_QUALITY))
        (image,) = encode_on([self.frame], [itself], preset, device=self.device, started=time.perf_counter())
        return image


def _by_policy(preset: Preset, trials: _Trials) -> EncodedImage:
    return cheapest(preset, trials, trials.captured())


def fit_backgrounds(
    frames: Sequence[Frame], preset: Preset, device: str, on_work: Callable[[int], None] = _ignore
) -> list[Member]:
    """One background network a frame, of the frame alone."""
    family = family_named(preset.background.family)
    small = [_background_picture(frame, preset.background_scale, device) for frame in frames]
    return [Member(family, network) for network in family.fit(small, preset.background, on_work)]


def encode_on(
    frames: Sequence[Frame],
    backgrounds: Sequence[Member | None],
    preset: Preset,
    *,
    device: str,
    on_work: Callable[[int], None] = _ignore,
    started: float,
    places: Sequence[ClipPlace | None] | None = None,
    shared: Mapping[bytes, Shared] = NO_SHARED,
) -> list[EncodedImage]:
    """Fit the objects over fitted backgrounds, code everything, and measure what it decodes to.

    Args:
        frames: of any sizes.
        backgrounds: one a frame; ``None``: nothing is added to what its clip shares.
        preset: of the objects.
        device: where to fit.
        on_work: for progress bars.
        started: by :func:`time.perf_counter`, when the first background's fit began.
        places: where frames lie in what their clip shares; all stand alone without them.
        shared: what clips share, by name.
    """
    bare = [
        EncodedFrame(*frame.size, write_networks([background]), clip=place)
        for frame, background, place in zip(frames, backgrounds, places or [None] * len(frames), strict=True)
    ]
    loaded = LoadedFrames(frame_weights(bare, backgrounds, [()] * len(frames), shared), device)
    objects = _fit_objects(frames, loaded, preset, device, on_work)
    encoded = [
        replace(one, boxes=frame.boxes, objects=write_networks(of_frame), pasted=preset.pasted)
        for frame, one, of_frame in zip(frames, bare, objects, strict=True)
    ]
    seconds = (time.perf_counter() - started) / len(frames)
    loaded = LoadedFrames(frame_weights(encoded, backgrounds, objects, shared), device)
    images = []
    for index, (frame, result) in enumerate(zip(frames, encoded, strict=True)):
        decoded = to_pixels(loaded.render([index], *frame.size))[0]
        background_db, object_db = frame_psnr(frame.pixels, decoded, frame.boxes)
        images.append(
            EncodedImage(
                image_id=frame.image_id,
                labels_id=frame.labels_id,
                encoding_id=encoding_id(preset),
                frame=result,
                source_size=frame.source_size,
                family=_families(preset, objects[index]),
                preset=preset.name,
                picked=_picked(backgrounds[index], objects[index]),
                stopped="preset",
                background_db=background_db,
                object_db=object_db,
                fit_seconds=seconds,
                codec_version=CODEC_VERSION,
            )
        )
    return images


def _families(preset: Preset, objects: Sequence[Member | None]) -> str:
    named = [preset.background.family, *(member.family.name for member in objects if member)]
    return "+".join(dict.fromkeys(named))


def _picked(background: Member | None, objects: Sequence[Member | None]) -> str:
    return brief([background]) + (f"; objects {brief(objects)}" if objects else "")


def _fit_objects(
    frames: Sequence[Frame], backgrounds: LoadedFrames, preset: Preset, device: str, on_work: Callable[[int], None]
) -> list[list[Member | None]]:
    """One network a box: of the residual, original minus decoded background, from -1 to 1 and not clamped, or, where
    objects are pasted, of the pixels themselves."""
    by_settings: dict[Settings, list[tuple[int, int]]] = {}
    targets: dict[tuple[int, int], Tensor] = {}
    shares: dict[tuple[int, int], float] = {}
    members: list[list[Member | None]] = [[None] * len(frame.boxes) for frame in frames]
    for index, frame in enumerate(frames):
        if not (frame.boxes and preset.objects):
            continue
        target = _unit(frame, device)
        if not preset.pasted:
            # One at a time: how a product rounds may depend on its batch, and payloads must not.
            (background,) = backgrounds.render_backgrounds(torch.tensor([index], device=device), *frame.size)
            target = target - background.permute(1, 2, 0)
        fitted = boxes_with_networks(frame.boxes, frame.size)
        pixels = sum(frame.boxes[number].area for number in fitted)
        for number in fitted:
            box = frame.boxes[number]
            if settings := preset.object_network(box.area):
                # Of a crowd each box is a part of the object PSNR; its root still looks after the small ones.
                shares[index, number] = math.sqrt(box.area / pixels)
                targets[index, number] = target[box.slices]
                by_settings.setdefault(settings, []).append((index, number))
    for settings, keys in by_settings.items():
        family = family_named(settings.family)
        networks = family.fit([targets[key] for key in keys], settings, on_work, shares=[shares[key] for key in keys])
        for (index, number), network in zip(keys, networks, strict=True):
            members[index][number] = Member(family, network)
    return members


def boxes_with_networks(boxes: Sequence[Box], size: tuple[int, int]) -> list[int]:
    """Which boxes get a network: those that cover pixels which no other covers, the largest first.

    A box whose pixels lie in others is sharp already. In crowds of boxes that lie over each other, a box that would
    mostly pay for the same pixels again gets none either, so that all of them cost about one picture of their union.
    """
    return list(_kept(tuple(boxes), size))


# Asked for to count the work, to do it, and again in every trial of a search.
@lru_cache(maxsize=2 * GROUP)
def _kept(boxes: tuple[Box, ...], size: tuple[int, int]) -> tuple[int, ...]:
    order = sorted(range(len(boxes)), key=lambda index: (-boxes[index].area, index))
    covered = np.zeros((size[1], size[0]), dtype=bool)
    kept: set[int] = set()
    area = union = 0
    for mostly_new in (True, False):  # first those that hardly overlap, then those that fill the gaps between them
        for index in order:
            box = boxes[index]
            there = covered[box.slices]
            new = box.area - int(np.count_nonzero(there))
            enough = new >= _MOSTLY_NEW * box.area if mostly_new else new > 0
            if enough and area + box.area <= MOST_REPEATED * (union + new):
                there[:] = True
                kept.add(index)
                area, union = area + box.area, union + new
    return tuple(sorted(kept))


def _background_picture(frame: Frame, scale: int, device: str) -> Tensor:
    width, height = frame.size
    small = resize(frame.pixels, (max(round(width / scale), 1), max(round(height / scale), 1)))
    return torch.tensor(small, device=device, dtype=torch.float32) / 255


def _unit(frame: Frame, device: str) -> Tensor:
    return torch.tensor(frame.pixels, device=device, dtype=torch.float32) / 255
