"""Frames of a plan's sample, encoded in one way after another and measured: bytes, PSNR, seconds.

What is encoded is what the fog has: the captured picture, or a smaller one that devices upload in its place. What it is
measured against is always the captured picture's working frame.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import mean, stdev

from rinr.codec.encoded import EncodedImage
from rinr.codec.frame import EncodedFrame
from rinr.controls import measure
from rinr.decoder import decode, load, to_pixels
from rinr.encoder import Progress, encode
from rinr.frames import Frame
from rinr.metrics import mean_db
from rinr.outcome import Outcome
from rinr.presets import Preset
from rinr.traffic import NOTHING_SHARED, SharedPart
from rinr.weights import NO_PARTS, Parts

_FAMILY_BYTE = 1  # of a background's one network: see rinr.networks.payload

Encode = Callable[[Sequence[Frame], Preset, Outcome | None, Progress | None], list[EncodedImage]]
"""Encodes frames, here or in other processes, and may tell how far it is."""


def encode_here(
    frames: Sequence[Frame], preset: Preset, outcome: Outcome | None, progress: Progress | None
) -> list[EncodedImage]:
    """On this core."""
    return encode(frames, preset, outcome=outcome, progress=progress)


@dataclass(frozen=True)
class Measured:
    """A sample as it is sent in one way; means over its frames.

    Attributes:
        preset: with which it was encoded.
        payload_bytes: of a frame payload.
        error_bytes: standard error of that mean; zero of a single frame.
        background_db: PSNR outside the boxes; ``None`` where no frame has such pixels.
        object_db: PSNR over the union of the boxes, likewise.
        fit_seconds: to encode a frame, of wall time: a busy machine makes them more.
        decode_seconds: to decode one, of processor time.
        families: how many frames are of each network family or codec.
        shared: what frames of clips share besides.
        fell_short: frames that do not reach what was asked of each.
    """

    preset: str
    payload_bytes: float
    error_bytes: float
    background_db: float | None
    object_db: float | None
    fit_seconds: float
    decode_seconds: float
    families: Mapping[str, int]
    shared: SharedPart = NOTHING_SHARED
    fell_short: int = 0


@dataclass(frozen=True)
class Trial:
    """The sample encoded with a preset, frame by frame."""

    images: Sequence[EncodedImage]
    background_db: float | None
    object_db: float | None

    @property
    def payload_bytes(self) -> float:
        """Mean of a frame payload."""
        return mean(image.frame.bytes_total for image in self.images)


@dataclass(frozen=True)
class Bench:
    """Where frames are encoded and measured.

    Attributes:
        captured: working frames, against which all is measured.
        uploaded: what the fog has of them, and encodes.
        encode: does it.
    """

    captured: Sequence[Frame]
    uploaded: Sequence[Frame]
    encode: Encode = field(default=encode_here)

    def trial(self, preset: Preset, outcome: Outcome | None = None, progress: Progress | None = None) -> Trial:
        """Encode all frames with a preset.

        Raises:
            FloatingPointError: a fit diverged.
            ValueError: an outcome is asked of a preset that cannot be asked for one.
        """
        images = self.encode(self.uploaded, preset, outcome, progress)
        if self.uploaded is not self.captured:
            images = [_against(frame, image) for frame, image in zip(self.captured, images, strict=True)]
        return Trial(images, mean_db(i.background_db for i in images), mean_db(i.object_db for i in images))


def measured(trial: Trial, preset: Preset, outcome: Outcome | None = None, *, parts: Parts = NO_PARTS) -> Measured:
    """What a trial comes to, its decoding timed.

    Args:
        trial: of the preset.
        preset: the preset.
        outcome: what was asked of each frame.
        parts: what clips share, where frames need it.
    """
    sizes = [image.frame.bytes_total for image in trial.images]
    return Measured(
        preset=preset.name,
        payload_bytes=mean(sizes),
        error_bytes=stdev(sizes) / math.sqrt(len(sizes)) if len(sizes) > 1 else 0.0,
        background_db=trial.background_db,
        object_db=trial.object_db,
        fit_seconds=mean(image.fit_seconds for image in trial.images),
        decode_seconds=decode_seconds([image.frame for image in trial.images], parts),
        families=dict(Counter(image.family for image in trial.images).most_common()),
        shared=_shared(trial.images, parts),
        fell_short=sum(not outcome.met_by(image) for image in trial.images) if outcome else 0,
    )


def decode_seconds(frames: Sequence[EncodedFrame], parts: Parts = NO_PARTS) -> float:
    """Processor seconds a frame to decode all once, entropy decoding included, those of one size together."""
    places: dict[tuple[int, int], list[int]] = {}
    for place, frame in enumerate(frames):
        places.setdefault((frame.width, frame.height), []).append(place)
    took = 0.0
    for _ in range(2):  # what is worked out once for frames of a size is there the second time
        started = time.process_time()
        loaded = load(frames, parts=parts)
        for size, of_size in places.items():
            to_pixels(loaded.render(of_size, *size))
        took = time.process_time() - started
    return took / len(frames)


@dataclass(frozen=True)
class Uploads:
    """Pictures as devices upload them.

    Attributes:
        name: the codec preset, or ``jpeg`` for the captured file itself.
        picture_bytes: of one, without its labels.
        frames: what the fog makes of them.
        encode_seconds: what a picture costs the device; zero where it uploads what it has.
        background_db: PSNR outside the boxes; ``None`` of captured JPEGs, and where it was not measured.
        object_db: likewise, over the union of the boxes.
    """

    name: str
    picture_bytes: float
    frames: Sequence[Frame]
    encode_seconds: float
    background_db: float | None = None
    object_db: float | None = None


def shrunk(frames: Sequence[Frame], preset: Preset, encode: Encode = encode_here) -> Uploads:
    """Frames as files of an image codec at the working size, and as those decode.

    Raises:
        ValueError: the preset is not of an image codec, or has crops.
    """
    if preset.background.family not in ("jpeg", "webp", "avif") or preset.objects:
        raise ValueError(f"{preset.name!r} is no single file of an image codec, such as webp:50 or avif:40")
    images = encode([replace(frame, boxes=()) for frame in frames], preset, None, None)
    decoded = [replace(frame, pixels=decode(i.frame), file=None) for frame, i in zip(frames, images, strict=True)]
    return Uploads(
        preset.name,
        mean(image.frame.bytes_background - _FAMILY_BYTE for image in images),
        decoded,
        mean(image.fit_seconds for image in images),
    )


def _against(frame: Frame, image: EncodedImage) -> EncodedImage:
    coded = measure(frame, image.frame)
    return replace(image, background_db=coded.background_db, object_db=coded.object_db)


def _shared(images: Sequence[EncodedImage], parts: Parts) -> SharedPart:
    """The clips' parts, divided over all frames, those that stand alone among them as well."""
    if not parts:
        return NOTHING_SHARED
    return SharedPart(mean(map(len, parts.values())), max(round(len(images) / len(parts)), 1))
