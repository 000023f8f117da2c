"""Another reader of frame payloads, written from docs/format.md: what shows that the document says enough.

It shares nothing with the codec and is made to be read, not to be fast: plain NumPy and the standard library, and the
table of counts as data. Pictures are lists of formulas there and here; what is refused there is not looked for here.
"""

import csv
import hashlib
import io
import math
import zlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

COUNTS = Path(__file__).parents[1] / "rinr" / "codec" / "symbol_counts.csv"
TILES = (8, 12, 16, 20, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192)
OVERLAPS = (0.0, 0.06, 0.12, 0.2)
Size = tuple[int, int]
Picture = Callable[..., np.ndarray]  # [height, width, 3], from 0 to 1, not clamped; of cosine anywhere, in pixels
Place = tuple[bytes, int, Size, Size]  # the part's name, time, zooms, shifts
Fields = tuple[int, int, Place | None, bytes, list[tuple[int, int, int, int]], bytes, bool]


def read_picture(data: bytes, parts: Sequence[bytes] = ()) -> np.ndarray:
    """The picture of a frame payload, ``[height, width, 3]``, uint8; of a clip, with the shared parts there are."""
    assert zlib.crc32(data[:-4]) == int.from_bytes(data[-4:], "little")
    read = Bytes(data[:-4])
    width, height, place, background, boxes, objects, pasted = (read_first if data[:4] == b"RINR" else read_second)(
        read
    )
    (picture,) = read_networks(background, [(width, height)])
    frame = picture() if picture else np.zeros((height, width, 3))
    if place:
        (part,) = [part for part in parts if hashlib.sha256(part).digest()[:8] == place[0]]
        frame = frame + read_shared(part, (width, height), *place[1:])
    total, count = np.zeros_like(frame), np.zeros((height, width, 1))
    for (x, y, w, h), picture in zip(boxes, read_networks(objects, [box[2:] for box in boxes]), strict=True):
        if picture:
            total[y : y + h, x : x + w] += picture()
            count[y : y + h, x : x + w] += 1
    mean = total / np.maximum(count, 1)
    frame = np.where(count > 0, mean, frame) if pasted else frame + mean
    return np.round(frame.clip(0, 1) * 255).astype(np.uint8)


# The container


class Bytes:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        self.at += count
        assert self.at <= len(self.data)
        return self.data[self.at - count : self.at]

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.at)

    def u8(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.u8()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value


def read_place(read: Bytes) -> Place:
    part = read.take(8)
    time, moved = divmod(read.varint(), 2)
    numbers = [read.varint() if moved else 0 for _ in range(4)]
    across, down, right, lower = (n // 2 if n % 2 == 0 else -(n + 1) // 2 for n in numbers)
    return part, time, (across, down), (right, lower)


def read_shared(data: bytes, frame: Size, time: int, zoom: Size, shift: Size) -> np.ndarray:
    """What a shared part says at the centres of a frame's pixels, ``[height, width, 3]``."""
    assert zlib.crc32(data[:-4]) == int.from_bytes(data[-4:], "little")
    read = Bytes(data[:-4])
    assert read.take(3) == b"RS\x01"
    canvas = read.varint(), read.varint()
    (picture,) = read_networks(read.rest(), [canvas])
    assert picture
    x, y = (
        (whole / 2 + s / 8 + (1 + z / 8192) * (np.arange(own) + 0.5 - own / 2)).clip(0, whole)
        for own, whole, z, s in zip(frame, canvas, zoom, shift, strict=True)
    )
    return picture(x, y, time)


def read_second(read: Bytes) -> Fields:
    assert read.take(2) == b"RI"
    flags = read.u8()
    assert flags & 15 == 2
    width, height = read.varint(), read.varint()
    place = read_place(read) if flags & 64 else None
    if not flags & 16:
        return width, height, place, read.rest(), [], b"", False
    background = read.take(read.varint())
    labels = [read.take(read.varint()).decode() for _ in range(read.varint())]
    count = read.varint()
    number = int.from_bytes(read.take(read.varint()), "little")
    boxes, x = [], 0
    for _ in range(count):
        number, step = divmod(number, width - x)
        x += step
        number, y = divmod(number, height)
        number, w = divmod(number, width - x)
        number, h = divmod(number, height - y)
        number, _label = divmod(number, len(labels))
        boxes.append((x, y, w + 1, h + 1))
    assert number == 0
    return width, height, place, background, boxes, read.rest(), bool(flags & 32)


def read_first(read: Bytes) -> Fields:
    def network() -> bytes:
        data = read.take(read.varint())
        assert data[:2] == b"\xa1\x01"
        assert zlib.crc32(data[:-2]) & 0xFFFF == int.from_bytes(data[-2:], "little")
        return bytes([*varint(len(data) - 4), *data[2:-2]])

    assert read.take(5) == b"RINR\x01"
    width, height = (int.from_bytes(read.take(2), "little") for _ in range(2))
    background = b"\x81" + network()
    for _ in range(read.varint()):
        read.take(read.varint())  # a label
    boxes, objects = [], []
    for _ in range(read.varint()):
        boxes.append((read.varint(), read.varint(), read.varint(), read.varint()))
        read.varint()  # its label
        objects.append(network())
    return width, height, None, background, boxes, b"\x81" + b"".join(objects), False


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def read_networks(data: bytes, sizes: Sequence[Size]) -> list[Picture | None]:
    families: dict[int, Callable[[bytes, list[Size]], Sequence[Picture | None]]]
    families = {0: lambda body, some: [None] * len(some), 1: read_siren_1, 2: read_siren, 3: read_cosine}
    families |= {4: read_files, 5: read_files, 6: read_files, 8: read_cosine_time}
    read, left, pictures = Bytes(data), list(range(len(sizes))), [None] * len(sizes)  # type: ignore[var-annotated]
    while left:
        code = read.u8()
        if code & 128:
            mine, body = left, read.rest()
        else:
            bitmap = read.take((len(left) + 7) // 8)
            mine = [index for place, index in enumerate(left) if bitmap[place // 8] >> place % 8 & 1]
            body = read.take(read.varint())
        for index, picture in zip(mine, families[code & 127](body, [sizes[i] for i in mine]), strict=True):
            pictures[index] = picture
        left = [index for index in left if index not in mine]
    return pictures


# The range decoder


class Coder:
    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.low, self.range = data, 0, 0, 2**64 - 1
        self.point = self.word() << 32 | self.word()

    def word(self) -> int:
        self.at += 4
        return int.from_bytes(self.data[self.at - 4 : self.at].ljust(4, b"\0"), "little")

    def take(self, starts: Sequence[int]) -> int:
        """A symbol, given where each symbol's part of 2 ** 24 starts; the last entry is 2 ** 24."""
        scale = self.range >> 24
        quantile = (self.point - self.low) % 2**64 // scale
        assert quantile < 2**24
        symbol = bisect_right(starts, quantile) - 1
        self.low = (self.low + scale * starts[symbol]) % 2**64
        self.range = scale * (starts[symbol + 1] - starts[symbol])
        if self.range < 2**32:
            self.low, self.range = (self.low << 32) % 2**64, self.range << 32
            self.point = (self.point << 32) % 2**64 | self.word()
        return symbol

    def flat(self, bits: int) -> int:
        return self.take(range(0, 2**24 + 1, 2 ** (24 - bits))) if bits else 0


def starts_of(counts: Sequence[int]) -> list[int]:
    before = np.cumsum([0, *counts[:-1]]).tolist()
    total = sum(counts)
    return [b * (2**24 - len(counts)) // total + index for index, b in enumerate(before)] + [2**24]


# The family cosine


def read_cosine(body: bytes, sizes: list[Size]) -> list[Picture]:
    read = Bytes(body)
    step, geometry, waves, density = (read.u8() for _ in range(4))
    tile, overlap = TILES[geometry & 15], OVERLAPS[geometry >> 4 & 3]
    waves, slope, density, chroma = 2 * (waves & 31) + 1, waves >> 5, density & 31, density >> 5
    turns = read.take(3) if geometry & 128 else (128, 128, 128)
    offsets = [read.take(3) if geometry & 64 else (0, 0, 0) for _ in sizes]
    coder = Coder(read.rest())
    tilings = [[max(1, (2 * side + tile) // (2 * tile)) for side in (h, w)] for w, h in sizes]
    shapes = [
        [max(min(side // count, waves, 32), 1) for side, count in zip((h, w), tiling, strict=True)]
        for (w, h), tiling in zip(sizes, tilings, strict=True)
    ]
    rates = density, chroma, slope, tile
    whole = [((1, h), (1, w)) for w, h in sizes]
    coarse = read_weights(coder, tilings, [1] * len(sizes), whole, (0, 10**9), rates)
    tiled = [((down, h), (across, w)) for (w, h), (down, across) in zip(sizes, tilings, strict=True)]
    fine = read_weights(coder, shapes, [down * across for down, across in tilings], tiled, (1, waves), rates)
    axes = colour_axes(turns) * 2 ** (step / 16) / 255
    return [
        lambda x=None, y=None, time=0, n=n: draw_cosine(  # type: ignore[misc]
            sizes[n], tilings[n], coarse[n], fine[n], overlap, axes, offsets[n], x, y
        )
        for n in range(len(sizes))
    ]


def read_cosine_time(body: bytes, sizes: list[Size]) -> list[Picture]:
    read = Bytes(body)
    frames, count, offset = read.u8(), read.u8(), np.array(list(read.take(3))) / 255
    planes: list[Picture] = []
    for size, more in zip((1, 2, 5, 12, 44), (1, 3, 8, 20, 64), strict=True):
        if len(planes) < count:
            band = read.rest() if more >= count else read.take(read.varint())
            planes += read_cosine(band, sizes * min(size, count - len(planes)))

    def draw(x: Any = None, y: Any = None, time: int = 0) -> np.ndarray:
        total = offset
        for k, plane in enumerate(planes):
            scale = math.sqrt((2 if k else 1) / frames)
            total = total + scale * math.cos(math.pi * k * (min(time, frames - 1) + 0.5) / frames) * plane(x, y)
        return total

    return [draw]


def read_weights(
    coder: Coder, shapes: list[list[int]], tiles: list[int], geometry: list[Any], waves: Size, rates: tuple[int, ...]
) -> list[np.ndarray]:
    """Arrays ``[3 * tiles, rows, columns]``, one a network."""
    density, chroma, slope, tile = rates
    rows, columns = max(s[0] for s in shapes), max(s[1] for s in shapes)
    where = [(n, channel, t) for n, count in enumerate(tiles) for channel in range(3) for t in range(count)]
    values = np.zeros((len(where), rows + 2, columns + 2), dtype=int)  # two rows and columns of zeros before
    priors: dict[tuple[int, int, int, bool], int] = {}
    sums = np.zeros(len(where), dtype=int)
    for wave in range(rows + columns - 1):
        levels, places = [], []
        inside = [u for u in range(rows) if 0 <= wave - u < columns]
        for p, (n, channel, _) in enumerate(where):
            for u in inside:
                v = wave - u
                if not (u < shapes[n][0] and v < shapes[n][1] and waves[0] <= wave < waves[1]):
                    continue
                key = n, u, v, channel > 0
                if key not in priors:
                    above = octave_quarters(u, v, geometry[n], tile)
                    fall = above * (4 + 2 * slope if above > 0 else 8)
                    sixteenths = 8 * density - 144 - 12 * chroma * (channel > 0) - fall
                    priors[key] = min(power(min(max(sixteenths, -384), 383), 4096), 2**40)
                known = np.minimum(np.abs(values[p, u : u + 3, v : v + 3]), 31)
                near = 6 * (known[1, 2] + known[2, 1]) + 3 * known[1, 1] + 4 * (known[0, 2] + known[2, 0])
                levels.append(bisect_right(THRESHOLDS, priors[key] + 64 * int(near + sums[p])))
                places.append((p, u + 2, v + 2))
        for level in sorted(set(levels)):
            run = [place for place, other in zip(places, levels, strict=True) if other == level]
            for place, value in zip(run, read_run(coder, level, len(run)), strict=True):
                values[place] = value
        weight = math.isqrt(1024**2 // len(inside))
        for p in range(len(where)):
            wave_sum = sum(min(abs(int(values[p, u + 2, wave - u + 2])), 31) for u in inside)
            sums[p] = wave_sum * weight >> 8
    ends = np.cumsum([3 * count for count in tiles])
    return [values[e - 3 * c : e, 2 : 2 + s[0], 2 : 2 + s[1]] for e, c, s in zip(ends, tiles, shapes, strict=True)]


def read_run(coder: Coder, level: int, count: int) -> list[int]:
    """Values of one level and wave: symbols first, then what is over in those that escape."""
    values = [coder.take(LEVELS[level]) - 32 for _ in range(count)]
    for index, value in enumerate(values):
        if abs(value) == 32:
            bits = coder.flat(4)
            values[index] = (31 + (1 << bits) + coder.flat(bits)) * (1 if value > 0 else -1)
    return values


def power(sixteenths: int, one: int) -> int:
    octaves, part = divmod(sixteenths, 16)
    root = 2 ** (part + 640)
    for _ in range(4):
        root = math.isqrt(root)
    return one * root >> 40 - octaves if octaves <= 40 else one * root << octaves - 40


def octave_quarters(u: int, v: int, geometry: tuple[Size, Size], tile: int) -> int:
    square = sum((max(2 * k, 1) * n * tile * 128 // side) ** 2 for k, (n, side) in zip((u, v), geometry, strict=True))
    return bisect_right(OCTAVES, square) - 65


OCTAVES = [power(8 * quarter, 65536) for quarter in range(-64, 32)]
THRESHOLDS = [power(4 * level - 160, 4096) for level in range(1, 64)]
ROWS = [[int(cell) for cell in row] for row in csv.reader(io.StringIO(COUNTS.read_text()))]
LEVELS = [starts_of([*row[:0:-1], 2 * row[0], *row[1:]]) for row in ROWS]


def colour_axes(turns: Sequence[int]) -> np.ndarray:
    axes = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
    for turn, (i, j) in zip(turns, ((0, 1), (0, 2), (1, 2)), strict=True):
        c, s = math.cos((turn - 128) * math.pi / 256), math.sin((turn - 128) * math.pi / 256)
        axes[[i, j]] = axes[i] * c + axes[j] * s, axes[j] * c - axes[i] * s
    return axes


def draw_cosine(
    size: Size,
    tiling: Any,
    coarse: Any,
    fine: Any,
    overlap: float,
    axes: Any,
    offset: Any,
    x: Any = None,
    y: Any = None,
) -> np.ndarray:
    """At columns ``x`` and rows ``y``, in pixels; without them at the centres of all pixels."""
    (width, height), (down, across) = size, tiling
    fine = fine.reshape(3, down, across, *fine.shape[1:]).astype(float)
    fine[..., 0, 0] = cosines(down, 1, down, 0).T @ coarse @ cosines(across, 1, across, 0)
    rows, columns = fine.shape[3:]
    left, right = cosines(height, down, rows, overlap, y), cosines(width, across, columns, overlap, x)
    planes = left.T @ fine.transpose(0, 1, 3, 2, 4).reshape(3, down * rows, across * columns) @ right
    return np.einsum("chw,cd->hwd", planes, axes) + np.array(list(offset)) / 255


def cosines(length: int, count: int, waves: int, overlap: float, at: Any = None) -> np.ndarray:
    """``[count * waves, points]``: features at pixel centres, or at points in pixels."""
    at = np.arange(length) + 0.5 if at is None else at
    edges = [(2 * i * length + count) // (2 * count) for i in range(count + 1)]

    def fade(i: int) -> np.ndarray:
        """How far tile i and those after it have faded in."""
        if i == 0 or i == count:
            return np.full(len(at), float(i == 0))
        if not overlap:
            return (at >= edges[i]).astype(float)
        return 0.5 + 0.5 * np.sin(math.pi / 2 * ((at - edges[i]) * count / (overlap * length)).clip(-1, 1))

    features = []
    for i in range(count):
        width = edges[i + 1] - edges[i]
        window = math.sqrt(2 / width) * (fade(i) - fade(i + 1))
        for k in range(waves):
            features.append(window * (np.cos(math.pi * k * (at - edges[i]) / width) if k else math.sqrt(0.5)))
    return np.array(features)


# The families siren and siren-1


def geometric(code: int, top: int) -> list[int]:
    """Counts of magnitudes from 0 to ``top``."""
    kind, index = divmod(code, 64)
    ratio = 2**30 - ((2**30, 902905651, 759250125, 638450708)[index % 4] >> index // 4)
    side, factor = [2**20], ratio
    for _ in range(top):
        side.append(max(side[-1] * factor >> 30, 1))
        factor = factor * (ratio * ratio >> 30) >> 30 if kind else factor
    return [1] * (top + 1) if code == 128 else side


def draw_siren(size: Size, layers: list[np.ndarray]) -> np.ndarray:
    """Layers ``[outputs, inputs + 1]``, the bias last."""
    if not layers:
        return np.zeros((size[1], size[0], 3))
    x, y = ((np.arange(side) + 0.5) * 2 / side - 1 for side in size)
    values = np.stack(np.broadcast_arrays(x, y[:, None]), axis=-1)
    for index, layer in enumerate(layers):
        values = values @ layer[:, :-1].T + layer[:, -1]
        values = np.sin(values) if index + 1 < len(layers) else values
    return values


def read_siren_1(body: bytes, sizes: list[Size]) -> list[Picture]:
    outer, pictures = Bytes(body), []
    for size in sizes:
        read = Bytes(outer.take(outer.varint()))
        width, count, bits = read.u8(), read.u8(), read.u8()
        names = [(read.u8(), read.u8()) for _ in range(count)]
        coder, sides, layers = Coder(read.rest()), [2, *[width] * (count - 1), 3], []
        top = 2 ** (bits - 1) - 1 if bits <= 8 else 128
        for (step, model), inputs, outputs in zip(names, sides, sides[1:], strict=False):
            side = geometric(model, top)
            starts = starts_of([*side[:0:-1], *side])
            shift = max(bits - 8, 0)
            high = [coder.take(starts) - top for _ in range((inputs + 1) * outputs)]
            low = [coder.flat(shift) for _ in high]
            whole = np.array([(h << shift) + part for h, part in zip(high, low, strict=True)])
            layers.append(whole.reshape(inputs + 1, outputs).T * 2.0 ** ((step - 200) / 8))
        pictures.append(lambda size=size, layers=layers: draw_siren(size, layers))  # type: ignore[misc]
    return pictures


RATIOS = [2**30 - ((2**30, 902905651, 759250125, 638450708)[code % 4] >> code // 4) for code in range(1, 45)]
SIGNED_MEANS = [512 * r * 2**30 // (2**60 - r * r) for r in RATIOS]
UNSIGNED_MEANS = [256 * r // (2**30 - r) for r in RATIOS]


def model_of(mean: int, means: list[int]) -> int:
    return bisect_right([(a + b) // 2 for a, b in pairwise(means)], mean) + 1


class SirenCoder(Coder):
    tables: dict[tuple[bool, int], list[int]] = {}  # noqa: RUF012

    def geometric(self, mean: int, signed: bool) -> int:
        key = signed, model_of(mean, SIGNED_MEANS if signed else UNSIGNED_MEANS)
        if key not in self.tables:
            side = geometric(key[1], 2048)
            self.tables[key] = starts_of([*side[:0:-1], *side] if signed else side)
        return self.take(self.tables[key]) - 2048 * signed

    def split(self, high: list[int], shift: int) -> list[int]:
        """The low bits of integers of which the high ones are known."""
        return [(value << shift) + self.flat(shift) for value in high]


def read_siren(body: bytes, sizes: list[Size]) -> list[Picture]:
    bits, coder = body[0], SirenCoder(body[1:])
    shift = max(bits - 12, 0)
    before: tuple[Any, list[int]] | None = None
    pictures = []
    for size in sizes:
        if before and coder.flat(1):
            shape = before[0]
        else:
            width = coder.flat(8)
            shape = (width, coder.flat(5) + 1) if width else (0, 0)
        width, count = shape
        steps: list[int] = []
        for index in range(count):
            if before and before[0] == shape:
                expected = before[1][index]
            else:
                expected = 164 if index == 0 else 148 if index + 1 == count else steps[-1]
            steps.append(coder.flat(8) if bits > 12 else expected + 2 * coder.geometric(1024, True))
        sides, layers = [2, *[width] * (count - 1), 3], []
        for index in range(count):
            inputs, outputs = sides[index : index + 2]
            weights, total, seen = [], 0, 0
            for _ in range(outputs):
                mean = (4096 + 256 * total) // (4 + seen)
                high = [coder.geometric(mean, True) for _ in range(inputs)]
                weights.append(coder.split(high, shift))
                total, seen = total + sum(map(abs, high)), seen + inputs
            biases, total = [0], 0
            if index + 1 < count:
                for place in range(outputs):
                    high = [coder.geometric((1536 + 256 * total) // (2 + place), False)]
                    biases.append(biases[-1] + coder.split(high, shift)[0])
                    total += high[0]
            else:
                high = [coder.geometric(4096, True) for _ in range(3)]
                biases += coder.split(high, max(bits, 14) - 12)
            layer = np.concatenate([np.array(weights), np.array(biases[1:])[:, None]], axis=1)
            layers.append(layer * 2.0 ** ((steps[index] - 200) / 8))
        before = shape, steps
        pictures.append(lambda size=size, layers=layers: draw_siren(size, layers))  # type: ignore[misc]
    return pictures


# The codec families


def read_files(body: bytes, sizes: list[Size]) -> list[Picture]:
    read = Bytes(body)
    files = [read.take(read.varint()) for _ in sizes[1:]] + [read.rest()]
    # Files of their regions' own size alone: resampling smaller ones is Pillow's LANCZOS.
    return [lambda file=file: np.asarray(Image.open(io.BytesIO(file))) / 255 for file in files]  # type: ignore[misc]
