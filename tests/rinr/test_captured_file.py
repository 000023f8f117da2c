"""A captured JPEG as a background: its own pixels to the last bit, and nothing that tells of the camera."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from rinr.captured_file import captured_member, without_metadata
from rinr.codec.frame import EncodedFrame
from rinr.decoder import decode
from rinr.frames import working_frame
from rinr.networks.payload import write_networks


def jpeg(size=(48, 32), quality=30, **options):
    noise = np.random.default_rng(7).integers(0, 256, (size[1] // 4, size[0] // 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize(size).save(buffer, "JPEG", quality=quality, **options)
    return buffer.getvalue()


def jpeg_frame(**options):
    return working_frame(jpeg(**options))


def exif():
    made = Image.Exif()
    made[271] = "a maker of cameras"
    return made


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"comment": b"private"}])
def test_it_decodes_to_the_frame_itself(options):
    frame = jpeg_frame(**options)
    payload = EncodedFrame(*frame.size, write_networks([captured_member(frame)]))
    assert np.array_equal(decode(payload), frame.pixels)


def test_what_the_camera_wrote_beside_the_picture_stays_behind():
    told = jpeg(exif=exif(), comment=b"private")
    assert b"a maker of cameras" in told
    bare = without_metadata(told + b"trailing")
    assert b"a maker of cameras" not in bare
    assert b"private" not in bare
    assert b"trailing" not in bare
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(bare))), np.asarray(Image.open(io.BytesIO(told))))


def test_a_file_that_is_turned_or_made_smaller_is_none():
    turned = exif()
    turned[274] = 6
    assert captured_member(working_frame(jpeg(exif=turned))) is None
    assert captured_member(working_frame(jpeg(size=(1_280, 64)))) is None


def test_a_file_that_decodes_to_other_pixels_is_none():
    frame = jpeg_frame()
    assert captured_member(replace(frame, pixels=frame.pixels ^ 1)) is None
    assert captured_member(replace(frame, file=b"no JPEG")) is None
    grey = io.BytesIO()
    Image.new("L", (32, 32), 77).save(grey, "JPEG")
    assert captured_member(working_frame(grey.getvalue())) is None


def test_broken_segments_give_nothing():
    whole = jpeg()
    for cut in range(0, len(whole) - 2, 7):
        assert without_metadata(whole[:cut]) == b""
