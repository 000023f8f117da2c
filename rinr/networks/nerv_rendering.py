"""Rendering NeRVs: whole frames on their own grid, sampled where points are asked.

A frame is evaluated once a call however many of its points are asked, alone, so that its values do not depend on what
is asked besides.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from rinr.codec.quantize import step_sizes
from rinr.networks.family import Arrays
from rinr.networks.nerv_coding import OUTPUTS, NervShape
from rinr.networks.nerv_layers import evaluate, exact_convolutions, positional_code, unflatten
from rinr.networks.rows import Rows


class NervStack:
    """Networks of one shape and size on a device: their weights stay small integers until they are evaluated."""

    # A frame's whole grid is made for whatever is asked of it: fewer points would save nothing.
    dear = False

    def __init__(self, arrays: Arrays, device: str, share: float = 1.0) -> None:
        width, height, stem, levels, base, first, *blocks = arrays["shape"][0].tolist()
        self.shape = NervShape((first, *blocks[1::2]), tuple(blocks[::2]), stem, levels, base)
        self.size = width, height
        self.frames = arrays["frames"].tolist()
        self.weights = Rows(arrays["weights"], device, share)
        self.steps = step_sizes(torch.from_numpy(arrays["steps"]).to(device))

    def render(self, chosen: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The first frames of clips: see :class:`rinr.networks.family.Stack`."""
        return self.render_at(chosen, torch.zeros(len(chosen)), x, y)

    def render_points(self, chosen: Tensor, points: Tensor) -> Tensor:
        """The first frames of clips: see :class:`rinr.networks.family.Stack`."""
        return self.render_points_at(chosen, torch.zeros(len(chosen)), points)

    @torch.no_grad()
    def render_at(self, chosen: Tensor, times: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """See :class:`rinr.networks.family.Timed`."""
        columns, rows = x.shape[1], y.shape[1]

        def points(index: int) -> Tensor:
            across, down = x[index % len(x)], y[index % len(y)]
            return torch.stack([across.expand(rows, -1), down[:, None].expand(-1, columns)], dim=2)

        return self._sampled(chosen, times, points, (rows, columns))

    @torch.no_grad()
    def render_points_at(self, chosen: Tensor, times: Tensor, points: Tensor) -> Tensor:
        """See :class:`rinr.networks.family.Timed`."""
        return self._sampled(chosen, times, lambda index: points[index].T[None], (1, points.shape[2]))[:, :, 0]

    def _sampled(
        self, chosen: Tensor, times: Tensor, points_of: Callable[[int], Tensor], size: tuple[int, int]
    ) -> Tensor:
        """Values ``[n, 3, *size]`` at ``points_of(index) [*size, 2]``."""
        values = torch.zeros(len(chosen), OUTPUTS, *size, device=self.weights.device)
        if not values.numel():
            return values
        asked: dict[tuple[int, float], list[int]] = {}
        for index, pair in enumerate(zip(chosen.tolist(), times.tolist(), strict=True)):
            asked.setdefault(pair, []).append(index)
        tensors: dict[int, list[Tensor]] = {}
        for (network, time), places in asked.items():
            if network not in tensors:
                tensors = {network: self._tensors(network)}
            frame = self._frame(tensors[network], network, time)
            for place in places:
                # What lies beyond the outermost pixels' centres is as they are.
                values[place] = grid_sample(
                    frame, points_of(place)[None], mode="bilinear", padding_mode="border", align_corners=False
                )[0]
        return values

    def _tensors(self, network: int) -> list[Tensor]:
        weights = self.weights.take(torch.tensor([network], device=self.weights.device))[0].float()
        tensors = unflatten(weights, self.shape, self.size)
        return [tensor * step for tensor, step in zip(tensors, self.steps[network], strict=True)]

    def _frame(self, tensors: list[Tensor], network: int, time: float) -> Tensor:
        """A frame ``[1, 3, height, width]``."""
        times = torch.tensor([time], dtype=torch.float64, device=self.weights.device)
        code = positional_code(times, self.frames[network], self.shape)
        with exact_convolutions():
            frame = evaluate(tensors, code, self.shape, self.size)
        return frame[:, :, : self.size[1], : self.size[0]]
