"""Decoding: entropy decoding once, then pixels by batched matrix products at any size.

A frame's picture is its background plus its objects' residuals, clamped once, at the end (Residual-INR, section 4).
Where boxes overlap, every one of their networks has fitted the same residual, and their mean is added.
"""

from collections.abc import Hashable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from rinr.codec.frame import EncodedFrame
from rinr.frames import Pixels
from rinr.networks.coordinates import covered_pixels, grid
from rinr.networks.families import family_of
from rinr.networks.family import Network, Stack

_OBJECT_POINTS = 1 << 20


def load(frames: Sequence[EncodedFrame], device: str = "cpu") -> "LoadedFrames":
    """Entropy decode frames and put their networks on a device, as small integers.

    Raises:
        PayloadError: a network payload is malformed.
    """
    return LoadedFrames(frames, device)


def decode(frame: EncodedFrame, device: str = "cpu") -> Pixels:
    """One frame's picture at its working size, ``[height, width, 3]``.

    Raises:
        PayloadError: a network payload is malformed.
    """
    return to_pixels(load([frame], device).render([0], frame.width, frame.height))[0]


def decode_background(frame: EncodedFrame, device: str = "cpu") -> Pixels:
    """One frame's background alone at its working size, ``[height, width, 3]``."""
    return decode(EncodedFrame(frame.width, frame.height, frame.background, ()), device)


def to_pixels(pictures: Tensor) -> Pixels:
    """``[n, 3, height, width]`` from 0 to 1 as 8-bit ``[n, height, width, 3]``."""
    rounded = (pictures * 255).round().to(torch.uint8)
    return np.ascontiguousarray(rounded.permute(0, 2, 3, 1).cpu().numpy())


class LoadedFrames:
    """Frames whose weights lie on a device."""

    def __init__(self, frames: Sequence[EncodedFrame], device: str = "cpu") -> None:
        self.device = device
        self.sizes = [(frame.width, frame.height) for frame in frames]
        self._backgrounds = _Stacks([frame.background for frame in frames], device)
        self._objects = _Stacks([item.payload for frame in frames for item in frame.objects], device)
        boxes = [
            (item.box.x, item.box.y, item.box.width, item.box.height) for frame in frames for item in frame.objects
        ]
        self._boxes = torch.tensor(boxes, dtype=torch.float64, device=device).reshape(-1, 4)
        owners = [index for index, frame in enumerate(frames) for _ in frame.objects]
        self._owners = torch.tensor(owners, dtype=torch.long, device=device)
        self._frame_sizes = torch.tensor(self.sizes, dtype=torch.float64, device=device).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self.sizes)

    @torch.no_grad()
    def render(self, indices: Sequence[int], width: int, height: int) -> Tensor:
        """Pictures of some of the frames, each whole frame at this size.

        Args:
            indices: which frames; one may stand several times.
            width: of the pictures, in pixels; rendered directly at this size, without resampling.
            height: likewise.

        Returns:
            ``[n, 3, height, width]``, float32 from 0 to 1.
        """
        chosen = torch.as_tensor(list(indices), dtype=torch.long, device=self.device)
        pictures = self.render_backgrounds(chosen, width, height)
        self._add_residuals(pictures, chosen, (width, height))
        return pictures.clamp_(0, 1).reshape(len(chosen), height, width, 3).permute(0, 3, 1, 2).contiguous()

    def render_backgrounds(self, chosen: Tensor, width: int, height: int) -> Tensor:
        """Backgrounds alone and not clamped, as residuals are taken from them: ``[n, height * width, 3]``."""
        return self._backgrounds.evaluate(chosen, grid(width, height, self.device))

    def _add_residuals(self, pictures: Tensor, chosen: Tensor, size: tuple[int, int]) -> None:
        """Add the mean of the residuals at every covered pixel, in place."""
        # Every object of every chosen frame; a frame that was chosen twice has its objects twice.
        slots, objects = torch.nonzero(chosen[:, None] == self._owners[None], as_tuple=True)
        if not len(objects):
            return
        area = size[0] * size[1]
        total = torch.zeros(len(chosen) * area + 1, 3, device=self.device)  # the last row takes the padding
        count = torch.zeros(len(chosen) * area + 1, device=self.device)
        # Boxes of like area together, so that padding stays small.
        areas = self._boxes[objects, 2] * self._boxes[objects, 3]
        order = torch.argsort(areas, stable=True)
        for part in _parts(order, areas[order].tolist()):
            mine, at = objects[part], slots[part]
            covered = covered_pixels(self._boxes[mine], self._frame_sizes[self._owners[mine]], size)
            if not covered.pixel.shape[1]:
                continue
            residuals = self._objects.evaluate(mine, covered.coordinates)
            pixel = torch.where(covered.inside, covered.pixel + at[:, None] * area, len(chosen) * area).flatten()
            total.index_add_(0, pixel, residuals.reshape(-1, 3))
            count.index_add_(0, pixel, torch.ones_like(pixel, dtype=count.dtype))
        pictures += (total / count.clamp(min=1)[:, None])[:-1].reshape(pictures.shape)


class _Stacks:
    """Networks of any groups, evaluated by index."""

    def __init__(self, payloads: Sequence[bytes], device: str) -> None:
        members: dict[Hashable, list[int]] = {}
        networks: list[Network] = []
        families = []
        for index, payload in enumerate(payloads):
            family = family_of(payload)
            families.append(family)
            networks.append(family.parse(payload))
            members.setdefault((family.name, networks[-1].group), []).append(index)
        self._stacks: list[Stack] = []
        stack_of, place_in = [0] * len(payloads), [0] * len(payloads)
        for group in members.values():
            for place, index in enumerate(group):
                stack_of[index], place_in[index] = len(self._stacks), place
            self._stacks.append(families[group[0]].stack([networks[i] for i in group], device))
        self._stack_of = torch.tensor(stack_of, dtype=torch.long, device=device)
        self._place_in = torch.tensor(place_in, dtype=torch.long, device=device)

    def evaluate(self, chosen: Tensor, coordinates: Tensor) -> Tensor:
        """``[n, points, 3]`` for networks ``chosen [n]`` at ``coordinates [n | 1, points, 2]``."""
        values = torch.empty(len(chosen), coordinates.shape[1], 3, device=coordinates.device)
        stack_of = self._stack_of[chosen]
        for number, stack in enumerate(self._stacks):
            mine = torch.nonzero(stack_of == number).flatten()
            if len(mine):
                at = coordinates if len(coordinates) == 1 else coordinates[mine]
                values[mine] = stack.evaluate(self._place_in[chosen[mine]], at)
        return values


def _parts(order: Tensor, areas: Sequence[float]) -> Iterator[Tensor]:
    """Cut boxes sorted by area so that a part's largest is at most twice its smallest, and its points are bounded."""
    start = 0
    for index in range(1, len(areas) + 1):
        full = index == len(areas) or areas[index] > 2 * areas[start]
        if full or (index + 1 - start) * areas[index] > _OBJECT_POINTS:
            yield order[start:index]
            start = index
