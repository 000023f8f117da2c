"""Creates the runs of many devices as the flow `deliver` does, in a process of its own that prints what it did.

`python -m tests.drills.fan_out prepare` makes the pools and the deployment, `python -m tests.drills.fan_out ORDER`
starts one run a device; ORDER is a file of JSON with `names`, `key` and `folder`.
"""

import json
import sys
import time
from pathlib import Path

from prefect import flow, get_client
from prefect.deployments.runner import RunnerDeployment

from flows.catalogue import DEVICE, DEVICE_POOL, FOG_POOL, device_queue
from services.prefect_api import make_pools
from storage.fleet import Device
from tasks.device_runs import DeviceRun, start_device_run
from tests.drills.noted_flow import device as noted_flow

ENTRYPOINT = "tests.drills.noted_flow.device"


def device_named(name: str) -> Device:
    """A device of which nothing but the name matters here."""
    return Device(name=name, storage=f"/nowhere/{name}", inbox=f"/nowhere/{name}/in", home=f"/nowhere/{name}/home")


def prepare() -> None:
    """Pools, and in place of the deployment of `device` one whose runs do next to nothing."""
    make_pools((FOG_POOL, DEVICE_POOL))
    deployment = RunnerDeployment.from_entrypoint(
        ENTRYPOINT, name=DEVICE.full_name.partition("/")[2], work_pool_name=DEVICE_POOL
    )
    deployment.apply()
    with get_client(sync_client=True) as client:
        assert client.read_deployment_by_name(DEVICE.full_name).entrypoint == ENTRYPOINT


@flow(name="fan-out")
def fan_out(names: list[str], key: str, folder: str) -> list[DeviceRun]:
    runs = []
    for device in map(device_named, names):
        parameters = {"name": device.name, "folder": folder}
        runs.append(start_device_run.fn(device, DEVICE.full_name, device_queue(device), parameters, key))
    return runs


def main(order: str) -> None:
    if order == "prepare":
        assert noted_flow.name == DEVICE.flow
        prepare()
        return
    wanted = json.loads(Path(order).read_text())
    start = time.monotonic()
    runs = fan_out(wanted["names"], wanted["key"], wanted["folder"])
    seconds = time.monotonic() - start
    print(json.dumps({"seconds": seconds, "runs": {run.device: run.flow_run_id for run in runs}}))


if __name__ == "__main__":
    main(sys.argv[1])
