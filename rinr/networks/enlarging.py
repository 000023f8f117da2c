"""Networks evaluated at fewer points than there are pixels, and enlarged by cubics: for those whose evaluation is dear.

A background that was fitted at half the sides holds little that half the points would miss.
"""

import torch
from torch import Tensor

from rinr.networks.family import Stack


class Coarser:
    """A stack that evaluates one point for ``step`` columns and as many rows.

    Args:
        stack: what is evaluated.
        step: pixels from one point to the next, each way.
    """

    def __init__(self, stack: Stack, step: int) -> None:
        self.stack, self.step = stack, step

    @torch.no_grad()
    def render(self, chosen: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """See :class:`rinr.networks.family.Stack`."""
        columns, rows = x.shape[1], y.shape[1]
        small = self.stack.render(chosen, _every(x, self.step), _every(y, self.step))
        return enlarged(enlarged(small, self.step, 3)[..., :columns], self.step, 2)[:, :, :rows]

    def render_points(self, chosen: Tensor, points: Tensor) -> Tensor:
        """See :class:`rinr.networks.family.Stack`: at every point."""
        return self.stack.render_points(chosen, points)


def _every(places: Tensor, step: int) -> Tensor:
    """The middle of every ``step`` of evenly spaced ``places [n, count]``: ``[n, ceil(count / step)]``."""
    count = places.shape[1]
    if count == 1:
        return places
    spacing = (places[:, -1:] - places[:, :1]) / (count - 1)
    middle = torch.arange(-(-count // step), device=places.device) * step + (step - 1) / 2
    return places[:, :1] + spacing * middle


def enlarged(values: Tensor, step: int, dim: int) -> Tensor:
    """Values enlarged ``step`` times along one axis by Catmull and Rom's cubics, each in the middle of its ``step``
    pixels; beyond the ends the last values go on."""
    count = values.shape[dim]
    ends = [values.narrow(dim, place, 1) for place in (0, count - 1)]
    padded = torch.cat([ends[0], ends[0], values, ends[1], ends[1]], dim)
    phases = []
    for phase in range(step):
        away = (phase + 0.5) / step - 0.5
        first, t = (0, away + 1) if away < 0 else (1, away)
        weights = (
            t * (-0.5 + t * (1 - 0.5 * t)),
            1 + t * t * (1.5 * t - 2.5),
            t * (0.5 + t * (2 - 1.5 * t)),
            t * t * (0.5 * t - 0.5),
        )
        own = padded.narrow(dim, first, count) * weights[0]
        for place, weight in enumerate(weights[1:], 1):
            own.add_(padded.narrow(dim, first + place, count), alpha=weight)
        phases.append(own)
    # Interleaved at the end: sums that are written to every other place take several times as long.
    return torch.stack(phases, dim + 1).flatten(dim, dim + 1)
