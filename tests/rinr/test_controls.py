import io

import numpy as np
import pytest
from PIL import Image

from rinr.controls import captured, compare, jpeg, jpeg_of_size, row, two_stream_jpeg
from rinr.encoder import encode
from rinr.metrics import object_mask, psnr
from tests.conftest import frame


def pillow(pixels, quality):
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def test_a_jpeg_is_pillow_s():
    one = frame(0)
    data = pillow(one.pixels, 90)
    coded = jpeg(one, 90)
    assert coded.bytes_total == len(data)
    assert np.array_equal(coded.pixels, np.asarray(Image.open(io.BytesIO(data))))


def test_the_two_streams_bytes_are_the_frame_s_the_crops_and_eight_a_box():
    one = frame(0)
    (box,) = one.boxes
    coded = two_stream_jpeg(one, 5, 75)
    crop = pillow(one.pixels[box.y : box.y + box.height, box.x : box.x + box.width], 75)
    assert coded.bytes_total == len(pillow(one.pixels, 5)) + len(crop) + 8
    mask = object_mask(one.size, one.boxes)
    assert psnr(one.pixels, coded.pixels, mask) > psnr(one.pixels, coded.pixels, ~mask)


@pytest.mark.parametrize("limit", [10, 700, 900, 1_500, 100_000])
def test_a_jpeg_of_the_same_bytes_is_the_best_that_fits(limit):
    one = frame(0, width=200, height=150)
    coded = jpeg_of_size(one, limit)
    if limit == 10:
        assert coded.bytes_total > limit  # none fits, and its bytes say so
        return
    assert coded.bytes_total <= limit
    assert coded.pixels.shape == one.pixels.shape
    for quality in range(1, 96):
        full = jpeg(one, quality)
        assert full.bytes_total > limit or psnr(one.pixels, full.pixels) <= psnr(one.pixels, coded.pixels)


def test_the_comparison_is_over_the_same_frames(tiny):
    frames = [frame(0), frame(1, ())]
    images = encode(frames, tiny)
    rows = compare(
        [(f, 1_000 * (i + 1), image.frame) for i, (f, image) in enumerate(zip(frames, images, strict=True))], "ours"
    )
    assert [r.name for r in rows] == ["captured JPEG", "JPEG 90", "two-stream JPEG 5 + 75", "ours"]
    assert all(r.frames == 2 for r in rows)
    assert rows[0].bytes_a_frame == 1_500
    assert rows[0].object_db is None
    assert rows[3].bytes_a_frame == sum(i.frame.bytes_total for i in images) / 2
    assert rows[3].background_db == pytest.approx(sum(i.background_db for i in images) / 2)
    assert rows[3].object_db == images[0].object_db  # the second frame has no object


def test_no_frames_no_comparison():
    with pytest.raises(ValueError, match="at least one frame"):
        row([])
    assert captured(5, frame(0)).bytes_total == 5
