"""What is written down of a demo, so that an interrupted one goes on and no folder of others is ever emptied."""

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from rinr.files import write_whole

MARKER = ".rinr-demo"
"""A file in every folder that a demo made; no folder without it is ever emptied."""

_STATE = "state.json"
_VERSION = 2


class DemoError(RuntimeError):
    """What kept a demo from doing its work: a message that says which stage, where to look and what to do."""


@dataclass(frozen=True)
class Settings:
    """What a demo does; one of other settings is another demo.

    Attributes:
        data: full path of the folder of JPEGs.
        devices: how many; ``None`` takes what the data suggests.
        frames: JPEGs a device at most; ``None`` is all.
    """

    data: str
    devices: int | None
    frames: int | None
    preset: str
    epochs: int
    seed: int


@dataclass(frozen=True)
class State:
    """How far a demo is.

    Attributes:
        prepared: whether the devices' folders are complete.
        finished: whether every stage did its work.
        port: of the Prefect server that was started last.
        run: id of the pipeline's flow run, once there is one.
    """

    settings: Settings
    prepared: bool = False
    finished: bool = False
    port: int = 0
    run: str | None = None


@contextmanager
def claimed(out: Path) -> Iterator[None]:
    """Hold a demo's folder for this process, making and marking it where there is none.

    Raises:
        DemoError: the folder holds something that no demo made, or another demo is at work in it.
    """
    marker = out / MARKER
    if out.exists() and not marker.is_file() and (not out.is_dir() or any(out.iterdir())):
        raise DemoError(f"{out} was not made by `rinr demo` and is left alone; choose another folder with --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        file = marker.open("a")
    except OSError as error:
        raise DemoError(f"{out} cannot be written: {error.strerror}; choose another folder with --out") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(f"another demo is at work in {out}; wait for it, or choose another --out") from None
        yield


def clear(out: Path) -> None:
    """Empty a demo's folder; its marker stays.

    Raises:
        DemoError: the folder has no marker.
    """
    if not (out / MARKER).is_file():
        raise DemoError(f"{out} was not made by `rinr demo` and is left alone")
    for path in out.iterdir():
        if path.name == MARKER:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def read_state(out: Path) -> State | None:
    """The state of the demo in a folder; ``None`` where there is none that can be read."""
    try:
        document = json.loads((out / _STATE).read_text())
        if document.pop("version") != _VERSION:
            return None
        return State(**document | {"settings": Settings(**document["settings"])})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_state(out: Path, state: State) -> None:
    """Write the state down, wholly or not at all."""
    document = json.dumps({"version": _VERSION} | asdict(state), indent=2) + "\n"
    write_whole(out / _STATE, document.encode())
