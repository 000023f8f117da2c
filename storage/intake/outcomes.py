"""What becomes of one file in a run of ingestion: a row to be committed, or a reason why there is none yet."""

from dataclasses import dataclass

from storage.devices import DeviceFile, safe_spelling
from storage.fleet import Device
from storage.intake.device_labels import LabelFileError
from storage.quarantine import refusal_of
from storage.tables import Refusal, Source, now

_LEAST_SETTLE = 2.0  # seconds: the times of some storages are no finer


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Attributes:
        row: to be committed.
        notes: each with the file's name.
        waits: its labels are broken.
        left: for the next run.
        unreadable: its storage did not give it.
    """

    row: Source | Refusal | None = None
    notes: tuple[str, ...] = ()
    waits: bool = False
    left: bool = False
    unreadable: bool = False


def broken_labels(device: Device, error: LabelFileError, meanwhile: str) -> Outcome:
    """The outcome of a picture whose own label file is broken, or may still be written."""
    assert error.file is not None
    if may_be_written(error.file, device):
        note = f"{safe_spelling(error.path)}: left for the next run: {error}, but it may still be written"
        return Outcome(None, (note,), left=True)
    return Outcome(refusal_of(device.name, error.file, f"{error}; repair it: {meanwhile}"), waits=True)


def may_be_written(file: DeviceFile, device: Device) -> bool:
    """Whether a file changed so short a time ago that it may not be whole yet.

    A time in the future, of a clock that is wrong, says nothing. With a ``settle`` of zero nobody is waited for.
    """
    settle = max(device.settle, _LEAST_SETTLE) if device.settle else 0.0
    return abs((now() - file.modified).total_seconds()) < settle
