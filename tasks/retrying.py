"""Which failures are worth another attempt within seconds: a network's are, what is written wrong never."""

from collections.abc import Iterator
from typing import Any

from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from storage.devices import DeviceError
from storage.shards.faults import KeyringError
from storage.weights.versions import StoreVersionError

RETRIES = 2
RETRY_SECONDS = [1.0, 5.0]

# Credentials, fleet files, labels and payloads that are wrong are ValueErrors. A package or a key that is missing, or a
# place that may not be read, is so in five seconds as well.
_LASTING = (
    ValueError,
    TypeError,
    LookupError,
    ImportError,
    StoreVersionError,
    KeyringError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
)


def may_succeed_later(task: Task[Any, Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed task may succeed with the same input: networks and full disks do, wrong values never."""
    try:
        state.result()
    except Exception as error:
        return not is_lasting(error)
    return False


def is_lasting(error: BaseException) -> bool:
    """Whether an error comes back as long as nobody changes anything: judged by it and by what it was made of."""
    chain = list(_chain(error))
    if any(isinstance(link, _LASTING) for link in chain):
        return True
    if isinstance(error, DeviceError):  # a storage that does not exist, unlike a store's file that was compacted away
        return any(isinstance(link, FileNotFoundError) for link in chain)
    # What device/ says of its own accord, with no fault of a disk or network behind it, is about what it was given.
    return type(error).__module__.split(".")[0] == "device" and len(chain) == 1


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, what it was raised from, and so on; also where ``from None`` hides that from the reader."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (link.__context__ if link.__suppress_context__ else None)
