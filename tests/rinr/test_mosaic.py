import numpy as np
import pytest

from rinr.decoder import decode, decode_background
from rinr.encoder import encode
from rinr.frames import resize
from rinr.mosaic import _CELL, _GAP, mosaic
from tests.conftest import frame


def test_the_pictures_stand_side_by_side(tiny):
    one = frame(0, ())
    (image,) = encode([one], tiny)
    sheet = np.asarray(mosaic([(one, image.frame)]))
    height = round(_CELL * 48 / 64)
    top = sheet.shape[0] - height - 2 * _GAP
    cells = [sheet[top : top + height, _GAP + i * (_CELL + _GAP) :][:, :_CELL] for i in range(5)]
    residual = (one.pixels.astype(int) - decode_background(image.frame)) * 2 + 128
    shown = [one.pixels, decode_background(image.frame), decode(image.frame), residual.clip(0, 255).astype(np.uint8)]
    for cell, expected in zip(cells, shown, strict=False):
        assert np.array_equal(cell, resize(expected, (_CELL, height)))


def test_frames_of_several_shapes_and_no_wider_than_a_screen(tiny):
    frames = [frame(0), frame(1, width=48, height=64)]
    sheet = mosaic([(f, i.frame) for f, i in zip(frames, encode(frames, tiny), strict=True)])
    assert sheet.width <= 2_000


def test_an_empty_mosaic_is_refused():
    with pytest.raises(ValueError, match="at least one frame"):
        mosaic([])
