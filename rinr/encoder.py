"""Encoding: a group of labelled frames to backgrounds, residuals and payloads.

First all backgrounds are fitted, quantized and coded; then each box's residual is taken from the *decoded* background,
so that the object network also mends what quantization did; then all residuals are fitted together.
"""

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rinr.codec.encoded import EncodedImage
from rinr.codec.frame import EncodedFrame, EncodedObject
from rinr.decoder import load, to_pixels
from rinr.frames import Frame, resize
from rinr.metrics import frame_psnr
from rinr.networks.families import family_named
from rinr.networks.siren import SirenSettings
from rinr.presets import Preset, encoding_id
from rinr.version import CODEC_VERSION

Progress = Callable[[int, int], None]
"""Told ``(done, total)`` in image-steps: one Adam step of one network."""

GROUP = 64
"""Frames that are held in memory at once."""


def encode(
    frames: Sequence[Frame], preset: Preset, *, device: str = "cpu", progress: Progress | None = None
) -> list[EncodedImage]:
    """Fit, quantize and code labelled frames.

    The payloads do not depend on which frames are encoded together.

    Args:
        frames: of any sizes.
        preset: see :mod:`rinr.presets`.
        device: where to fit, ``cpu`` or ``cuda``.
        progress: told how far it is.

    Returns:
        One encoded image a frame, in their order.

    Raises:
        FloatingPointError: a fit diverged, at smaller learning rates as well.
    """
    networks = [preset.background] * len(frames)
    networks += [preset.object_network(box.area) for frame in frames for box in frame.boxes]
    count = _Counter(sum(family_named(n.family).work(n) for n in networks), progress)
    encoded: list[EncodedImage] = []
    for start in range(0, len(frames), GROUP):
        encoded += _encode_group(frames[start : start + GROUP], preset, device, count)
    return encoded


class _Counter:
    def __init__(self, total: int, progress: Progress | None) -> None:
        self.done, self.total, self.progress = 0, total, progress

    def __call__(self, work: int) -> None:
        self.done += work
        if self.progress:
            self.progress(min(self.done, self.total), self.total)


def _encode_group(
    frames: Sequence[Frame], preset: Preset, device: str, on_work: Callable[[int], None]
) -> list[EncodedImage]:
    started = time.perf_counter()
    small = [_background_picture(frame, preset.background_scale, device) for frame in frames]
    backgrounds = family_named(preset.background.family).fit(small, preset.background, on_work)
    bare = [EncodedFrame(*frame.size, background, ()) for frame, background in zip(frames, backgrounds, strict=True)]
    objects = _fit_residuals(frames, bare, preset, device, on_work)
    encoded = [
        EncodedFrame(*frame.size, background, tuple(of_frame))
        for frame, background, of_frame in zip(frames, backgrounds, objects, strict=True)
    ]
    seconds = (time.perf_counter() - started) / len(frames)
    loaded = load(encoded, device)
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
                family=preset.background.family,
                preset=preset.name,
                background_db=background_db,
                object_db=object_db,
                fit_seconds=seconds,
                codec_version=CODEC_VERSION,
            )
        )
    return images


def _fit_residuals(
    frames: Sequence[Frame],
    bare: Sequence[EncodedFrame],
    preset: Preset,
    device: str,
    on_work: Callable[[int], None],
) -> list[list[EncodedObject]]:
    """One residual network a box: original minus decoded background, from -1 to 1, not clamped."""
    by_settings: dict[SirenSettings, list[tuple[int, int]]] = {}
    residuals: dict[tuple[int, int], Tensor] = {}
    loaded = load(bare, device)
    for index, frame in enumerate(frames):
        if not frame.boxes:
            continue
        width, height = frame.size
        # One at a time: how a product rounds may depend on its batch, and payloads must not.
        background = loaded.render_backgrounds(torch.tensor([index], device=device), width, height)
        residual = _unit(frame, device) - background.reshape(height, width, 3)
        for number, box in enumerate(frame.boxes):
            residuals[index, number] = residual[box.slices]
            by_settings.setdefault(preset.object_network(box.area), []).append((index, number))
    payloads: dict[tuple[int, int], bytes] = {}
    for settings, keys in by_settings.items():
        fitted = family_named(settings.family).fit([residuals[key] for key in keys], settings, on_work)
        payloads.update(zip(keys, fitted, strict=True))
    return [
        [EncodedObject(box, payloads[index, number]) for number, box in enumerate(frame.boxes)]
        for index, frame in enumerate(frames)
    ]


def _background_picture(frame: Frame, scale: int, device: str) -> Tensor:
    width, height = frame.size
    small = resize(frame.pixels, (max(round(width / scale), 1), max(round(height / scale), 1)))
    return torch.tensor(small, device=device, dtype=torch.float32) / 255


def _unit(frame: Frame, device: str) -> Tensor:
    return torch.tensor(frame.pixels, device=device, dtype=torch.float32) / 255
