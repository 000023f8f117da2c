"""Networks of any groups on a device, rendered by index, whatever families and shapes they are of."""

from collections.abc import Sequence

import torch
from torch import Tensor

from rinr.networks.enlarging import Coarser
from rinr.networks.families import family_named
from rinr.networks.family import InPlace, Stack, Timed
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
        dear: whether any of them is dear to evaluate.
    """

    def __init__(self, networks: NetworkWeights, device: str, share: float = 1.0, step: int = 1) -> None:
        self._stacks: list[Stack] = []
        for each in networks.stacks:
            stack = family_named(each.family).stack(each.arrays, device, share)
            self._stacks.append(Coarser(stack, step) if step > 1 and stack.dear else stack)
        self.dear = any(stack.dear for stack in self._stacks)
        self._stack_of = torch.from_numpy(networks.stack_of).to(device, torch.long)
        self._place_in = torch.from_numpy(networks.place_in).to(device, torch.long)
        self.present = self._stack_of >= 0

    def render_into(self, pictures: Tensor, chosen: Tensor, x: Tensor, y: Tensor, times: Tensor | None = None) -> None:
        """Write networks ``chosen [n]`` at ``x [n | 1, columns]``, ``y [n | 1, rows]`` into ``[n, 3, rows, columns]``;
        zero where there is no network. ``times [n]`` are for networks that are functions of time."""
        for number, mine in self._by_stack(chosen):
            if number < 0:
                pictures[mine] = 0
                continue
            across, down = (each if len(each) == 1 else each[mine] for each in (x, y))
            rendered = self._rendered(number, chosen[mine], across, down, None if times is None else times[mine])
            if len(mine) == len(chosen):
                pictures.copy_(rendered)
            elif pictures.device.type == "cpu":
                for place, picture in zip(mine.tolist(), rendered, strict=True):  # many times faster than by index
                    pictures[place] = picture
            else:
                pictures[mine] = rendered

    def render_each(
        self,
        pictures: Sequence[Tensor],
        chosen: Tensor,
        x: Sequence[Tensor],
        y: Sequence[Tensor],
        times: Tensor | None = None,
        *,
        add: bool = False,
    ) -> None:
        """Likewise into pictures of any sizes, ``[3, rows, columns]``, each at its own ``x [columns]``, ``y [rows]``,
        or all at one; added to what is there where asked for."""
        for number, mine in self._by_stack(chosen):
            places = [place for place in mine.tolist() if pictures[place].numel()]
            some = [pictures[place] for place in places]
            if number < 0 or not places:
                for picture in () if add else some:
                    picture.zero_()
                continue
            across, down = (each if len(each) == 1 else [each[place] for place in places] for each in (x, y))
            own, stack, at = chosen[places], self._stacks[number], None if times is None else times[places]
            if isinstance(stack, InPlace):
                stack.render_into(some, self._place_in[own], across, down, times=at, add=add)
                continue
            if len(across) == len(down) == 1:
                rendered = [*self._rendered(number, own, across[0][None], down[0][None], at)]
            else:
                rendered = [
                    self._rendered(
                        number,
                        own[index : index + 1],
                        across[index % len(across)][None],
                        down[index % len(down)][None],
                        None if at is None else at[index : index + 1],
                    )[0]
                    for index in range(len(some))
                ]
            for picture, its_own in zip(some, rendered, strict=True):
                picture.add_(its_own) if add else picture.copy_(its_own)

    def render_points(self, chosen: Tensor, points: Tensor, times: Tensor | None = None) -> Tensor:
        """Values of networks ``chosen [n]`` at single points ``[n, 2, count]``: ``[n, 3, count]``."""
        values = torch.zeros(len(chosen), 3, points.shape[2], device=points.device)
        for number, mine in self._by_stack(chosen):
            if number < 0:
                continue
            stack, networks = self._stacks[number], self._place_in[chosen[mine]]
            if isinstance(stack, Timed) and times is not None:
                values[mine] = stack.render_points_at(networks, times[mine], points[mine])
            else:
                values[mine] = stack.render_points(networks, points[mine])
        return values

    def _rendered(self, number: int, chosen: Tensor, x: Tensor, y: Tensor, times: Tensor | None) -> Tensor:
        """Networks of one stack, ``[n, 3, rows, columns]``."""
        stack, networks = self._stacks[number], self._place_in[chosen]
        if isinstance(stack, Timed) and times is not None:
            return stack.render_at(networks, times, x, y)
        return stack.render(networks, x, y)

    def _by_stack(self, chosen: Tensor) -> list[tuple[int, Tensor]]:
        """Which of the chosen lie in each stack; -1: in none."""
        stack_of = self._stack_of[chosen]
        return [(number, torch.nonzero(stack_of == number).flatten()) for number in stack_of.unique().tolist()]
