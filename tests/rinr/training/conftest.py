"""Encoded frames to train on, made here."""

from collections.abc import Callable, Sequence

import pytest

from rinr.encoder import encode
from rinr.frames import Frame
from rinr.presets import Preset
from rinr.shard import ShardRow


@pytest.fixture
def encoded(tiny: Preset) -> Callable[[Sequence[Frame]], list[ShardRow]]:
    """Encodes frames with the preset ``tiny``."""

    def rows(frames: Sequence[Frame]) -> list[ShardRow]:
        images = encode(frames, tiny)
        return [ShardRow(image.image_id, image.frame) for image in images]

    return rows
