"""Encoded frames that are kept beside a benchmark's work, so that a rerun need not fit them again."""

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

from rinr.codec.encoded import EncodedImage
from rinr.codec.frame import pack_frame, unpack_frame
from rinr.frames import Frame
from rinr.pool import EncoderPool
from rinr.presets import Preset, encoding_id

_PLAIN = tuple(field.name for field in fields(EncodedImage) if field.name not in ("frame", "source_size"))

Progress = Callable[[int, int], None]


class Fits:
    """A folder of encoded frames, by encoding and by picture and labels.

    Args:
        folder: is made where it is missing.
        pool: that encodes what is not there.
    """

    def __init__(self, folder: Path, pool: EncoderPool) -> None:
        self._folder = folder
        self._pool = pool

    def encode(self, frames: Sequence[Frame], preset: Preset, progress: Progress | None = None) -> list[EncodedImage]:
        """What :func:`rinr.encoder.encode` gives for frames that stand alone, in their order."""
        places = [self._place(frame, preset) for frame in frames]
        missing = [(frame, place) for frame, place in zip(frames, places, strict=True) if not place.exists()]
        size = 4 * self._pool.jobs  # so that a run that is ended keeps most of what it did
        for start in range(0, len(missing), size):
            some = missing[start : start + size]
            for image, (_, place) in zip(self._pool.encode([f for f, _ in some], preset), some, strict=True):
                _write(place, image)
            if progress:
                progress(min(start + size, len(missing)), len(missing))
        return [_read(place) for place in places]

    def _place(self, frame: Frame, preset: Preset) -> Path:
        return self._folder / encoding_id(preset) / f"{frame.image_id[:32]}-{frame.labels_id[:32]}.json"


def _write(place: Path, image: EncodedImage) -> None:
    record = {name: getattr(image, name) for name in _PLAIN}
    record["source_size"] = list(image.source_size)
    record["payload"] = base64.b64encode(pack_frame(image.frame)).decode()
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_suffix(".part")
    part.write_text(json.dumps(record))
    part.replace(place)


def _read(place: Path) -> EncodedImage:
    record = json.loads(place.read_text())
    frame = unpack_frame(base64.b64decode(record.pop("payload")))
    width, height = record.pop("source_size")
    return EncodedImage(frame=frame, source_size=(width, height), **record)
