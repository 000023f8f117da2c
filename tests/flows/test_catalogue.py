from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.utilities.importtools import import_object

from flows.catalogue import DEPLOYMENTS, DEVICE, DEVICE_POOL, FOG_POOL, Deployment, device_queue
from storage.fleet import Device

FILE = Path(import_module("flows").__path__[0]).parent / "prefect.yaml"


@pytest.fixture(scope="module")
def declared() -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in yaml.safe_load(FILE.read_text())["deployments"]}


def test_prefect_yaml_declares_the_catalogue_and_nothing_else(declared: dict[str, dict[str, Any]]) -> None:
    assert list(declared) == [deployment.flow for deployment in DEPLOYMENTS]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment.flow)
def test_entry_point_pool_and_schedule(deployment: Deployment, declared: dict[str, dict[str, Any]]) -> None:
    entry = declared[deployment.flow]
    assert entry["entrypoint"] == deployment.entrypoint
    assert entry["work_pool"]["name"] == deployment.pool
    assert bool(entry.get("schedules")) == deployment.scheduled
    assert entry["description"]
    assert "residual-inr" in entry["tags"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment.flow)
def test_the_entry_point_is_the_flow(deployment: Deployment, declared: dict[str, dict[str, Any]]) -> None:
    flow = import_object(deployment.entrypoint)
    assert isinstance(flow, Flow)
    assert flow.name == deployment.flow
    known = flow.parameters.properties
    assert set(declared[deployment.flow]["parameters"]) <= set(known)


def test_only_the_device_flow_runs_on_devices() -> None:
    assert {deployment.pool for deployment in DEPLOYMENTS if deployment != DEVICE} == {FOG_POOL}
    assert DEVICE.pool == DEVICE_POOL


def test_no_path_of_a_machine_is_declared() -> None:
    assert not [line for line in FILE.read_text().splitlines() if line.startswith("  ") and ": /" in line]


def test_the_queue_of_a_device_is_the_fleets() -> None:
    assert device_queue(Device(name="a", storage="/s", inbox="/i", work_queue="its-queue", home="/h")) == "its-queue"
