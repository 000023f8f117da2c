import io

import numpy as np
import pytest
from PIL import Image

from rinr import frames
from rinr.boxes import Annotation, Box
from rinr.frames import ImageError, open_jpeg, working_frame, working_size
from rinr.labels import ImageLabels
from tests.conftest import jpeg, picture


def saved(image: Image.Image, form: str = "JPEG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ((1280, 720), (640, 360)),
        ((720, 1280), (360, 640)),
        ((640, 640), (640, 640)),
        ((100, 50), (100, 50)),
        ((1333, 750), (640, 360)),
        ((5000, 3), (640, 1)),
    ],
)
def test_the_working_frame_is_at_most_640_and_never_upscaled(source, expected):
    assert working_size(*source) == expected


def test_a_frame_is_what_pillow_makes_of_it():
    pixels = picture(1, 1000, 700)
    data = jpeg(pixels)
    with Image.open(io.BytesIO(data)) as image:
        expected = image.convert("RGB").resize((640, 448), Image.Resampling.LANCZOS)
    made = working_frame(data)
    assert np.array_equal(made.pixels, np.asarray(expected))
    assert made.source_size == (1000, 700)
    assert made.boxes == ()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"hello, this is text", "not a JPEG"),
        (saved(Image.new("RGB", (9, 9)), "PNG"), "not a JPEG"),
        (jpeg(picture())[:700], "cannot be decoded"),
        (b"\xff\xd8\xff" + bytes(100), "cannot be decoded"),
    ],
)
def test_what_is_no_whole_jpeg_is_refused(data, says):
    with pytest.raises(ImageError, match=says):
        open_jpeg(data)


def test_a_picture_over_the_pixel_limit_is_refused_before_it_is_decoded(monkeypatch):
    data = jpeg(picture())
    monkeypatch.setattr(frames, "MAX_PIXELS", 64 * 48 - 1)
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("decoded"))
    with pytest.raises(ImageError, match="64x48 pixels"):
        open_jpeg(data)


def test_grey_and_cmyk_become_rgb():
    colour = Image.fromarray(picture())
    grey = open_jpeg(saved(colour.convert("L"), quality=95)).pixels
    assert grey.shape == (48, 64, 3)
    assert np.array_equal(grey[..., 0], grey[..., 2])
    cmyk = open_jpeg(saved(colour.convert("CMYK"), quality=100, subsampling=0)).pixels
    assert np.abs(cmyk.astype(int) - picture()).mean() < 6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_turns_picture_and_boxes_alike(orientation):
    pixels = np.full((60, 100, 3), 200, np.uint8)
    pixels[10:20, 30:50] = (255, 0, 0)  # a red box at x 30, y 10, 20x10
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(pixels), quality=100, subsampling=0, exif=exif)
    stored = ImageLabels("a.jpg", (100, 60), None, (Annotation(30, 10, 20, 10, "red"),))
    made = working_frame(data, stored)
    red = (made.pixels[..., 0] > 230) & (made.pixels[..., 1] < 60)
    rows, columns = np.nonzero(red)
    seen = (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
    if orientation >= 5:  # the annotated size is the stored one, so boxes turn with the picture
        assert (made.boxes[0].x, made.boxes[0].y, made.boxes[0].width, made.boxes[0].height) == seen
    upright = ImageLabels("a.jpg", made.source_size, None, (Annotation(*map(float, seen), "red"),))
    assert working_frame(data, upright).boxes == (Box(*map(int, seen), "red"),)


def test_notes_say_what_was_done_to_boxes():
    boxes = (Annotation(60, 40, 30, 30, "over"), Annotation(500, 0, 3, 3, "away"))
    made = working_frame(jpeg(picture()), ImageLabels("a.jpg", (64, 48), None, boxes))
    assert [box.label for box in made.boxes] == ["over"]
    assert len(made.notes) == 2


def test_an_embedded_profile_is_converted_and_a_damaged_one_is_ignored():
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain = open_jpeg(jpeg(picture())).pixels
    assert np.abs(open_jpeg(jpeg(picture(), icc_profile=profile)).pixels.astype(int) - plain).max() <= 2
    assert np.array_equal(open_jpeg(jpeg(picture(), icc_profile=b"rubbish" * 30)).pixels, plain)
