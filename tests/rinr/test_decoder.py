from dataclasses import replace

import numpy as np
import pytest
import torch

from rinr.boxes import Box
from rinr.codec.frame import EncodedFrame
from rinr.decoder import WHOLE, LoadedFrames, decode, decode_background, load, to_pixels
from rinr.networks.coordinates import Axis, covered
from rinr.networks.cosine import COSINE
from rinr.networks.payload import Member, read_networks, write_networks
from rinr.networks.settings import CosineSettings
from tests.conftest import frame

EXACT = CosineSettings(step=1, tiles=(16,), overlap=0.0, waves=8, trade=0.0, sweeps=1)


def test_residuals_are_added_in_their_boxes_and_nowhere_else():
    boxes = (Box(3, 2, 5, 4, "a"),)
    decoded = decode(framed(20, 10, 0.5, boxes, 0.25)).astype(int)
    expected = np.full((10, 20, 3), round(0.5 * 255))
    expected[2:6, 3:8] = round(0.75 * 255)
    assert np.abs(decoded - expected).max() <= 1


def framed(width, height, background, boxes, *values, pasted=False):
    """A frame of one background value and one value a box; a network's own size is that of its region."""

    def network(size, value):
        (fitted,) = COSINE.fit([torch.full((size[1], size[0], 3), value)], EXACT)
        return Member(COSINE, fitted)

    objects = [network((b.width, b.height), value) for b, value in zip(boxes, values, strict=True)]
    ground = write_networks([network((width, height), background)])
    return EncodedFrame(width, height, ground, boxes, write_networks(objects), pasted)


def test_where_boxes_overlap_the_mean_of_their_residuals_is_added():
    boxes = (Box(0, 0, 10, 10, "a"), Box(5, 0, 10, 10, "b"))
    decoded = decode(framed(20, 10, 0.5, boxes, 0.1, 0.3))[5, :, 0] / 255
    assert np.abs(decoded - np.repeat([0.6, 0.7, 0.8, 0.5], 5)).max() < 0.01


def test_pasted_objects_take_the_backgrounds_place():
    boxes = (Box(0, 0, 10, 10, "a"), Box(5, 0, 10, 10, "b"))
    decoded = decode(framed(20, 10, 0.5, boxes, 0.1, 0.3, pasted=True))[5, :, 0] / 255
    assert np.abs(decoded - np.repeat([0.1, 0.2, 0.3, 0.5], 5)).max() < 0.01


def test_a_box_without_a_network_leaves_the_background_and_counts_for_nothing():
    whole = framed(20, 10, 0.5, (Box(0, 0, 10, 10, "a"),), 0.2)
    boxes = (Box(0, 0, 10, 10, "a"), Box(5, 0, 10, 10, "b"))
    for pasted, expected in ((False, [0.7, 0.7, 0.5, 0.5]), (True, [0.2, 0.2, 0.5, 0.5])):
        inner = read_networks(whole.objects, [(10, 10)])
        frame = replace(whole, boxes=boxes, objects=write_networks([*inner, None]), pasted=pasted)
        assert np.abs(decode(frame)[5, :, 0] / 255 - np.repeat(expected, 5)).max() < 0.01


def test_the_sum_is_clamped_once_at_the_end():
    # The background lies above white: clamped before the residual is added it would come out darker.
    decoded = decode(framed(8, 4, 1.2, (Box(0, 0, 4, 4, "a"),), -0.4))
    assert np.abs(decoded[:, :4].astype(int) - round(0.8 * 255)).max() <= 1
    assert (decoded[:, 4:] == 255).all()


@pytest.mark.parametrize(
    "box", [Box(0, 0, 1, 1, "a"), Box(19, 9, 1, 1, "a"), Box(0, 0, 20, 10, "a"), Box(19, 0, 1, 10, "a")]
)
def test_boxes_at_the_border_and_of_one_pixel(box):
    decoded = decode(framed(20, 10, 0.5, (box,), 0.25))
    changed = np.abs(decoded[..., 0] / 255 - 0.75) < 0.01
    expected = np.zeros((10, 20), bool)
    expected[box.slices] = True
    assert np.array_equal(changed, expected)


def test_a_group_is_decoded_as_its_frames_are_alone(tiny):
    from rinr.encoder import encode

    frames = [frame(0), frame(1, ()), frame(2, width=60, height=40)]
    encoded = [image.frame for image in encode(frames, tiny)]
    pictures = to_pixels(load(encoded).render([2, 0, 1, 0], 64, 48))
    assert np.array_equal(pictures[1], pictures[3])
    for index, decoded in ((0, pictures[1]), (1, pictures[2])):
        assert np.abs(decoded.astype(int) - decode(encoded[index])).max() <= 1


def test_a_picture_is_rendered_directly_at_any_size(tiny):
    from rinr.encoder import encode

    (image,) = encode([frame(0)], tiny)
    loaded = load([image.frame])
    full = loaded.render([0], 64, 48)
    half = loaded.render([0], 32, 24)
    assert half.shape == (1, 3, 24, 32)
    pooled = torch.nn.functional.avg_pool2d(full, 2)
    assert float((pooled - half).abs().mean()) < 0.02


def test_a_crop_shows_what_the_whole_picture_shows_there(tiny):
    from rinr.encoder import encode

    (image,) = encode([frame(0)], tiny)
    loaded = load([image.frame])
    whole = loaded.render([0], 64, 48)
    # The right half of the lower three quarters, at its own scale; the box lies across its edges.
    part = loaded.render([0], 32, 36, crop=(0.5, 0.25, 1.0, 1.0))
    assert torch.allclose(part, whole[:, :, 12:, 32:], atol=1e-5)
    part = loaded.render([0], 22, 20, crop=(20 / 64, 16 / 48, 42 / 64, 36 / 48))
    assert torch.allclose(part, whole[:, :, 16:36, 20:42], atol=1e-5)


def test_what_a_call_keeps_for_the_next_holds_for_its_own_places_alone(tiny):
    from rinr.encoder import encode

    settings = replace(tiny, background=EXACT, background_scale=1)
    encoded = [image.frame for image in encode([frame(seed) for seed in range(2)], settings)]
    loaded = load(encoded)
    for crop in (WHOLE, (0.1, 0.0, 0.9, 1.0), (0.0, 0.1, 1.0, 0.9), WHOLE):
        for size in ((96, 72), (72, 96), (96, 72)):
            again, fresh = (each.render([0, 1], *size, crop) for each in (loaded, load(encoded)))
            assert torch.equal(again, fresh)


def test_covered_columns_are_those_whose_centre_lies_in_the_box():
    # Boxes in a frame of 8 pixels, of which an output of 5 shows the part from 1 to 7: the rule applied by hand.
    boxes = [(0, 3), (1, 3), (3, 1), (6, 2), (7, 1)]
    axis = Axis(torch.tensor([1 / 8]).double(), torch.tensor([6 / 8]).double(), 5)
    found = covered(torch.tensor(boxes, dtype=torch.float64), torch.full((5,), 8.0).double(), axis)
    for row, (start, length) in enumerate(boxes):
        centres = [1 + (column + 0.5) * 6 / 5 for column in range(5)]
        by_hand = [column for column, at in enumerate(centres) if start <= at < start + length]
        assert found.index[row][found.inside[row]].tolist() == by_hand
        places = [(centres[column] - start) / length * 2 - 1 for column in by_hand]
        assert found.place[row][found.inside[row]].tolist() == pytest.approx(places, abs=1e-6)


@pytest.mark.parametrize("pasted", [False, True])
def test_boxes_are_added_by_index_as_they_are_one_by_one(pasted, monkeypatch):
    # By index is how a GPU does it; apart, overlapping, beyond a crop, and a frame without any.
    boxes = (Box(0, 0, 10, 10, "a"), Box(5, 0, 10, 10, "b"), Box(18, 2, 1, 7, "c"))
    frames = [
        framed(20, 10, 0.5, boxes, 0.1, 0.3, -0.2, pasted=pasted),
        framed(20, 10, 0.4, ()),
        framed(20, 10, 0.2, boxes[:1], 0.4),
    ]
    loaded = load(frames)
    views = [((20, 10), (0.0, 0.0, 1.0, 1.0)), ((33, 7), (0.3, 0.1, 0.9, 0.8))]
    one_by_one = [loaded.render([0, 2, 1, 0], *size, crop=crop) for size, crop in views]
    monkeypatch.setattr(LoadedFrames, "_on_cpu", False)
    for expected, (size, crop) in zip(one_by_one, views, strict=True):
        assert torch.allclose(loaded.render([0, 2, 1, 0], *size, crop=crop), expected, atol=1e-5)


def test_pictures_are_rendered_into_a_part_of_a_canvas():
    loaded = load([framed(20, 10, 0.5, (Box(3, 2, 5, 4, "a"),), 0.25)] * 2)
    canvas = torch.full((2, 3, 16, 24), 7.0)
    loaded.render([0, 1], 20, 10, out=canvas[:, :, :10, :20])
    assert torch.equal(canvas[:, :, :10, :20], loaded.render([0, 1], 20, 10))
    assert (canvas[:, :, 10:] == 7).all()
    assert (canvas[..., 20:] == 7).all()


def test_backgrounds_alone():
    whole = framed(20, 10, 0.5, (Box(3, 2, 5, 4, "a"),), 0.25)
    assert np.array_equal(decode_background(whole), decode(replace(whole, boxes=(), objects=b"")))
