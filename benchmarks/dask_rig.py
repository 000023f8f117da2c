"""What the Dask benchmarks share: a store with waiting pictures, a Prefect server, a cluster of processes, counters."""

import os
import pickle
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import cycle
from pathlib import Path

from benchmarks.frames import find_folders
from rinr.folders import spread
from rinr.labels import canonical_labels, image_id, labels_id
from services.ports import LOOPBACK, free_port
from services.prefect_server import PrefectServer, use_server
from services.processes import Processes
from storage.fleet import Device, Fleet
from storage.fleet_file import fleet_toml
from storage.landing import Landing
from storage.store import Store
from storage.tables import Source

CHECKOUT = Path(__file__).parent.parent


def say(text: str) -> None:
    """Progress, beside what is printed as the result."""
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Waiting:
    """A store in which pictures wait to be encoded.

    Attributes:
        fleet: its file.
        url: of the store; :meth:`copy` gives another one that is the same.
        jpeg_bytes: of all pictures.
        images: how many.
    """

    fleet: Path
    url: str
    jpeg_bytes: int
    images: int

    def copy(self, place: Path) -> str:
        return str(shutil.copytree(self.url, place))


def make_waiting(place: Path, folders: list[Path], count: int, a_folder: int = 16) -> Waiting:
    """Labelled pictures of the folders in turn, each repeated with a comment that makes it a file of its own."""
    found = [
        (file.read_bytes(), folder.labels.get(file.relative_to(folder.path).as_posix()))
        for folder in find_folders(folders)
        for file in spread(folder.files, a_folder)
    ]
    store = Store(str(place / "store"))
    store.create()
    landing = Landing(store.url)
    sources, total = [], 0
    modified = datetime(2026, 5, 1, tzinfo=UTC)
    for number, (picture, labels) in zip(range(count), cycle(found), strict=False):
        jpeg = renamed(picture, number)
        boxes = labels.boxes if labels else ()
        identity = image_id(jpeg)
        landing.put(identity, jpeg)
        total += len(jpeg)
        sources.append(
            Source(
                image_id=identity,
                labels_id=labels_id(boxes),
                device="bench",
                path=f"{number:07}.jpg",
                size=len(jpeg),
                modified=modified,
                captured_at=modified,
                captured_from="file",
                labels=canonical_labels(boxes).decode(),
                annotated_size=labels.size if labels else None,
            )
        )
    store.append(sources)
    device = Device(name="bench", storage=str(place / "camera"), inbox=str(place / "in"), home=str(place / "home"))
    (place / "fleet.toml").write_text(fleet_toml(Fleet(devices=(device,))))
    return Waiting(place / "fleet.toml", store.url, total, count)


def renamed(jpeg: bytes, number: int) -> bytes:
    """The same picture with a comment segment after its start."""
    comment = b"copy %08d" % number
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]


@contextmanager
def prefect_server(place: Path) -> Iterator[Processes]:
    """A Prefect server on SQLite that this process and all that it starts talk to. Before Prefect is imported."""
    processes = Processes(place / "services")
    server = PrefectServer(place / "prefect", free_port())
    use_server(server, {"PREFECT_LOGGING_LEVEL": "WARNING"})
    say("starting a Prefect server")
    try:
        server.start(processes)
        server.wait(processes)
        yield processes
    finally:
        processes.stop_all()


@contextmanager
def cluster(processes: Processes, workers: int, options: Sequence[str] = ()) -> Iterator[str]:
    """A scheduler and workers, each a process of its own, without nannies; gives the scheduler's address."""
    port = free_port()
    address = f"tcp://{LOOPBACK}:{port}"
    environment = {
        "PYTHONPATH": str(CHECKOUT),
        # As a cluster that the flow starts has them.
        **{"OMP_NUM_THREADS": "1", "MALLOC_TRIM_THRESHOLD_": str(256 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)},
    }
    start = [sys.executable, "-m"]
    scheduler = ["distributed.cli.dask_scheduler", "--host", LOOPBACK, "--port", str(port), "--no-dashboard"]
    processes.start(f"scheduler-{port}", start + scheduler, environment)
    worker = ["distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    worker += ["--host", LOOPBACK, "--memory-limit", "0", *options]
    names = [f"worker-{port}-{number}" for number in range(workers)]
    scratch = processes.logs.parent / "scratch"
    for name in names:
        processes.start(name, [*start, *worker, "--local-directory", str(scratch / name)], environment)
    from distributed import Client

    with Client(address, timeout="60s", set_as_default=False) as client:
        client.wait_for_workers(workers, timeout=120)
        yield address
        client.shutdown()


@dataclass(frozen=True)
class Load:
    """How busy the machine was: figures of a shared machine are worth what is written beside them."""

    cores: int
    before: float
    after: float


@contextmanager
def watched_load(into: list[Load]) -> Iterator[None]:
    """Notes the load average before and after."""
    before = os.getloadavg()[0]
    yield
    into.append(Load(os.cpu_count() or 1, round(before, 1), round(os.getloadavg()[0], 1)))


class ByteCounter:
    """Bytes that processes write to their Dask connections: each byte of a conversation is written once by somebody.

    Args:
        client: of the cluster whose scheduler and workers are counted, together with this process.
    """

    def __init__(self, client: object) -> None:
        self._client = client
        _count_writes()
        client.run_on_scheduler(_count_writes)  # type: ignore[attr-defined]
        client.run(_count_writes)  # type: ignore[attr-defined]

    def written(self) -> dict[str, int]:
        """So far: by this process, the scheduler and the workers; and what workers read of landed pictures."""
        workers = list(self._client.run(_written).values())  # type: ignore[attr-defined]
        return {
            "flow": _written()[0],
            "scheduler": self._client.run_on_scheduler(_written)[0],  # type: ignore[attr-defined]
            "workers": sum(sent for sent, _ in workers),
            "landed": sum(read for _, read in workers),
        }


def held_answer(batch: object, place: str, number: int) -> object:
    """What a worker that fits nothing hands back at once: a pickled result that this machine wrote."""
    return _held(place)


def own_cpu() -> float:
    """Seconds of CPU time of the process that is asked."""
    return time.process_time()


@lru_cache
def _held(place: str) -> object:
    return pickle.loads(Path(place).read_bytes())  # noqa: S301


_SENT = 0
_READ = 0


def _count_writes() -> None:
    from distributed.comm.tcp import TCP

    from storage.folder import Folder

    write, read = TCP.write, Folder.read
    if getattr(TCP, "is_counted", False):
        return

    async def counted(self: TCP, *arguments: object, **options: object) -> int:
        global _SENT
        sent = await write(self, *arguments, **options)
        _SENT += sent
        return sent

    def counted_read(self: Folder, *arguments: object) -> bytes:
        global _READ
        data = read(self, *arguments)  # type: ignore[arg-type]
        _READ += len(data)
        return data

    TCP.write, TCP.is_counted, Folder.read = counted, True, counted_read


def _written() -> tuple[int, int]:
    return _SENT, _READ
