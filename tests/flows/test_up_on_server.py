"""What `rinr up` asks of a real server: an end to what stopped workers were running, and schedules of another pace."""

import json

from flows.catalogue import DEVICE, ENCODE, MAINTAIN
from tests.flows.conftest import Place

LOST = """
import json, sys
from prefect import get_client
from prefect.states import Running
from services import prefect_api
encode, device = sys.argv[1:]
with get_client(sync_client=True) as client:
    def made(name, queue=None, state=None):
        found = client.read_deployment_by_name(name)
        parameters = {"name": "a"} if name == device else {}
        run = client.create_flow_run_from_deployment(found.id, parameters=parameters, work_queue_name=queue)
        if state is not None:
            client.set_flow_run_state(run.id, state, force=True)
        return run.id
    runs = {
        "fog": made(encode, state=Running()),
        "here": made(device, "queue-a", Running()),
        "elsewhere": made(device, "queue-b", Running()),
        "waiting": made(encode),
    }
    count = prefect_api.end_lost({"fog": None, "devices": ["queue-a"]})
    again = prefect_api.end_lost({"fog": None, "devices": ["queue-a"]})
    states = {name: client.read_flow_run(run).state.type.value for name, run in runs.items()}
    for run in runs.values():
        client.delete_flow_run(run)
print(json.dumps({"count": count, "again": again, "ready": prefect_api.pool_is_ready("fog")} | states))
"""

PACE = """
import sys
from services import prefect_api
prefect_api.set_interval(sys.argv[1], 90)
"""


def test_runs_whose_workers_are_gone_are_ended_and_no_others(place: Place) -> None:
    said = json.loads(place.python(LOST, ENCODE.full_name, DEVICE.full_name))
    assert said == {
        "count": 2,
        "again": 0,
        "ready": False,
        "fog": "CRASHED",
        "here": "CRASHED",
        "elsewhere": "RUNNING",
        "waiting": "SCHEDULED",
    }


def test_a_schedule_gets_another_pace_and_keeps_its_place(place: Place) -> None:
    path = f"deployments/name/{MAINTAIN.full_name}"
    (before,) = place.get(path)["schedules"]
    place.python(PACE, MAINTAIN.full_name)
    (after,) = place.get(path)["schedules"]
    assert after["schedule"]["interval"] == 90 * 60
    assert (after["id"], after["active"], after["slug"]) == (before["id"], True, before["slug"])
