"""Image codecs behind the interface of network families: the controls that a sceptic would bring, and a choice for
frames that suit a codec better.

A "network" here is a file as Pillow writes it, JPEG, WebP or AVIF, of the region at full or reduced size. It is decoded
once, on arrival; pixels at any grid are then resampled from the small picture with Pillow's LANCZOS filter, written as
two matrix products. At the picture's own grid they are the decoded pixels themselves.

A body is the files in their order::

    for each file but the last: length varint | file
    the last file, all that is left

Pictures cannot hold residuals: crops of objects are pasted (:attr:`rinr.presets.Preset.pasted`).
"""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from rinr.codec.bytestream import PayloadError, Reader, varint
from rinr.frames import Pixels, resize
from rinr.networks.coordinates import centres
from rinr.networks.family import Arrays, OnWork
from rinr.networks.rows import Rows
from rinr.networks.settings import CodecSettings

_LOBES = 3
_SAME_GRID = 1e-2  # of a pixel: single-precision coordinates are that exact on the widest frames


@dataclass(frozen=True, eq=False)
class CodecNetwork:
    """A file with what it decodes to.

    Attributes:
        data: the file's bytes.
        pixels: ``[height, width, 3]``.
    """

    data: bytes
    pixels: Pixels

    @property
    def shared(self) -> None:
        """Files of one codec are written in one body."""

    @property
    def multiplications(self) -> int:
        """Of a value at one point: two resampling filters of eight points."""
        return 16

    @property
    def group(self) -> tuple[int, int]:
        """Pictures of one size are stacked."""
        return self.pixels.shape[0], self.pixels.shape[1]


class CodecFamily:
    """An image codec: see :class:`rinr.networks.family.Family`.

    Args:
        name: of the family.
        code: of the family.
        options: with which Pillow writes; chroma is subsampled as Pillow does by default (4:2:0).
    """

    def __init__(self, name: str, code: int, **options: Any) -> None:
        self.name, self.code = name, code
        self._format, self._options = name.upper(), options

    def work(self, settings: CodecSettings) -> int:
        """Image-steps of one picture's encoding."""
        return 1

    def fit(
        self,
        pictures: Sequence[Tensor],
        settings: CodecSettings,
        on_work: OnWork | None = None,
        *,
        shares: Sequence[float] | None = None,
    ) -> list[CodecNetwork]:
        """Encode pictures, rounded to 8 bits, one by one; quality is as asked, whatever the ``shares``."""
        networks = []
        for picture in pictures:
            pixels = (picture.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
            size = pixels.shape[1], pixels.shape[0]
            reduced = max(round(size[0] / settings.scale), 1), max(round(size[1] / settings.scale), 1)
            data = self._encode(resize(np.ascontiguousarray(pixels), reduced), settings.quality)
            networks.append(CodecNetwork(data, self._decode(data, size)))
            if on_work:
                on_work(1)
        return networks

    def write(self, networks: Sequence[CodecNetwork]) -> bytes:
        """The files in one body. The inverse of :meth:`read`."""
        parts = [part for n in networks[:-1] for part in (varint(len(n.data)), n.data)]
        return b"".join([*parts, networks[-1].data])

    def read(self, data: bytes, sizes: Sequence[tuple[int, int]]) -> list[CodecNetwork]:
        """Take a body apart and decode its files; none may hold a larger picture than its region."""
        reader, networks = Reader(data, self.name), []
        for index, size in enumerate(sizes):
            last = index == len(sizes) - 1
            file = reader.rest() if last else reader.take(reader.varint("file length", low=1), "file")
            networks.append(CodecNetwork(file, self._decode(file, size)))
        return networks

    def arrays(self, networks: Sequence[CodecNetwork]) -> Arrays:
        """Decoded pictures, ``[n, 3, height, width]`` uint8."""
        stacked = np.stack([network.pixels for network in networks])
        return {"pictures": np.ascontiguousarray(stacked.transpose(0, 3, 1, 2))}

    def stack(self, arrays: Arrays, device: str, share: float = 1.0) -> "CodecStack":
        """Put pictures of one size on a device."""
        return CodecStack(arrays, device, share)

    def _encode(self, pixels: Pixels, quality: int) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format=self._format, quality=quality, **self._options)
        return buffer.getvalue()

    def _decode(self, data: bytes, largest: tuple[int, int]) -> Pixels:
        if self._format == "WEBP":
            self._check_webp(data, largest)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the picture's size is checked below, before its pixels are decoded
                image = Image.open(io.BytesIO(data), formats=(self._format,))
        except Exception as error:  # Pillow and its libraries document no set of exceptions for hostile files
            raise PayloadError(f"{self.name}: file is not a {self._format} that can be read: {error}") from None
        self._check_size(image.size, largest)
        if image.mode != "RGB":
            raise PayloadError(f"{self.name}: file's pixels are {image.mode}, expected RGB")
        try:
            pixels = np.asarray(image)
        except Exception as error:
            raise PayloadError(f"{self.name}: file cannot be decoded: {error}") from None
        return pixels

    def _check_webp(self, data: bytes, largest: tuple[int, int]) -> None:
        """Pillow allocates a WebP's canvas when it opens the file: look at the size before. Lossy key frames alone are
        taken, as they are written (RFC 9649, sections 2.5 and 2.6; RFC 6386, section 9.1)."""
        if data[:4] + data[8:16] != b"RIFFWEBPVP8 " or data[23:26] != b"\x9d\x01\x2a" or len(data) < 30:
            raise PayloadError(f"{self.name}: file is not a plain lossy WEBP")
        width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (26, 28))
        self._check_size((width, height), largest)

    def _check_size(self, size: tuple[int, int], largest: tuple[int, int]) -> None:
        if not (1 <= size[0] <= largest[0] and 1 <= size[1] <= largest[1]):
            limit = f"{largest[0]}x{largest[1]}"
            raise PayloadError(f"{self.name}: picture is {size[0]}x{size[1]}, expected at most its region's {limit}")


JPEG = CodecFamily("jpeg", 4, optimize=True)
WEBP = CodecFamily("webp", 5, method=6)
AVIF = CodecFamily("avif", 6, speed=4)
CODECS = (JPEG, WEBP, AVIF)


class CodecStack:
    """Decoded pictures of one size on a device, 8 bits a value."""

    def __init__(self, arrays: Arrays, device: str, share: float = 1.0) -> None:
        self.pictures = Rows(arrays["pictures"], device, share)  # [networks, 3, height, width]

    @torch.no_grad()
    def render(self, chosen: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """See :class:`rinr.networks.family.Stack`."""
        pictures = self.pictures.take(chosen).to(torch.float32) / 255
        pictures = _resampled(pictures, x)  # along rows first and clamped in between, as Pillow does
        return _resampled(pictures.transpose(2, 3), y).transpose(2, 3)

    @torch.no_grad()
    def render_points(self, chosen: Tensor, points: Tensor) -> Tensor:
        """See :class:`rinr.networks.family.Stack`. Pictures are first made smaller where points lie further apart than
        pixels, and then interpolated with cubics."""
        values = points.new_zeros(len(chosen), 3, points.shape[2])
        for own, picture, at in zip(values, self.pictures.take(chosen), points, strict=True):
            small = _spaced(picture[None].to(torch.float32) / 255, at)
            grid = at.T[None, None]
            found = functional.grid_sample(small, grid, mode="bicubic", padding_mode="border", align_corners=False)
            own.copy_(found[0, :, 0].clamp_(0, 1))
        return values


def _spaced(picture: Tensor, points: Tensor) -> Tensor:
    """``[1, 3, height, width]`` with pixels no closer than points ``[2, count]``, which follow one another in rows."""
    if points.shape[1] < 2:
        return picture
    sides = torch.tensor([picture.shape[3], picture.shape[2]], device=points.device)
    spacing = max(float(((points[:, 1] - points[:, 0]) * sides / 2).norm()), 1.0)
    for side in sides.tolist():  # its columns, then its rows
        at = centres(max(round(side / spacing), 1), device=points.device)[None] * 2 - 1
        picture = _resampled(picture, at).transpose(2, 3)
    return picture


def resampling(at: Tensor, length: int) -> Tensor:
    """Pillow's LANCZOS filter as a matrix.

    Args:
        at: ``[n, points]``, evenly spaced in either direction, from -1 (the side's start) to 1 (its end).
        length: of the side, in pixels.

    Returns:
        ``[n, points, length]``: what each point takes of each pixel. Where points lie further apart than pixels, the
        filter is as much wider, so that it averages over what lies between them.
    """
    spacing = (at[:, 1:2] - at[:, :1]).abs() * (length / 2) if at.shape[1] > 1 else torch.ones_like(at)
    width = spacing.clamp(min=1)[..., None]
    centre = (at[..., None] + 1) * (length / 2)
    pixel = torch.arange(length, device=at.device) + 0.5
    away = (pixel - centre) / width
    weights = torch.sinc(away) * torch.sinc(away / _LOBES) * (away.abs() < _LOBES)
    return weights / weights.sum(dim=2, keepdim=True)


def _resampled(pictures: Tensor, at: Tensor) -> Tensor:
    """``[n, 3, rows, length]`` at points ``[n | 1, points]`` of its last axis."""
    length = pictures.shape[3]
    own = centres(length, device=at.device) * 2 - 1
    if at.shape[1] == length and bool(((at - own).abs() * (length / 2) < _SAME_GRID).all()):
        return pictures
    matrix = resampling(at, length).transpose(1, 2)
    return torch.matmul(pictures, matrix[0] if len(matrix) == 1 else matrix[:, None]).clamp_(0, 1)
