from dataclasses import replace

import numpy as np
import pytest

from benchmarks.accuracy_arms import Arm, parse
from rinr.boxes import Box
from rinr.frames import Frame
from rinr.presets import BALANCED, SIREN_PRESET

BOXES = (Box(2, 10, 20, 30, "one"), Box(150, 50, 40, 8, "two"))
FRAME = Frame("ab" * 32, "", np.zeros((100, 200, 3), np.uint8), BOXES, (200, 100))


def test_arms_by_their_names() -> None:
    assert parse("a").preset is None
    assert parse("b").preset is BALANCED
    assert parse("siren").preset is SIREN_PRESET
    assert parse("b@mixed@margin") == Arm("b", ("margin", "mixed"))
    assert parse("b@mixed@margin").name == "b@margin@mixed"
    assert parse("b@mixed@margin").sent == Arm("b", ("margin",))
    backgrounds = parse("c").preset
    assert backgrounds
    assert backgrounds.background == BALANCED.background
    assert not backgrounds.objects


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("x", "arm 'x' is none of a, b, c"),
        ("b@louder", "no change is named louder"),
        ("a@sharp", "sends no networks"),
        ("c@dropped", "no objects"),
    ],
)
def test_names_that_are_none(name: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(name)


def test_enlarged_boxes_stay_in_the_frame() -> None:
    first, second = parse("b@margin").source(FRAME).boxes
    assert first == Box(0, 0, 29, 50, "one")  # 7 px at the sides, clipped at the left; 10.5 px rounded to even above
    assert second == Box(136, 46, 64, 16, "two")  # 14 px, clipped at the right; the least, 4 px, above and below


def test_decoys_lie_elsewhere_and_follow_from_the_image() -> None:
    boxes = parse("b@decoys").source(FRAME).boxes
    decoys = [box for box in boxes if box.label == "decoy"]
    assert {(box.width, box.height) for box in decoys} == {(20, 30), (40, 8)}
    cover = np.zeros((100, 200), int)
    for box in boxes:
        cover[box.slices] += 1
    assert cover.max() == 1
    assert cover.sum() == sum(box.area for box in boxes)
    assert parse("b@decoys").source(FRAME).boxes == boxes
    assert parse("b@decoys").source(replace(FRAME, image_id="cd" * 32)).boxes != boxes


def test_sharp_halves_the_step_of_objects() -> None:
    preset = parse("b@sharp").preset
    assert preset
    assert preset.objects[0].network.step == BALANCED.objects[0].network.step / 2  # type: ignore[union-attr]
    assert preset.background == BALANCED.background
