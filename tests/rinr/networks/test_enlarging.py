import numpy as np
import pytest
import torch

from rinr.networks.coordinates import centres
from rinr.networks.enlarging import Coarser, enlarged


class Surface:
    """In place of networks: a cubic of x and y in each channel."""

    def __init__(self):
        self.points = 0

    def render(self, chosen, x, y):
        self.points += x.shape[1] * y.shape[1]
        across, down = x[:, None, None], y[:, None, :, None]
        values = torch.cat([across * across + down, across * down, 2 * down * down - across], dim=1)
        return values.expand(len(chosen), -1, -1, -1)


@pytest.mark.parametrize("step", [2, 3])
@pytest.mark.parametrize(("start", "stop"), [(0.0, 1.0), (0.8, 0.1)])
def test_squares_are_enlarged_exactly_but_for_the_ends(step, start, stop):
    # Catmull and Rom's cubics go through any polynomial of second degree.
    x, y = ((centres(count, start, stop) * 2 - 1)[None] for count in (23, 14))
    surface = Surface()
    found = Coarser(surface, step).render(torch.arange(2), x, y)
    assert found.shape == (2, 3, 14, 23)
    assert surface.points == -(-23 // step) * -(-14 // step)
    inner = (slice(None), slice(None), slice(2 * step, -2 * step), slice(2 * step, -2 * step))
    assert torch.allclose(found[inner], Surface().render(torch.arange(2), x, y)[inner], atol=1e-5)
    assert torch.allclose(found, Surface().render(torch.arange(2), x, y), atol=0.5)


def test_weights_are_those_of_the_cubic():
    # A single one enlarged twice shows the kernel at odd quarters: worked out from its definition for a = -1/2.
    def kernel(t):
        t = abs(t)
        if t < 1:
            return 1.5 * t**3 - 2.5 * t**2 + 1
        return -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t < 2 else 0.0

    one = torch.zeros(1, 9)
    one[0, 4] = 1
    expected = [kernel((place + 0.5) / 2 - 4.5) for place in range(18)]
    assert np.allclose(enlarged(one, 2, 1)[0].numpy(), expected, atol=1e-6)
    assert np.allclose(enlarged(one.T, 2, 0)[:, 0].numpy(), expected, atol=1e-6)


def test_a_constant_stays_one_up_to_the_ends():
    assert torch.allclose(enlarged(torch.full((1, 3, 2, 1), 0.4), 2, 3), torch.tensor(0.4))
