"""Decoding: entropy decoding once, then pixels by batched matrix products at any size and crop.

A frame's picture is its background plus its objects' residuals, clamped once, at the end (Residual-INR, section 4).
Where boxes overlap, every one of their networks has fitted the same residual, and their mean is added. Pasted objects
hold pixels instead, which take the background's place.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from rinr.codec.frame import EncodedFrame
from rinr.frames import Pixels
from rinr.networks.coordinates import Covered, Window, centres, covered
from rinr.networks.families import family_named
from rinr.networks.family import InPlace
from rinr.weights import FrameWeights, NetworkWeights, entropy_decode

WHOLE: Window = (0.0, 0.0, 1.0, 1.0)
"""The whole frame as a crop: left, top, right, bottom as parts of its sides."""

_Part = tuple[Tensor, Covered, Covered]  # boxes worked on at once, as indices, and the columns and rows they cover
_OBJECT_PIXELS = 1 << 20
# Worked on at once: what shares the fixed costs of a pass among many frames, and what keeps a GPU busy.
_FRAME_PIXELS = {"cpu": 1 << 23, "cuda": 1 << 26}


def load(frames: Sequence[EncodedFrame], device: str = "cpu") -> "LoadedFrames":
    """Entropy decode frames and put their networks on a device, as small integers.

    Raises:
        PayloadError: a network payload is malformed.
    """
    return LoadedFrames(entropy_decode(frames), device)


def decode(frame: EncodedFrame, device: str = "cpu") -> Pixels:
    """One frame's picture at its working size, ``[height, width, 3]``.

    Raises:
        PayloadError: a network payload is malformed.
    """
    return to_pixels(load([frame], device).render([0], frame.width, frame.height))[0]


def decode_background(frame: EncodedFrame, device: str = "cpu") -> Pixels:
    """One frame's background alone at its working size, ``[height, width, 3]``."""
    return decode(replace(frame, boxes=(), objects=b""), device)


def to_pixels(pictures: Tensor) -> Pixels:
    """``[n, 3, height, width]`` from 0 to 1 as 8-bit ``[n, height, width, 3]``."""
    rounded = (pictures * 255).round().to(torch.uint8)
    return np.ascontiguousarray(rounded.permute(0, 2, 3, 1).cpu().numpy())


class LoadedFrames:
    """Frames whose weights lie on a device.

    Args:
        weights: of the frames.
        device: where to put them.
        budget: bytes of weights that may lie there, all without it. What is left stays where it is, in memory or in the
            memory map of a cache, and goes over when it is rendered.
    """

    def __init__(self, weights: FrameWeights, device: str = "cpu", budget: int | None = None) -> None:
        share = 1.0 if budget is None else min(budget / max(weights.nbytes, 1), 1.0)
        self.device = device
        self.sizes = [(width, height) for width, height in weights.sizes.tolist()]
        self._backgrounds = _Stacks(weights.backgrounds, device, share)
        self._objects = _Stacks(weights.objects, device, share)
        self._boxes = torch.from_numpy(weights.boxes).to(device, torch.float64)
        self._owners = torch.from_numpy(weights.owners).to(device, torch.long)
        self._frame_sizes = torch.from_numpy(weights.sizes).to(device, torch.float64)
        self._pasted = torch.from_numpy(weights.pasted).to(device)
        self._overlapping = torch.from_numpy(weights.overlapping).to(device)
        self._any_pasted = bool(weights.pasted.any())

    def __len__(self) -> int:
        return len(self.sizes)

    @torch.no_grad()
    def render(
        self, indices: Sequence[int], width: int, height: int, crop: Window = WHOLE, out: Tensor | None = None
    ) -> Tensor:
        """Pictures of some of the frames.

        Args:
            indices: which frames; one may stand several times.
            width: of the pictures, in pixels; rendered directly at this size, without resampling.
            height: likewise.
            crop: what of each frame the picture shows: left, top, right, bottom as parts of its sides.
            out: where to write them, of the shape that is returned. A training loop that renders batch after batch into
                the same memory is faster on a CPU, where new memory costs more than the pictures do.

        Returns:
            ``[n, 3, height, width]``, float32 from 0 to 1.
        """
        chosen = torch.as_tensor(list(indices), dtype=torch.long, device=self.device)
        pictures = torch.empty(len(chosen), 3, height, width, device=self.device) if out is None else out
        if pictures.device.type != "cpu" and not pictures.is_contiguous():
            return pictures.copy_(self.render(indices, width, height, crop))
        some = max(_FRAME_PIXELS[pictures.device.type] // (width * height), 1)
        for mine, part in zip(chosen.split(some), pictures.split(some), strict=True):
            self._render_backgrounds(part, mine, crop)
            self._add_objects(part, mine, (width, height), crop)
            part.clamp_(0, 1)
        return pictures

    def render_backgrounds(self, chosen: Tensor, width: int, height: int, crop: Window = WHOLE) -> Tensor:
        """Backgrounds alone and not clamped, as residuals are taken from them: ``[n, 3, height, width]``."""
        pictures = torch.empty(len(chosen), 3, height, width, device=self.device)
        self._render_backgrounds(pictures, chosen, crop)
        return pictures

    def _render_backgrounds(self, pictures: Tensor, chosen: Tensor, crop: Window) -> None:
        x = centres(pictures.shape[3], crop[0], crop[2], self.device) * 2 - 1
        y = centres(pictures.shape[2], crop[1], crop[3], self.device) * 2 - 1
        self._backgrounds.render_into(pictures, chosen, x[None], y[None])

    def _add_objects(self, pictures: Tensor, chosen: Tensor, size: tuple[int, int], crop: Window) -> None:
        """Add the mean of the residuals at every covered pixel, or paste the mean of the pixels, in place."""
        # Every object of every chosen frame; a frame that was chosen twice has its objects twice.
        wanted = (chosen[:, None] == self._owners[None]) & self._objects.present[None]
        slots, objects = torch.nonzero(wanted, as_tuple=True)
        if not len(objects):
            return
        columns = covered(self._boxes[objects, 0::2], self._frame_sizes[self._owners[objects], 0], size[0], crop[0::2])
        rows = covered(self._boxes[objects, 1::2], self._frame_sizes[self._owners[objects], 1], size[1], crop[1::2])
        # Boxes of like sides together, so that padding stays small.
        order = torch.argsort(rows.count * (size[0] + 1) + columns.count, stable=True)
        sides = torch.stack([columns.count, rows.count], dim=1)[order].tolist()
        parts = [(part, columns.some(part), rows.some(part)) for part in _parts(order, sides)]
        parts = [(part, x, y) for part, x, y in parts if x.index.shape[1] and y.index.shape[1]]
        if pictures.device.type == "cpu":
            self._add_box_by_box(pictures, slots, objects, parts)
        else:
            self._add_by_index(pictures, slots, objects, parts)

    def _add_box_by_box(self, pictures: Tensor, slots: Tensor, objects: Tensor, parts: Sequence[_Part]) -> None:
        """On a CPU, slices take less than indices."""
        covers: dict[int, tuple[slice, slice]] = {}
        for part, x, y in parts:
            for index, *bounds in torch.stack([part, x.start, x.count, y.start, y.count], dim=1).tolist():
                left, columns, top, rows = bounds
                covers[index] = slice(top, top + rows), slice(left, left + columns)
        regions = {index: (slot, *covers[index]) for index, slot in enumerate(slots.tolist()) if index in covers}
        count = None
        if bool(self._overlapping[objects].any()):  # how many boxes share a pixel; a pass over the pictures
            count = torch.zeros(len(pictures), *pictures.shape[2:])
            for region in regions.values():
                count[region] += 1
        if self._any_pasted:
            pasted = self._pasted[self._owners[objects]].tolist()
            for index, (slot, rows, columns) in regions.items():
                if pasted[index]:
                    pictures[slot, :, rows, columns] = 0
        for part, x, y in parts:
            values = torch.empty(len(part), 3, y.place.shape[1], x.place.shape[1])
            self._objects.render_into(values, objects[part], x.place, y.place)
            for index, value in zip(part.tolist(), values, strict=True):
                slot, rows, columns = region = regions[index]
                mine = value[:, : rows.stop - rows.start, : columns.stop - columns.start]
                pictures[slot, :, rows, columns].add_(mine if count is None else mine / count[region])

    def _add_by_index(self, pictures: Tensor, slots: Tensor, objects: Tensor, parts: Sequence[_Part]) -> None:
        """On a GPU, few calls for all boxes take less than some for each."""
        height, width = pictures.shape[2:]
        area = height * width
        placed = []
        for part, across, down in parts:
            inside = down.inside[:, :, None] & across.inside[:, None, :]
            pixel = down.index[:, :, None] * width + across.index[:, None, :]
            placed.append((part, across.place, down.place, torch.where(inside, pixel, 0), inside))
        count = None
        if bool(self._overlapping[objects].any()):  # how many boxes share a pixel; a pass over the pictures
            count = torch.zeros(len(pictures) * area, device=self.device)
            for part, _, _, pixel, inside in placed:
                flat = pixel + slots[part, None, None] * area
                count.index_add_(0, flat.flatten(), inside.flatten().to(count.dtype))
        if self._any_pasted:
            for part, _, _, pixel, inside in placed:
                pasted = torch.nonzero(inside & self._pasted[self._owners[objects[part]], None, None], as_tuple=True)
                flat = pixel[pasted] + slots[part][pasted[0]] * (3 * area)
                pictures.view(-1).index_fill_(0, (flat + torch.tensor([[0], [area], [2 * area]]).to(flat)).flatten(), 0)
        colours = torch.arange(3, device=self.device)[:, None, None] * area
        for part, x, y, pixel, inside in placed:
            values = torch.empty(len(part), 3, y.shape[1], x.shape[1], device=self.device)
            self._objects.render_into(values, objects[part], x, y)
            if count is None:
                values *= inside[:, None]
            else:
                values *= (inside / count[pixel + slots[part, None, None] * area].clamp(min=1))[:, None]
            place = pixel[:, None] + slots[part, None, None, None] * (3 * area) + colours
            pictures.view(-1).index_add_(0, place.flatten(), values.flatten())


class _Stacks:
    """Networks of any groups, rendered by index."""

    def __init__(self, networks: NetworkWeights, device: str, share: float) -> None:
        self._stacks = [family_named(each.family).stack(each.arrays, device, share) for each in networks.stacks]
        self._in_place = [stack if isinstance(stack, InPlace) else None for stack in self._stacks]
        self._stack_of = torch.from_numpy(networks.stack_of).to(device, torch.long)
        self._place_in = torch.from_numpy(networks.place_in).to(device, torch.long)
        self.present = self._stack_of >= 0  # which indices have a network

    def render_into(self, pictures: Tensor, chosen: Tensor, x: Tensor, y: Tensor) -> None:
        """Write networks ``chosen [n]`` at ``x [n | 1, columns]``, ``y [n | 1, rows]`` into ``[n, 3, rows, columns]``;
        zero where there is no network."""
        stack_of = self._stack_of[chosen]
        for number in stack_of.unique().tolist():
            mine = torch.nonzero(stack_of == number).flatten()
            if number < 0:
                pictures[mine] = 0
                continue
            across = x if len(x) == 1 else x[mine]
            down = y if len(y) == 1 else y[mine]
            places, in_place = self._place_in[chosen[mine]], self._in_place[number]
            if in_place and pictures.device.type == "cpu":
                in_place.render_into([pictures[place] for place in mine.tolist()], places, across, down)
                continue
            rendered = self._stacks[number].render(places, across, down)
            if len(mine) == len(chosen):
                pictures.copy_(rendered)
            elif pictures.device.type == "cpu":
                for place, picture in zip(mine.tolist(), rendered, strict=True):  # many times faster than by index
                    pictures[place] = picture
            else:
                pictures[mine] = rendered


def _parts(order: Tensor, sides: Sequence[Sequence[int]]) -> Iterator[Tensor]:
    """Cut boxes, sorted by their rows, so that no part has more padded pixels than are worked on at once."""
    start, widest = 0, 0
    for index, (columns, rows) in enumerate(sides):
        widest = max(widest, columns)
        # Padding to more than twice the sides of the part's first box is not worth a larger part.
        first_columns, first_rows = sides[start]
        # Features are as many as the square of a side: long thin boxes have few pixels and many of those.
        over = (index - start + 1) * max(widest, rows) ** 2 > _OBJECT_PIXELS
        if index > start and (over or rows > 2 * first_rows + 8 or columns > 2 * first_columns + 64):
            yield order[start:index]
            start, widest = index, columns
    yield order[start:]
