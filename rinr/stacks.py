"""Networks of any groups on a device, rendered by index, whatever families and shapes they are of."""

from collections.abc import Sequence

import torch
from torch import Tensor

from rinr.networks.enlarging import Coarser
from rinr.networks.families import family_named
from rinr.networks.family import InPlace, Stack
from rinr.networks.siren_rendering import SirenStack
from rinr.weights import NetworkWeights


class Stacks:
    """Networks on a device.

    Args:
        networks: their weights.
        device: where to put them.
        share: of the networks whose weights lie there.
        step: pixels for one point of networks whose evaluation is dear; what lies between is interpolated.

    Attributes:
        present: ``[networks]``, which indices have a network.
    """

    def __init__(self, networks: NetworkWeights, device: str, share: float = 1.0, step: int = 1) -> None:
        self._stacks: list[Stack] = []
        for each in networks.stacks:
            stack = family_named(each.family).stack(each.arrays, device, share)
            self._stacks.append(Coarser(stack, step) if step > 1 and isinstance(stack, SirenStack) else stack)
        self._stack_of = torch.from_numpy(networks.stack_of).to(device, torch.long)
        self._place_in = torch.from_numpy(networks.place_in).to(device, torch.long)
        self.present = self._stack_of >= 0

    def render_into(self, pictures: Tensor, chosen: Tensor, x: Tensor, y: Tensor) -> None:
        """Write networks ``chosen [n]`` at ``x [n | 1, columns]``, ``y [n | 1, rows]`` into ``[n, 3, rows, columns]``;
        zero where there is no network."""
        for number, mine in self._by_stack(chosen):
            if number < 0:
                pictures[mine] = 0
                continue
            across, down = (each if len(each) == 1 else each[mine] for each in (x, y))
            rendered = self._stacks[number].render(self._place_in[chosen[mine]], across, down)
            if len(mine) == len(chosen):
                pictures.copy_(rendered)
            elif pictures.device.type == "cpu":
                for place, picture in zip(mine.tolist(), rendered, strict=True):  # many times faster than by index
                    pictures[place] = picture
            else:
                pictures[mine] = rendered

    def render_each(self, pictures: Sequence[Tensor], chosen: Tensor, x: Sequence[Tensor], y: Sequence[Tensor]) -> None:
        """Likewise into pictures of any sizes, ``[3, rows, columns]``, each at its own ``x [columns]``, ``y [rows]``,
        or all at one."""
        for number, mine in self._by_stack(chosen):
            places = [place for place in mine.tolist() if pictures[place].numel()]
            some = [pictures[place] for place in places]
            if number < 0 or not places:
                for picture in some:
                    picture.zero_()
                continue
            across, down = (each if len(each) == 1 else [each[place] for place in places] for each in (x, y))
            networks, stack = self._place_in[chosen[places]], self._stacks[number]
            if isinstance(stack, InPlace):
                stack.render_into(some, networks, across, down)
            elif len(across) == len(down) == 1:
                rendered = stack.render(networks, across[0][None], down[0][None])
                for picture, its_own in zip(some, rendered, strict=True):
                    picture.copy_(its_own)
            else:
                for index, picture in enumerate(some):
                    own_x, own_y = (each[index % len(each)][None] for each in (across, down))
                    picture.copy_(stack.render(networks[index : index + 1], own_x, own_y)[0])

    def render_points(self, chosen: Tensor, points: Tensor) -> Tensor:
        """Values of networks ``chosen [n]`` at single points ``[n, 2, count]``: ``[n, 3, count]``."""
        values = torch.zeros(len(chosen), 3, points.shape[2], device=points.device)
        for number, mine in self._by_stack(chosen):
            if number >= 0:
                values[mine] = self._stacks[number].render_points(self._place_in[chosen[mine]], points[mine])
        return values

    def _by_stack(self, chosen: Tensor) -> list[tuple[int, Tensor]]:
        """Which of the chosen lie in each stack; -1: in none."""
        stack_of = self._stack_of[chosen]
        return [(number, torch.nonzero(stack_of == number).flatten()) for number in stack_of.unique().tolist()]
