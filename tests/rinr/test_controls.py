import io

import numpy as np
import pytest
from PIL import Image

from rinr.controls import CONTROLS, Coded, compare, describe, jpeg_of_size, measure, row
from rinr.encoder import encode
from rinr.metrics import object_mask, psnr
from rinr.presets import find_preset
from tests.conftest import frame


def pillow(pixels, quality):
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def unpacked(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def test_two_streams_are_the_frame_the_crops_and_what_ours_pay_too():
    one = frame(0)
    (box,) = one.boxes
    (image,) = encode([one], find_preset("jpeg:5+75"))
    low, crop = pillow(one.pixels, 5), pillow(one.pixels[box.slices], 75)
    shown = unpacked(low).copy()
    shown[box.slices] = unpacked(crop)
    mask = object_mask(one.size, one.boxes)
    assert measure(one, image.frame) == Coded(
        image.frame.bytes_total, psnr(one.pixels, shown, ~mask), psnr(one.pixels, shown, mask)
    )
    # Magic, flags, sides; the background's length; a family each; "square" and its lengths; the box; the checksum.
    assert image.frame.bytes_total == len(low) + len(crop) + (3 + 2) + 2 + 2 + (1 + 1 + 6) + (2 + 3) + 4


@pytest.mark.parametrize("limit", [10, 800, 900, 1_500, 100_000])
def test_a_jpeg_of_the_same_bytes_is_the_best_that_fits(limit):
    one = frame(0, width=200, height=150)
    coded = jpeg_of_size(one, limit)
    if limit == 10:
        assert coded.bytes_total > limit  # none fits, and its bytes say so
        return
    assert coded.bytes_total <= limit
    assert coded.pixels.shape == one.pixels.shape
    for quality in range(1, 96):
        data = pillow(one.pixels, quality)
        assert len(data) > limit or psnr(one.pixels, unpacked(data)) <= psnr(one.pixels, coded.pixels)


def test_the_comparison_is_over_the_same_frames(tiny):
    frames = [frame(0), frame(1, ()), frame(2)]
    images = encode(frames, tiny)
    told = []
    rows = compare(
        [(f, 1_000 * (i + 1)) for i, f in enumerate(frames)],
        {"tiny": [image.frame for image in images]},
        ("jpeg:90", "webp:10/4+80"),
        lambda done, total: told.append((done, total)),
    )
    assert [r.name for r in rows] == ["captured JPEG", "JPEG 90", "two-stream WebP 10/4 + 80", "ours, tiny"]
    assert [r.preset for r in rows] == [None, "jpeg:90", "webp:10/4+80", "tiny"]
    assert all(r.frames == 3 for r in rows)
    assert (rows[0].bytes_a_frame, rows[0].median_bytes, rows[0].object_db) == (2_000, 2_000, None)
    sizes = [i.frame.bytes_total for i in images]
    assert (rows[3].bytes_a_frame, rows[3].median_bytes) == (sum(sizes) / 3, sorted(sizes)[1])
    assert rows[3].background_db == pytest.approx(sum(i.background_db for i in images) / 3)
    assert rows[3].median_background_db == sorted(i.background_db for i in images)[1]
    assert rows[3].object_db == pytest.approx((images[0].object_db + images[2].object_db) / 2)  # one has no object
    assert told == [(i + 1, 6) for i in range(6)]


def test_controls_have_names_for_people():
    assert [describe(find_preset(name)) for name in CONTROLS] == [
        "JPEG 90",
        "two-stream JPEG 5 + 75",
        "two-stream WebP 0 + 80",
        "two-stream AVIF 5 + 70",
        "two-stream WebP 10/4 + 80",
        "two-stream WebP 10/4 + 60",
    ]
    assert describe(find_preset("avif:5/2+webp:60")) == "two-stream AVIF 5/2 + WebP 60"
    assert describe(find_preset("paper")) == "paper"


def test_no_frames_no_comparison():
    with pytest.raises(ValueError, match="at least one frame"):
        row("x", None, [])
