"""Presets as data: every value with its reason beside it."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from rinr.networks.nerv_coding import NervShape
from rinr.networks.settings import (
    MAX_QUALITY,
    MAX_SCALE,
    ClipSettings,
    CodecSettings,
    CosineSettings,
    CosineTimeSettings,
    NervSettings,
    PolicySettings,
    Schedule,
    SirenSettings,
)
from rinr.networks.siren_coding import Shape
from rinr.version import CODEC_VERSION

if TYPE_CHECKING:
    from rinr.outcome import Outcome

Settings = SirenSettings | CosineSettings | CodecSettings

MAX_DB = 100
"""More is never asked for: what two equal pictures count as."""


@dataclass(frozen=True)
class ObjectClass:
    """Settings of the object networks of boxes up to an area; ``None``: of all larger ones."""

    max_area: int | None
    network: Settings


@dataclass(frozen=True)
class Preset:
    """How frames are encoded.

    Attributes:
        name: as users write it.
        background: the background network.
        background_scale: the background is fitted to the frame with its sides divided by this.
        objects: by rising area; the last one has none. Empty: boxes have no networks of their own.
        pasted: whether object networks fit pixels that replace the background; otherwise residuals.
        clip: how frames that resemble each other are encoded together; ``None``: every frame stands alone.
        policy: which families are tried beside these networks, image by image; ``None``: none.

    Raises:
        ValueError: the scale of a ``cosine`` background is not 1: such networks count their own region's pixels.
    """

    name: str
    background: Settings
    background_scale: int
    objects: tuple[ObjectClass, ...]
    pasted: bool = False
    clip: ClipSettings | None = None
    policy: PolicySettings | None = None

    def __post_init__(self) -> None:
        if self.background_scale != 1 and isinstance(self.background, CosineSettings):
            raise ValueError(f"preset {self.name}: a cosine background has the scale 1, not {self.background_scale}")

    def object_network(self, area: int) -> Settings | None:
        """The settings for a box of this many pixels; ``None``: it has no network of its own."""
        return next((c.network for c in self.objects if c.max_area is None or area <= c.max_area), None)


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

# A fifth of the steps, of 1,024 pixels, at a rate that starts five times as high and falls to zero: the PSNR of the
# released code's setting (within 0.1 dB on two boxes) in a fifth of the time.
_AFFORDABLE = Schedule(steps=2_000, learning_rate=1e-3, decay=True, pixels=1_024)

PAPER_CLIP = Preset(
    name="paper-clip",
    # Of frames that stand alone. The rate cannot be higher: at 2e-3 this deep a network stays at 15 dB.
    background=SirenSettings(Shape(28, 10), omega=30, bits=8, schedule=_AFFORDABLE),
    background_scale=1,
    objects=tuple(
        ObjectClass(each.max_area, SirenSettings(each.network.shape, omega=30, bits=16, schedule=_AFFORDABLE))
        for each in PAPER.objects
        if isinstance(each.network, SirenSettings)
    ),
    clip=ClipSettings(
        base=NervSettings(
            # Neither paper says which shape it gives so small a clip; NeRV's own have 3 to 12 million weights for 132
            # frames. This one has 17,077 for frames of 640x360, 14 kB: 0.44 kB for each of 32 frames, about what such a
            # frame's background costs with the preset balanced. The grid of 16x9 cells is the paper's. Three blocks
            # where it would have four: less to compute. Of its eighty frequencies, twenty are 0.8 dB better after as
            # many passes, and ten as good as those.
            NervShape(channels=(4, 6, 6, 4), strides=(5, 4, 2), stem=8, levels=10),
            bits=8,  # as in the paper
            # The paper has 150 to 1,200 passes over hundreds of frames; more still gain. A minute or two, on one core.
            passes=40,
            batch=1,  # the released code's; 4 frames a step are 2.5 dB worse after as many passes
            # The released code's 5e-4 is for networks a hundred times as large: 1e-2 in place of 5e-3 is worth 1.9 dB
            # after 20 passes, 2e-2 in place of 1e-2 0.9 dB after 30.
            learning_rate=2e-2,
        ),
        background=None,
    ),
)


def _siren(
    shape: tuple[int, int], omegas: tuple[float, float], price: float, steps: int, pixels: int, rate: float
) -> SirenSettings:
    first, hidden = omegas
    return SirenSettings(
        Shape(*shape),
        omega=hidden,
        bits=12,  # a cap that no weight comes near: the price of bits decides
        schedule=Schedule(steps, rate, decay=True, pixels=pixels),
        first_omega=first,
        price=price,
    )


SIREN_PRESET = Preset(
    name="siren",
    # Deep and narrow: at 1.05 kB 20x6 is 0.1 dB above 24x5 and 0.3 above 28x4; wider ones cost more than they give.
    # Omegas of 25 and 12, at this rate, are level with 30 and 10 at 6e-3 (1 % fewer bytes); 40 and 8 are 0.4 dB worse,
    # and at 1.2e-2 some fits lose 2 dB.
    background=_siren((20, 6), (25, 12), price=2.5e-7, steps=2_000, pixels=1_536, rate=8e-3),
    background_scale=2,  # the whole frame is 0.1 dB worse: a network this small has no use for its finest pixels
    objects=(
        ObjectClass(400, _siren((12, 4), (8, 6), price=4e-7, steps=600, pixels=1_024, rate=1e-2)),
        ObjectClass(1_200, _siren((18, 4), (12, 8), price=5e-7, steps=800, pixels=1_024, rate=1e-2)),
        ObjectClass(3_500, _siren((24, 5), (20, 10), price=3e-7, steps=800, pixels=1_024, rate=8e-3)),
        ObjectClass(10_000, _siren((28, 5), (20, 10), price=5e-8, steps=1_000, pixels=1_536, rate=6e-3)),
        # Large textured boxes are the weak point. They do not bear a rate of 8e-3, nor a price under which most of what
        # they hold is not worth its bits: fits then collapse to nothing.
        ObjectClass(None, _siren((36, 5), (25, 10), price=1e-8, steps=800, pixels=2_048, rate=4e-3)),
    ),
)

FAST = Preset(
    name="fast",
    background=_siren((20, 4), (30, 10), price=3e-7, steps=1_000, pixels=1_024, rate=1e-2),
    background_scale=2,
    objects=(
        ObjectClass(400, _siren((12, 4), (8, 6), price=4e-7, steps=300, pixels=512, rate=1e-2)),
        ObjectClass(1_200, _siren((16, 4), (12, 8), price=3e-7, steps=350, pixels=768, rate=1e-2)),
        ObjectClass(3_500, _siren((20, 5), (20, 10), price=2e-7, steps=400, pixels=768, rate=1e-2)),
        ObjectClass(10_000, _siren((24, 5), (20, 10), price=5e-8, steps=400, pixels=1_024, rate=6e-3)),
        ObjectClass(None, _siren((28, 5), (25, 10), price=1e-8, steps=400, pixels=1_024, rate=5e-3)),
    ),
)


def _cosine(
    name: str,
    background_step: float,
    object_step: float,
    background_tiles: tuple[int, ...],
    object_tiles: tuple[int, ...],
    sweeps: int = 4,
    overlap: float = 0.12,
    object_overlap: float = 0.06,
    waves: int = 16,
) -> Preset:
    """A preset of cosine networks throughout; its alternatives stand in docs/results.md."""
    background = CosineSettings(
        step=background_step,
        tiles=background_tiles,
        overlap=overlap,  # at coarse steps none costs 9 % more bytes at equal PSNR, 0.2 costs 3 %
        waves=waves,  # more are rounded away at these steps, and cost time
        trade=0.11,  # 0.07 costs 1 % more bytes, 0.15 2 %, none 23 %
        sweeps=sweeps,  # two cost 3 % more bytes than four, eight save 1 %
        axes=True,  # colour axes of the picture's own save 4 % for three bytes
        offset=True,
    )
    objects = CosineSettings(
        step=object_step,
        tiles=object_tiles,
        overlap=object_overlap,
        waves=24,
        trade=0.13,
        sweeps=max(sweeps - 1, 2),
    )
    return Preset(name, background, 1, (ObjectClass(None, objects),))


# A tile size chosen for each picture saves 2 % of the background over the best single one.
_MANY, _SOME = (48, 64, 80, 96, 128), (12, 16, 24)

# 25.5 and 32 dB in the mean over 14 folders of frames, where two-stream codecs with their smallest files stand.
BALANCED = _cosine("balanced", 340, 36, _MANY, _SOME)
# The same quality in the least time: one tile size, two sweeps, no overlap of objects' tiles.
INSTANT = _cosine("instant", 340, 36, (64,), (16,), sweeps=2, object_overlap=0.0)
# Frames of a clip together, their backgrounds no worse than alone, with the largest step that does it.
_TIME_STEPS = (240, 290, 340, 400, 480, 570, 680, 810, 960, 1_140, 1_350, 1_600)
CLIP = replace(
    BALANCED,
    name="clip",
    clip=ClipSettings(
        base=CosineTimeSettings(_TIME_STEPS, (48, 64, 80), overlap=0.12, waves=16, trade=0.11, sweeps=3),
        background=CosineSettings(480, (48, 64, 96), overlap=0.12, waves=16, trade=0.11, sweeps=3),
    ),
)
# Where every byte counts.
SMALL = _cosine("small", 640, 52, _MANY, _SOME)

# The quality of `balanced`, or what its name asks for, by networks or by a codec, whatever takes the fewest bytes.
CHEAPEST = replace(BALANCED, name="cheapest", policy=PolicySettings())

# Near the paper's 34.6 / 35.7 dB. Smaller tiles, less overlap and six sweeps save 12 % over those of coarse presets.
FINE = _cosine("fine", 36, 20, (16, 20, 32), _SOME, sweeps=6, overlap=0.06, waves=32)

PRESETS = (BALANCED, CLIP, CHEAPEST, INSTANT, SMALL, FINE, SIREN_PRESET, FAST, PAPER, PAPER_CLIP)


_CODEC, _NUMBER = "(jpeg|webp|avif)", "([0-9]{1,3})"
_CODEC_PRESET = re.compile(rf"{_CODEC}:{_NUMBER}(?:/{_NUMBER})?(?:\+(?:{_CODEC}:)?{_NUMBER}(?:/{_NUMBER})?)?")
CODEC_GRAMMAR = (
    "an image codec, CODEC:QUALITY[/SCALE][+[CODEC:]QUALITY[/SCALE]] with CODEC jpeg, webp or avif: webp:10 is the "
    "whole frame at quality 10, webp:10/4 at a quarter of its sides, webp:10/4+80 with the boxes' crops at quality 80 "
    "pasted over it"
)
_DECIBELS = r"(\d{1,3}(?:\.\d{1,2})?)"
_CHEAPEST = re.compile(rf"{CHEAPEST.name}:{_DECIBELS}/{_DECIBELS}")
CHEAPEST_GRAMMAR = (
    f"{CHEAPEST.name}:OBJECT/BACKGROUND with the dB that each image should have inside and outside its boxes, such as "
    f"{CHEAPEST.name}:33/26"
)


def find_preset(name: str) -> Preset:
    """The preset of this name, or the one that it spells out (:data:`CODEC_GRAMMAR`, :data:`CHEAPEST_GRAMMAR`).

    Raises:
        ValueError: there is none; the message lists those there are.
    """
    for preset in PRESETS:
        if preset.name == name:
            return preset
    if parts := _CODEC_PRESET.fullmatch(name):
        return _codec_preset(name, *parts.groups())
    if asked := _CHEAPEST.fullmatch(name):
        return _cheapest_preset(name, *map(float, asked.groups()))
    named = ", ".join(p.name for p in PRESETS)
    raise ValueError(f"no preset is named {name!r}; there are {named}, {CHEAPEST_GRAMMAR}, or {CODEC_GRAMMAR}")


def codec_preset(background: CodecSettings, crops: CodecSettings | None = None) -> Preset:
    """The frame as a file of an image codec and, where asked for, one file a box, pasted over it."""
    name = _codec_name(background)
    if crops is None:
        return Preset(name, background, 1, ())
    of_crops = _codec_name(crops)
    name += "+" + (of_crops.partition(":")[2] if crops.family == background.family else of_crops)
    return Preset(name, background, 1, (ObjectClass(None, crops),), pasted=True)


def _codec_preset(
    name: str,
    family: str,
    quality: str,
    scale: str | None,
    crop_family: str | None,
    crop_quality: str | None,
    crop_scale: str | None,
) -> Preset:
    background = CodecSettings(family, int(quality), int(scale or 1))
    crops = CodecSettings(crop_family or family, int(crop_quality), int(crop_scale or 1)) if crop_quality else None
    for each in (background, crops):
        if each and not (each.quality <= MAX_QUALITY and 1 <= each.scale <= MAX_SCALE):
            raise ValueError(
                f"preset {name!r}: qualities are 0 to {MAX_QUALITY}, scales 1 to {MAX_SCALE}; it is {CODEC_GRAMMAR}"
            )
    return codec_preset(background, crops)


def _cheapest_preset(name: str, object_db: float, background_db: float) -> Preset:
    if not (0 < object_db <= MAX_DB and 0 < background_db <= MAX_DB):
        raise ValueError(f"preset {name!r}: dB are more than 0 and at most {MAX_DB}; it is {CHEAPEST_GRAMMAR}")
    return replace(CHEAPEST, name=name, policy=PolicySettings(object_db, background_db))


def _codec_name(settings: CodecSettings) -> str:
    return f"{settings.family}:{settings.quality}" + (f"/{settings.scale}" if settings.scale > 1 else "")


def encoding_id(preset: Preset, outcome: "Outcome | None" = None) -> str:
    """Names an encoding: 16 hexadecimal digits of the SHA-256 of codec version, every setting and what was asked."""
    asked = [asdict(outcome)] if outcome is not None and outcome.asks else []
    given = asdict(preset)
    for later in ("clip", "policy"):  # encodings without these keep the ids that they had before there were any
        if given[later] is None:
            del given[later]
    settings = json.dumps([CODEC_VERSION, given, *asked], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(settings.encode()).hexdigest()[:16]
