"""Decoding: entropy decoding once, then pixels by batched matrix products at any size and crop.

A frame's picture is its background plus its objects' residuals, clamped once, at the end (Residual-INR, section 4).
Where boxes overlap, every one of their networks has fitted the same residual, and their mean is added. Pasted objects
hold pixels instead, which take the background's place.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from rinr.backgrounds import Backgrounds
from rinr.codec.frame import EncodedFrame
from rinr.frames import Pixels
from rinr.networks.coordinates import Axis, Covered, Window, covered
from rinr.overlay import Part, Placed, add_box_by_box, add_by_index, parts_of
from rinr.stacks import Stacks
from rinr.threads import each_in_a_thread
from rinr.turned import box_outlines, frame_points
from rinr.weights import NO_PARTS, FrameWeights, Parts, entropy_decode

WHOLE: Window = (0.0, 0.0, 1.0, 1.0)
"""The whole frame as a crop: left, top, right, bottom as parts of its sides."""

# Worked on at once: what shares the fixed costs of a pass among many frames, and what keeps a GPU busy.
_FRAME_PIXELS = {"cpu": 1 << 23, "cuda": 1 << 26}
# Pictures this small are rendered whole, many at once, even where some of them show little of their frames.
_SMALL_PIXELS = 1 << 12
_FLOATS_A_POINT = 4  # of a turned view, which holds both coordinates of each pixel in double precision

_FLAT = 1e-12  # the determinant of a view that shows nothing

_Render = Callable[[Tensor, Tensor, Tensor], Tensor]
_Split = TypeVar("_Split")


def load(frames: Sequence[EncodedFrame], device: str = "cpu", parts: Parts = NO_PARTS) -> "LoadedFrames":
    """Entropy decode frames and put their networks on a device, as small integers.

    Args:
        frames: alone, or of clips.
        device: where to put them.
        parts: the shared parts that clips' frames need, see :func:`rinr.weights.parts_of`.

    Raises:
        MissingPartError: a frame needs a part that is not there.
        PayloadError: a network payload is malformed.
    """
    return LoadedFrames(entropy_decode(frames, parts), device)


def decode(frame: EncodedFrame, device: str = "cpu", parts: Parts = NO_PARTS) -> Pixels:
    """One frame's picture at its working size, ``[height, width, 3]``.

    Raises:
        MissingPartError: the frame needs a shared part that is not there.
        PayloadError: a network payload is malformed.
    """
    return to_pixels(load([frame], device, parts).render([0], frame.width, frame.height))[0]


def decode_background(frame: EncodedFrame, device: str = "cpu", parts: Parts = NO_PARTS) -> Pixels:
    """One frame's background alone at its working size, ``[height, width, 3]``."""
    return decode(replace(frame, boxes=(), objects=b""), device, parts)


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
        background_step: sine backgrounds are evaluated at one point for as many pixels each way, and enlarged. Presets
            that fit them at half the sides lose little at 2, and take a quarter of the time; docs/results.md says how
            little. Turned views are evaluated at every pixel.
    """

    def __init__(
        self, weights: FrameWeights, device: str = "cpu", budget: int | None = None, background_step: int = 1
    ) -> None:
        share = 1.0 if budget is None else min(budget / max(weights.nbytes, 1), 1.0)
        self.device = device
        self.sizes = [(width, height) for width, height in weights.sizes.tolist()]
        self._backgrounds = Backgrounds(weights, device, share, background_step)
        self._objects = Stacks(weights.objects, device, share)
        self._boxes = torch.from_numpy(weights.boxes).to(device, torch.float64)
        self._owners = torch.from_numpy(weights.owners).to(device, torch.long)
        # One more frame than there are stands for those that are shown without their objects.
        firsts = np.searchsorted(weights.owners, np.arange(len(weights) + 2))
        self._first_object = torch.from_numpy(firsts).to(device)
        self._frame_sizes = torch.from_numpy(weights.sizes).to(device, torch.float64)
        self._pasted = torch.from_numpy(weights.pasted).to(device)
        self._overlapping = torch.from_numpy(weights.overlapping).to(device)
        self._any_pasted = bool(weights.pasted.any())

    def __len__(self) -> int:
        return len(self.sizes)

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
        return self._upright(indices, *self._cropped(crop, width, height), None, out)

    def look(
        self,
        indices: Sequence[int],
        views: Tensor,
        width: int,
        height: int,
        *,
        fill: float = 0.5,
        bare: Tensor | None = None,
        out: Tensor | None = None,
    ) -> Tensor:
        """Pictures of some of the frames, each with a view of its own: cropped, mirrored, scaled, moved or turned,
        evaluated where its pixels lie in the frame and never resampled.

        Example: the frame mirrored, and its left half at twice the scale::

            views = torch.tensor([[[-1.0, 0, 1], [0, 1, 0]], [[0.5, 0, 0], [0, 0.5, 0]]])
            pictures = loaded.look([3, 3], views, 640, 360)

        Args:
            indices: which frames; one may stand several times.
            views: ``[n, 2, 3]``, float32, on the CPU: the affine map from points of the picture to points of the frame,
                ``(x, y) = view @ (u, v, 1)``, all as parts of the sides, 0 to 1 from the top left. Where no view turns
                (entries off the diagonal are zero), columns and rows are rendered by products; otherwise point by
                point, which takes several times as long.
            width: of the pictures, in pixels.
            height: likewise.
            fill: what stands where a picture shows what lies outside the frame, 0 to 1.
            bare: ``[n]`` bool, on the CPU: which pictures show the background alone, without objects' networks.
            out: where to write them, as for :meth:`render`.

        Returns:
            ``[n, 3, height, width]``, float32 from 0 to 1.

        Raises:
            ValueError: views of another shape, or one that shows the frame as a line.
        """
        views = self._checked(views, len(indices))
        if bool(views[:, 0, 1].any()) or bool(views[:, 1, 0].any()):
            return self._turned(indices, views.to(self.device), (width, height), fill, bare, out)
        if bool((views == views[:1]).all()):
            views = views[:1]  # what depends on the view alone is worked out once
        views = views.to(self.device)
        across, down = (Axis(views[:, side, 2], views[:, side, side], (width, height)[side]) for side in (0, 1))
        return self._upright(indices, across, down, fill, out, bare)

    def render_backgrounds(self, chosen: Tensor, width: int, height: int, crop: Window = WHOLE) -> Tensor:
        """Backgrounds alone and not clamped, as residuals are taken from them: ``[n, 3, height, width]``."""
        pictures = torch.empty(len(chosen), 3, height, width, device=self.device)
        self._render_backgrounds(pictures, chosen, *self._cropped(crop, width, height), None)
        return pictures

    def _cropped(self, crop: Window, width: int, height: int) -> tuple[Axis, Axis]:
        first, span = (
            torch.tensor(values, dtype=torch.float64, device=self.device)
            for values in (crop[:2], (crop[2] - crop[0], crop[3] - crop[1]))
        )
        return Axis(first[:1], span[:1], width), Axis(first[1:], span[1:], height)

    def _checked(self, views: Tensor, count: int) -> Tensor:
        if views.shape != (count, 2, 3):
            raise ValueError(f"views are {list(views.shape)}, expected [{count}, 2, 3]: one a picture")
        views = views.double()
        finite = bool(views.isfinite().all())
        if not finite or not bool((torch.linalg.det(views[:, :, :2]).abs() > _FLAT).all()):
            raise ValueError("a view shows its frame as a line, or has numbers that are not finite")
        return views

    @torch.no_grad()
    def _upright(
        self,
        indices: Sequence[int],
        across: Axis,
        down: Axis,
        fill: float | None,
        out: Tensor | None,
        bare: Tensor | None = None,
    ) -> Tensor:
        chosen, pictures = self._begun(indices, (across.size, down.size), out)
        dear = self._backgrounds.dear or self._objects.dear
        some = self._some(len(chosen) if dear else 0, across.size * down.size)
        parts, owners = chosen.split(some), self._owners_of_objects(chosen, bare).split(some)
        axes = across.split(some, len(parts)), down.split(some, len(parts))

        def make(split: tuple[Tensor, Tensor, Tensor, Axis, Axis]) -> None:
            mine, having, part, x, y = split
            self._render_backgrounds(part, mine, x, y, fill)
            self._add_objects(part, having, x, y)
            part.clamp_(0, 1)

        self._make_each(make, [*zip(parts, owners, pictures.split(some), *axes, strict=True)])
        return pictures if out is None or pictures is out else out.copy_(pictures)

    @torch.no_grad()
    def _turned(
        self,
        indices: Sequence[int],
        views: Tensor,
        size: tuple[int, int],
        fill: float,
        bare: Tensor | None,
        out: Tensor | None,
    ) -> Tensor:
        chosen, pictures = self._begun(indices, size, out, by_index=True)
        some = self._some(len(chosen), _FLOATS_A_POINT * size[0] * size[1])
        split = (each.split(some) for each in (chosen, self._owners_of_objects(chosen, bare), pictures, views))

        def make(split: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
            mine, having, part, view = split
            points, inside = frame_points(view, *size)
            part.copy_(self._backgrounds.render_points(mine, points).view_as(part))
            part.masked_fill_(~inside[:, None], fill)
            self._add_turned_objects(part, having, view)
            part.clamp_(0, 1)

        self._make_each(make, [*zip(*split, strict=True)])
        return pictures if out is None or pictures is out else out.copy_(pictures)

    def _begun(
        self, indices: Sequence[int], size: tuple[int, int], out: Tensor | None, by_index: bool = False
    ) -> tuple[Tensor, Tensor]:
        """The frames that are asked for, and memory for their pictures: in one piece where indices write to it."""
        chosen = torch.as_tensor(list(indices), dtype=torch.long, device=self.device)
        if out is not None and ((self._on_cpu and not by_index) or out.is_contiguous()):
            return chosen, out
        return chosen, torch.empty(len(chosen), 3, size[1], size[0], device=self.device)

    def _some(self, shared: int, pixels: int) -> int:
        """How many pictures are made at once, where threads share so many of them; 0: pictures that are made together
        take so much less time that they are not shared."""
        most = max(_FRAME_PIXELS[torch.device(self.device).type] // pixels, 1)
        return min(most, -(-shared // torch.get_num_threads())) if self._on_cpu and shared else most

    def _make_each(self, make: Callable[[_Split], None], splits: Sequence[_Split]) -> None:
        if self._on_cpu:
            each_in_a_thread(make, splits)
        else:
            for split in splits:
                make(split)

    @property
    def _on_cpu(self) -> bool:
        return torch.device(self.device).type == "cpu"

    def _render_backgrounds(
        self, pictures: Tensor, chosen: Tensor, across: Axis, down: Axis, fill: float | None
    ) -> None:
        x, y = across.places(), down.places()
        if not self._on_cpu or across.size * down.size <= _SMALL_PIXELS:
            self._backgrounds.render_into(pictures, chosen, x.clamp(-1, 1), y.clamp(-1, 1))
            if fill is not None:
                shown = _within(down.inside(), down.size)[:, :, None] & _within(across.inside(), across.size)[:, None]
                pictures.masked_fill_(~shown[:, None], fill)
            return
        regions = [(slice(None), slice(None))]
        if fill is not None:  # what lies outside the frames need not be rendered
            bounds = zip(down.inside().tolist(), across.inside().tolist(), strict=True)
            regions = [(slice(*rows), slice(*columns)) for rows, columns in bounds]
        self._backgrounds.render_each(
            [picture[:, rows, columns] for picture, (rows, columns) in zip(pictures, cycle(regions), strict=False)],
            chosen,
            [places[columns] for places, (_, columns) in zip(x, regions, strict=True)],
            [places[rows] for places, (rows, _) in zip(y, regions, strict=True)],
        )
        if fill is not None:
            for picture, (rows, columns) in zip(pictures, cycle(regions), strict=False):
                _fill_around(picture, rows, columns, fill)

    def _add_objects(self, pictures: Tensor, chosen: Tensor, across: Axis, down: Axis) -> None:
        """Add the mean of the residuals at every covered pixel, or paste the mean of the pixels, in place."""
        slots, objects = self._objects_of(chosen)
        if not len(objects):
            return
        owners = self._owners[objects]
        columns = covered(self._boxes[objects, 0::2], self._frame_sizes[owners, 0], across.some(slots))
        rows = covered(self._boxes[objects, 1::2], self._frame_sizes[owners, 1], down.some(slots))
        seen = torch.nonzero((columns.count > 0) & (rows.count > 0)).flatten()
        if not len(seen):
            return
        parts = [
            (part, columns.some(part), rows.some(part))
            for part in (seen[some] for some in parts_of(columns.count[seen], rows.count[seen]))
        ]
        placed = self._placed(slots, objects)

        def render(part: Tensor, x: Tensor, y: Tensor) -> Tensor:
            values = torch.empty(len(part), 3, y.shape[1], x.shape[1], device=self.device)
            self._objects.render_into(values, objects[part], x, y)
            return values

        if self._on_cpu:
            add_box_by_box(pictures, placed, parts, render)
        else:
            add_by_index(pictures, placed, [_by_index(*each, pictures.shape[3], render) for each in parts])

    def _add_turned_objects(self, pictures: Tensor, chosen: Tensor, views: Tensor) -> None:
        slots, objects = self._objects_of(chosen)
        if not len(objects):
            return
        boxes = self._boxes[objects] / self._frame_sizes[self._owners[objects]].repeat(1, 2)
        height, width = pictures.shape[2:]

        def render(own: Tensor, places: Tensor) -> Tensor:
            return self._objects.render_points(objects[own], places.flatten(2)).unflatten(2, places.shape[2:])

        add_by_index(
            pictures,
            self._placed(slots, objects),
            [
                Part(outline.boxes, outline.pixel, outline.inside, partial(render, outline.boxes, outline.places))
                for outline in box_outlines(boxes, views[slots], width, height)
            ],
        )

    def _owners_of_objects(self, chosen: Tensor, bare: Tensor | None) -> Tensor:
        """The frames whose objects are shown; in place of a bare one that which has none."""
        return chosen if bare is None else torch.where(bare.to(chosen.device), len(self), chosen)

    def _objects_of(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Every object of every chosen frame, and its picture; a frame that was chosen twice has its objects twice."""
        counts = self._first_object[chosen + 1] - self._first_object[chosen]
        slots = torch.arange(len(chosen), device=chosen.device).repeat_interleave(counts)
        before = counts.cumsum(0) - counts
        number = torch.arange(len(slots), device=chosen.device) - before[slots]
        objects = self._first_object[chosen[slots]] + number
        present = self._objects.present[objects]
        return slots[present], objects[present]

    def _placed(self, slots: Tensor, objects: Tensor) -> Placed:
        pasted = self._pasted[self._owners[objects]] if self._any_pasted else None
        return Placed(slots, pasted, bool(self._overlapping[objects].any()))


def _within(bounds: Tensor, size: int) -> Tensor:
    """Which of so many pixels lie within bounds ``[n, 2]``: ``[n, size]``."""
    index = torch.arange(size, device=bounds.device)
    return (index >= bounds[:, :1]) & (index < bounds[:, 1:])


def _fill_around(picture: Tensor, rows: slice, columns: slice, fill: float) -> None:
    """Fill what lies around a region of ``[3, height, width]``."""
    picture[:, : rows.start] = fill
    picture[:, rows.stop :] = fill
    picture[:, rows, : columns.start] = fill
    picture[:, rows, columns.stop :] = fill


def _by_index(part: Tensor, across: Covered, down: Covered, width: int, render: _Render) -> Part:
    """Upright boxes with the place of each pixel written out."""
    inside = down.inside[:, :, None] & across.inside[:, None, :]
    pixel = down.index[:, :, None] * width + across.index[:, None, :]
    return Part(part, torch.where(inside, pixel, 0), inside, partial(render, part, across.place, down.place))
