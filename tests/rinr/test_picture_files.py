"""WebP and AVIF: taken as JPEGs are, and refused as JPEGs are; JPEG itself in ``test_frames.py``."""

import io
import random
import struct
import warnings
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from rinr import frames
from rinr.frames import ImageError, IncompletePicture, PictureFacts, capture_time, check_picture, open_picture
from tests.conftest import picture

FORMS = ("WEBP", "AVIF")


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


def small(form: str, **options: object) -> bytes:
    return saved(Image.fromarray(picture(0, 50, 30)), form, **options)


def noisy(form: str, **options: object) -> bytes:
    """Of a few kilobytes, nowhere flat."""
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    return saved(Image.fromarray(pixels), form, **options)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("read", [check_picture, open_picture])
def test_a_picture_is_what_pillow_makes_of_it(form, read):
    data = small(form, quality=60)
    made = read(data)
    assert (made.size, made.orientation, made.captured_at) == ((50, 30), 1, None)
    if read is open_picture:
        with Image.open(io.BytesIO(data)) as image:
            assert np.array_equal(made.pixels, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_turns_the_picture_as_it_turns_a_jpeg(form, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x0132] = "2025:05:06 07:08:09"
    exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    upright = open_picture(small("JPEG", quality=95, exif=exif)).pixels
    data, plain = small(form, quality=90, exif=exif), open_picture(small(form, quality=90)).pixels
    made = open_picture(data)
    assert made.pixels.shape == upright.shape
    assert np.abs(made.pixels.astype(int) - upright).mean() < 8
    assert orientation == 1 or not np.array_equal(made.pixels, plain)
    expected = PictureFacts(made.size, orientation, datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC))
    assert check_picture(data) == expected
    assert capture_time(data) == expected.captured_at


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("options", [{}, {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}])
def test_a_picture_cut_off_anywhere_is_incomplete(form, options):
    data = noisy(form, quality=80, **options)
    assert check_picture(data).size == check_picture(data + b"trailing bytes").size == (64, 48)
    end = len(data) - 80  # up to so many zeros may stand at the end of a picture of this size
    for length in [0, 1, 2, 5, 9, 11, *range(20, end, 89), end]:
        for tail in (b"", bytes(len(data) - length), bytes(len(data) - length + 5_000)):
            for read in (check_picture, open_picture):
                with pytest.raises(IncompletePicture):
                    read(data[:length] + tail)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [(1, 1), (16, 16), (1280, 720)])
def test_a_flat_picture_is_whole_although_it_ends_in_zeros(form, size):
    for grey in (0, 128):
        for quality in (10, 75):
            data = saved(Image.new("RGB", size, (grey,) * 3), form, quality=quality)
            assert check_picture(data).size == size


@pytest.mark.parametrize("form", FORMS)
def test_moving_and_transparent_pictures_are_refused(form):
    first, second = (Image.fromarray(picture(seed)) for seed in (1, 2))
    moving = saved(first, form, save_all=True, append_images=[second], duration=100)
    glass = first.convert("RGBA")
    glass.putalpha(100)
    for data, says in ((moving, "moving|holds 2 pictures"), (saved(glass, form), "transparent")):
        for read in (check_picture, open_picture):
            with pytest.raises(ImageError, match=says):
                read(data)
    glass.putalpha(255)
    assert saved(glass, "WEBP")  # its writer leaves out what is opaque everywhere
    assert open_picture(saved(glass, "WEBP")).size == (64, 48)


@pytest.mark.parametrize("form", FORMS)
def test_a_picture_over_the_pixel_limit_is_refused_before_it_is_decoded(form, monkeypatch):
    data = small(form)
    monkeypatch.setattr(frames, "MAX_PIXELS", 50 * 30 - 1)
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("decoded"))
    for read in (check_picture, open_picture):
        with pytest.raises(ImageError, match="50x30 pixels"):
            read(data)


def test_a_webp_over_the_pixel_limit_is_not_even_opened(monkeypatch):
    """Its decoder takes memory for the whole canvas when it is opened."""
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("opened"))
    body = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff\x3f\0\xff\x3f\0" + bytes(40)
    data = b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body
    with pytest.raises(ImageError, match="16384x16384 pixels"):
        check_picture(data)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"RIFF\x04\0\0\0WAVEfmt " + bytes(30), "not a JPEG, WebP or AVIF"),
        (b"\0\0\0\x1cftypheic" + bytes(30), "not a JPEG, WebP or AVIF"),
        (b"RIFF\x20\0\0\0WEBPVP9 " + bytes(30), "header is damaged"),
        (b"\0\0\0\x0cftypavif" + b"\0\0\0\x08free" * 10_001, "more than 10,000 parts"),
        (b"\0\0\0\x0cftypavif\0\0\0\x0cmeta\0\0\0\0\0\0\0\x0cmdat\1\1\1\1", "cannot be decoded"),
    ],
)
def test_what_only_looks_like_one_is_refused(data, says):
    for read in (check_picture, open_picture):
        with pytest.raises(ImageError, match=says):
            read(data)


@pytest.mark.parametrize("form", FORMS)
def test_an_embedded_profile_is_converted(form):
    from rinr.colour import adobe_rgb_profile

    plain = open_picture(small(form, quality=90)).pixels.astype(int)
    tagged = open_picture(small(form, quality=90, icc_profile=adobe_rgb_profile())).pixels
    untagged = Image.fromarray(plain.astype(np.uint8))
    as_jpeg = open_picture(saved(untagged, "JPEG", quality=100, subsampling=0, icc_profile=adobe_rgb_profile())).pixels
    assert np.abs(tagged - plain).max() > 10
    assert np.abs(tagged.astype(int) - as_jpeg).mean() < 2


@pytest.mark.parametrize("form", FORMS)
def test_damage_of_any_kind_raises_nothing_else_and_both_readings_agree(form, monkeypatch):
    monkeypatch.setattr(frames, "MAX_PIXELS", 100_000)
    rng = random.Random(form)
    exif = Image.Exif()
    exif[0x0112] = 6
    sample = small(form, exif=exif)
    taken = 0
    for _ in range(250):
        data = bytearray(sample)
        for _ in range(rng.choice((1, 1, 2, 5))):
            at = rng.randrange(len(data))
            kind = rng.randrange(4)
            if kind == 0:
                data[at] = rng.choice((0, 0xFF, rng.randrange(256)))
            elif kind == 1:
                del data[at : at + rng.randrange(1, 20)]
            elif kind == 2:
                data[at:at] = rng.randbytes(rng.randrange(1, 20))
            else:
                data[at : at + 8] = bytes(8)
        verdicts = []
        for read in (check_picture, open_picture):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    made = read(bytes(data))
                verdicts.append((made.size, made.orientation, made.captured_at))
            except ImageError as error:
                verdicts.append((type(error), str(error)))
        assert verdicts[0] == verdicts[1]
        assert str(verdicts[0][1]).isprintable()
        taken += len(verdicts[0]) == 3
    assert 10 < taken < 240  # both happened
