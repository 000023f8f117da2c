"""Everything that a run of `encode` needs, each thing a process of its own that is started again when it has died."""

import json
import os
import shutil
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import psutil
from deltalake import DeltaTable
from PIL import Image

import flows
from rinr.presets import encoding_id, find_preset
from services.ports import LOOPBACK, free_port
from services.prefect_server import PrefectServer
from services.processes import Processes, tail
from storage.fleet import Device, Fleet
from storage.fleet_file import fleet_toml
from storage.ingestion import ingest
from storage.store import Store

CHECKOUT = Path(flows.__path__[0]).parent
PRESET = "instant"
WORKERS = 2

_PAUSE = 1.0  # seconds between a death and the next start, as a service manager has it


def prepare(folder: Path, pictures: int) -> tuple[Path, Path]:
    """A fleet file, and a store that has taken so many pictures: the sample's, compressed anew at many qualities."""
    originals = sorted((CHECKOUT / "sample").glob("device-*/*.jpg"))
    devices = []
    for name in ("cam-a", "cam-b"):
        (folder / name).mkdir(parents=True)
        places = {
            "storage": str(folder / name),
            "inbox": str(folder / "in" / name),
            "home": str(folder / "home" / name),
        }
        devices.append(Device(name=name, settle=0.0, **places))
    labels: dict[Path, list[list[float]]] = {}
    for original in originals:
        document = json.loads((original.parent / "annotations.json").read_text())
        (identity,) = [image["id"] for image in document["images"] if image["file_name"] == original.name]
        labels[original] = [note["bbox"] for note in document["annotations"] if note["image_id"] == identity]
    documents: dict[str, dict[str, list[dict[str, object]]]] = {
        device.name: {"images": [], "annotations": [], "categories": [{"id": 1, "name": "thing"}]} for device in devices
    }
    for number in range(pictures):
        original, device = originals[number % len(originals)], devices[number % 2]
        out = BytesIO()
        Image.open(original).save(out, "JPEG", quality=40 + number // len(originals))
        (folder / device.name / f"{number:05}.jpg").write_bytes(out.getvalue())
        document = documents[device.name]
        document["images"].append({"id": number, "file_name": f"{number:05}.jpg", "width": 320, "height": 240})
        for box in labels[original]:
            place = {"id": len(document["annotations"]), "image_id": number, "category_id": 1, "bbox": box}
            document["annotations"].append(place)
    for device in devices:
        (folder / device.name / "annotations.json").write_text(json.dumps(documents[device.name]))
    fleet = folder / "fleet.toml"
    fleet.write_text(fleet_toml(Fleet(devices=tuple(devices))))
    store = Store(str(folder / "store"))
    taken = sum(ingest(device, store).new for device in devices)
    assert taken == pictures
    return fleet, Path(store.url)


@dataclass
class DaskWorld:
    """A Prefect server, a Dask scheduler, nannies with a worker each, and a flow that is started until it has ended.

    Attributes:
        folder: for all files.
        fleet: its file.
        store: where it encodes to.
        environment: added to that of all processes: of a server on another database, of workers.
        worker_options: added to the command line of `dask worker`.
        starts: how often each was started.
    """

    folder: Path
    fleet: Path
    store: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    worker_options: tuple[str, ...] = ()
    starts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.processes = Processes(self.folder)
        self.server = PrefectServer(self.folder / "prefect", free_port())
        self.address = f"tcp://{LOOPBACK}:{free_port()}"
        self.lines = self.folder / "flow.lines"
        self._pids: dict[str, int] = {}
        self._dead: dict[str, float] = {}
        scheduler_port = self.address.rpartition(":")[2]
        nanny = ["dask_worker", self.address, "--nthreads", "1", "--no-dashboard", "--host", LOOPBACK]
        nanny += ["--memory-limit", "0", "--death-timeout", "60", *self.worker_options]
        self._commands = {
            "server": self.server.command()[1:],
            "scheduler": _dask("dask_scheduler", "--host", LOOPBACK, "--port", scheduler_port, "--no-dashboard"),
            **{
                f"nanny-{number}": _dask(*nanny, "--local-directory", str(self.folder / "scratch" / str(number)))
                for number in range(WORKERS)
            },
            "flow": ["-m", "tests.drills.encode_once", *map(str, (self.fleet, self.store, PRESET, self.address))],
        }
        self._commands["flow"].append(str(self.lines))

    @contextmanager
    def up(self) -> Iterator[None]:
        """All but the flow run; in the end nothing does."""
        self.server.home.mkdir(parents=True, exist_ok=True)
        try:
            for name in self._commands:
                if name != "flow":
                    self.start(name)
            self.server.wait(self.processes)
            yield
        finally:
            self.processes.stop_all()
            for log in sorted(self.processes.logs.glob("*.log")):
                if os.environ.get("RINR_DRILL_LOGS"):
                    print(f"{log.name}\n{tail(log, 40)}")

    def start(self, name: str) -> None:
        """Start one of the processes."""
        environment = {
            **self.server.environment(),
            "PYTHONPATH": str(CHECKOUT),
            "OMP_NUM_THREADS": "1",
            **self.environment,
        }
        command = [sys.executable, *self._commands[name]]
        self._pids[name] = self.processes.start(name, command, environment).pid
        self.starts[name] += 1

    def pid(self, name: str) -> int:
        """Process id; of ``worker-0`` that of the nanny's child."""
        if name.startswith("worker-"):
            nanny = psutil.Process(self._pids[name.replace("worker", "nanny")])
            (child,) = [child for child in nanny.children() if "spawn_main" in " ".join(child.cmdline())]
            return child.pid
        return self._pids[name]

    def kill(self, name: str) -> bool:
        """End one process at once; says whether there was one. What it has started is left to itself."""
        try:
            os.kill(self.pid(name), signal.SIGKILL)
        except (ProcessLookupError, psutil.NoSuchProcess, ValueError):
            return False
        return True

    def tend(self) -> None:
        """Start again what has died, a moment after; the flow only while it has not ended well."""
        alive = set(self.processes.alive())
        now = time.monotonic()
        for name, pid in self._pids.items():
            if pid in alive or (name == "flow" and self.ended()):
                self._dead.pop(name, None)
            elif now - self._dead.setdefault(name, now) > _PAUSE:
                del self._dead[name]
                self.start(name)

    def ended(self) -> bool:
        """Whether a run of the flow has completed."""
        return any(line["state"] == "Completed" for line in self.said())

    def said(self) -> list[dict[str, object]]:
        """What the runs said that came to their end."""
        text = self.lines.read_text() if self.lines.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def rows(self) -> int:
        """Rows of ``images`` that are committed, read from the table's log alone."""
        try:
            actions = DeltaTable(f"{self.store}/images").get_add_actions(flatten=True)
        except Exception:  # there is none yet
            return 0
        return sum(actions["num_records"].to_pylist())

    def run(self, moments: Mapping[int, tuple[str, Callable[[], object]]], seconds: float) -> list[str]:
        """Run the flow to its end; at so many committed rows something is done to it.

        Returns:
            What was done, with the rows that were there.
        """
        waiting = sorted(moments.items())
        done = []
        self.start("flow")
        deadline = time.monotonic() + seconds
        while True:
            self.tend()
            there = self.rows()
            if waiting and there >= waiting[0][0]:
                name, act = waiting.pop(0)[1]
                act()
                done.append(f"{name} at {there} rows")
            if self.ended():
                return done
            assert time.monotonic() < deadline, f"not done after {seconds} s, {there} rows: {done}"
            time.sleep(0.2)

    @property
    def encoding(self) -> str:
        return encoding_id(find_preset(PRESET))


def copy_store(store: Path, place: Path) -> Path:
    """The same store elsewhere."""
    shutil.copytree(store, place)
    return place


def lock_database(server: PrefectServer, seconds: float) -> None:
    """Nobody else writes to a server's SQLite database for so long."""
    connection = sqlite3.connect(server.home / "prefect.db", timeout=60, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    time.sleep(seconds)
    with suppress(sqlite3.Error):
        connection.execute("ROLLBACK")
    connection.close()


def _dask(module: str, *options: str) -> list[str]:
    return ["-m", f"distributed.cli.{module}", *options]
