"""The flows on a real Prefect server behind a password, with three small pictures on two devices."""

import json
import time
import urllib.error
import urllib.request

import pyarrow.compute as pc
import pytest

from flows.catalogue import DEPLOYMENTS
from rinr.version import __version__
from storage.fleet import Fleet
from storage.fleet_file import fleet_toml
from storage.inbox import Inbox
from storage.store import Store
from storage.tables import DELIVERIES, SOURCES
from tests.flows.conftest import Place, device, fill

pytestmark = pytest.mark.server

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
from storage.fleet_file import load_fleet
from tasks.device_runs import start_device_run
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


def test_the_pages_call_the_servers_own_port(place: Place) -> None:
    with urllib.request.urlopen(f"{place.server.ui}/ui-settings", timeout=10) as answer:
        settings = json.load(answer)
    assert settings["api_url"] == place.server.api
    assert settings["auth"] == "BASIC", "the pages ask for the password"


@pytest.mark.parametrize("header", [None, "Basic b3BlcmF0b3I6d3Jvbmc=", "Bearer x", "Basic"])
def test_nothing_is_told_without_the_password(place: Place, header: str | None) -> None:
    for path in ("deployments/filter", "flow_runs/filter", "artifacts/filter", "block_documents/filter"):
        headers = {"Content-Type": "application/json"} | ({"Authorization": header} if header else {})
        request = urllib.request.Request(f"{place.server.api}/{path}", b"{}", headers)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        assert refused.value.code == 401


def test_all_is_deployed_with_the_places_filled_in(place: Place) -> None:
    deployed = {found["name"]: found for found in place.ask("deployments/filter")}
    assert sorted(deployed) == ["deliver", "device", "encode", "ingest", "maintain", "pipeline"]
    assert deployed["pipeline"]["parameters"] == {"fleet": str(place.fleet), "store": str(place.store)}
    for expected in DEPLOYMENTS:
        found = deployed[expected.flow]
        limit = found["global_concurrency_limit"]
        assert (found["work_pool_name"], found["work_queue_name"]) == (expected.pool, expected.queue)
        assert (limit["limit"] if limit else None) == expected.at_once
        assert (found["concurrency_options"] or {}).get("collision_strategy") == expected.collision
        assert (found["version"], found["tags"]) == (__version__, list(expected.tags))
    form = deployed["pipeline"]["parameter_openapi_schema"]["properties"]
    assert form["epochs"]["title"] == "Epochs"
    assert "1 to 1000" in form["epochs"]["description"]


def test_the_schedule_makes_runs_that_do_not_wait_for_the_devices(place: Place) -> None:
    # With SQLAlchemy 2.1 the server's scheduler fails quietly, and nothing ever runs of its own accord.
    (pipeline,) = [found for found in place.ask("deployments/filter") if found["name"] == "pipeline"]
    end = time.monotonic() + 90
    wanted = {"flow_runs": {"deployment_id": {"any_": [pipeline["id"]]}, "tags": {"all_": ["auto-scheduled"]}}}
    while not (runs := place.ask("flow_runs/filter", **wanted)):
        assert time.monotonic() < end, "the server schedules nothing"
        time.sleep(1)
    assert runs[0]["state_type"] == "SCHEDULED"
    assert runs[0]["parameters"]["patience"] == 0
    assert set(pipeline["tags"]) <= set(runs[0]["tags"])


def sent(store: Store) -> list[tuple[str, int]]:
    """Device and images of each shard that was sent."""
    rows = store.scan(DELIVERIES, ["device", "rows"], pc.field("status") == "sent").to_pylist()
    return sorted((row["device"], row["rows"]) for row in rows)


def test_from_jpegs_to_shards_and_device_runs_and_nothing_twice(place: Place) -> None:
    said = json.loads(place.python(STAGES, str(place.fleet), str(place.store)))
    assert said["ingested"] == {"a": 2, "b": 1}
    assert said["rows"] == 3
    store = Store(str(place.store))
    assert store.summary().images == 3
    assert sent(store) == [("a", 1), ("b", 2)]
    assert all(Inbox(str(place.folder / name / "inbox")).names() == ["shard-0001-00000001"] for name in "ab")
    for name in "ab":
        run = place.get(f"flow_runs/{said['runs'][name]}")
        assert (run["work_queue_name"], run["state_type"]) == (f"queue-{name}", "SCHEDULED")
        assert run["parameters"]["name"] == name
    tables = {found["key"]: found["type"] for found in place.ask("artifacts/filter")}
    assert tables.items() >= {("ingested", "table"), ("bytes-and-psnr", "table"), ("encode-progress", "progress")}

    again = json.loads(place.python(STAGES, str(place.fleet), str(place.store)))
    assert again["ingested"] == {"a": 0, "b": 0}
    assert again["rows"] == 0
    assert store.summary().images == 3
    assert sent(store) == [("a", 1), ("b", 2)]
    assert again["runs"] == said["runs"]  # nothing new, no new run


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
