"""The trainer of a device: the reference one, or what its fleet file names, called with every answer checked.

``trainer = "module:function"``, or the name of an entry point of the group ``rinr.trainers``; the contract is
:mod:`device.exercise`. It is code that runs with the device's rights. Only the device's own fleet file names it;
nothing that comes over the network can.
"""

import hashlib
import importlib
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from device.errors import DeviceJobError
from device.exercise import Examined, Exercise, Learned
from device.reference_trainer import train_reference
from device.report import MAX_EPOCHS, MAX_EXAMINED
from rinr.training.detector import ARCHITECTURE
from rinr.training.evaluate import Precision
from rinr.training.model import ENTRY, check_architecture, read_model
from rinr.training.safetensors_file import WeightsFileError, read_weights, write_weights
from rinr.training.train import TrainingError

GROUP = "rinr.trainers"
"""The group of entry points under which packages offer trainers."""

REFERENCE = "reference"
"""What a report calls the reference trainer."""

_TOLD = 200  # characters of what a trainer says
_CONTRACT = "it takes one device.exercise.Exercise and returns one device.exercise.Learned"


@dataclass(frozen=True)
class Trainer:
    """A trainer that was found.

    Attributes:
        name: ``reference``, or as the fleet file has it.
        architecture: named in its models' files: a model of another one is not started from.
        source: SHA-256 of the file that its function stands in; empty where that is not known.
        function: the trainer.
    """

    name: str
    architecture: str
    source: str
    function: Callable[[Exercise], Learned]

    def check(self, model: bytes) -> None:
        """See that a model's file is one that this trainer can start from, as far as can be told before it does.

        Raises:
            ValueError: it is damaged, or of another architecture.
        """
        if self.name == REFERENCE:
            read_model(model)
            return
        _, architecture = read_weights(model, ENTRY)
        check_architecture(architecture, self.architecture)

    def train(self, exercise: Exercise) -> Learned:
        """What it learned, checked; the weights name their architecture.

        Raises:
            TrainingError: it failed, or gave back what is no model.
        """
        try:
            learned = self.function(exercise)
        except TrainingError:
            raise
        except Exception as error:  # a user's code raises what it likes
            if self.name == REFERENCE:
                raise
            told = str(error).splitlines()[0][:_TOLD] if str(error) else "no message"
            raise TrainingError(f"the trainer {self.name} raised {type(error).__name__}: {told}") from error
        fault = _fault(learned)
        if fault:
            raise TrainingError(f"the trainer {self.name} gave back {fault}; {_CONTRACT}")
        try:
            tensors, _ = read_weights(learned.weights, ENTRY)
        except WeightsFileError as error:
            raise TrainingError(f"the trainer {self.name} gave back weights that are not taken: {error}") from None
        if not tensors:
            raise TrainingError(f"the trainer {self.name} gave back a model without a single weight")
        return replace(learned, weights=write_weights(tensors, ENTRY, self.architecture))


def find_trainer(name: str | None) -> Trainer:
    """The trainer that a device's fleet file names; the reference one where it names none.

    Raises:
        DeviceJobError: there is none of this name, or it is no function of one argument.
    """
    if name is None:
        return Trainer(REFERENCE, ARCHITECTURE, "", train_reference)
    function = _imported(name) if ":" in name else _offered(name)
    if not callable(function):
        raise DeviceJobError(f"the trainer {name} is no function but {type(function).__name__}; {_CONTRACT}")
    try:
        inspect.signature(function).bind(None)
    except (TypeError, ValueError):
        raise DeviceJobError(f"the trainer {name} cannot be called with one argument; {_CONTRACT}") from None
    return Trainer(name, f"trainer {name}", _source(function), function)


def _imported(name: str) -> Any:
    module, _, function = name.partition(":")
    try:
        found = importlib.import_module(module)
    except Exception as error:  # whatever its first lines do
        raise DeviceJobError(
            f"the trainer {name} cannot be imported: {type(error).__name__}: {str(error)[:_TOLD]}; install it where "
            "this program is installed, and check `trainer` of the device in the fleet file"
        ) from error
    try:
        return getattr(found, function)
    except AttributeError:
        raise DeviceJobError(
            f"the module {module} has no {function!r}; check `trainer` of the device in the fleet file"
        ) from None


def _offered(name: str) -> Any:
    offered = entry_points(group=GROUP)
    for one in offered:
        if one.name == name:
            return _imported(one.value)
    names = ", ".join(sorted(offered.names)[:20]) or "none"
    raise DeviceJobError(
        f"no installed package offers a trainer {name!r} (entry points {GROUP!r}; there are: {names}); check `trainer` "
        'of the device in the fleet file: "module:function", or the name of an entry point'
    )


def _source(function: Callable[..., Any]) -> str:
    try:
        file = inspect.getsourcefile(inspect.unwrap(function))
        return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""
    except (OSError, TypeError, ValueError):
        return ""


def _fault(learned: Any) -> str | None:
    """What is wrong with an answer, as far as its types say."""
    if not isinstance(learned, Learned):
        return f"a {type(learned).__name__}"
    if not isinstance(learned.weights, bytes) or not isinstance(learned.begun_with, bytes | None):
        return "weights that are no bytes"
    if not callable(learned.load):
        return "no function `load`"
    losses = learned.losses
    if not isinstance(losses, tuple) or not 1 <= len(losses) <= MAX_EPOCHS or not all(map(_is_number, losses)):
        return f"`losses` that are no tuple of 1 to {MAX_EPOCHS:,} finite numbers"
    examined = learned.examined
    if not isinstance(examined, tuple) or len(examined) > MAX_EXAMINED or not all(map(_is_examined, examined)):
        return f"`examined` that is no tuple of at most {MAX_EXAMINED} of Examined"
    if not all(map(_is_number, (learned.decode_seconds, learned.train_seconds, learned.resumed_at))):
        return "seconds or a step that are no numbers"
    if not isinstance(learned.notes, tuple) or not all(isinstance(note, str) for note in learned.notes):
        return "`notes` that are no tuple of texts"
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_examined(value: Any) -> bool:
    return (
        isinstance(value, Examined)
        and isinstance(value.epoch, int)
        and isinstance(value.precision, Precision)
        and _is_number(value.precision.map50)
        and _is_number(value.precision.map50_95)
    )
