"""What the shell proposes for the values of options: `rinr --install-completion` makes it do so."""

import inspect
from collections.abc import Callable, Sequence

from typer.models import OptionInfo

from rinr.presets import PRESETS

PLACES = ("auto", "cpu", "cuda")


def complete_values(callback: Callable[..., object]) -> None:
    """Give a command's options that take one of a few words a proposal of them, by the option's name.

    Args:
        callback: the command's function, whose parameters are annotated with Typer's options.
    """
    for name, parameter in inspect.signature(callback).parameters.items():
        values = _values(name, parameter.default)
        for info in getattr(parameter.annotation, "__metadata__", ()):
            if values and isinstance(info, OptionInfo) and info.autocompletion is None:
                info.autocompletion = _proposing(values)


def _values(name: str, default: object) -> Sequence[str]:
    if name == "preset":
        return [preset.name for preset in PRESETS]
    if name in ("device", "accelerator") and default == "auto":  # elsewhere it is the name of a fleet's device
        return PLACES
    if name == "codec":
        return ("webp", "avif")
    if name == "labels" and default == "coco":
        return ("coco", "yolo", "voc")
    return ("all", "none") if name == "devices" and default is None else ()


def _proposing(values: Sequence[str]) -> Callable[[str], list[str]]:
    def propose(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return propose
