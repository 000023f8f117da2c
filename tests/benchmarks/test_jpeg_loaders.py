"""The controls: each gives the picture it should, whatever decodes it and however many workers do."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import jpeg_loaders
from benchmarks.speed_frames import SIZE, SOURCE
from tests.conftest import jpeg

CPU = torch.device("cpu")


def _captured() -> bytes:
    y, x = np.mgrid[0 : SOURCE[1], 0 : SOURCE[0]]
    waves = [np.sin(x / (20 + 5 * colour)) + np.sin(y / (30 - 4 * colour)) for colour in range(3)]
    return jpeg((np.stack(waves, axis=-1) * 60 + 128).astype(np.uint8), quality=92)


@pytest.mark.parametrize(
    "decode", [jpeg_loaders.pillow_lanczos, jpeg_loaders.pillow_bilinear, jpeg_loaders.pillow_draft]
)
def test_every_way_to_half_the_size_gives_the_means_of_four_pixels(decode: jpeg_loaders.Decoder) -> None:
    data = _captured()
    whole = np.asarray(Image.open(io.BytesIO(data)), dtype=float)
    means = whole.reshape(SIZE[1], 2, SIZE[0], 2, 3).mean(axis=(1, 3))
    assert np.abs(decode(data) - means).mean() < 1.5


def test_simplejpeg_gives_what_draft_gives() -> None:
    pytest.importorskip("simplejpeg")
    data = _captured()
    apart = jpeg_loaders.simplejpeg_scaled(data).astype(float) - jpeg_loaders.pillow_draft(data)
    assert np.abs(apart).mean() < 1.5


def test_orders_hold_every_picture_once_a_pass() -> None:
    orders = jpeg_loaders.orders(6, 3, 5)
    assert [len(order) for order in orders] == [3] * 5
    passes = [sorted(orders[start] + orders[start + 1]) for start in (0, 2)]
    assert passes == [list(range(6))] * 2
    assert orders[:2] != orders[2:4]
