"""What to do where an accelerator runs out of memory: fewer pictures at once."""

import torch


def fewer(at_once: int) -> int:
    """The next smaller number of pictures that divides ``at_once``, which is more than 1."""
    factor = next(factor for factor in range(2, at_once + 1) if at_once % factor == 0)
    return at_once // factor


def make_room(device: torch.device) -> None:
    """Give back what was kept for later, so that pieces that have become free can be joined."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
