"""A Prefect server with many devices on it: some with workers of their own, most of them clients in one process."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from flows.catalogue import DEVICE_POOL
from services.ports import free_port
from services.prefect_server import PrefectServer
from services.processes import Processes
from services.workers import start_device_workers

CHECKOUT = Path(__file__).resolve().parents[2]
HANG_SECONDS = 1_800.0
"""Nothing takes a tenth of it; it is there to end what hangs."""

WORKER_SECONDS = 10.0
"""Between two looks of a worker at its queue: Prefect's own default."""

# As docs/operations.md has it. Connections beyond the pool are opened and closed again for each request; and every
# twenty seconds the server reads each unfinished run that another run has started, and that one as well.
FOR_MANY = {
    "PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_SIZE": "30",
    "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_LOOP_SECONDS": "300",
}
"""What the server is told besides, where it has PostgreSQL."""


@dataclass(frozen=True)
class FanOut:
    """A fan-out that ended.

    Attributes:
        seconds: that the flow took.
        runs: the id of each device's run.
    """

    seconds: float
    runs: Mapping[str, str]


@dataclass
class Scale:
    """What a scale drill works with.

    Attributes:
        folder: everything is made in it.
        names: of the devices.
        workers: how many of them, the first, have a `prefect worker` of their own.
        every: seconds between two looks of a light client at its queue.
        heartbeat: seconds between two signs of life of a worker or light client; 30 is Prefect's own default.
        database: URL of the server's database; ``None`` is Prefect's own SQLite.
    """

    folder: Path
    names: list[str]
    workers: int
    every: float
    heartbeat: float = 30.0
    database: str | None = None
    crowd: Counter[str] = field(default_factory=Counter)

    @property
    def notes(self) -> Path:
        return self.folder / "notes"

    @contextmanager
    def running(self) -> Iterator["Scale"]:
        """Server, workers and light clients are up; what the clients met stands in ``crowd`` at the end."""
        self.notes.mkdir(parents=True)
        self.server = PrefectServer(self.folder / "prefect", free_port())
        self._processes = Processes(self.folder)
        self._http = httpx.Client(base_url=self.server.api, timeout=120, trust_env=False)
        own = {"PYTHONPATH": str(CHECKOUT), "PREFECT_WORKER_QUERY_SECONDS": f"{WORKER_SECONDS:g}"}
        own["PREFECT_WORKER_HEARTBEAT_SECONDS"] = f"{self.heartbeat:g}"
        if self.database is not None:
            own |= {"PREFECT_API_DATABASE_CONNECTION_URL": self.database, **FOR_MANY}
        before = dict(os.environ)
        crowd = None
        try:
            self.server.home.mkdir(parents=True, exist_ok=True)
            self.pid = self._processes.start("server", self.server.command(), {**self.server.environment(), **own}).pid
            self.server.wait(self._processes)
            prepared = self._python("prepare")
            _, log = prepared.communicate(timeout=HANG_SECONDS)
            assert prepared.returncode == 0, log[-5_000:]
            os.environ.update(own)  # the workers' runs import what they note with from the checkout
            start_device_workers(
                self._processes, self.server, DEVICE_POOL, {name: name for name in self.names[: self.workers]}
            )
            crowd = self._crowd()
            yield self
        finally:
            os.environ.clear()
            os.environ.update(before)
            if crowd is not None:
                crowd.send_signal(signal.SIGTERM)
                try:
                    self.crowd.update(json.loads(crowd.communicate(timeout=120)[0]))
                finally:
                    crowd.kill()
            self._http.close()
            self._processes.stop_all()

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """No device gets a run meanwhile: devices have machines of their own, and their work must not count."""
        self._http.patch(f"/work_pools/{DEVICE_POOL}", json={"is_paused": True}).raise_for_status()
        try:
            yield
        finally:
            self._http.patch(f"/work_pools/{DEVICE_POOL}", json={"is_paused": False}).raise_for_status()

    def start_fan_out(self, names: Sequence[str], key: str) -> "subprocess.Popen[str]":
        """Begin to start a run for each of the devices, in a process of its own."""
        place = self.folder / f"{key}-{time.monotonic_ns()}.json"
        place.write_text(json.dumps({"names": list(names), "key": key, "folder": str(self.notes)}))
        return self._python(str(place))

    def end_fan_out(self, process: "subprocess.Popen[str]") -> FanOut:
        said, log = process.communicate(timeout=HANG_SECONDS)
        assert process.returncode == 0, log[-5_000:]
        return FanOut(**json.loads(said.strip().splitlines()[-1]))

    def fan_out(self, names: Sequence[str], key: str) -> FanOut:
        return self.end_fan_out(self.start_fan_out(names, key))

    def finish(self, fan_out: FanOut, key: str) -> tuple[float, int]:
        """Wait until each device's run has completed; returns the seconds, and how many runs were started anew.

        A worker that cannot reach the server when it starts a run gives that run up as crashed. The next delivery asks
        for the same runs as this one did, and finds all but those that were given up.
        """
        start, anew = time.monotonic(), 0
        names = set(fan_out.runs)
        while left := names - self._completed(key):
            assert time.monotonic() - start < HANG_SECONDS, f"the runs of {sorted(left)} never complete"
            self._processes.check()
            if not self.count(["SCHEDULED", "PENDING", "RUNNING"]):
                left = names - self._completed(key)
                anew += len(left)
                self.fan_out(sorted(left), key)
            time.sleep(1 + len(names) / 50)  # each look is a request for every two hundred runs
        return time.monotonic() - start, anew

    def count(self, states: Sequence[str] | None = None) -> int:
        """How many runs of devices the server knows, in all states or in some."""
        of_state = {"flow_runs": {"state": {"type": {"any_": list(states)}}}} if states else {}
        return int(self._ask("flow_runs/count", {"flows": {"name": {"any_": ["device"]}}, **of_state}))

    def runs(self) -> list[dict[str, Any]]:
        """All runs of devices, as the server tells them."""
        found: list[dict[str, Any]] = []
        while page := self._ask(
            "flow_runs/filter",
            {"flows": {"name": {"any_": ["device"]}}, "limit": 200, "offset": len(found), "sort": "ID_DESC"},
        ):
            found += page
        return found

    def _completed(self, key: str) -> set[str]:
        """The devices whose run for a key has completed."""
        ended = (run for run in self.runs() if run["state_type"] == "COMPLETED")
        return {run["parameters"]["name"] for run in ended if run["idempotency_key"].startswith(f"{key}:")}

    def noted(self) -> dict[str, list[str]]:
        """The runs whose bodies were done, once a time, by device."""
        return {place.name: place.read_text().split() for place in self.notes.iterdir()}

    def memory(self) -> tuple[int, int]:
        """The server's memory now and at its highest, in MiB."""
        lines = dict(line.split(":", 1) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines())
        return int(lines["VmRSS"].split()[0]) // 1024, int(lines["VmHWM"].split()[0]) // 1024

    def _ask(self, path: str, body: Mapping[str, Any]) -> Any:
        while True:  # a server under load fails to answer now and then
            try:
                answer = self._http.post(f"/{path}", json=body)
            except httpx.TransportError:
                continue
            if answer.status_code not in (408, 429, 500, 503):
                answer.raise_for_status()
                return answer.json()
            time.sleep(0.5)

    def _python(self, order: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "tests.drills.fan_out", order],
            env={**os.environ, **self.server.environment(), "PYTHONPATH": str(CHECKOUT)},
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _crowd(self) -> "subprocess.Popen[str]":
        order = {
            "api": self.server.api,
            "pool": DEVICE_POOL,
            "names": self.names[self.workers :],
            "folder": str(self.notes),
            "every": self.every,
            "heartbeat": self.heartbeat,
        }
        place = self.folder / "crowd.json"
        place.write_text(json.dumps(order))
        return subprocess.Popen(
            [sys.executable, "-m", "tests.drills.crowd", str(place)],
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
