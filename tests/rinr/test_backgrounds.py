"""Frames of clips beside NumPy by hand: what a clip shares, and the own background over it."""

import numpy as np
import pytest
import torch

from rinr.boxes import Box
from rinr.codec.bytestream import PayloadError
from rinr.codec.clip import ClipPlace, SharedPart, pack_part, part_name
from rinr.codec.frame import EncodedFrame
from rinr.decoder import LoadedFrames, decode, decode_background, load
from rinr.networks.cosine import COSINE
from rinr.networks.payload import Member, read_networks, write_networks
from rinr.networks.settings import CosineSettings
from rinr.weights import MissingPartError, entropy_decode, join, parts_of
from rinr.weights_file import map_weights, write_weights
from tests.conftest import picture
from tests.rinr import by_hand

FINE = CosineSettings(step=4, tiles=(16,), overlap=0.12, waves=8, trade=0.05, sweeps=2)
SIZE, CANVAS = (64, 48), (120, 90)


def fitted(seed, size, scale=1.0):
    pixels = torch.from_numpy(picture(seed, *size)).float() / 255 * scale
    (network,) = COSINE.fit([pixels], FINE)
    return Member(COSINE, network)


PART = pack_part(SharedPart(*CANVAS, write_networks([fitted(7, CANVAS, 0.6)])))
OTHER = pack_part(SharedPart(*SIZE, write_networks([fitted(8, SIZE, 0.6)])))
PARTS = parts_of([PART, OTHER])


def frames():
    """Two of one clip, one that adds nothing to what it shares, one of another clip, one alone, with an object."""
    moved = ClipPlace(part_name(PART), 0, (-200, 150), (40, -24))
    boxes = (Box(20, 10, 16, 12, "a"),)
    objects = write_networks([fitted(3, (16, 12), 0.2)])
    own = write_networks([fitted(2, SIZE, 0.3)])
    return [
        EncodedFrame(*SIZE, own, clip=moved),
        EncodedFrame(*SIZE, own, boxes, objects, clip=ClipPlace(part_name(PART), 0, (0, 0), (-80, 50))),
        EncodedFrame(*SIZE, write_networks([None]), clip=ClipPlace(part_name(PART))),
        EncodedFrame(*SIZE, own, boxes, objects, clip=ClipPlace(part_name(OTHER))),
        EncodedFrame(*SIZE, write_networks([fitted(4, SIZE)])),
    ]


def expected(frame, view, width, height):
    """``[3, height, width]`` of a frame without objects."""
    u, v = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    x, y = (row[0] * u + row[1] * v + row[2] for row in np.asarray(view, dtype=np.float64))
    (own,) = read_networks(frame.background, [SIZE])
    total = by_hand.values(own, x, y) if own else np.zeros((*x.shape, 3))
    if frame.clip:
        size = CANVAS if frame.clip.part == part_name(PART) else SIZE
        part = PART if size == CANVAS else OTHER
        (base,) = read_networks(part[5:-4], [size])
        (zoom_x, zoom_y), (shift_x, shift_y) = frame.clip.zoom, frame.clip.shift
        pixel_x = size[0] / 2 + shift_x / 8 + (1 + zoom_x / 8192) * SIZE[0] * (x - 0.5)
        pixel_y = size[1] / 2 + shift_y / 8 + (1 + zoom_y / 8192) * SIZE[1] * (y - 0.5)
        total = total + by_hand.values(base, (pixel_x / size[0]).clip(0, 1), (pixel_y / size[1]).clip(0, 1))
    return total.clip(0, 1).transpose(2, 0, 1)


WHOLE = [[1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("size", [(64, 48), (96, 72), (31, 17)])  # in one product, tile by tile
def test_a_clips_frame_is_what_it_shares_and_its_own_background(size):
    bare = torch.ones(5, dtype=torch.bool)
    loaded = load(frames(), parts=PARTS)
    shown = loaded.look(range(5), torch.tensor([WHOLE] * 5).float(), *size, bare=bare)
    for frame, mine in zip(frames(), shown, strict=True):
        assert np.abs(mine.numpy() - expected(frame, WHOLE, *size)).max() < 2e-4


@pytest.mark.parametrize("view", [[[-0.5, 0, 0.8], [0, 0.6, 0.2]], [[0.6, 0.1, 0.1], [-0.1, 0.6, 0.2]]])
def test_a_view_of_a_clips_frame_mirrored_or_turned(view):
    bare = torch.ones(5, dtype=torch.bool)
    shown = load(frames(), parts=PARTS).look(range(5), torch.tensor([view] * 5).float(), 80, 60, bare=bare)
    for frame, mine in zip(frames(), shown, strict=True):
        assert np.abs(mine.numpy() - expected(frame, view, 80, 60)).max() < 2e-4


def test_objects_lie_over_what_a_clip_shares():
    frame = frames()[1]
    (network,) = read_networks(frame.objects, [(16, 12)])
    y, x = np.mgrid[0:12, 0:16]
    residual = by_hand.values(network, (x + 0.5) / 16, (y + 0.5) / 12)
    beneath = expected(frame, WHOLE, *SIZE).transpose(1, 2, 0)
    found = decode(frame, parts=PARTS) / 255
    assert np.abs(found[10:22, 20:36] - (beneath[10:22, 20:36] + residual).clip(0, 1)).max() < 0.003
    found[10:22, 20:36] = beneath[10:22, 20:36]
    assert np.abs(found - beneath).max() < 0.003
    assert np.abs(decode_background(frame, parts=PARTS) / 255 - beneath).max() < 0.003


def test_random_frames_in_random_order_are_those_that_stand_alone():
    loaded, single = load(frames(), parts=PARTS), [load([frame], parts=PARTS) for frame in frames()]
    for order in ([4, 0, 2], [1], [3, 3, 1, 4], [2, 1, 0]):
        shown = loaded.render(order, 96, 72)
        for mine, index in zip(shown, order, strict=True):
            assert torch.allclose(mine, single[index].render([0], 96, 72)[0], atol=1e-5)


def test_joined_and_mapped_weights_are_those_of_all_frames(tmp_path):
    all_frames = frames()
    whole = load(all_frames, parts=PARTS).render(range(5), 96, 72)
    pieces = [entropy_decode(all_frames[start : start + 2], PARTS) for start in (0, 2, 4)]
    for copy in (True, False):
        assert torch.equal(LoadedFrames(join(pieces, copy=copy)).render(range(5), 96, 72), whole)
    write_weights(tmp_path / "weights", entropy_decode(all_frames, PARTS))
    assert torch.equal(LoadedFrames(map_weights(tmp_path / "weights")).render(range(5), 96, 72), whole)


def test_what_is_shared_is_held_once():
    first = frames()[0]
    assert len(entropy_decode([first, first, first], PARTS).shared.stack_of) == 1


def test_a_missing_part_is_named():
    with pytest.raises(MissingPartError, match=part_name(PART).hex()) as caught:
        decode(frames()[0], parts=parts_of([OTHER]))
    assert caught.value.part == part_name(PART)


def test_a_part_under_the_name_of_another_is_refused():
    with pytest.raises(PayloadError, match="damaged, or another one"):
        decode(frames()[0], parts={part_name(PART): OTHER})
