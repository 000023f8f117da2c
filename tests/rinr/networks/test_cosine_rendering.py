import pytest
import torch

from rinr.networks.coordinates import centres
from rinr.networks.cosine import COSINE
from rinr.networks.settings import CosineSettings
from tests.conftest import picture


def grid(count, start=0.0, stop=1.0):
    return (centres(count, start, stop) * 2 - 1)[None]


@pytest.mark.parametrize("overlap", [0.0, 0.12])
@pytest.mark.parametrize("window", [(0.0, 1.0), (0.21, 0.84)])
def test_tile_by_tile_is_the_product_with_all_features(overlap, window):
    settings = CosineSettings(60, (16, 24), overlap, 12, 0.12, 2, axes=True, offset=True)
    networks = COSINE.fit([torch.tensor(picture(seed, 90, 70)) / 255 for seed in range(3)], settings)
    for network in networks:
        stack = COSINE.stack(COSINE.arrays([network]), "cpu")
        for columns, rows in ((90, 70), (200, 33), (1, 1), (7, 150)):
            x, y = grid(columns, *window), grid(rows, *window)
            one = stack.render(torch.tensor([0]), x, y)  # a shared grid
            two = stack.render(torch.tensor([0, 0]), x.repeat(2, 1), y.repeat(2, 1))  # a grid each
            assert one.shape == (1, 3, rows, columns)
            assert torch.allclose(one.expand_as(two), two, atol=1e-5)
