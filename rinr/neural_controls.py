"""Neural controls: what the residual has to beat, at no fewer bytes than it takes.

- ``rapid``: one network for the whole frame and none for objects, the system that Residual-INR improves on
  ("Rapid-INR"; Residual-INR, section 2).
- ``direct``: object networks that fit pixels and are pasted over the background, in place of residuals added to it.
"""

import math
from collections.abc import Callable
from dataclasses import replace

from rinr.codec.encoded import EncodedImage
from rinr.curves import coarser
from rinr.encoder import encode
from rinr.frames import Frame
from rinr.networks.settings import CosineSettings
from rinr.presets import Preset, Settings

_STEPS_AN_OCTAVE = 8
_OCTAVES = 6
_ENOUGH = 0.99
"""Of the asked bytes: a fit that comes this near is not worth a finer search."""


def rapid(preset: Preset, factor: float = 1.0) -> Preset:
    """The preset's background alone, for the whole frame, with about ``1 / factor`` of its weights."""
    return replace(preset, name="rapid", background=coarser(preset.background, factor), objects=())


def direct(preset: Preset, factor: float = 1.0) -> Preset:
    """The preset with object networks, of about ``1 / factor`` of their weights, that fit pixels and are pasted."""
    objects = tuple(replace(c, network=_of_pixels(coarser(c.network, factor))) for c in preset.objects)
    return replace(preset, name="direct", objects=objects, pasted=True)


def with_bytes(frame: Frame, total: int, control: Callable[[float], Preset], device: str = "cpu") -> EncodedImage:
    """Encode a frame with the coarsest of a control's settings that takes at least so many bytes.

    Args:
        frame: to encode.
        total: all bytes that travel.
        control: the preset at a factor of coarseness, as :func:`rapid` and :func:`direct` give it.
        device: where to fit.

    Returns:
        With ``total`` bytes or more (or a hundredth fewer); with fewer only where nothing finer is to be had.
    """
    encoded: dict[Preset, EncodedImage] = {}

    def at(step: int) -> EncodedImage:
        preset = control(2 ** (-step / _STEPS_AN_OCTAVE))
        if preset not in encoded:
            (encoded[preset],) = encode([frame], preset, device=device)
        return encoded[preset]

    def enough(step: int) -> bool:
        return at(step).frame.bytes_total >= _ENOUGH * total

    most = _OCTAVES * _STEPS_AN_OCTAVE
    step = round(_STEPS_AN_OCTAVE * math.log2(total / at(0).frame.bytes_total))
    step = min(max(step, -most), most)
    while step < most and not enough(step):
        step += 1
    while step > -most and enough(step - 1):
        step -= 1
    return at(step)


def _of_pixels(settings: Settings) -> Settings:
    # Pixels have a mean colour, which residuals lack.
    return replace(settings, offset=True) if isinstance(settings, CosineSettings) else settings
