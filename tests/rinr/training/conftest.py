"""Encoded frames to train on, made here."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from rinr.codec.frame import unpack_frame
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


@pytest.fixture(scope="session")
def mixed() -> list[ShardRow]:
    """Frames of all families and of several sizes, with and without objects, residual and pasted: the golden ones."""
    folder = Path(__file__).parents[2] / "golden"
    rows = []
    for path in sorted(folder.glob("*.rinr")):
        data = path.read_bytes()
        rows.append(ShardRow(hashlib.sha256(data).hexdigest(), unpack_frame(data)))
    return rows
