"""Film strips, bars of bytes and animated pictures: what is shown where."""

import io

import numpy as np
import pytest
from PIL import Image

from rinr.film_strip import ANIMATED, WIDTH, animated, byte_bars, clip_frame, film_strip, rows_of_runs
from rinr.metrics import psnr

RED, GREEN = (200, 20, 20), (20, 180, 20)


def plain(colour: tuple[int, int, int], width: int = 64, height: int = 48) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def near(picture: Image.Image, colour: tuple[int, int, int], within: int = 30) -> np.ndarray:
    return (np.abs(np.asarray(picture.convert("RGB")).astype(int) - colour) <= within).all(axis=-1)


def test_a_strip_shows_originals_above_what_was_decoded() -> None:
    frames = [clip_frame(plain(GREEN), plain(RED), 100, 20.0, str(number)) for number in range(9)]
    strip = film_strip(frames, [(100.0, 20.0)] * 9, "nine")
    red, green = near(strip, RED), near(strip, GREEN)
    assert red.any(axis=1).argmax() < green.any(axis=1).argmax()
    edges = np.flatnonzero(np.diff(red[red.any(axis=1).argmax() + 9].astype(int)) == 1)
    assert len(edges) == 6  # evenly spread, and no more


def test_a_frame_is_kept_small_and_measured_at_its_own_size() -> None:
    one, other = plain(RED, 640, 360), plain(RED, 640, 360)
    other[0, 0] = 0
    frame = clip_frame(one, other, 7, 0.0)
    assert frame.decoded.shape == (WIDTH * 360 // 640, WIDTH, 3)
    assert frame.db == psnr(other, one)
    assert clip_frame(one, plain(RED), 7, 0.0).db is None


def test_bars_are_as_high_as_their_bytes() -> None:
    own, shared = (60, 110, 160), (200, 170, 90)
    bars = byte_bars([(100.0, 0.0), (50.0, 50.0), (25.0, 0.0)], 300)
    blue, gold = (near(bars, colour, 3).sum(axis=0) for colour in (own, shared))
    at = [50, 150, 250]
    full = blue[at[0]]
    assert full > 50
    assert blue[at[1]] == pytest.approx(full / 2, abs=2)
    assert gold[at[1]] == pytest.approx(full / 2, abs=2)
    assert blue[at[2]] == pytest.approx(full / 4, abs=2)
    assert gold[at[0]] == gold[at[2]] == 0


@pytest.mark.parametrize("count", [1, 299, 5000])
def test_any_number_of_frames_has_room(count: int) -> None:
    assert byte_bars([(10.0, 1.0)] * count, 300).size == byte_bars([(0.0, 0.0)], 300).size


@pytest.mark.parametrize("suffix", sorted(ANIMATED))
def test_an_animated_picture_has_every_frame_side_by_side(suffix: str) -> None:
    colours = [(30 + 40 * number, 90, 90) for number in range(5)]
    frames = [
        clip_frame(plain(colour), plain(RED) if number else None, 100, 0.0) for number, colour in enumerate(colours)
    ]
    picture = Image.open(io.BytesIO(animated(frames, ANIMATED[suffix], 0.1, 320)))
    assert (picture.n_frames, picture.size[0]) == (5, 320)
    for number, colour in enumerate(colours):
        picture.seek(number)
        page = picture.convert("RGB")
        left, right = page.crop((0, 0, 160, 140)), page.crop((160, 0, 320, 140))
        assert near(right, colour).sum() > 5000
        assert (near(left, RED).sum() > 5000) == bool(number)


def test_frames_of_any_sizes_and_none() -> None:
    sizes = [(64, 48), (48, 64), (640, 20), (20, 640), (1, 1)]
    frames = [clip_frame(plain(RED, *size), plain(GREEN, *size), 10, 1.0) for size in sizes]
    film_strip(frames, [(1.0, 1.0)], "sizes")
    animated(frames, "GIF", 0.1)
    rows_of_runs([("one", [frame.decoded for frame in frames]), ("two", [plain(RED)])])
    with pytest.raises(ValueError, match="no frames"):
        film_strip([], [], "")
    with pytest.raises(ValueError, match="no frames"):
        byte_bars([])
    with pytest.raises(ValueError, match="no frames"):
        animated([], "GIF", 1)
    with pytest.raises(ValueError, match="no frames"):
        rows_of_runs([("empty", [])])
