from dataclasses import replace

import numpy as np
import pytest
import torch

from rinr.clip_backgrounds import fit_base
from rinr.clip_extending import correlations, extended
from rinr.clips import find_runs
from rinr.codec.bytestream import PayloadError
from rinr.presets import CLIP
from tests.rinr.moving import frame_of, pan, scene


def test_correlations_are_those_of_every_place_by_hand():
    rng = np.random.default_rng(0)
    canvas, picture = rng.uniform(size=(12, 15)), rng.uniform(size=(6, 7))
    counts = (rng.uniform(size=(6, 7)) > 0.2).astype(float)
    found = correlations(*(torch.from_numpy(each) for each in (picture, counts, canvas))).numpy()
    assert found.shape == (17, 21)
    for row, column in [(8, 10), (5, 6), (13, 16), (9, 3), (4, 12)]:
        top, left = row - 5, column - 6
        rows = slice(max(top, 0), min(top + 6, 12))
        columns = slice(max(left, 0), min(left + 7, 15))
        own = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
        there = counts[own] > 0
        expected = np.corrcoef(canvas[rows, columns][there], picture[own][there])[0, 1]
        assert found[row, column] == pytest.approx(expected, abs=1e-3)
    assert found[0, 0] == -1


@pytest.fixture(scope="module")
def frames():
    return pan(12)


@pytest.fixture(scope="module")
def part(frames):
    """Its canvas is sharp: that of the preset is not, on pictures this small."""
    sharp = replace(CLIP.clip, base=replace(CLIP.clip.base, step=12), most_frames=8)
    (run,) = find_runs(frames[:8], [None] * 8, sharp)
    return fit_base(frames[:8], run.motions, sharp, "cpu")


@pytest.mark.parametrize("first", [0, 3, 7])
def test_frames_are_found_where_they_lie(first, frames, part):
    (run,) = find_runs(frames[first : first + 3], [None] * 3, CLIP.clip)
    found = extended(frames[first : first + 3], run.motions, part.payload, "cpu")
    for place, index in zip(found.places, range(first, first + 3), strict=False):
        assert place.shift == pytest.approx((8 * (3 * index - 10.5), 0), abs=5)  # the canvas reaches from 0 to 7
        assert place.zoom == pytest.approx((0, 0), abs=100)


def test_frames_that_leave_the_canvas_are_not_of_it(frames, part):
    wide = [frame_of(scene(0)[30:78, x : x + 64], f"{x}.jpg") for x in range(25, 97, 6)]
    (run,) = find_runs(wide, [None] * len(wide), CLIP.clip)
    found = extended(wide, run.motions, part.payload, "cpu")
    assert 2 <= len(found.places) < len(wide)


def test_another_scene_is_not_found(frames, part):
    others = pan(3, seed=40)
    (run,) = find_runs(others, [None] * 3, CLIP.clip)
    assert extended(others, run.motions, part.payload, "cpu") is None


def test_a_damaged_part_is_refused(frames, part):
    (run,) = find_runs(frames[:2], [None] * 2, CLIP.clip)
    with pytest.raises(PayloadError, match="shared part"):
        extended(frames[:2], run.motions, part.payload[:-3] + b"abc", "cpu")
