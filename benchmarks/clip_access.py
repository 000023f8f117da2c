"""Random access: what one frame costs to decode, ours and a video codec's at every key-frame distance."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from benchmarks.clip_measure import KEY_DISTANCES, Measuring
from benchmarks.video_codecs import CODECS, decode_one
from benchmarks.video_codecs import encode as encode_video
from rinr.codec.clip import part_name
from rinr.codec.encoded import EncodedImage
from rinr.codec.frame import pack_frame, unpack_frame
from rinr.decoder import LoadedFrames, to_pixels
from rinr.weights import FrameWeights, entropy_decode

_FRAMES = 12
"""Random frames that are asked for, each timed on its own; the same for all."""


@dataclass(frozen=True)
class Access:
    """One way to keep a sequence of which single frames are asked for.

    Attributes:
        name: for tables.
        bytes_a_frame: of the background at the PSNR of the comparison: crops are the same for all videos.
        background_db: what the frames that were decoded have in the mean.
        milliseconds: processor time from bytes to one 8-bit picture, median over random frames.
        entropy: of this, up to weights; ``None`` for videos, as are the next two.
        loaded: of one frame whose weights were decoded on arrival, as a training loop has them.
        batch: likewise of a frame, where a batch of random frames is rendered together.
        key_distance: of a video.
    """

    name: str
    bytes_a_frame: float
    background_db: float
    milliseconds: float
    entropy: float | None = None
    loaded: float | None = None
    batch: float | None = None
    key_distance: int | None = None


def payloads(name: str, images: Sequence[EncodedImage], parts: Sequence[bytes]) -> Access:
    """Ours: a frame payload with, where it needs one, its shared part, both from bytes; and rendering alone."""
    known = {part_name(part): part for part in parts}
    files = [pack_frame(image.frame) for image in images]

    def weights(number: int) -> FrameWeights:
        frame = unpack_frame(files[number])
        return entropy_decode([frame], {frame.clip.part: known[frame.clip.part]} if frame.clip else {})

    def show(loaded: LoadedFrames, *numbers: int) -> object:
        return to_pixels(loaded.render(numbers, *loaded.sizes[numbers[0]]))

    together = LoadedFrames(entropy_decode([image.frame for image in images], known))
    asked = _asked(len(files))
    objects = statistics.mean(image.frame.bytes_objects for image in images)
    total = sum(len(data) for data in (*files, *parts)) / len(files)
    return Access(
        name,
        total - objects,
        statistics.mean(image.background_db or 0.0 for image in images),
        _median(lambda number: show(LoadedFrames(weights(number)), 0), asked),
        _median(weights, asked),
        _median(lambda number: show(together, number), asked),
        _median(lambda _: show(together, *asked), asked[:4]) / len(asked),
    )


def videos(measuring: Measuring, background_db: float, beside: float) -> list[Access]:
    """Both codecs at every key distance, each with the cheapest setting that reaches the background PSNR.

    Args:
        measuring: the sequence.
        background_db: to reach.
        beside: bytes a frame of boxes, labels and headers.
    """
    frames = measuring.run.frames
    found = []
    for codec in CODECS:
        for distance in KEY_DISTANCES:
            reaching = [p for p in measuring.video(codec, distance) if p.background_db >= background_db]
            if not reaching:
                continue
            best = min(reaching, key=lambda p: p.bytes_a_frame)
            stream = encode_video([f.pixels for f in frames], codec, best.quality, distance, best.scale)
            found.append(
                Access(
                    f"{codec.name} {best.name}",
                    best.bytes_a_frame + beside,
                    best.background_db,
                    _median(partial(decode_one, stream), _asked(len(frames))),
                    key_distance=distance,
                )
            )
    return found


def at_most(found: Sequence[Access], codec: str, most_bytes: float) -> Access | None:
    """The video with the closest key frames among those of a codec that take no more bytes; where all take more, the
    one that takes the fewest."""
    own = [a for a in found if a.name.startswith(codec)]
    fitting = [a for a in own if a.bytes_a_frame <= most_bytes]
    if not fitting:
        return min(own, key=lambda a: a.bytes_a_frame, default=None)
    return min(fitting, key=lambda a: a.key_distance or 0)


def _asked(count: int) -> list[int]:
    return Random(1).choices(range(count), k=_FRAMES)


def _median(decode: Callable[[int], object], asked: Sequence[int]) -> float:
    """Processor time in milliseconds; each frame twice, the quicker time counts: the machine is shared."""
    decode(asked[0])
    return statistics.median(min(_milliseconds(decode, number) for _ in range(2)) for number in asked)


def _milliseconds(decode: Callable[[int], object], number: int) -> float:
    started = time.process_time()
    decode(number)
    return 1_000 * (time.process_time() - started)
