"""Every curve of one sequence, from the cache where it was measured before."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import TypeVar

from benchmarks import clip_payloads as payloads
from benchmarks.clip_cache import Cache
from benchmarks.clip_payloads import Sent
from benchmarks.clip_sequences import Sequence as Run
from benchmarks.video_codecs import SMALLEST_SIDE, Codec
from benchmarks.video_curves import Coded, coded
from rinr.presets import Preset, encoding_id

KEY_DISTANCES = (32, 16, 8, 4, 2, 1)
"""Frames from one key frame to the next; the first is that of the whole clip."""

_Measured = TypeVar("_Measured")


@dataclass(frozen=True)
class Stills:
    """Still codecs by name: frames at all scales, and crops."""

    frames: dict[str, list[Sent]]
    crops: dict[str, list[Sent]]

    @property
    def reference(self) -> Sent:
        """Two-stream JPEG 5 + 75."""
        frame, crop = (
            next(p for p in points if p.name == name)
            for points, name in zip((self.frames["jpeg"], self.crops["jpeg"]), payloads.REFERENCE, strict=True)
        )
        return Sent(
            "two-stream JPEG 5 + 75", frame.background_bytes, crop.object_bytes, frame.background_db, crop.object_db
        )


@dataclass(frozen=True)
class Measuring:
    """One sequence with where to keep what is measured of it."""

    run: Run
    cache: Cache

    def stills(self) -> Stills:
        """All still codecs."""
        frames = {
            family: [
                self._whole(family, scale, quality) for scale, qualities in scales.items() for quality in qualities
            ]
            for family, scales in payloads.WHOLES.items()
        }
        crops = {
            family: [self._crops(family, quality) for quality in qualities]
            for family, qualities in payloads.CROPS.items()
        }
        return Stills(frames, crops)

    def video(self, codec: Codec, key_distance: int) -> list[Coded]:
        """One video codec's curve, at full and reduced sizes."""
        smallest = min(self.run.frames[0].size)
        return [
            self._kept(
                Coded,
                f"{codec.name} {quality}/{scale} keys {key_distance}",
                codec.options(quality, key_distance),
                partial(coded, self.run, codec, quality, scale, key_distance),
            )
            for scale, qualities in codec.qualities.items()
            if smallest // scale >= SMALLEST_SIDE
            for quality in qualities
        ]

    def single(self, preset: Preset) -> Sent:
        """Our frames alone."""
        return self._kept(Sent, preset.name, encoding_id(preset), lambda: payloads.single(self.run, preset))

    def clips(self, preset: Preset) -> Sent:
        """Our frames together."""
        return self._kept(Sent, preset.name, encoding_id(preset), lambda: payloads.clips(self.run, preset))

    def _whole(self, family: str, scale: int, quality: int) -> Sent:
        make = partial(payloads.wholes, self.run, family, scale, quality)
        return self._kept(Sent, f"{family}:{quality}/{scale}", "", make)

    def _crops(self, family: str, quality: int) -> Sent:
        return self._kept(Sent, f"crops {family}:{quality}", "", partial(payloads.crops, self.run, family, quality))

    def _kept(self, kind: Callable[..., _Measured], what: str, key: object, make: Callable[[], _Measured]) -> _Measured:
        def told() -> _Measured:
            print(f"\r\x1b[K{self.run.name}: {what}", end="", file=sys.stderr, flush=True)
            return make()

        content = sha256("".join(frame.image_id + frame.labels_id for frame in self.run.frames).encode()).hexdigest()
        return self.cache.get(kind, f"{self.run.name}-{len(self.run.frames)}-{what}", (content, what, key), told)
