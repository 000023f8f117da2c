from dataclasses import replace

import numpy as np
import pytest

from rinr.clips import find_runs
from rinr.presets import CLIP
from tests.rinr.moving import frame_of, pan, scene, seen

SETTINGS = replace(CLIP.clip, most_frames=32, most_gap=2.0)


def still(count, seed=0):
    frame = frame_of(scene(seed)[:48, :64], f"{seed}.jpg")
    return [frame] * count


def bounds(runs):
    return [(run.start, run.stop) for run in runs]


def test_one_run_where_nothing_ends_it():
    frames = pan(7)
    (run,) = find_runs(frames, [None] * 7, SETTINGS)
    assert (run.start, run.stop, run.begins) == (0, 7, "the first frame")
    assert len(run.likeness) == 6
    assert min(run.likeness) > 0.8
    assert run.motions[6].shift == pytest.approx((18, 0), abs=1)


def test_a_cut_in_the_middle():
    runs = find_runs(pan(4) + pan(3, seed=9), [None] * 7, SETTINGS)
    assert bounds(runs) == [(0, 4), (4, 7)]
    assert runs[1].begins.startswith("a cut: likeness ")


def test_a_gap_and_a_change_of_size():
    frames = [*still(4), frame_of(scene(0)[:40, :64], "smaller.jpg")]
    runs = find_runs(frames, [0.0, 1.0, 9.5, None, 9.6], SETTINGS)
    assert bounds(runs) == [(0, 2), (2, 4), (4, 5)]
    assert [run.begins for run in runs[1:]] == [
        "8.5 s after the frame before",
        "frames of 64x40 pixels after 64x48",
    ]


def test_equal_and_reversed_times_and_duplicates_are_no_error():
    frames = pan(3)
    frames = [frames[0], frames[0], frames[2], frames[1], frames[1]]
    (run,) = find_runs(frames, [5.0, 5.0, 6.0, 5.5, 5.5], SETTINGS)
    assert (run.start, run.stop) == (0, 5)
    assert run.likeness[0] == run.likeness[3] == 1
    assert run.motions[0] == run.motions[1]
    assert bounds(find_runs(frames, [9.0, 0.0, None, None, None], SETTINGS)) == [(0, 1), (1, 5)]


@pytest.mark.parametrize(("count", "lengths"), [(0, []), (1, [1]), (32, [32]), (33, [32, 1]), (1000, [32] * 31 + [8])])
def test_a_run_is_cut_where_it_is_as_long_as_a_clip_may_be(count, lengths):
    runs = find_runs(still(count), [None] * count, SETTINGS)
    assert [len(run) for run in runs] == lengths
    assert all(run.begins == "32 frames at most" for run in runs[1:])


def test_a_camera_that_moves_on_is_cut_where_one_canvas_holds_no_more():
    wide = scene(2, 600, 100)
    frames = [frame_of(seen(wide, (64, 48), (40 + 12 * index, 50)), f"{index}.jpg") for index in range(40)]
    runs = find_runs(frames, [None] * 40, replace(SETTINGS, most_frames=100))
    assert len(runs) in (2, 3)
    assert all(run.begins == "the camera has moved on" for run in runs[1:])
    reach = [run.motions[-1].shift[0] for run in runs]
    assert max(reach) <= 3 * 64
    assert max(reach) > 2.5 * 64


def test_what_comes_later_changes_none_but_the_last_run():
    frames = pan(4) + pan(5, seed=9) + pan(3, seed=11)
    whole = find_runs(frames, [None] * 12, SETTINGS)
    for count in range(1, 12):
        some = find_runs(frames[:count], [None] * count, SETTINGS)
        assert some[:-1] == whole[: len(some) - 1]


def test_parts_of_a_run_are_seen_from_their_own_first_frame():
    (run,) = find_runs(pan(7), [None] * 7, SETTINGS)
    part = run.part(2, 6)
    assert (part.start, part.stop, len(part.likeness)) == (2, 6, 3)
    assert np.allclose(part.motions[0].shift, 0)
    assert part.motions[3].shift == pytest.approx((9, 0), abs=1)
