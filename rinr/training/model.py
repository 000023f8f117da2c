"""The detector's model file: its weights as safetensors, with the name of the architecture that they are of."""

from rinr.training.detector import ARCHITECTURE, Detector, new_detector
from rinr.training.safetensors_file import WeightsFileError, read_weights, write_weights

ENTRY = "architecture"
"""The one entry of text in a model file."""


class ModelError(ValueError):
    """A model file that is not used; the message says what was expected."""


def check_architecture(named: str | None, expected: str) -> None:
    """See that a model is of an architecture.

    Raises:
        ModelError: it is of another, or names none.
    """
    if named != expected:
        told = "names no architecture" if named is None else f"is a model of {named[:80]!r}"
        raise ModelError(f"it {told}, expected {expected!r}")


def write_model(detector: Detector) -> bytes:
    """A detector as a file; equal weights are equal bytes. The inverse of :func:`read_model`."""
    return write_weights(detector.state_dict(), ENTRY, ARCHITECTURE)


def read_model(data: bytes, device: str = "cpu") -> Detector:
    """The detector of a file, checked before it is used.

    Args:
        data: the file's bytes.
        device: the torch device that it is put on.

    Raises:
        ModelError: it is damaged, of another architecture, or has other weights than this one.
    """
    try:
        weights, architecture = read_weights(data, ENTRY)
    except WeightsFileError as error:
        raise ModelError(str(error)) from None
    check_architecture(architecture, ARCHITECTURE)
    detector = new_detector(0)
    expected = detector.state_dict()
    for name in sorted(expected.keys() | weights.keys()):
        if name not in weights:
            raise ModelError(f"it lacks the weights {name!r} of {ARCHITECTURE!r}")
        if name not in expected:
            raise ModelError(f"it has weights {name[:80]!r}, which {ARCHITECTURE!r} has not")
        found, wanted = weights[name], expected[name]
        if found.shape != wanted.shape or found.dtype != wanted.dtype:
            raise ModelError(
                f"its {name[:80]!r} is {found.dtype} {list(found.shape)}, expected {wanted.dtype} {list(wanted.shape)}"
            )
    detector.load_state_dict(weights)
    return detector.to(device)
