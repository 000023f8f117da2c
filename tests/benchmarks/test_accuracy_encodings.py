from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy_arms import parse
from benchmarks.accuracy_encodings import Encodings, bare
from rinr.boxes import Box
from rinr.codec.frame import pack_frame
from rinr.encoder import encode
from rinr.frames import Frame
from rinr.presets import find_preset
from rinr.shard import ShardRow


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    """Two frames of smooth noise, with a box each."""
    chance, found = np.random.default_rng(1), []
    for number in range(2):
        small = chance.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        pixels = np.kron(small, np.ones((8, 8, 1), np.uint8))
        found.append(Frame(f"{number:064x}", "", pixels, (Box(10, 8, 24, 20, "one"),), (64, 48)))
    return found


def test_backgrounds_alone_are_what_encoding_without_objects_gives(frames: list[Frame]) -> None:
    preset = find_preset("instant")
    (image,) = encode(frames[:1], preset)
    (alone,) = encode(frames[:1], replace(preset, objects=()))
    assert pack_frame(bare(ShardRow(image.image_id, image.frame)).frame) == pack_frame(alone.frame)


@pytest.mark.parametrize("name", ["d-webp"])
def test_controls_have_no_fewer_bytes_and_nothing_is_encoded_twice(
    name: str, frames: list[Frame], tmp_path: Path
) -> None:
    said: list[str] = []
    encodings = Encodings(tmp_path, said.append, lambda: None)
    ids = [frame.image_id for frame in frames]
    ours = encodings.sent(parse("b"), "noise", lambda: frames, ids)
    theirs = encodings.sent(parse(name), "noise", lambda: frames, ids)
    assert theirs.bytes_a_frame >= ours.bytes_a_frame
    assert [row.image_id for row in theirs.rows] == ids
    assert said == ["encoding 2 frames of noise for b", f"encoding 2 frames of noise for {name}"]

    def unread() -> Sequence[Frame]:
        raise AssertionError("what is there needs no frames")

    again = encodings.sent(parse(name), "noise", unread, ids)
    assert again == theirs
