"""prefect.yaml and the catalogue say the same, and each entry point is the flow that it names."""

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.client.schemas.schedules import CronSchedule
from prefect.utilities.importtools import import_object

from flows.catalogue import DEPLOYMENTS, DEVICE, DEVICE_POOL, FOG_POOL, Deployment, device_queue
from rinr.version import __version__
from storage.fleet import Device

ROOT = Path(import_module("flows").__path__[0]).parent
FILE = ROOT / "prefect.yaml"
VARIABLES = {"fleet": "{{ $RINR_FLEET }}", "store": "{{ $RINR_STORE }}"}


@pytest.fixture(scope="module")
def declared() -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in yaml.safe_load(FILE.read_text())["deployments"]}


def as_declared(deployment: Deployment) -> dict[str, Any]:
    """What prefect.yaml has to say of a deployment, all of it but the description."""
    entry: dict[str, Any] = {
        "name": deployment.flow,
        "version": __version__,
        "entrypoint": deployment.entrypoint,
        "tags": list(deployment.tags),
        "parameters": {place: VARIABLES[place] for place in deployment.places},
        "work_pool": {"name": deployment.pool, "work_queue_name": deployment.queue},
    }
    if deployment.at_once is not None:
        entry["concurrency_limit"] = {"limit": deployment.at_once, "collision_strategy": deployment.collision}
    if deployment.schedules:
        entry["schedules"] = [
            {"slug": schedule.slug, "cron": schedule.cron, "timezone": "UTC", "active": True}
            | ({"parameters": dict(schedule.parameters)} if schedule.parameters else {})
            for schedule in deployment.schedules
        ]
    return entry


def test_prefect_yaml_declares_the_catalogue_and_nothing_else(declared: dict[str, dict[str, Any]]) -> None:
    assert list(declared) == [deployment.flow for deployment in DEPLOYMENTS]
    assert len(declared) == 6


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment.flow)
def test_all_that_is_declared_is_the_catalogues(deployment: Deployment, declared: dict[str, dict[str, Any]]) -> None:
    entry = dict(declared[deployment.flow])
    assert len(entry.pop("description")) > 60
    assert entry == as_declared(deployment)


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment.flow)
def test_the_entry_point_is_the_flow(deployment: Deployment) -> None:
    flow = import_object(deployment.entrypoint)
    assert isinstance(flow, Flow)
    assert flow.name == deployment.flow
    assert set(deployment.places) <= set(flow.parameters.properties)
    assert set(flow.parameters.required) <= {*deployment.places, "name"}, "the form asks for nothing else"


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment.flow)
def test_scheduled_runs_have_parameters_that_the_flow_takes(deployment: Deployment) -> None:
    places = {place: f"/srv/{place}" for place in deployment.places}
    for schedule in deployment.schedules:
        assert CronSchedule(cron=schedule.cron, timezone="UTC").cron == schedule.cron
        import_object(deployment.entrypoint).validate_parameters(places | dict(schedule.parameters))


def test_every_stage_is_reached_by_a_schedule() -> None:
    """What the pipeline runs needs no schedule of its own; devices are started by deliveries."""
    scheduled = {deployment.flow for deployment in DEPLOYMENTS if deployment.scheduled}
    assert scheduled == {"pipeline", "maintain"}


def test_only_the_device_flow_runs_on_devices() -> None:
    assert {deployment.pool for deployment in DEPLOYMENTS if deployment != DEVICE} == {FOG_POOL}
    assert DEVICE.pool == DEVICE_POOL
    assert DEVICE.at_once is None, "all devices share the deployment"


def test_no_path_of_a_machine_is_declared() -> None:
    assert not [line for line in FILE.read_text().splitlines() if line.startswith("  ") and ": /" in line]


def test_the_queue_of_a_device_is_the_fleets() -> None:
    assert device_queue(Device(name="a", storage="/s", inbox="/i", work_queue="its-queue", home="/h")) == "its-queue"


def test_names_stand_in_the_catalogue_alone() -> None:
    """No other module spells a deployment's full name, or hands a pool or queue over as text."""
    full_names = {deployment.full_name for deployment in DEPLOYMENTS}
    for room in ("flows", "tasks", "services", "rinr/cli"):
        for file in (ROOT / room).glob("*.py"):
            if file.name == "catalogue.py":
                continue
            for call in (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)):
                spelled = {argument.value for argument in call.args if isinstance(argument, ast.Constant)}
                assert not spelled & full_names, f"{file.name} spells {spelled & full_names}"
                for keyword in call.keywords:
                    named = keyword.arg in ("pool", "queue", "work_pool_name", "work_queue_name")
                    assert not (named and isinstance(keyword.value, ast.Constant)), f"{file.name}: {keyword.arg}"
