"""What each arm sends of a sequence, kept as shards so that a run that was cut off goes on.

Controls of the same bytes are chosen for each sequence. A two-stream codec spends on its background at most what ours
does, at whatever size is best then (whole, halves, quarters, eighths), and the rest on its crops, of the lowest quality
with which all frames together have no fewer bytes than ours: what is left over is in favour of the control.
"""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.accuracy_arms import BACKGROUNDS, LEAST_MARGIN, MARGIN, OURS, Arm
from rinr.clip_encoder import encode_clips
from rinr.codec.encoded import EncodedImage
from rinr.codec.frame import EncodedFrame
from rinr.encoder import encode
from rinr.files import write_whole
from rinr.folders import spread
from rinr.frames import Frame
from rinr.networks.payload import write_networks
from rinr.networks.settings import CodecSettings
from rinr.neural_controls import rapid
from rinr.presets import BALANCED, Preset, codec_preset, encoding_id
from rinr.shard import ShardPart, ShardRow, from_table, parts_in, to_table
from rinr.version import CODEC_VERSION

SCALES = (1, 2, 4, 8)
_TRIALS = 4  # frames of a sequence on which backgrounds are chosen
_LOWEST, _HIGHEST = 1, 95
_RAPID_STEPS = 8  # an octave

Pause = Callable[[], None]
"""Called often; returns when work may go on."""


@dataclass(frozen=True)
class Sent:
    """The frames of a sequence as they travel.

    Attributes:
        rows: in the order of the frames.
        parts: what frames of clips share.
        preset: with which they were made, for people.
    """

    rows: list[ShardRow]
    parts: list[ShardPart]
    preset: str

    @property
    def bytes_a_frame(self) -> float:
        """Mean, of all that travels."""
        total = sum(row.frame.bytes_total for row in self.rows) + sum(len(part.payload) for part in self.parts)
        return total / len(self.rows)


class Encodings:
    """Payloads by sequence and arm, made where they are missing.

    Args:
        folder: of the shards.
        say: told what is being made.
        pause: see :data:`Pause`.
    """

    def __init__(self, folder: Path, say: Callable[[str], None], pause: Pause) -> None:
        self.folder, self.say, self.pause = folder, say, pause

    def sent(self, arm: Arm, name: str, frames: Callable[[], Sequence[Frame]], image_ids: Sequence[str]) -> Sent:
        """What an arm sends of a sequence.

        Args:
            arm: whose payloads; see :attr:`Arm.sent`.
            name: of the sequence.
            frames: reads its training frames.
            image_ids: of these.
        """
        path = self.folder / name / f"{_slug(arm.name)}-{key(arm, image_ids)}.parquet"
        if not path.exists():
            self.say(f"encoding {len(image_ids)} frames of {name} for {arm.name}")
            preset, rows = self._made(arm, name, frames, image_ids)
            write_whole(path, _parquet(to_table(rows).replace_schema_metadata({"preset": words(preset)})))
        table = pq.read_table(path)
        return Sent(from_table(table), parts_in(table), table.schema.metadata[b"preset"].decode())

    def _made(
        self, arm: Arm, name: str, frames: Callable[[], Sequence[Frame]], image_ids: Sequence[str]
    ) -> tuple[Preset, list[ShardRow | ShardPart]]:
        preset, read = arm.preset, list(frames())
        if preset is not None and preset.clip:
            clips = encode_clips([arm.source(frame) for frame in read], [None] * len(read), preset)
            parts = [ShardPart(clip.part) for clip in clips if clip.part]
            return preset, [*parts, *(ShardRow(image.image_id, image.frame) for clip in clips for image in clip.images)]
        if arm.base == BACKGROUNDS:  # those of ours, which do not depend on the objects
            assert preset is not None
            return preset, [bare(row) for row in self.sent(Arm(OURS), name, lambda: read, image_ids).rows]
        if preset is None:
            ours = [row.frame for row in self.sent(Arm(OURS), name, lambda: read, image_ids).rows]
            preset, images = self._same_bytes(arm.base.removeprefix("d-"), read, ours)
        else:
            images = self._encode([arm.source(frame) for frame in read], preset)
        return preset, [ShardRow(image.image_id, image.frame) for image in images]

    def _encode(self, frames: Sequence[Frame], preset: Preset) -> list[EncodedImage]:
        return encode(frames, preset, progress=lambda done, total: self.pause())

    def _same_bytes(
        self, kind: str, frames: Sequence[Frame], ours: Sequence[EncodedFrame]
    ) -> tuple[Preset, list[EncodedImage]]:
        total = sum(frame.bytes_total for frame in ours)

        def enough(images: Sequence[EncodedImage]) -> bool:
            return _total(images) >= total

        if kind == "rapid":
            few = spread(range(len(frames)), _TRIALS)
            least = sum(ours[place].bytes_total for place in few)
            at = _lowest(
                -2 * _RAPID_STEPS,
                6 * _RAPID_STEPS,
                lambda step: _total(self._encode([frames[place] for place in few], _rapid(step))) >= least,
            )
            while not enough(images := self._encode(frames, _rapid(at))) and at < 6 * _RAPID_STEPS:
                at += 1
            return _rapid(at), images
        background = self._background(kind, frames, ours)
        crops = _lowest(
            _LOWEST,
            _HIGHEST,
            lambda quality: enough(self._encode(frames, _two_stream(kind, background, quality))),
        )
        preset = _two_stream(kind, background, crops)
        return preset, self._encode(frames, preset)

    def _background(self, kind: str, frames: Sequence[Frame], ours: Sequence[EncodedFrame]) -> CodecSettings:
        """The best background of no more bytes than ours over a few frames; the smallest where all have more."""
        few = spread(range(len(frames)), _TRIALS)
        most = sum(ours[place].bytes_background for place in few)
        tried: dict[CodecSettings, tuple[int, float]] = {}

        def fits(settings: CodecSettings) -> bool:
            images = self._encode([frames[place] for place in few], codec_preset(settings))
            size = sum(image.frame.bytes_background for image in images)
            tried[settings] = size, sum(image.background_db or 0.0 for image in images)
            return size <= most

        def too_many_at(scale: int) -> Callable[[int], bool]:
            return lambda quality: not fits(CodecSettings(kind, quality, scale))

        for scale in SCALES:
            _lowest(_LOWEST, _HIGHEST, too_many_at(scale))
        fitting = [settings for settings, (size, _) in tried.items() if size <= most]
        if fitting:
            return max(fitting, key=lambda settings: tried[settings][1])
        return min(tried, key=lambda settings: tried[settings][0])


def key(arm: Arm, image_ids: Sequence[str]) -> str:
    """Of what an arm sends of these images: 16 hexadecimal digits."""
    preset = arm.preset or BALANCED
    asked = [CODEC_VERSION, arm.sent.name, encoding_id(preset), MARGIN, LEAST_MARGIN, *image_ids]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


def bare(row: ShardRow) -> ShardRow:
    """A frame whose boxes have no networks of their own."""
    return replace(row, frame=replace(row.frame, objects=write_networks([None] * len(row.frame.boxes))))


def words(preset: Preset) -> str:
    """A preset for people; ``rapid`` with its step."""
    if preset.name == "rapid":
        return f"rapid, step {asdict(preset.background)['step']:.0f}"
    return preset.name


def _two_stream(kind: str, background: CodecSettings, quality: int) -> Preset:
    return codec_preset(background, CodecSettings(kind, quality))


def _rapid(step: int) -> Preset:
    return rapid(BALANCED, 2 ** (-step / _RAPID_STEPS))


def _lowest(low: int, high: int, enough: Callable[[int], bool]) -> int:
    """The lowest number that is enough, found by halving; ``high`` where none is."""
    while low < high:
        middle = math.floor((low + high) / 2)
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low


def _total(images: Sequence[EncodedImage]) -> int:
    return sum(image.frame.bytes_total for image in images)


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-@" else "_" for c in name)
