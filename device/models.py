"""The models in a device's home: the one in use, a candidate that did not replace it, and what was set aside.

::

    model.safetensors        in use: what the device detects with, and starts the next training from
    candidate.safetensors    the last one that was trained and found to be worse; gone once a better one is in use
    set-aside.safetensors    a file that stood in the place of the model in use and could not be used
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from device.home import write_durably
from rinr.training.safetensors_file import MAX_BYTES

MODEL, CANDIDATE, SET_ASIDE = "model.safetensors", "candidate.safetensors", "set-aside.safetensors"


@dataclass(frozen=True)
class ModelInUse:
    """What stands in the place of the model in use.

    Attributes:
        data: the file; ``None`` where there is none, or it cannot be used.
        fault: why it cannot be used, as the rest of a sentence; ``None`` where it can, or there is none.
    """

    data: bytes | None
    fault: str | None = None


def model_in_use(home: Path, check: Callable[[bytes], object]) -> ModelInUse:
    """The model in use, as far as its file can be used.

    Args:
        check: raises ``ValueError`` for a file that cannot.

    Raises:
        OSError: it is there and cannot be read.
    """
    try:
        with (home / MODEL).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return ModelInUse(None)
    try:
        check(data)
    except ValueError as error:
        return ModelInUse(None, str(error))
    return ModelInUse(data)


def put(home: Path, model: bytes, check: Callable[[bytes], object], *, promoted: bool) -> None:
    """Put a model in use, or beside the one that is. A file in its place that cannot be used is set aside.

    Args:
        check: raises ``ValueError`` for a model that cannot be used.

    Raises:
        OSError: it cannot be written; what stood there before still stands.
    """
    if not promoted:
        write_durably(home / CANDIDATE, model)
        return
    if model_in_use(home, check).fault:
        (home / MODEL).replace(home / SET_ASIDE)
    write_durably(home / MODEL, model)
    (home / CANDIDATE).unlink(missing_ok=True)
