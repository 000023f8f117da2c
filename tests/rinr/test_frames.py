import io
import random
import struct
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rinr import frames
from rinr.boxes import Annotation, Box
from rinr.frames import (
    ImageError,
    IncompletePicture,
    PictureFacts,
    check_picture,
    fit_annotations,
    open_picture,
    working_frame,
    working_size,
)
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
    for read in (open_picture, check_picture):
        with pytest.raises(ImageError, match=says):
            read(data)


def test_a_picture_over_the_pixel_limit_is_refused_before_it_is_decoded(monkeypatch):
    data = jpeg(picture())
    monkeypatch.setattr(frames, "MAX_PIXELS", 64 * 48 - 1)
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("decoded"))
    for read in (open_picture, check_picture):
        with pytest.raises(ImageError, match="64x48 pixels"):
            read(data)


def test_grey_and_cmyk_become_rgb():
    colour = Image.fromarray(picture())
    grey = open_picture(saved(colour.convert("L"), quality=95)).pixels
    assert grey.shape == (48, 64, 3)
    assert np.array_equal(grey[..., 0], grey[..., 2])
    cmyk = open_picture(saved(colour.convert("CMYK"), quality=100, subsampling=0)).pixels
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


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("of", ["upright", "stored"])
def test_boxes_of_a_picture_that_was_shrunk_after_it_was_annotated_are_scaled(orientation, of):
    pixels = np.full((90, 160, 3), 200, np.uint8)
    pixels[10:20, 30:50] = (255, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(pixels), quality=100, subsampling=0, exif=exif)
    made = working_frame(data)
    rows, columns = np.nonzero((made.pixels[..., 0] > 230) & (made.pixels[..., 1] < 60))
    seen = Box(int(columns.min()), int(rows.min()), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1, "red")
    if of == "stored":  # annotated on the camera's picture of 2561x1439, whose sides are rounded when shrunk
        annotated, box = (2561, 1439), (30, 10, 20, 10)
    else:
        annotated = (2561, 1439) if orientation == 1 else (1439, 2561)
        box = (seen.x, seen.y, seen.width, seen.height)
    large = Annotation(*(16 * side + d for side, d in zip(box, (2, 2, -4, -4), strict=True)), "red")
    assert working_frame(data, ImageLabels("a.jpg", annotated, None, (large,))).boxes == (seen,)


def test_boxes_are_left_alone_where_the_annotated_size_is_of_another_shape():
    box = Annotation(3, 4, 5, 6, "a")
    for annotated in ((640, 400), (64, 60), (48, 64), None):
        assert working_frame(jpeg(picture()), ImageLabels("a.jpg", annotated, None, (box,))).boxes == (
            Box(3, 4, 5, 6, "a"),
        )


def test_notes_say_what_was_done_to_boxes():
    boxes = (Annotation(60, 40, 30, 30, "over"), Annotation(500, 0, 3, 3, "away"))
    made = working_frame(jpeg(picture()), ImageLabels("a.jpg", (64, 48), None, boxes))
    assert [box.label for box in made.boxes] == ["over"]
    assert len(made.notes) == 2


def test_an_embedded_profile_is_converted_and_a_damaged_one_is_ignored():
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain = open_picture(jpeg(picture())).pixels
    assert np.abs(open_picture(jpeg(picture(), icc_profile=profile)).pixels.astype(int) - plain).max() <= 2
    assert np.array_equal(open_picture(jpeg(picture(), icc_profile=b"rubbish" * 30)).pixels, plain)


def test_fill_bytes_may_stand_before_markers_and_segments_without_end_are_refused():
    data = jpeg(picture())
    assert check_picture(data[:2] + b"\xff" * 5_000 + data[2:]).size == (64, 48)
    many = b"\xff\xfe\x00\x02" * 100_001
    with pytest.raises(ImageError, match="more than 100,000 segments"):
        check_picture(data[:2] + many + data[2:])


def tiff(*entries: tuple[int, int, int, bytes]) -> bytes:
    """EXIF with one directory of ``(tag, type, count, four bytes)``, and 64 bytes of text after it, at 200."""
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHI", *e[:3]) + e[3] for e in entries)
    return (
        b"Exif\0\0"
        + (b"II*\0\x08\0\0\0" + directory + bytes(4)).ljust(200, b"\0")
        + b"2024:05:06 07:08:09".ljust(64, b"\0")
    )


def offset(value: int) -> bytes:
    return struct.pack("<I", value)


def test_a_check_tells_the_facts_of_the_picture():
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    exif[0x0132] = "2025:05:06 07:08:09"
    data = jpeg(picture(0, 50, 30), exif=exif)
    assert check_picture(data) == PictureFacts((30, 50), 6, datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC))
    assert check_picture(jpeg(picture(0, 50, 30))) == PictureFacts((50, 30), 1, None)


def test_boxes_can_be_fitted_without_the_pixels():
    data = jpeg(picture(1, 1000, 700))
    boxes = (Annotation(3.3, 4.4, 500.5, 60, "a"), Annotation(990, 4, 50, 6, "over"), Annotation(2000, 0, 3, 3, "away"))
    made = working_frame(data, ImageLabels("a.jpg", (1000, 700), None, boxes))
    assert fit_annotations(ImageLabels("a.jpg", (1000, 700), None, boxes), check_picture(data)) == (
        made.boxes,
        made.notes,
    )
    assert fit_annotations(None, check_picture(data)) == ((), ())


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}, {"comment": b"\xff\xd9" * 9}]
)
def test_a_jpeg_cut_off_anywhere_is_incomplete(options):
    small = Image.new("RGB", (16, 16))
    small.thumbnail((8, 8))
    exif = b"Exif\0\0" + saved(small)  # with an end marker of its own, as a thumbnail has
    data = jpeg(picture(), exif=exif, **options)
    assert check_picture(data).size == (64, 48)
    assert check_picture(data + b"trailing bytes" + data[:50]).size == (64, 48)
    for length in [0, 1, 2, 3, 5, *range(20, len(data), 37), len(data) - 2, len(data) - 1]:
        for tail in (b"", bytes(len(data) - length), bytes(5000)):
            for read in (check_picture, open_picture):
                with pytest.raises(IncompletePicture):
                    read(data[:length] + tail)


@pytest.mark.parametrize(
    "entries",
    [
        [(0x0112, 2, 4, b"6\0\0\0")],  # text
        [(0x0112, 3, 1, b"\x63\0\0\0")],  # 99
        [(0x0112, 9, 1, b"\xff\xff\xff\xff")],  # -1
        [(0x0112, 5, 1, offset(100))],  # 0/0
        [(0x0112, 4, 0xFFFFFFFF, offset(0))],
        [(0x0132, 2, 64, offset(100))],  # nothing but NULs
        [(0x0132, 2, 0xFFFFFFF0, offset(200))],
        [(0x0132, 7, 64, offset(200))],  # bytes, no text
        [(0x8769, 4, 1, offset(8))],  # a directory within itself
        [(0x8769, 2, 4, b"\xff\xff\xff\xff")],
        [(0x8769, 4, 1, offset(0xFFFFFFFF)), (0xA005, 4, 1, offset(8))],
        [(0x0112, 200, 1, offset(200))],
    ],
)
def test_hostile_exif_does_not_matter(entries):
    plain = jpeg(picture())
    data = jpeg(picture(), exif=tiff(*entries))
    assert check_picture(data) == check_picture(plain)
    assert np.array_equal(open_picture(data).pixels, open_picture(plain).pixels)


def test_a_date_in_exif_may_be_padded_and_must_be_a_date():
    for text, year in ((b"2024:05:06 07:08:09\0\0\0", 2024), (b"\xff\xfe\n$(reboot)\0", None), (b"9" * 65_000, None)):
        exif = tiff((0x0132, 2, len(text), offset(264))) + text
        data = jpeg(picture(), exif=exif[:65_530])
        captured = check_picture(data).captured_at
        assert (captured.year if captured else None) == year


def samples() -> list[bytes]:
    from rinr.colour import adobe_rgb_profile

    small = Image.fromarray(picture(0, 40, 30))
    exif = Image.Exif()
    exif[0x0112] = 7
    exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    return [
        saved(small, exif=exif),
        saved(small, progressive=True, icc_profile=adobe_rgb_profile()),
        saved(small.convert("CMYK"), exif=tiff((0x0132, 2, 20, offset(200)))),
        saved(small.convert("L"), restart_marker_blocks=3),
    ]


@pytest.mark.parametrize("number", range(4))
def test_damage_of_any_kind_raises_nothing_else_and_both_readings_agree(number, monkeypatch):
    monkeypatch.setattr(frames, "MAX_PIXELS", 100_000)
    rng = random.Random(number)
    sample = samples()[number]
    taken = 0
    for _ in range(400):
        data = bytearray(sample)
        for _ in range(rng.choice((1, 1, 2, 5, 30))):
            at = rng.randrange(2, len(data))
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
                made = read(bytes(data))
                verdicts.append((made.size, made.orientation, made.captured_at))
            except ImageError as error:
                verdicts.append((type(error), str(error)))
        assert verdicts[0] == verdicts[1]
        assert str(verdicts[0][1]).isprintable()
        taken += len(verdicts[0]) == 3
    assert 10 < taken < 390  # both happened


def test_no_real_picture_is_refused(real_data):
    found = [path for path in sorted(Path(real_data).rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg")]
    assert len(found) > 100
    for path in found[::9]:
        with Image.open(path) as image:
            assert check_picture(path.read_bytes()).size in (image.size, image.size[::-1])


def adobe_to_srgb(pixels: np.ndarray) -> np.ndarray:
    """Adobe RGB to sRGB from the two standards' primaries, both at D65."""

    def to_xyz(*primaries: tuple[float, float]) -> np.ndarray:
        columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in primaries]).T
        x, y = 0.3127, 0.3290
        return columns * np.linalg.solve(columns, np.array((x / y, 1, (1 - x - y) / y)))

    adobe = to_xyz((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
    srgb = to_xyz((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
    linear = (pixels / 255) ** 2.19921875 @ (np.linalg.inv(srgb) @ adobe).T
    linear = linear.clip(0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055) * 255


def test_adobe_rgb_becomes_srgb_whether_a_profile_or_exif_alone_declares_it():
    from rinr.colour import adobe_rgb_profile

    pixels = picture(3, 64, 48)
    exif = Image.Exif()
    details = exif.get_ifd(0x8769)
    details[0xA001] = 0xFFFF
    details[0xA005] = {1: "R03"}
    plain = open_picture(jpeg(pixels)).pixels
    by_exif = open_picture(jpeg(pixels, exif=exif)).pixels
    by_profile = open_picture(jpeg(pixels, icc_profile=adobe_rgb_profile())).pixels
    expected = adobe_to_srgb(plain.astype(float))
    assert np.abs(expected - plain).max() > 15  # it matters
    for converted in (by_exif, by_profile):
        assert np.abs(converted - expected).max() < 2.5
    details[0xA001] = 1  # sRGB, whatever the index says
    assert np.array_equal(open_picture(jpeg(pixels, exif=exif)).pixels, plain)


@pytest.mark.parametrize("transform", [0, 2])
def test_cmyk_and_ycck_of_adobe_are_what_their_inks_print(transform):
    rng = np.random.default_rng(0)
    inks = np.repeat(np.repeat(rng.integers(0, 256, (3, 4, 4)), 16, axis=0), 16, axis=1)
    planes = inks.astype(float)
    if transform == 2:
        # The stream then holds Y, Cb, Cr (JFIF's matrix) of the inverted file values. Pillow writes all inverted.
        c, m, y = planes[..., 0].copy(), planes[..., 1].copy(), planes[..., 2].copy()
        luma = 0.299 * c + 0.587 * m + 0.114 * y
        planes[..., 0] = 255 - luma
        planes[..., 1] = 255 - ((y - luma) / 1.772 + 128)
        planes[..., 2] = 255 - ((c - luma) / 1.402 + 128)
    image = Image.fromarray(planes.round().clip(0, 255).astype(np.uint8), "CMYK")
    data = bytearray(saved(image, quality=100, subsampling=0))
    at = data.index(b"\xff\xee\x00\x0eAdobe") + 15
    assert data[at] in (0, 2)
    data[at] = transform
    expected = (255 - inks[..., :3]) * (255 - inks[..., 3:]) / 255
    assert check_picture(bytes(data)).size == (64, 48)
    assert np.abs(open_picture(bytes(data)).pixels - expected).max() < 6


def test_a_grey_picture_keeps_its_greys():
    grey = picture()[..., 0]
    data = saved(Image.fromarray(grey), quality=100)
    assert np.abs(open_picture(data).pixels.astype(int) - grey[..., None]).max() <= 2
