"""What each family can be told about how to fit: plain values, read without torch, which takes seconds to import."""

import math
from dataclasses import dataclass

from rinr.networks.nerv_coding import NervShape
from rinr.networks.siren_coding import Shape

MAX_QUALITY = 100
MAX_SCALE = 64


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to fit.

    Attributes:
        steps: Adam steps.
        learning_rate: of the first step.
        decay: whether the rate falls to zero along a cosine (otherwise it stays).
        pixels: random pixels a step; all of them where there are no more.
        enough_db: a fit that reaches this PSNR goes straight to the last fifth of its steps.
        max_seconds: a group that takes longer stops where it is; such fits are not reproducible, and are marked.
    """

    steps: int
    learning_rate: float
    decay: bool
    pixels: int
    enough_db: float | None = None
    max_seconds: float | None = None


@dataclass(frozen=True)
class SirenSettings:
    """Settings of a SIREN fit.

    Attributes:
        shape: width and layers.
        omega: frequency of the hidden sine layers (the paper's w0).
        bits: of the quantized weights at most, 2 to 16.
        schedule: how long and how fast to fit.
        first_omega: frequency of the first layer; ``None``: as the others.
        price: what a bit costs, in mean squared error of values from 0 to 1: fits minimize error plus price times
            bits, and where nothing is gained come out empty. Zero: weights are rounded to ``bits`` after the fit.
    """

    shape: Shape
    omega: float
    bits: int
    schedule: Schedule
    first_omega: float | None = None
    price: float = 0.0
    family: str = "siren"


@dataclass(frozen=True)
class CosineSettings:
    """Settings of a cosine fit.

    Attributes:
        step: of quantization, in 255ths of full scale; rounded to a sixteenth of an octave.
        tiles: sides of tiles in pixels that are tried; the one with the least cost is kept.
        overlap: of a tile on either side of an inner border; one of ``OVERLAPS``.
        waves: cosines a tile and side at most.
        trade: lambda in squared steps a bit: how much squared error a bit is worth.
        sweeps: of rounding.
        axes: whether colour axes are fitted (three bytes a body), or luma and two fixed chroma axes used.
        offset: whether the mean colour is kept apart (three bytes a network): for pixels, not for residuals.
    """

    step: float
    tiles: tuple[int, ...]
    overlap: float
    waves: int
    trade: float
    sweeps: int
    axes: bool = False
    offset: bool = False
    family: str = "cosine"

    @property
    def step_code(self) -> int:
        """The step as payloads name it."""
        return min(max(round(16 * math.log2(self.step)), 0), 255)


@dataclass(frozen=True)
class NervSettings:
    """Settings of a NeRV fit.

    Attributes:
        shape: of the network.
        bits: of the quantized weights, 2 to 16.
        passes: over all frames of the clip.
        batch: frames a step.
        learning_rate: the largest: it is warmed up from a tenth over the first fifth of the steps, then falls to zero
            along a cosine.
    """

    shape: NervShape
    bits: int
    passes: int
    batch: int
    learning_rate: float
    family: str = "nerv"


@dataclass(frozen=True)
class CosineTimeSettings:
    """Settings of a fit of windowed cosines in x, y and t; see :class:`CosineSettings`.

    Attributes:
        steps: of quantization, in 255ths of full scale, of what is orthonormal in time as well: of the mean of N frames
            they are the square root of N times finer. Rising; an encoder may choose among them.
        tiles: sides of tiles in pixels that are tried; all planes have the same.
        overlap: of a tile on either side of an inner border.
        waves: cosines a tile and side at most.
        trade: lambda in squared steps a bit.
        sweeps: of rounding.
        axes: whether colour axes are fitted.
    """

    steps: tuple[float, ...]
    tiles: tuple[int, ...]
    overlap: float
    waves: int
    trade: float
    sweeps: int
    axes: bool = True
    family: str = "cosine-time"


@dataclass(frozen=True)
class CodecSettings:
    """How a picture becomes a file.

    Attributes:
        family: ``jpeg``, ``webp`` or ``avif``.
        quality: Pillow's, 0 to 100.
        scale: the file's picture has the region's sides divided by this.
    """

    family: str
    quality: int
    scale: int = 1


@dataclass(frozen=True)
class ClipSettings:
    """When frames are encoded together, and how.

    Attributes:
        base: of the network that they share.
        background: of what later frames of the camera add to it, which lie in it but came too late to be part of it;
            ``None``: none do, and every run of frames is a clip, whether that takes less or not.
        most_frames: of a clip; a longer run is cut.
        fewest_frames: a shorter run's frames stand alone, unless an earlier clip of the camera serves them.
        most_gap: seconds between neighbours; a longer one ends a clip.
        least_likeness: correlation of neighbours' coarse luma, their motion undone, 0 to 1; below it a clip ends.
        allowance: a clip that takes more than this part of its frames' bytes alone is not kept.
    """

    base: CosineTimeSettings | NervSettings
    background: CosineSettings | None
    most_frames: int = 32
    fewest_frames: int = 4
    most_gap: float = 2.0
    least_likeness: float = 0.5
    allowance: float = 1.0


@dataclass(frozen=True)
class PolicySettings:
    """Per image the family that meets a quality at the fewest bytes: what is asked, and what is tried for it.

    Attributes:
        object_db: PSNR over the union of the boxes, in dB, at least; ``None``: what the preset's networks have.
        background_db: PSNR outside the boxes, likewise. Both are given, or neither.
        codecs: image codecs that are tried beside the preset's networks, for the frame and for crops of its boxes.
        scales: by which the sides of a codec's frame are divided.
        crop_scales: by which the sides of a codec's crops are divided.
    """

    object_db: float | None = None
    background_db: float | None = None
    codecs: tuple[str, ...] = ("webp", "avif", "jpeg")
    scales: tuple[int, ...] = (4, 3, 6, 8, 2, 1)
    crop_scales: tuple[int, ...] = (1, 2)
