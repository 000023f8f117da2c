"""Pictures evaluated point by point in NumPy, in double precision, from networks' integers: slow, and sharing nothing
with what renders them but how a payload is read."""

import math

import numpy as np

from rinr.networks.payload import read_networks
from tests.independent_reader import colour_axes


def look(frame, view, width, height, fill):
    """``[3, height, width]``: what a view shows of a frame, as ``LoadedFrames.look`` promises it."""
    u, v = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    x, y = (row[0] * u + row[1] * v + row[2] for row in np.asarray(view, dtype=np.float64))
    (background,) = read_networks(frame.background, [(frame.width, frame.height)])
    picture = values(background, x, y)
    total, count = np.zeros_like(picture), np.zeros(x.shape)
    objects = read_networks(frame.objects, [(box.width, box.height) for box in frame.boxes])
    for box, network in zip(frame.boxes, objects, strict=True):
        across, down = (x * frame.width - box.x) / box.width, (y * frame.height - box.y) / box.height
        covers = (across >= 0) & (across < 1) & (down >= 0) & (down < 1)
        if network:
            total[covers] += values(network, across[covers], down[covers])
            count += covers
    mean = total / count.clip(1)[..., None]
    picture = np.where((count > 0)[..., None] & frame.pasted, mean, picture + (0 if frame.pasted else mean))
    inside = (x >= 0) & (x < 1) & (y >= 0) & (y < 1)
    return np.where(inside[..., None], picture.clip(0, 1), fill).transpose(2, 0, 1)


def values(member, x, y):
    """``[..., 3]`` of a network at points of its region, 0 to 1 along its sides."""
    return {"siren": siren, "siren-1": siren, "cosine": cosine}[member.family.name](member.network, x, y)


def siren(network, x, y):
    found, position = np.stack([x, y], axis=-1) * 2 - 1, 0
    for index, (inputs, outputs) in enumerate(network.shape.sizes):
        layer = network.weights[position : position + (inputs + 1) * outputs].reshape(outputs, inputs + 1)
        layer = layer * 2.0 ** ((network.steps[index] - 200) / 8)
        found = found @ layer[:, :-1].T + layer[:, -1]
        found = np.sin(found) if index + 1 < network.shape.layers else found
        position += layer.size
    return found


def cosine(network, x, y):
    (width, height), overlap = network.size, (0.0, 0.06, 0.12, 0.2)[network.layout.overlap]
    _, down, across, rows, columns = network.fine.shape
    fine = network.fine.astype(float)
    steps = [waves(np.arange(count) + 0.5, count, 1, count, 0) for count in (down, across)]
    fine[..., 0, 0] = steps[0].T @ network.coarse @ steps[1]
    left, right = waves(y * height, height, down, rows, overlap), waves(x * width, width, across, columns, overlap)
    weights = fine.transpose(0, 1, 3, 2, 4).reshape(3, down * rows, across * columns)
    planes = np.einsum("i...,cik,k...->...c", left, weights, right, optimize=True)
    axes = colour_axes(network.layout.axes or (128, 128, 128)) * 2 ** (network.layout.step / 16) / 255
    return planes @ axes + np.array(network.offset) / 255


def waves(at, length, count, each, overlap):
    """``[count * each, ...]``: features at points of a side, in pixels; docs/format.md."""
    edges = [(2 * i * length + count) // (2 * count) for i in range(count + 1)]

    def fade(i):
        if i in (0, count):
            return np.full(at.shape, float(i == 0))
        if not overlap:
            return (at >= edges[i]).astype(float)
        return 0.5 + 0.5 * np.sin(math.pi / 2 * ((at - edges[i]) * count / (overlap * length)).clip(-1, 1))

    return np.array(
        [
            math.sqrt(2 / (edges[i + 1] - edges[i]))
            * (fade(i) - fade(i + 1))
            * (np.cos(math.pi * k * (at - edges[i]) / (edges[i + 1] - edges[i])) if k else math.sqrt(0.5))
            for i in range(count)
            for k in range(each)
        ]
    )
