"""Backgrounds of frames: a network of their own, and for frames of a clip what the clip shares beneath it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from rinr.stacks import Stacks
from rinr.weights import FrameWeights


class Backgrounds:
    """Backgrounds on a device, by the numbers of their frames.

    Args:
        weights: of the frames.
        device: where to put them.
        share: of the networks whose weights lie there.
        step: pixels for one point of networks whose evaluation is dear.

    Attributes:
        dear: whether any of them is dear to evaluate.
    """

    def __init__(self, weights: FrameWeights, device: str, share: float = 1.0, step: int = 1) -> None:
        self._own = Stacks(weights.backgrounds, device, share, step)
        self._shared = Stacks(weights.shared, device, share, step)
        self._part_of = torch.from_numpy(weights.part_of).to(device, torch.long)
        self._places = torch.from_numpy(weights.places).to(device)
        self._any_shared = bool((weights.part_of >= 0).any())
        self.dear = self._own.dear or self._shared.dear

    def render_into(self, pictures: Tensor, chosen: Tensor, x: Tensor, y: Tensor) -> None:
        """Write frames ``chosen [n]`` at ``x [n | 1, columns]``, ``y [n | 1, rows]``, -1 to 1 from edge to edge, into
        ``[n, 3, rows, columns]``."""
        self._own.render_into(pictures, chosen, x, y)
        mine = self._of_clips(chosen)
        if len(mine):
            parts, places, times = self._in_clips(chosen[mine])
            across, down = (each if len(each) == 1 else each[mine] for each in (x, y))
            across, down = _moved(across, places[:, :1], places[:, 1:2]), _moved(down, places[:, 2:3], places[:, 3:4])
            values = torch.empty(len(mine), *pictures.shape[1:], device=pictures.device)
            self._shared.render_into(values, parts, across, down, times)
            pictures[mine] += values

    def render_each(self, pictures: Sequence[Tensor], chosen: Tensor, x: Sequence[Tensor], y: Sequence[Tensor]) -> None:
        """Likewise into pictures of any sizes, ``[3, rows, columns]``, each at its own ``x [columns]``, ``y [rows]``,
        or all at one."""
        mine = self._of_clips(chosen)
        if not len(mine):
            self._own.render_each(pictures, chosen, x, y)
            return
        parts, places, times = self._in_clips(chosen[mine])
        clips = mine.tolist()
        across, down = (_some(each, clips) for each in (x, y))
        in_canvas_x, in_canvas_y = (
            [_moved(at[number % len(at)], place[side], place[side + 1]) for number, place in enumerate(places)]
            for at, side in ((across, 0), (down, 2))
        )
        of_clips = [pictures[number] for number in clips]
        self._shared.render_each(of_clips, parts, in_canvas_x, in_canvas_y, times)
        self._own.render_each(of_clips, chosen[mine], across, down, add=True)
        if alone := sorted(set(range(len(chosen))) - set(clips)):
            self._own.render_each(
                [pictures[number] for number in alone], chosen[alone], _some(x, alone), _some(y, alone)
            )

    def render_points(self, chosen: Tensor, points: Tensor) -> Tensor:
        """Values of frames ``chosen [n]`` at single points ``[n, 2, count]``: ``[n, 3, count]``."""
        values = self._own.render_points(chosen, points)
        mine = self._of_clips(chosen)
        if len(mine):
            parts, places, times = self._in_clips(chosen[mine])
            scales, offsets = places[:, 0:4:2, None], places[:, 1:4:2, None]
            values[mine] += self._shared.render_points(parts, _moved(points[mine], scales, offsets), times)
        return values

    def _of_clips(self, chosen: Tensor) -> Tensor:
        """Which of the chosen frames lie in what a clip shares."""
        return torch.nonzero(self._part_of[chosen] >= 0).flatten() if self._any_shared else chosen[:0]

    def _in_clips(self, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Shared networks, places and times of frames."""
        places = self._places[chosen]
        return self._part_of[chosen], places, places[:, 4]


def _moved(at: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    """Points of frames as points of the canvas."""
    return (at * scale + offset).clamp(-1, 1).to(at.dtype)


def _some(places: Sequence[Tensor], chosen: Sequence[int]) -> Sequence[Tensor]:
    return places if len(places) == 1 else [places[number] for number in chosen]
