"""The reference: a SIREN as anyone would write it in plain PyTorch. Never tuned, and nothing of our engine in it.

    python -m benchmarks.reference_siren PICTURE [--steps 500]

Prints the PSNR and the seconds a step of the paper's 28x10 network, fitted to all pixels of a picture of 640x360.
"""

import argparse
import math
import time

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn


class Sine(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(30 * x)


def reference_network(width: int = 28, layers: int = 10) -> nn.Sequential:
    torch.manual_seed(0)
    sizes = [2, *[width] * (layers - 1), 3]
    modules: list[nn.Module] = []
    for index in range(layers):
        linear = nn.Linear(sizes[index], sizes[index + 1])
        bound = 1 / 2 if index == 0 else math.sqrt(6 / sizes[index]) / 30
        nn.init.uniform_(linear.weight, -bound, bound)
        modules += [linear, Sine()]
    return nn.Sequential(*modules[:-1])


def fit_reference(pixels: np.ndarray, steps: int) -> tuple[float, float]:
    """PSNR in dB after so many steps of Adam on all pixels ``[height, width, 3]``, and the seconds that a step took."""
    height, width, _ = pixels.shape
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    coordinates = torch.stack([x, y], dim=-1).reshape(-1, 2)
    target = torch.tensor(pixels, dtype=torch.float32).reshape(-1, 3) / 255
    network = reference_network()
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-4)
    started = time.perf_counter()
    for _ in range(steps):
        optimizer.zero_grad()
        loss = ((network(coordinates) - target) ** 2).mean()
        loss.backward()
        optimizer.step()
    seconds = (time.perf_counter() - started) / steps
    with torch.no_grad():
        mse = float(((network(coordinates).clamp(0, 1) - target) ** 2).mean())
    return -10 * math.log10(mse), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture")
    parser.add_argument("--steps", type=int, default=500)
    options = parser.parse_args()
    torch.set_num_threads(1)
    picture = Image.open(options.picture).convert("RGB").resize((640, 360))
    psnr, seconds = fit_reference(np.asarray(picture), options.steps)
    print(f"28x10, {options.steps} steps: {psnr:.2f} dB, {seconds:.3f} s a step, 6,667 bytes of weights at 8 bits")


if __name__ == "__main__":
    main()
