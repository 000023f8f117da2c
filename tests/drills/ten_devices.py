"""Ten devices with their pictures, keys, workers and queues, and what each of them has to hold in the end.

What is expected follows from the files that this module made, and what is held is read with pyarrow and json.
"""

import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from deltalake import DeltaTable
from PIL import Image

from flows.catalogue import DEVICE_POOL
from services.ports import free_port
from services.prefect_server import PrefectServer
from services.processes import Processes
from services.workers import start_device_workers
from storage.fleet import Device, Fleet, Fog
from storage.fleet_file import fleet_toml
from storage.shards.keyring import Keyring
from tests.drills.fog_node import ANSWER

CHECKOUT = Path(__file__).resolve().parents[2]
NAMES = tuple(f"cam-{number}" for number in range(10))
RUNS_AT_ONCE = 3
"""Of the devices' runs, each of which loads a detector: ten at once are more than a small machine has memory for."""

HANG_SECONDS = 1_800.0

PREPARE = """
import sys
from pathlib import Path
from flows.catalogue import DEVICE_POOL, FOG_POOL
from services import prefect_api
from services.prefect_server import PrefectServer
home, port, fleet, store = sys.argv[1:]
prefect_api.make_pools((FOG_POOL, DEVICE_POOL))
places = {"RINR_FLEET": fleet, "RINR_STORE": store}
prefect_api.deploy(PrefectServer(Path(home), int(port)), places, Path(home) / "deploy.log")
"""


@dataclass
class TenDevices:
    """The fleet on one machine, each device in a folder and with a worker process of its own.

    Attributes:
        root: all folders.
        homes: where a device's home is another folder than its usual one.
        good: SHA-256 of the whole pictures that each device has taken.
        broken: how many other files each device has put among them.
    """

    root: Path
    homes: Mapping[str, Path] = field(default_factory=dict)
    seed: int = 2408
    good: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in NAMES})
    broken: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        self._boxes: dict[str, list[tuple[str, list[float]]]] = {name: [] for name in NAMES}
        keys = Keyring(self.root / "keys")
        signs = keys.new("fog").text
        devices = []
        for name in NAMES:
            place = self.root / name
            for folder in ("storage", "inbox", "outbox", "home"):
                (place / folder).mkdir(parents=True)
            made = Device(
                name=name,
                storage=str(place / "storage"),
                inbox=str(place / "inbox"),
                outbox=str(place / "outbox"),
                home=str(self.homes.get(name, place / "home")),
                settle=0.0,
            )
            keyring = Keyring(Path(made.keyring))
            keyring.trust(signs, "fog")
            devices.append(made.model_copy(update={"public_key": keyring.new(name).text}))
        self.devices = {device.name: device for device in devices}
        self.fleet = self.root / "fleet.toml"
        self.fleet.write_text(fleet_toml(Fleet(devices=tuple(devices), fog=Fog(keyring=str(keys.folder)))))
        self.store = self.root / "store"
        self.server = PrefectServer(self.root / "prefect", free_port())
        self._server_process = Processes(self.root / "server")
        self._workers = {name: Processes(self.root / "machines" / name) for name in NAMES}

    @contextmanager
    def running(self) -> Iterator[None]:
        """The server, the fog node's process and all devices' workers are up."""
        fog = None
        try:
            self.server.start(self._server_process)
            self.server.wait(self._server_process)
            places = [str(place) for place in (self.server.home, self.server.port, self.fleet, self.store)]
            assert self._python("-c", PREPARE, *places).wait(HANG_SECONDS) == 0, "no deployments; see fog.log"
            self.ask("PATCH", f"work_pools/{DEVICE_POOL}", concurrency_limit=RUNS_AT_ONCE)
            for name in NAMES:
                self.ask("POST", f"work_pools/{DEVICE_POOL}/queues", name=name)
                self.switch_on(name)
            self._fog = fog = self._python("-m", "tests.drills.fog_node", str(self.fleet), str(self.store))
            yield
        finally:
            if fog is not None:
                fog.kill()
            for processes in (*self._workers.values(), self._server_process):
                processes.stop_all()

    def switch_on(self, name: str) -> None:
        """Start a device's worker."""
        start_device_workers(self._workers[name], self.server, DEVICE_POOL, {name: self.devices[name].work_queue})

    def switch_off(self, name: str) -> None:
        """End a device's worker and what it runs."""
        self._workers[name].stop_all()

    def hold_up(self, name: str) -> None:
        """A device's worker takes nothing from its queue from now on."""
        self.ask("PATCH", f"work_pools/{DEVICE_POOL}/queues/{name}", is_paused=True)

    def let_go(self, name: str) -> None:
        """A device's worker takes what lies in its queue."""
        self.ask("PATCH", f"work_pools/{DEVICE_POOL}/queues/{name}", is_paused=False)

    def take_pictures(self, name: str, count: int, broken: int = 0) -> None:
        """Put new pictures into a device's storage, and files that are none."""
        storage = Path(self.devices[name].storage)
        for number in range(count):
            data = self._picture()
            path = f"{len(self.good[name]):03}.jpg"
            (storage / path).write_bytes(data)
            self.good[name].append(hashlib.sha256(data).hexdigest())
            left, top = self._rng.randrange(30), self._rng.randrange(20)
            self._boxes[name].append((path, [left, top, 16 + number, 14]))
        for _ in range(broken):
            self.broken[name] += 1
            data = self._picture()
            spoilt = (data[: len(data) // 2], b"", b"no picture", data[:2] + bytes(400), b"GIF89a" + data)
            (storage / f"broken-{self.broken[name]:03}.jpg").write_bytes(spoilt[self.broken[name] % len(spoilt)])
        labels = self._boxes[name]
        document = {
            "images": [{"id": i, "file_name": path, "width": 64, "height": 48} for i, (path, _) in enumerate(labels)],
            "annotations": [
                {"id": i, "image_id": i, "category_id": 1, "bbox": box} for i, (_, box) in enumerate(labels)
            ],
            "categories": [{"id": 1, "name": "square"}],
        }
        (storage / "annotations.json").write_text(json.dumps(document))

    def fog(self, order: str) -> dict[str, str]:
        """Let the fog node do a `round`, or `deliver` alone; returns the runs it started, by device."""
        assert self._fog.stdin is not None
        assert self._fog.stdout is not None
        self._fog.stdin.write(f"{order}\n")
        self._fog.stdin.flush()
        said = []
        for line in self._fog.stdout:
            if line.startswith(ANSWER):
                runs: dict[str, str] = json.loads(line.removeprefix(ANSWER))["runs"]
                return runs
            said.append(line)
        raise AssertionError("the fog node ended:\n" + "".join(said[-60:]))

    def wait(self, runs: Mapping[str, str]) -> dict[str, tuple[str, str]]:
        """Wait until runs have ended; returns the type and the message of each one's state."""
        ended: dict[str, tuple[str, str]] = {}
        end = time.monotonic() + HANG_SECONDS
        while len(ended) < len(runs):
            for name in runs.keys() - ended.keys():
                state = self.ask("GET", f"flow_runs/{runs[name]}")["state"]
                if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
                    ended[name] = state["type"], state["message"] or ""
            assert time.monotonic() < end, f"runs that never end: {runs.keys() - ended.keys()}"
            time.sleep(0.5)
        return ended

    def expected(self, name: str) -> Counter[str]:
        """What a device has to hold: all whole pictures of the others, once each."""
        return Counter(image for other, images in self.good.items() if other != name for image in images)

    def held(self, name: str) -> Counter[str]:
        """How often each image stands in the shards that a device has taken."""
        return Counter(image.as_py().hex() for file in self._taken(name) for image in pq.read_table(file)["image_id"])

    def bytes_held(self, name: str) -> int:
        """Of the shards that a device has taken, with their manifests."""
        return sum(file.stat().st_size + file.with_suffix(".manifest").stat().st_size for file in self._taken(name))

    def newest(self, name: str) -> tuple[bytes, bytes]:
        """Data and manifest of the shard that a device has taken last."""
        file = max(self._taken(name))
        return file.read_bytes(), file.with_suffix(".manifest").read_bytes()

    def waiting(self) -> list[Path]:
        """Files of shards that lie in an inbox."""
        return sorted(self.root.glob("*/inbox/shard-*"))

    def refused(self, name: str) -> dict[str, str]:
        """What a device refuses now, as it says itself: the fault, by the shard's name."""
        data = (self.root / name / "outbox" / "acknowledgement").read_bytes()
        document = json.loads(data.rsplit(b"\n", 2)[0])
        return {one["name"]: one["fault"] for one in document["refused"]}

    def deliveries(self) -> list[dict[str, Any]]:
        """The store's table of deliveries."""
        table = DeltaTable(str(self.store / "deliveries")).to_pyarrow_table(
            columns=["device", "shard", "status", "bytes", "rows"]
        )
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows

    def quarantined(self) -> int:
        table = DeltaTable(str(self.store / "quarantine")).to_pyarrow_table(columns=["device", "path"])
        return len({(row["device"], row["path"]) for row in table.to_pylist()})

    def ask(self, method: str, path: str, **body: Any) -> Any:
        """Ask the server's API, again where it is busy."""
        data = json.dumps(body).encode() if body else None
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.server.api}/{path}", data, headers, method=method)
        for attempt in range(60):
            try:
                with urllib.request.urlopen(request, timeout=90) as answer:
                    text = answer.read()
                    return json.loads(text) if text else None
            except urllib.error.HTTPError as error:
                if error.code == 409:  # there already
                    return None
                if error.code != 503 or attempt == 59:
                    raise
            except OSError:
                if attempt == 59:
                    raise
            time.sleep(0.5)
        return None

    def _taken(self, name: str) -> list[Path]:
        files = (Path(self.devices[name].home) / "received").glob("shard-*.parquet")
        return sorted(file for file in files if file.with_suffix(".manifest").is_file())

    def _picture(self) -> bytes:
        chance = np.random.default_rng(self._rng.randrange(2**32))
        y, x = np.mgrid[0:48, 0:64] / 64
        waves = [np.sin(chance.uniform(2, 9) * x + chance.uniform(2, 9) * y + chance.uniform(0, 6)) for _ in range(3)]
        buffer = io.BytesIO()
        pixels = (np.stack(waves, axis=-1) * 80 + 128).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(buffer, format="JPEG", quality=92)
        return buffer.getvalue()

    def _python(self, *arguments: str) -> "subprocess.Popen[str]":
        with (self.root / "fog.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, *arguments],
                cwd=CHECKOUT,
                env={**os.environ, **self.server.environment(), "PYTHONPATH": str(CHECKOUT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )


@contextmanager
def small_disk(place: Path, megabytes: int, skip: Callable[[str], None]) -> Iterator[bool]:
    """A disk of so many megabytes at a place, where one can be mounted; says whether there is one."""
    place.mkdir(parents=True)
    program = shutil.which("mount")
    command = [program or "mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)]
    mounted = program and subprocess.run(command, capture_output=True, check=False).returncode == 0
    if not mounted:
        skip("no small disk can be mounted here: no device's disk is full in this drill")
    try:
        yield bool(mounted)
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(place)], check=False)
