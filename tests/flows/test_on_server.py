"""The flows on a real Prefect server, with three small pictures on two devices. The server is started once."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import flows
from services.ports import free_port
from services.prefect_server import PrefectServer
from services.processes import Processes
from storage.fleet import Device, Fleet, fleet_toml
from storage.inbox import Inbox
from storage.store import Store
from storage.tables import SOURCES
from tests.conftest import jpeg, picture

pytestmark = pytest.mark.server

CHECKOUT = Path(flows.__path__[0]).parent

PREPARE = """
import sys
from pathlib import Path
from flows.catalogue import DEVICE_POOL, FOG_POOL
from services import prefect_api
from services.prefect_server import PrefectServer
home, port, checkout, fleet, store = sys.argv[1:]
prefect_api.make_pools((FOG_POOL, DEVICE_POOL))
prefect_api.make_pools((FOG_POOL, DEVICE_POOL))  # what is there already is no error
places = {"RINR_FLEET": fleet, "RINR_STORE": store}
prefect_api.deploy(PrefectServer(Path(home), int(port)), Path(checkout), places, Path(home) / "deploy.log")
"""

STAGES = """
import json, sys
from flows.deliver import deliver
from flows.encode import encode
from flows.ingest import ingest
from tasks.cluster_settings import ClusterSettings
if __name__ == "__main__":  # Dask's workers import this file
    fleet, store = sys.argv[1:]
    ingested = ingest(fleet, store)
    rows = encode(fleet, store, "fast", batch=2, cluster=ClusterSettings(workers=1))
    runs = deliver(fleet, store, "fast", epochs=1)
    print(json.dumps({
        "ingested": {report.device: report.new for report in ingested},
        "rows": rows,
        "runs": {run.device: run.flow_run_id for run in runs},
    }))
"""

KEYS = """
import sys
from flows.catalogue import DEVICE
from prefect import flow, get_client
from prefect.states import Failed
from storage.fleet import load_fleet
from tasks.deliver import start_device_run
device = load_fleet(sys.argv[1]).devices[0]

@flow
def start(key):
    return start_device_run(device, DEVICE.full_name, device.work_queue, {"fleet": sys.argv[1], "name": "a"}, key)

first = start("one")
assert start("one") == first, "the same key is the same run"
assert start("two") != first, "another key is another run"
with get_client(sync_client=True) as client:
    client.set_flow_run_state(first.flow_run_id, Failed(message="it broke"), force=True)
again = start("one")
assert again != first, "of a run that failed another one is made"
assert start("one") == again
"""

BROKEN = """
import sys
from flows.ingest import ingest
state = ingest(sys.argv[1], sys.argv[2], return_state=True)
assert state.is_failed(), state
print(state.message)
"""


@dataclass(frozen=True)
class Place:
    server: PrefectServer
    fleet: Path
    store: Path
    folder: Path

    def python(self, code: str, *arguments: str) -> str:
        """Run a program that talks to the server; returns what it prints last."""
        script = self.folder / "script.py"
        script.write_text(code)
        done = subprocess.run(
            [sys.executable, str(script), *arguments],
            env={**os.environ, **self.server.environment(), "PYTHONPATH": str(CHECKOUT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return (done.stdout.strip().splitlines() or [""])[-1]

    def ask(self, path: str, **body: Any) -> Any:
        request = urllib.request.Request(
            f"{self.server.api}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)


def fill(storage: Path, seeds: list[int]) -> None:
    storage.mkdir(parents=True)
    names = [f"{seed}.jpg" for seed in seeds]
    for seed, name in zip(seeds, names, strict=True):
        (storage / name).write_bytes(jpeg(picture(seed)))
    boxes = [{"id": i, "image_id": i, "category_id": 1, "bbox": [18, 12, 14, 14]} for i in range(len(names))]
    document = {
        "images": [{"id": i, "file_name": name, "width": 64, "height": 48} for i, name in enumerate(names)],
        "annotations": boxes,
        "categories": [{"id": 1, "name": "square"}],
    }
    (storage / "annotations.json").write_text(json.dumps(document))


def device(name: str, folder: Path, queue: str) -> Device:
    home = folder / name
    return Device(name=name, storage=str(home / "storage"), inbox=str(home / "inbox"), work_queue=queue, home=str(home))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    devices = []
    for name, seeds in (("a", [0, 1]), ("b", [2])):
        fill(folder / name / "storage", seeds)
        devices.append(device(name, folder, f"queue-{name}"))
    fleet = folder / "fleet.toml"
    fleet.write_text(fleet_toml(Fleet(devices=tuple(devices))))
    server = PrefectServer(folder / "prefect", free_port())
    processes = Processes(folder)
    try:
        server.start(processes)
        server.wait(processes)
        made = Place(server, fleet, folder / "store", folder)
        made.python(PREPARE, str(server.home), str(server.port), str(CHECKOUT), str(fleet), str(made.store))
        yield made
    finally:
        processes.stop_all()


def test_the_pages_call_the_servers_own_port(place: Place) -> None:
    with urllib.request.urlopen(f"{place.server.ui}/ui-settings", timeout=10) as answer:
        assert json.load(answer)["api_url"] == place.server.api


def test_all_is_deployed_with_the_places_filled_in(place: Place) -> None:
    deployed = {found["name"]: found for found in place.ask("deployments/filter")}
    assert sorted(deployed) == ["deliver", "device", "encode", "ingest", "maintain", "pipeline"]
    assert deployed["pipeline"]["parameters"] == {"fleet": str(place.fleet), "store": str(place.store)}
    assert deployed["device"]["work_pool_name"] == "devices"
    form = deployed["pipeline"]["parameter_openapi_schema"]["properties"]
    assert form["epochs"]["title"] == "Epochs"
    assert "1 to 1000" in form["epochs"]["description"]


def test_the_schedule_makes_runs_of_the_pipeline(place: Place) -> None:
    # With SQLAlchemy 2.1 the server's scheduler fails quietly, and nothing ever runs of its own accord.
    (pipeline,) = [found for found in place.ask("deployments/filter") if found["name"] == "pipeline"]
    end = time.monotonic() + 90
    wanted = {"flow_runs": {"deployment_id": {"any_": [pipeline["id"]]}, "tags": {"all_": ["auto-scheduled"]}}}
    while not (runs := place.ask("flow_runs/filter", **wanted)):
        assert time.monotonic() < end, "the server schedules nothing"
        time.sleep(1)
    assert runs[0]["state_type"] == "SCHEDULED"


def test_from_jpegs_to_shards_and_device_runs_and_nothing_twice(place: Place) -> None:
    said = json.loads(place.python(STAGES, str(place.fleet), str(place.store)))
    assert said["ingested"] == {"a": 2, "b": 1}
    assert said["rows"] == 3
    store = Store(str(place.store))
    assert store.summary().images == 3
    assert {name: [m.rows for m in Inbox(str(place.folder / name / "inbox")).manifests()] for name in "ab"} == {
        "a": [1],
        "b": [2],
    }
    for name in "ab":
        run = json.loads(urllib.request.urlopen(f"{place.server.api}/flow_runs/{said['runs'][name]}").read())
        assert (run["work_queue_name"], run["state_type"]) == (f"queue-{name}", "SCHEDULED")
        assert run["parameters"]["name"] == name
    tables = {found["key"]: found["type"] for found in place.ask("artifacts/filter")}
    assert tables.items() >= {("ingested", "table"), ("bytes-and-psnr", "table"), ("encode-progress", "progress")}

    again = json.loads(place.python(STAGES, str(place.fleet), str(place.store)))
    assert again["ingested"] == {"a": 0, "b": 0}
    assert again["rows"] == 0
    assert store.summary().images == 3
    assert [m.rows for m in Inbox(str(place.folder / "b" / "inbox")).manifests()] == [2]


def test_a_key_makes_one_device_run_until_that_has_failed(place: Place) -> None:
    place.python(KEYS, str(place.fleet))


def test_a_device_that_is_away_does_not_stop_the_others(place: Place) -> None:
    folder = place.folder / "away"
    fill(folder / "here" / "storage", [7])
    devices = [device(name, folder, name) for name in ("gone", "here")]
    fleet = folder / "fleet.toml"
    fleet.write_text(fleet_toml(Fleet(devices=tuple(devices))))
    message = place.python(BROKEN, str(fleet), str(folder / "store"))
    assert "check `storage` of device gone in the fleet file" in message
    assert Store(str(folder / "store")).scan(SOURCES, ["device"])["device"].to_pylist() == ["here"]
