"""A job that is not finished: what it started from is kept until its report stands, so that a kill changes nothing.

::

    <home>/training/job.json             whose: the job's key, the model that it started from, and notes
    <home>/training/start.safetensors    that model
    <home>/training/trainer/             the trainer's own: checkpoints

Without it, a job that was killed after its model had been put in use, and before its report stood, would be done again
from its own model.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device.home import write_durably
from device.models import model_in_use

TRAINING = "training"

_JOB, _START, _TRAINER = "job.json", "start.safetensors", "trainer"
_MAX_JOB_BYTES = 64 * 1024
_MAX_NOTE = 250


@dataclass(frozen=True)
class Beginning:
    """Where a job began.

    Attributes:
        model: the file of the model that was in use then; ``None`` where there was none that could be used.
        folder: the trainer's own.
        notes: what a reader has to know.
    """

    model: bytes | None
    folder: Path
    notes: tuple[str, ...]

    @property
    def model_sha256(self) -> str | None:
        """Of the model's file."""
        return hashlib.sha256(self.model).hexdigest() if self.model else None


def begin(home: Path, key: str, check: Callable[[bytes], object]) -> Beginning:
    """Begin a job, or find where it began before it was killed. What another job left is removed.

    Args:
        home: of the device.
        key: of the job.
        check: raises ``ValueError`` for a model that cannot be used.

    Raises:
        OSError: the home cannot be read or written.
    """
    folder = home / TRAINING
    in_use = model_in_use(home, check)
    beginning = _begun(folder, key)
    if beginning is None:
        shutil.rmtree(folder, ignore_errors=True)
        (folder / _TRAINER).mkdir(parents=True, exist_ok=True)
        notes: tuple[str, ...] = ()
        if in_use.fault:
            notes = (f"The model in use could not be used, and was set aside: {in_use.fault}."[:_MAX_NOTE],)
        if in_use.data is not None:
            write_durably(folder / _START, in_use.data)
        beginning = Beginning(in_use.data, folder / _TRAINER, notes)
        document = {"key": key, "start": beginning.model_sha256, "notes": notes}
        write_durably(folder / _JOB, json.dumps(document).encode())
    return beginning


def finish(home: Path) -> None:
    """Forget where the job began: its report stands."""
    (home / TRAINING / _JOB).unlink(missing_ok=True)
    shutil.rmtree(home / TRAINING, ignore_errors=True)


def is_unfinished(home: Path) -> bool:
    """Whether a job was begun and not finished."""
    return (home / TRAINING / _JOB).is_file()


def _begun(folder: Path, key: str) -> Beginning | None:
    try:
        with (folder / _JOB).open("rb") as file:
            document: Any = json.loads(file.read(_MAX_JOB_BYTES))
        if document["key"] != key:
            return None
        model = (folder / _START).read_bytes() if document["start"] else None
        beginning = Beginning(model, folder / _TRAINER, tuple(str(note)[:_MAX_NOTE] for note in document["notes"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if beginning.model_sha256 != document["start"]:
        return None
    beginning.folder.mkdir(exist_ok=True)
    return beginning
