"""Presets as data: every value with its reason beside it."""

import hashlib
import json
from dataclasses import asdict, dataclass

from rinr.networks.fitting import Schedule
from rinr.networks.siren import Shape, SirenSettings
from rinr.version import CODEC_VERSION


@dataclass(frozen=True)
class ObjectClass:
    """Settings of the residual networks of boxes up to an area; ``None``: of all larger ones."""

    max_area: int | None
    network: SirenSettings


@dataclass(frozen=True)
class Preset:
    """How frames are encoded.

    Attributes:
        name: as users write it.
        background: the background network.
        background_scale: the background is fitted to the frame with its sides divided by this.
        objects: by rising area; the last one has none.
    """

    name: str
    background: SirenSettings
    background_scale: int
    objects: tuple[ObjectClass, ...]

    def object_network(self, area: int) -> SirenSettings:
        """The settings for a box of this many pixels."""
        return next(c.network for c in self.objects if c.max_area is None or area <= c.max_area)


# The released code's setting: every pixel, every step, a constant rate.
_PAPER = Schedule(steps=10_000, learning_rate=2e-4, decay=False, pixels=1 << 30)


def _paper_object(width: int, layers: int) -> SirenSettings:
    return SirenSettings(Shape(width, layers), omega=30, bits=16, schedule=_PAPER)


PAPER = Preset(
    name="paper",
    # 28x10 has 6,667 weights: 6.7 kB at 8 bits, so the 24 kB the paper reports do not follow from this shape.
    background=SirenSettings(Shape(28, 10), omega=30, bits=8, schedule=_PAPER),
    background_scale=1,
    objects=(
        ObjectClass(1_000, _paper_object(10, 3)),
        ObjectClass(3_000, _paper_object(15, 3)),
        ObjectClass(10_000, _paper_object(17, 5)),
        ObjectClass(None, _paper_object(24, 5)),
    ),
)


def _fast_object(
    width: int, layers: int, omega: float, steps: int, pixels: int, learning_rate: float = 1e-2
) -> SirenSettings:
    # A small box holds few pixels, and so low frequencies. Half or twice these omegas cost 1.5 dB, three times 5 dB.
    # 7 bits in place of 8 save a seventh of the bytes and cost 2.5 dB: rounding comes after the fit.
    schedule = Schedule(steps, learning_rate, decay=True, pixels=pixels)
    return SirenSettings(Shape(width, layers), omega=omega, bits=8, schedule=schedule)


# The alternatives stand in docs/results.md, measured by benchmarks/preset_choices.py.
FAST = Preset(
    name="fast",
    background=SirenSettings(
        Shape(20, 4),  # 963 weights, about 0.8 kB coded
        omega=15,  # level with 20; 10 costs 0.2 dB, 30 costs 0.3 dB
        bits=8,  # 7 bits cost 0.8 dB, 6 cost 2.7: rounding comes after the fit
        # Few pixels and many steps: no worse than 8,192 pixels at 2e-3, which take four times as long.
        schedule=Schedule(steps=1_500, learning_rate=4e-3, decay=True, pixels=2_048),
    ),
    background_scale=2,  # no worse than the whole frame, and a quarter of the pixels to hold
    objects=(
        ObjectClass(300, _fast_object(10, 4, 6, 500, 512)),  # crowds of tiny boxes: about 0.25 kB each
        ObjectClass(1_000, _fast_object(14, 4, 8, 600, 1_024)),  # 0.5 kB
        ObjectClass(3_000, _fast_object(18, 4, 8, 600, 1_024)),  # 0.7 kB
        ObjectClass(10_000, _fast_object(24, 4, 10, 600, 1_024)),  # 1.2 kB
        # 3 kB: large textured boxes are the weak point. Five layers at 15 do not bear a rate of 1e-2: it costs 6 dB.
        ObjectClass(None, _fast_object(32, 5, 15, 700, 2_048, learning_rate=4e-3)),
    ),
)

PRESETS = (FAST, PAPER)


def find_preset(name: str) -> Preset:
    """The preset of this name.

    Raises:
        ValueError: there is none; the message lists those there are.
    """
    for preset in PRESETS:
        if preset.name == name:
            return preset
    raise ValueError(f"no preset is named {name!r}; there are {', '.join(p.name for p in PRESETS)}")


def encoding_id(preset: Preset) -> str:
    """Names an encoding: 16 hexadecimal digits of the SHA-256 of codec version and every setting."""
    settings = json.dumps([CODEC_VERSION, asdict(preset)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(settings.encode()).hexdigest()[:16]
