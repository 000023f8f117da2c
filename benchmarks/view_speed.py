"""What it costs that each picture of a batch shows its frame in a view of its own, as augmentation asks for.

    python -m benchmarks.view_speed [FOLDER ...] [--frames 24] [--preset balanced --preset fast]

Views mirror half of the pictures, scale by 1 / 1.3 to 1.3 and move by up to a fifth of the frame; turned ones turn by
three degrees as well. Ours are evaluated where their pixels lie, straight from the weights. The control decodes whole
frames on one grid and resamples them with ``grid_sample``, whose pictures are less sharp. Claim: a view each takes
little longer than one grid for all, and less than the control.
"""

import argparse
import math
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import torch
from torch.nn import functional

from benchmarks.decode_speed import medians
from benchmarks.frames import find_folders, read
from rinr.decoder import LoadedFrames, load
from rinr.encoder import encode
from rinr.presets import find_preset

_ROUNDS = 5
_TURN = math.radians(3)
_SIZE = (640, 360)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="default: every folder below RINR_DATA, or the sample")
    parser.add_argument("--frames", type=int, default=24, help="in a batch (default 24)")
    parser.add_argument("--encoded", type=int, default=6, help="different ones among them (default 6)")
    parser.add_argument("--preset", action="append", help="default: balanced and fast")
    options = parser.parse_args()
    torch.set_num_threads(1)
    frames = [frame for folder in find_folders(options.folders) for frame, _ in read(folder, 1)][: options.encoded]
    batch = torch.zeros(options.frames, 3, _SIZE[1], _SIZE[0])
    print("| CPU ms a frame | one grid | a view each | turned | control |\n|---|---|---|---|---|")
    for name in options.preset or ("balanced", "fast"):
        encoded = [image.frame for image in encode(frames, find_preset(name))]
        works = _works(load(list(islice(cycle(encoded), options.frames))), options.frames, batch)
        times = [1000 * cpu for _, cpu in medians([(work, options.frames) for work in works], _ROUNDS)]
        print(f"| `{name}` | {' | '.join(f'{each:.2f} ({each / times[0]:.2f})' for each in times)} |")
    print("\nIn brackets against one grid. Medians over rounds in turn.")


def _works(loaded: LoadedFrames, count: int, batch: torch.Tensor) -> list[Callable[[], object]]:
    """The same batch whole, in views that augmentation would draw, in turned ones, and resampled."""
    chance = torch.Generator().manual_seed(0)
    scale = (torch.rand(count, 2, generator=chance) * 2 - 1).mul(math.log(1.3)).exp()
    scale[:, 0] *= torch.where(torch.rand(count, generator=chance) < 0.5, -1.0, 1.0)
    middle = 0.5 + (torch.rand(count, 2, generator=chance) - 0.5) * 0.4
    views = torch.cat([torch.diag_embed(scale), (middle - scale / 2)[:, :, None]], dim=2)
    turn = torch.tensor([[math.cos(_TURN), -math.sin(_TURN)], [math.sin(_TURN), math.cos(_TURN)]])
    turn *= torch.tensor([[1, _SIZE[1] / _SIZE[0]], [_SIZE[0] / _SIZE[1], 1]])
    slanted = views[:, :, :2] @ turn
    turned = torch.cat([slanted, middle[:, :, None] - slanted.sum(dim=2, keepdim=True) / 2], dim=2)
    # For grid_sample, whose coordinates are -1 to 1.
    grids = torch.cat([views[:, :, :2], (2 * middle - 1)[:, :, None]], dim=2)

    def resampled() -> torch.Tensor:
        loaded.render(range(count), *_SIZE, out=batch)
        grid = functional.affine_grid(grids, list(batch.shape), align_corners=False)
        return functional.grid_sample(batch, grid, align_corners=False)

    return [
        partial(loaded.render, range(count), *_SIZE, out=batch),
        partial(loaded.look, range(count), views, *_SIZE, out=batch),
        partial(loaded.look, range(count), turned, *_SIZE, out=batch),
        resampled,
    ]


if __name__ == "__main__":
    main()
