import dataclasses

import numpy as np
import pytest
import torch

from rinr.boxes import Box
from rinr.codec.bytestream import PayloadError
from rinr.codec.frame import EncodedFrame, EncodedObject
from rinr.decoder import decode, decode_background, load, to_pixels
from rinr.networks.coordinates import covered_pixels
from rinr.networks.siren import SIREN
from tests.conftest import frame


def constant(value, tiny, alone=(8, 6)):
    """A network payload that says one value everywhere."""
    return SIREN.fit([torch.full((*alone, 3), value)], tiny.background)[0]


def test_residuals_are_added_in_their_boxes_and_nowhere_else(tiny):
    item = EncodedObject(Box(3, 2, 5, 4, "a"), constant(0.25, tiny))
    decoded = decode(EncodedFrame(20, 10, constant(0.5, tiny), (item,))).astype(int)
    expected = np.full((10, 20, 3), round(0.5 * 255))
    expected[2:6, 3:8] = round(0.75 * 255)
    assert np.abs(decoded - expected).max() <= 1


def test_where_boxes_overlap_the_mean_of_their_residuals_is_added(tiny):
    items = (
        EncodedObject(Box(0, 0, 10, 10, "a"), constant(0.1, tiny)),
        EncodedObject(Box(5, 0, 10, 10, "b"), constant(0.3, tiny)),
    )
    decoded = decode(EncodedFrame(20, 10, constant(0.5, tiny), items))[5, :, 0] / 255
    assert np.abs(decoded - np.repeat([0.6, 0.7, 0.8, 0.5], 5)).max() < 0.01


def test_the_sum_is_clamped_once_at_the_end(tiny):
    # The background lies above white: clamped before the residual is added it would come out darker.
    item = EncodedObject(Box(0, 0, 4, 4, "a"), constant(-0.4, tiny))
    decoded = decode(EncodedFrame(8, 4, constant(1.2, tiny), (item,)))
    assert np.abs(decoded[:, :4].astype(int) - round(0.8 * 255)).max() <= 1
    assert (decoded[:, 4:] == 255).all()


@pytest.mark.parametrize(
    "box", [Box(0, 0, 1, 1, "a"), Box(19, 9, 1, 1, "a"), Box(0, 0, 20, 10, "a"), Box(19, 0, 1, 10, "a")]
)
def test_boxes_at_the_border_and_of_one_pixel(box, tiny):
    decoded = decode(EncodedFrame(20, 10, constant(0.5, tiny), (EncodedObject(box, constant(0.25, tiny)),)))
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


def test_covered_pixels_are_those_whose_centre_lies_in_the_box():
    # A box of 3x2 at (1, 1) in a frame of 8x4, shown at 4x2: the rule applied to every pixel's centre.
    boxes = torch.tensor([[1, 1, 3, 2]], dtype=torch.float64)
    covered = covered_pixels(boxes, torch.tensor([[8, 4]], dtype=torch.float64), (4, 2))
    by_hand = [y * 4 + x for y in range(2) for x in range(4) if 1 <= (x + 0.5) * 2 < 4 and 1 <= (y + 0.5) * 2 < 3]
    assert covered.pixel[covered.inside].tolist() == by_hand


def test_backgrounds_alone(tiny):
    item = EncodedObject(Box(3, 2, 5, 4, "a"), constant(0.25, tiny))
    whole = EncodedFrame(20, 10, constant(0.5, tiny), (item,))
    assert np.array_equal(decode_background(whole), decode(dataclasses.replace(whole, objects=())))


def test_a_damaged_network_payload_is_refused(tiny):
    good = constant(0.5, tiny)
    for position in range(len(good)):
        damaged = good[:position] + bytes([good[position] ^ 0x40]) + good[position + 1 :]
        with pytest.raises(PayloadError):
            load([EncodedFrame(8, 4, damaged, ())])
