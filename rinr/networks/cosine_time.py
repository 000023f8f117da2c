"""Cosines in time as well: the frames of a clip as one network of windowed cosines in x, y and t.

Frames lie on their clip's canvas, brought there along the camera's motion. What stands at one place of it changes
little from frame to frame, so that most of an orthonormal cosine transform over time is zero: its first *plane*, the
mean, holds nearly all, and a plane of each further frequency what moves. Planes are coded as ``cosine`` networks of one
layout (:mod:`rinr.networks.cosine_coding`), and what is rounded away together is what a video coder spends its bits on.

A frame is a sum of planes, taken among the weights: only those that are not zero are added up, then one network is
rendered as ever. So any frame decodes alone.

A body holds one network a shared part::

    frames u8 | planes u8 (those after the last one with a weight are left out) | offset 3 u8
    the planes in bands, the first 1, then 2, 5, 12 and all others of them: length varint and a body of cosine networks;
    the last band without its length
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rinr.codec.bytestream import PayloadError, Reader, varint
from rinr.networks import cosine_coding
from rinr.networks.cosine_coding import OVERLAPS, TILES, CosineNetwork, Layout
from rinr.networks.cosine_colour import colour_axes, fitted_turns
from rinr.networks.cosine_fitting import analysed, distinct, fit_plane, round_once
from rinr.networks.cosine_time_rendering import CosineTimeStack, arrays
from rinr.networks.family import Arrays, OnWork
from rinr.networks.settings import CosineSettings, CosineTimeSettings

MAX_FRAMES = 64
MAX_CLIP_WEIGHTS = 20_000_000
"""Of all planes, padded to the largest: what bounds the memory that a payload can ask for. Canvases of four times
640x640 pixels need 17.5 million with 32 frames and 16 waves in tiles of 48 pixels."""
_BANDS = (0, 1, 3, 8, 20, MAX_FRAMES)
_TRIED = (0, 1, 4)
"""Planes on which tile sizes are compared."""


@dataclass(frozen=True)
class CosineTimeNetwork:
    """The frames of a clip.

    Attributes:
        frames: how many.
        offset: a colour in 255ths that is added everywhere.
        planes: one a temporal frequency, of one size and layout, from zero on; those that are left out are zero.
    """

    frames: int
    offset: tuple[int, int, int]
    planes: tuple[CosineNetwork, ...]

    @property
    def shared(self) -> int:
        """Each has a body of its own."""
        return id(self)

    @property
    def weights(self) -> int:
        """How many are not zero."""
        return sum(int(np.count_nonzero(plane.coarse) + np.count_nonzero(plane.fine)) for plane in self.planes)

    @property
    def multiplications(self) -> int:
        """Of an evaluation at one point, the sum of planes shared among the points."""
        width, height = self.planes[0].size
        return max(plane.multiplications for plane in self.planes) + self.weights // (width * height) + 1

    @property
    def group(self) -> tuple[int, ...]:
        """Numbers of tiles, of waves, overlap, and of weights, rounded up to a power of two."""
        rows, columns = (max(plane.rendered_waves[side] for plane in self.planes) for side in (0, 1))
        down, across = self.planes[0].fine.shape[1:3]
        padded = 1 << max(self.weights - 1, 255).bit_length()
        return down, across, rows, columns, self.planes[0].layout.overlap, padded


class CanvasFit:
    """The frames of a clip, to be fitted with one step or another.

    Args:
        frames: ``[frames, 3, height, width]``, 0 to 1, each on all of the canvas, in the order of time.
        settings: of the fits. The tile size is chosen by the first one.

    Raises:
        FloatingPointError: values that are not finite.
        ValueError: no frames, or more than ``MAX_FRAMES``.
    """

    def __init__(self, frames: Tensor, settings: CosineTimeSettings) -> None:
        if not 0 < len(frames) <= MAX_FRAMES:
            raise ValueError(f"{len(frames)} frames in one network, expected 1 to {MAX_FRAMES}")
        if not bool(torch.isfinite(frames).all()):
            raise FloatingPointError("frames to fit hold values that are not finite: no network has them")
        self.frames, self.settings, self.tile = frames, settings, 0
        mean = frames.mean(dim=0) * 255
        red, green, blue = (int(level) for level in mean.mean(dim=(1, 2)).round().clamp(0, 255))
        self.offset = red, green, blue
        apart = mean - mean.mean(dim=(1, 2), keepdim=True)
        self.axes = fitted_turns(apart.permute(1, 2, 0)) if settings.axes else None
        self._waves = temporal(len(frames), str(frames.device))
        self._axes = colour_axes(self.axes).to(frames)
        self._weights: dict[int, list[Tensor]] = {}

    def network(self, step: float, sweeps: int) -> CosineTimeNetwork:
        """Fit all planes with one step.

        Args:
            step: of quantization, in 255ths of full scale.
            sweeps: of rounding; one is quick, and comes near what more come to.
        """
        own = self.settings
        plain = CosineSettings(step, (), own.overlap, own.waves, own.trade, sweeps)
        self.tile = self.tile or self._best_tile(plain)
        layout, (height, width) = self._layout(plain, self.tile), self.frames.shape[2:]
        planes = []
        for frequency in range(len(self.frames)):
            if sweeps > 1:
                _, coarse, fine = fit_plane(self._target(frequency, plain), layout, plain)
            else:
                coarse, fine = round_once(self._analysed(frequency, layout, plain), (width, height), layout, plain)
            planes.append(CosineNetwork((width, height), layout, (0, 0, 0), coarse, fine))
        while len(planes) > 1 and not (planes[-1].coarse.any() or planes[-1].fine.any()):
            planes.pop()
        return CosineTimeNetwork(len(self.frames), self.offset, tuple(planes))

    def _analysed(self, frequency: int, layout: Layout, plain: CosineSettings) -> list[Tensor]:
        """A plane's weights in steps, which are worked out once and scaled."""
        if frequency not in self._weights:
            target = self._target(frequency, replace(plain, step=1.0))
            self._weights[frequency] = analysed(target, layout, plain)
        return [weights / layout.step_size for weights in self._weights[frequency]]

    def _best_tile(self, plain: CosineSettings) -> int:
        height, width = self.frames.shape[2:]
        sides = distinct(self.settings.tiles, (width, height))
        if len(sides) == 1:
            return sides[0]
        targets = [self._target(frequency, plain) for frequency in _TRIED if frequency < len(self.frames)]
        few = replace(plain, sweeps=2)
        costs = [
            sum(fit_plane(target, self._layout(plain, tile), few, cost=True)[0] for target in targets) for tile in sides
        ]
        return sides[int(np.argmin(costs))]

    def _layout(self, plain: CosineSettings, tile: int) -> Layout:
        return Layout(plain.step_code, TILES.index(tile), OVERLAPS.index(plain.overlap), self.axes, offset=False)

    def _target(self, frequency: int, plain: CosineSettings) -> Tensor:
        """A plane in steps, by colour axis, ``[3, height, width]``."""
        wave = self._waves[frequency]
        offset = torch.tensor(self.offset, device=wave.device, dtype=wave.dtype)
        plane = torch.tensordot(wave, self.frames, dims=1) * 255 - wave.sum() * offset[:, None, None]
        return torch.tensordot(self._axes, plane, dims=1) / 2 ** (plain.step_code / 16)


class CosineTimeFamily:
    """The family ``cosine-time``: see :class:`rinr.networks.family.Family`."""

    name = "cosine-time"
    code = 8

    def work(self, settings: CosineTimeSettings) -> int:
        """Image-steps of a clip of one picture."""
        return settings.sweeps

    def fit(
        self,
        pictures: Sequence[Tensor],
        settings: CosineTimeSettings,
        on_work: OnWork | None = None,
        *,
        shares: Sequence[float] | None = None,
    ) -> list[CosineTimeNetwork]:
        """Clips of one picture each."""
        networks = []
        for picture in pictures:
            networks.append(self.fit_canvas(picture.permute(2, 0, 1)[None], settings))
            if on_work:
                on_work(self.work(settings))
        return networks

    def fit_canvas(self, frames: Tensor, settings: CosineTimeSettings) -> CosineTimeNetwork:
        """Fit the frames of a clip with the first of the settings' steps; see :class:`CanvasFit`."""
        return CanvasFit(frames, settings).network(settings.steps[0], settings.sweeps)

    def write(self, networks: Sequence[CosineTimeNetwork]) -> bytes:
        """Entropy code a network. The inverse of :meth:`read`.

        Raises:
            ValueError: several networks, or more weights than ``MAX_CLIP_WEIGHTS``.
        """
        (network,) = networks
        if (weights := _padded_weights(network.planes, len(network.planes))) > MAX_CLIP_WEIGHTS:
            raise ValueError(f"{weights:,} weights in a clip; a payload holds at most {MAX_CLIP_WEIGHTS:,}")
        bands = [cosine_coding.write(band) for band in _bands(network)]
        head = bytes([network.frames, len(network.planes), *network.offset])
        return head + b"".join(varint(len(band)) + band for band in bands[:-1]) + bands[-1]

    def read(self, data: bytes, sizes: Sequence[tuple[int, int]]) -> list[CosineTimeNetwork]:
        """Entropy decode a body of one network.

        Raises:
            PayloadError: malformed, or more weights than ``MAX_CLIP_WEIGHTS``.
        """
        reader = Reader(data, self.name)
        if len(sizes) != 1:
            raise PayloadError(f"{self.name}: {len(sizes)} networks in one body, expected 1")
        frames = reader.u8("frames", low=1, high=MAX_FRAMES)
        count = reader.u8("planes", low=1, high=frames)
        offset = tuple(reader.take(3, "offset"))
        planes: list[CosineNetwork] = []
        for start, stop in pairwise(_BANDS):
            if start >= count:
                break
            band = reader.rest() if stop >= count else reader.take(reader.varint("band length"), "band")
            planes += cosine_coding.read(band, [*sizes] * (min(stop, count) - start))
            if (weights := _padded_weights(planes, count)) > MAX_CLIP_WEIGHTS:
                raise PayloadError(f"{self.name}: {weights:,} weights, expected at most {MAX_CLIP_WEIGHTS:,}")
        if any(plane.layout != planes[0].layout or plane.offset != (0, 0, 0) for plane in planes):
            raise PayloadError(f"{self.name}: planes of different layouts, or with offsets of their own")
        return [CosineTimeNetwork(frames, offset, tuple(planes))]  # type: ignore[arg-type]

    def arrays(self, networks: Sequence[CosineTimeNetwork]) -> Arrays:
        """See :func:`rinr.networks.cosine_time_rendering.arrays`."""
        return arrays(networks)

    def stack(self, arrays: Arrays, device: str, share: float = 1.0) -> CosineTimeStack:
        """Put networks of one group on a device."""
        return CosineTimeStack(arrays, device, share)

    def describe(self, network: CosineTimeNetwork) -> dict[str, Any]:
        """See :class:`rinr.networks.family.Describing`."""
        layout = network.planes[0].layout
        step, tile, overlap = float(f"{layout.step_size:.4g}"), TILES[layout.tile], OVERLAPS[layout.overlap]
        return {
            "brief": f"step {step:g} tile {tile} overlap {overlap:g}, {len(network.planes)} of {network.frames} planes",
            "frames": network.frames,
            "planes": len(network.planes),
            "step": step,
            "tile": tile,
            "overlap": overlap,
            "tiles": [*network.planes[0].fine.shape[2:0:-1]],
            "weights": network.weights,
            "weights_by_plane": [
                int(np.count_nonzero(plane.coarse) + np.count_nonzero(plane.fine)) for plane in network.planes
            ],
            "offset": list(network.offset),
            "axes": list(layout.axes) if layout.axes else None,
        }

    def describe_body(self, body: bytes, networks: Sequence[CosineTimeNetwork]) -> dict[str, Any]:
        """See :class:`rinr.networks.family.Describing`."""
        return {"header_bytes": 5}

    def ideal_bits(self, networks: Sequence[CosineTimeNetwork]) -> list[float]:
        """See :class:`rinr.networks.family.Describing`."""
        return [sum(sum(cosine_coding.body_bits(band)) for band in _bands(network)) for network in networks]


def _bands(network: CosineTimeNetwork) -> list[tuple[CosineNetwork, ...]]:
    """Planes that are written in one body each."""
    return [network.planes[start:stop] for start, stop in pairwise(_BANDS) if start < len(network.planes)]


def _padded_weights(planes: Sequence[CosineNetwork], count: int) -> int:
    """Of so many planes, each padded to the largest of those given."""
    return 3 * count * int(np.prod([max(plane.fine.shape[axis] for plane in planes) for axis in range(1, 5)]))


def temporal(count: int, device: str = "cpu") -> Tensor:
    """The orthonormal cosine transform over so many frames, ``[frequencies, frames]``, float32."""
    frame, frequency = torch.arange(count, dtype=torch.float64) + 0.5, torch.arange(count, dtype=torch.float64)
    waves = torch.cos(math.pi * frequency[:, None] * frame / count) * math.sqrt(2 / count)
    waves[0] = math.sqrt(1 / count)
    return waves.to(device, torch.float32)


COSINE_TIME = CosineTimeFamily()
