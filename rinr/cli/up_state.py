"""What is written down of a machine that ``rinr up`` has set up, so that the same command repairs it later."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from rinr.files import write_whole

DEFAULT_HOME = Path("fog")
"""The folder of all that ``rinr up`` keeps, beside the fleet file where nothing else is said."""

_STATE, _LOCK = "up.json", "up.lock"
_VERSION = 1


class UpError(RuntimeError):
    """What keeps the processes of this machine from coming up; the message says what to do."""


@dataclass(frozen=True)
class UpState:
    """What is to run on this machine.

    Attributes:
        fleet: full path of the fleet file.
        store: URL or full path of the weight store.
        devices: names of the fleet's devices whose workers run here.
        every: minutes between runs of the pipeline; ``None`` is what the deployment says.
        port: of the Prefect server.
        version: of the program that started it.
        deployed: whether the deployments were made, of this version and with these settings.
    """

    fleet: str
    store: str
    devices: tuple[str, ...]
    every: int | None
    port: int
    version: str
    deployed: bool = False

    @property
    def api(self) -> str:
        """Address of the server's API."""
        return f"http://127.0.0.1:{self.port}/api"


@contextmanager
def claimed(home: Path) -> Iterator[None]:
    """Hold the folder for this process, making it where there is none.

    Raises:
        UpError: it cannot be written, or another `rinr up` or `rinr down` is at work in it.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        file = (home / _LOCK).open("a")
    except OSError as error:
        raise UpError(f"{home} cannot be written: {error.strerror}; choose another folder with --home") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UpError(f"another rinr up or rinr down is at work in {home}; wait for it") from None
        yield


def read_state(home: Path) -> UpState | None:
    """What was written down in a folder; ``None`` where there is nothing that can be read."""
    try:
        document = json.loads((home / _STATE).read_text())
        if document.pop("version_of_file") != _VERSION:
            return None
        return UpState(**document | {"devices": tuple(document["devices"])})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_state(home: Path, state: UpState) -> None:
    """Write the state down, wholly or not at all."""
    document = json.dumps({"version_of_file": _VERSION} | asdict(state), indent=2) + "\n"
    write_whole(home / _STATE, document.encode())
