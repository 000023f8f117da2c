"""Frames and boxes that nobody would capture: encoded like any other, or refused with one clear word."""

import time

import numpy as np
import pytest
import torch

from rinr.boxes import Annotation, Box
from rinr.codec.frame import pack_frame, unpack_frame
from rinr.decoder import decode, decode_background
from rinr.encoder import MOST_REPEATED, boxes_with_networks, encode
from rinr.frames import Frame, working_frame
from rinr.labels import ImageLabels
from rinr.metrics import object_mask, psnr
from rinr.networks.cosine import COSINE
from rinr.networks.siren import SIREN
from rinr.presets import BALANCED, Preset
from tests.conftest import frame, jpeg, picture


@pytest.fixture(params=["tiny", "balanced"])
def preset(request, tiny) -> Preset:
    return tiny if request.param == "tiny" else BALANCED


def framed(pixels: np.ndarray, boxes: tuple[Box, ...] = ()) -> Frame:
    height, width, _ = pixels.shape
    return Frame("0" * 64, "1" * 64, pixels, tuple(sorted(boxes)), (width, height))


def textured(width: int, height: int) -> np.ndarray:
    """A smooth picture with rough spots all over."""
    noise = np.random.default_rng(1).normal(0, 25, (height, width, 1))
    return (picture(1, width, height) + noise).clip(0, 255).astype(np.uint8)


def scattered(count: int, low: int, high: int, size: tuple[int, int]) -> tuple[Box, ...]:
    rng = np.random.default_rng(2)
    boxes = []
    for _ in range(count):
        width, height = (int(side) for side in rng.integers(low, high, 2))
        x, y = int(rng.integers(size[0] - width)), int(rng.integers(size[1] - height))
        boxes.append(Box(x, y, width, height, "a"))
    return tuple(sorted(boxes))


def round_trip(wanted: Frame, preset: Preset) -> np.ndarray:
    """Encoded, written, read and decoded; what was measured is what comes out."""
    (image,) = encode([wanted], preset)
    decoded = decode(unpack_frame(pack_frame(image.frame)))
    assert decoded.shape == wanted.pixels.shape
    mask = object_mask(wanted.size, wanted.boxes)
    assert image.background_db == psnr(wanted.pixels, decoded, ~mask)
    assert image.object_db == psnr(wanted.pixels, decoded, mask)
    return decoded


@pytest.mark.parametrize(("width", "height"), [(1, 1), (7, 5), (640, 1), (1, 640)])
def test_odd_sizes(width, height, preset):
    whole = Annotation(0, 0, width, height, "all")
    for boxes in ((), (whole,)):
        wanted = frame(0, boxes, width, height)
        assert psnr(wanted.pixels, round_trip(wanted, preset)) > 16


def test_a_large_photograph_goes_to_the_working_size(preset):
    data = jpeg(np.kron(picture(0, 800, 600), np.ones((10, 10, 1), np.uint8)), quality=50)
    labels = ImageLabels("x.jpg", (8_000, 6_000), None, (Annotation(2_000, 2_000, 1_000, 1_000, "a"),))
    wanted = working_frame(data, labels)
    assert (wanted.size, wanted.source_size) == ((640, 480), (8_000, 6_000))
    assert psnr(wanted.pixels, round_trip(wanted, preset)) > 20


@pytest.mark.parametrize("value", [0, 255])
def test_one_colour_all_over_costs_next_to_nothing(value, preset):
    wanted = framed(np.full((90, 160, 3), value, np.uint8), (Box(10, 10, 20, 20, "a"),))
    (image,) = encode([wanted], preset)
    assert np.abs(decode(image.frame).astype(int) - value).max() <= 1
    if preset is BALANCED:
        assert image.frame.bytes_total < 60


def test_noise(preset):
    pixels = np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8)
    wanted = framed(pixels, (Box(10, 10, 30, 20, "a"),))
    # Uniform noise is 74 units from its mean: 10.8 dB is what a grey picture has. No network may make it worse.
    assert psnr(pixels, round_trip(wanted, preset)) > 10.7


def test_a_box_over_the_whole_frame_leaves_no_background_to_measure(preset):
    wanted = frame(0, (Annotation(0, 0, 64, 48, "all"), Annotation(5, 5, 10, 10, "inside")))
    (image,) = encode([wanted], preset)
    assert image.background_db is None
    assert image.object_db > psnr(wanted.pixels, decode_background(image.frame))


def test_boxes_without_area_are_left_out_and_said(preset):
    boxes = (Annotation(5, 5, 0, 10, "line"), Annotation(9, 9, 0, 0, "point"), Annotation(70, 5, 9, 9, "outside"))
    wanted = frame(0, boxes)
    assert wanted.boxes == ()
    assert len(wanted.notes) == 3
    round_trip(wanted, preset)


def test_thousands_of_boxes_are_chosen_in_no_time_and_seldom_pay_twice_for_a_pixel():
    size = (640, 360)
    for low, high in ((3, 12), (8, 60), (100, 300)):
        boxes = scattered(4_000, low, high, size)
        started = time.perf_counter()
        kept = boxes_with_networks(boxes, size)
        assert time.perf_counter() - started < 1
        union = np.count_nonzero(object_mask(size, [boxes[index] for index in kept]))
        assert sum(boxes[index].area for index in kept) <= MOST_REPEATED * union
        # What is left out lies mostly in what is kept.
        assert union > 0.7 * np.count_nonzero(object_mask(size, boxes))


def test_which_boxes_get_a_network():
    size = (100, 100)
    large, inside, beside = Box(0, 0, 50, 50, "a"), Box(10, 10, 20, 20, "a"), Box(40, 40, 30, 30, "a")
    assert boxes_with_networks((large, inside, beside), size) == [0, 2]
    # One that two others cover together is sharp already.
    halves = (Box(0, 0, 30, 40, "a"), Box(10, 10, 35, 20, "a"), Box(30, 0, 30, 40, "a"))
    assert boxes_with_networks(halves, size) == [0, 2]
    # The same box twice is one network.
    assert boxes_with_networks((large, large), size) == [0]


def test_four_thousand_boxes(preset):
    size = (320, 180)
    wanted = framed(textured(*size), scattered(4_000, 10, 60, size))
    started = time.perf_counter()
    (image,) = encode([wanted], preset)
    (whole,) = encode([framed(wanted.pixels, (Box(0, 0, *size, "a"),))], preset)
    assert time.perf_counter() - started < 60
    assert image.object_db > psnr(wanted.pixels, decode_background(image.frame))
    assert decode(unpack_frame(pack_frame(image.frame))).shape == (180, 320, 3)
    if preset is BALANCED:
        assert image.frame.bytes_objects < 1.5 * whole.frame.bytes_objects


@pytest.mark.parametrize(("apart", "most"), [(0, 1.25), (6, 1.0)])
def test_many_tiny_boxes_cost_no_more_than_one_picture_of_their_union(apart, most):
    pixels = textured(320, 180)
    width, height = 12 + apart, 10 + apart
    many = tuple(Box(50 + width * i, 40 + height * j, 12, 10, "a") for i in range(5) for j in range(5))
    union = Box(50, 40, 5 * width - apart, 5 * height - apart, "a")
    (boxes,) = encode([framed(pixels, many)], BALANCED)
    (one,) = encode([framed(pixels, (union,))], BALANCED)
    assert boxes.frame.bytes_objects <= most * one.frame.bytes_objects
    assert boxes.object_db > one.object_db - 0.5


def test_values_that_are_not_finite_are_refused_by_every_family(tiny):
    bad = torch.full((8, 8, 3), 0.5)
    bad[3, 3, 1] = torch.nan
    for family, settings in ((SIREN, tiny.background), (COSINE, BALANCED.background)):
        with pytest.raises(FloatingPointError):
            family.fit([torch.rand(8, 8, 3), bad], settings)
