"""A small detector without anchors: the centre of each object as a peak of a heatmap, its box beside it.

There is one class, ``object``: the devices of a fleet name what they label each in their own words, and a
detector for all of them can only learn what the boxes have in common. The names still travel with the frames.

The network reads ``[batch, 3, height, width]`` in 0..1 and answers on a grid of one cell for 8x8 pixels::

    image -> stem, 1/8 -> body, 1/8 --------------------> sum -> head: heat (1), centre (2), log size (2)
                              \\-> 1/16 -> 1/32 -> enlarged -/

Most layers are on the coarse grid, where they are cheap: an object as large as the picture has to be seen as
a whole. GroupNorm is used as it does not depend on the batch, which is small on a device.

After "Objects as Points" (Zhou et al., 2019); the box is learned by every cell near the centre, weighted by
the heatmap's target, as in "Training-Time-Friendly Network" (Liu et al., 2020), which needs far fewer epochs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDE = 8
"""Pixels to one cell of the output grid, each way; a picture's sides must be multiples of it."""

OBJECT = 1
"""The label of the one class; 0 is the background in torchvision's detection convention."""

ARCHITECTURE = "rinr-detector-1"
"""Names the network's layers and their sizes in model files: whatever changes them changes the name."""

_CENTRE_SHARE = 0.22
_MAX_LOG_SIZE = 6.0
_BOX_WEIGHT = 2.0
_RARE = 0.02
_LOG_SIZE = 2.3  # sides of about 80 pixels


@dataclass(frozen=True)
class Detections:
    """What was found in one picture, best first.

    Attributes:
        boxes: float32 ``[found, 4]``, ``x0, y0, x1, y1`` in pixels of the picture given in, inside it.
        scores: float32 ``[found]``, 0 to 1.
    """

    boxes: Tensor
    scores: Tensor


class Detector(nn.Module):
    """The network: pictures to ``[batch, 5, height / 8, width / 8]``: heat, centre x, y, log width and height.

    Args:
        width: channels at 1/8, a multiple of 16; twice as many beyond. 32 makes about 240,000 weights.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            _step(3, width // 2, 2), _step(width // 2, width // 2, 2), _step(width // 2, width, 2)
        )
        self.body = _Block(width)
        self.down16 = nn.Sequential(_step(width, 2 * width, 2), _Block(2 * width))
        self.down32 = nn.Sequential(_step(2 * width, 2 * width, 2), *(_Block(2 * width) for _ in range(3)))
        self.up32 = nn.Conv2d(2 * width, 2 * width, 1)
        self.up16 = nn.Conv2d(2 * width, width, 1)
        self.head = nn.Sequential(_step(width, width, 1), nn.Conv2d(width, 5, 1))
        last = self.head[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        # Smaller weights would hold back the gradient of everything before, and there are few epochs to make up.
        nn.init.normal_(last.weight, std=0.2)
        # Nearly no cell is a centre: starting from that spares the first steps, which would only learn it.
        last.bias.data = torch.tensor([math.log(_RARE / (1 - _RARE)), 0, 0, _LOG_SIZE, _LOG_SIZE])

    def forward(self, images: Tensor) -> Tensor:
        """Float32 ``[batch, 3, height, width]`` in 0..1, sides multiples of ``STRIDE``, to the raw output."""
        height, width = images.shape[-2:]
        if height % STRIDE or width % STRIDE:
            raise ValueError(f"pictures of {width}x{height} px: both sides must be multiples of {STRIDE}")
        fine = self.body(self.stem((images - 0.5) * 4))
        middle = self.down16(fine)
        coarse = self.down32(middle)
        middle = middle + _enlarge(self.up32(coarse), like=middle)
        return self.head(fine + _enlarge(self.up16(middle), like=fine))


def new_detector(seed: int, device: str = "cpu") -> Detector:
    """An untrained detector whose weights follow from the seed alone; the caller's random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Detector().to(device)


def detection_loss(raw: Tensor, boxes: Sequence[Tensor]) -> Tensor:
    """Loss of a batch: focal loss of the heatmap, and how far boxes around the centres are off.

    Boxes are compared as areas (1 - GIoU) and number by number, which still shows the way where GIoU is flat.

    Args:
        raw: the detector's output, ``[batch, 5, rows, columns]``.
        boxes: for each picture ``[objects, 4]``, ``x0, y0, x1, y1`` in pixels; there may be none.
    """
    centres = _cell_centres(raw)
    heat_targets, box_targets, weights = [], [], []
    for of_image in boxes:
        heat, target, weight = _targets(of_image.to(raw), centres)
        heat_targets.append(heat)
        box_targets.append(target)
        weights.append(weight)
    heat_target, box_target, weight = (torch.stack(items) for items in (heat_targets, box_targets, weights))
    objects = max(sum(len(of_image) for of_image in boxes), 1)
    heat_loss = _focal_loss(raw[:, 0], heat_target) / objects
    apart = 1 - _giou(_boxes(raw, centres), box_target) + _numbers_apart(raw, box_target, centres)
    box_loss = (apart * weight).sum() / weight.sum().clamp(min=1)
    return heat_loss + _BOX_WEIGHT * box_loss


@torch.no_grad()
def detect(detector: Detector, images: Tensor, *, limit: int = 100, threshold: float = 0.01) -> list[Detections]:
    """Find objects: the cells that are the highest of their 3x3 neighbours, best first.

    Args:
        images: float32 ``[batch, 3, height, width]`` in 0..1.
        limit: detections a picture at most.
        threshold: the lowest score that counts.
    """
    raw = detector(images)
    heat = raw[:, :1].sigmoid()
    peaks = torch.where(heat == functional.max_pool2d(heat, 3, 1, 1), heat, 0.0).flatten(1)
    height, width = images.shape[-2:]
    boxes = _boxes(raw, _cell_centres(raw)).flatten(1, 2)
    boxes = boxes.minimum(boxes.new_tensor([width, height, width, height])).clamp(min=0)
    scores, cells = peaks.topk(min(limit, peaks.shape[1]))
    found = []
    for image in range(len(images)):
        kept = scores[image] >= threshold
        found.append(Detections(boxes[image, cells[image][kept]], scores[image][kept]))
    return found


def _step(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.GroupNorm(min(outputs // 4, 8), outputs),
        nn.ReLU(inplace=True),
    )


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = _step(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


def _enlarge(x: Tensor, like: Tensor) -> Tensor:
    """Twice as many rows and columns by repetition, cut to those of ``like``."""
    batch, channels, rows, columns = x.shape
    doubled = x[:, :, :, None, :, None].expand(-1, -1, -1, 2, -1, 2).reshape(batch, channels, 2 * rows, 2 * columns)
    return doubled[:, :, : like.shape[2], : like.shape[3]]


def _cell_centres(raw: Tensor) -> Tensor:
    """``[rows, columns, 2]``: x and y of each cell's centre, in pixels."""
    rows, columns = raw.shape[-2:]
    y = (torch.arange(rows, device=raw.device) + 0.5) * STRIDE
    x = (torch.arange(columns, device=raw.device) + 0.5) * STRIDE
    return torch.stack([x.expand(rows, columns), y[:, None].expand(rows, columns)], dim=-1)


def _boxes(raw: Tensor, centres: Tensor) -> Tensor:
    """Every cell's box ``[batch, rows, columns, 4]`` in pixels, from the raw output."""
    centre = centres + STRIDE * raw[:, 1:3].permute(0, 2, 3, 1)
    half = STRIDE / 2 * raw[:, 3:5].permute(0, 2, 3, 1).clamp(max=_MAX_LOG_SIZE).exp()
    return torch.cat([centre - half, centre + half], dim=-1)


def _targets(boxes: Tensor, centres: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For one picture: heat ``[rows, columns]``, each cell's box ``[rows, columns, 4]`` and its weight.

    An object's heat is a Gaussian as wide as a share of its box, exactly 1 in the cell that holds its centre.
    Where objects overlap a cell belongs to the one that is hottest there, so that a small object in front of
    a large one keeps its cells.
    """
    rows, columns = centres.shape[:2]
    if len(boxes) == 0:
        heat = centres.new_zeros(rows, columns)
        return heat, centres.new_zeros(rows, columns, 4), heat
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    last = middle.new_tensor([columns - 1, rows - 1])
    cell = (middle / STRIDE).floor().clamp(min=0).minimum(last).long()
    sigma = ((boxes[:, 2:] - boxes[:, :2]) * _CENTRE_SHARE).clamp(min=STRIDE / 3)
    distance = (centres - centres[cell[:, 1], cell[:, 0]][:, None, None]) / sigma[:, None, None]
    heat_of = (-0.5 * distance.square().sum(-1)).exp()
    heat, owner = heat_of.max(dim=0)
    return heat, boxes[owner], torch.where(heat > 0.3, heat, 0.0)


def _focal_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Equation 1 of "Objects as Points", summed: alpha 2, beta 4."""
    heat = logits.sigmoid()
    centre = -functional.logsigmoid(logits) * (1 - heat).square()
    elsewhere = -functional.logsigmoid(-logits) * heat.square() * (1 - target) ** 4
    return torch.where(target == 1, centre, elsewhere).sum()


def _numbers_apart(raw: Tensor, boxes: Tensor, centres: Tensor) -> Tensor:
    """Mean absolute error of the raw centre and log size, ``[batch, rows, columns]``."""
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=1)
    offset = ((boxes[..., :2] + boxes[..., 2:]) / 2 - centres) / STRIDE
    target = torch.cat([offset, (sides / STRIDE).log()], dim=-1)
    error = (raw[:, 1:].permute(0, 2, 3, 1) - target).abs()
    return (error * error.new_tensor([0.2, 0.2, 1, 1])).mean(-1)


def _giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised intersection over union of boxes ``[..., 4]``, -1 to 1."""
    inner = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    outer = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - inner
    return inner / union.clamp(min=1e-6) - (outer - union) / outer.clamp(min=1e-6)
