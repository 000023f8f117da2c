"""Where to compute: one way to say it, and one error where it cannot be had."""

import torch


def torch_device(name: str) -> str:
    """The torch device for ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ...; ``auto`` is a CUDA device where there is one.

    Raises:
        ValueError: there is no such device here.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"the torch device {name!r} cannot be used here: {reason}; say auto or cpu") from None
    return name
