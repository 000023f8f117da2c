"""The devices' own runs, in which they train: found or created once for what was delivered, and waited for."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect import get_client, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.client.schemas.objects import FlowRun

from storage.delivery import DeliveryReport, Standing, standings
from storage.fleet import Device, Fleet
from tasks.retrying import may_succeed_later
from tasks.run_creation import create_run
from tasks.stores import open_store

# Of a device run that failed, was cancelled or crashed, another one is made when the same is asked for again.
_ATTEMPTS = 5
_RUNS_ASKED = 100  # that the server is asked for at once
_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class DeviceRun:
    """The run of one device's training that a delivery started.

    Attributes:
        device: its name.
        flow_run_id: as text.
    """

    device: str
    flow_run_id: str


@dataclass(frozen=True)
class DeviceOutcome:
    """How a device's run ended.

    Attributes:
        failure: ``None`` where it completed, else a sentence.
    """

    device: str
    flow_run_id: str
    failure: str | None


@task(task_run_name="start the devices' runs", retries=2, retry_delay_seconds=[5, 20], cache_policy=NO_CACHE)
def start_device_runs(
    fleet: Fleet, store: str, reports: Sequence[DeliveryReport], deployment: str, training: Mapping[str, Any]
) -> list[DeviceRun]:
    """The runs in which the devices train on what was delivered: each is found, or created where it has to be.

    A run is for what was delivered to a device, and for a training: nothing new, no new run. Runs are created one after
    another, since a server on SQLite answers many at once with errors, and nobody waits for them.

    Args:
        fleet: all devices.
        store: where it stands what was delivered.
        reports: of the contacts: only among these a run may have to be created.
        deployment: full name of the device deployment.
        training: parameters of the device flow, but for the device's name.
    """
    keys = {one.device: training_key(one, training) for one in standings(open_store(store), fleet) if one.sequence}
    due = {one.device for one in reports if one.training_due or not trained_as(one.trained, training)}
    found = _find_runs(keys)
    runs = []
    for device in fleet.devices:
        if device.name in found:
            runs.append(DeviceRun(device.name, found[device.name]))
        elif device.name in keys and device.name in due:
            parameters = {**training, "name": device.name}
            runs.append(start_device_run.fn(device, deployment, device.work_queue, parameters, keys[device.name]))
    return runs


def training_key(standing: Standing, training: Mapping[str, Any]) -> str:
    """What a device's run is for: what was put into its inbox, again or for the first time, and how it is to train."""
    what = [standing.device, standing.generation, standing.sequence, standing.resent, sorted(training.items())]
    return hashlib.sha256(json.dumps(what, default=str).encode()).hexdigest()[:32]


def trained_as(report: bytes | None, training: Mapping[str, Any]) -> bool:
    """Whether a device's report is of a training with these parameters."""
    try:
        found = json.loads(report or b"null")
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and all(found.get(name) == training.get(name) for name in ("epochs", "seed"))


@task(
    task_run_name="start the run of {device.name}",
    retries=4,
    retry_delay_seconds=[1, 3, 9, 20],
    retry_condition_fn=may_succeed_later,
)
def start_device_run(device: Device, deployment: str, queue: str, parameters: Mapping[str, Any], key: str) -> DeviceRun:
    """Create a device's run on the device's own queue, once for a key, and return without waiting for it.

    A server under load answers with an error now and then: what is tried again asks with the same key, and finds the
    run that the attempt before may have made.

    Args:
        deployment: full name of the device deployment.
        queue: the device's work queue.
        parameters: of the device flow.
        key: what the run is for; equal keys give the same run as long as it has not failed.
    """
    for attempt in range(_ATTEMPTS):
        run = create_run(
            deployment,
            parameters=parameters,
            name=f"train on {device.name}",
            tags=[device.name],
            queue=queue,
            key=_attempt(key, device.name, attempt),
        )
        if not _has_failed(run):
            break
    get_run_logger().info("%s: run %s on queue %r", device.name, run.name, queue)
    return DeviceRun(device.name, str(run.id))


@task(task_run_name="wait for the devices", retries=3, retry_delay_seconds=5)
def wait_for_devices(runs: Sequence[DeviceRun], start_seconds: float, total_seconds: float) -> list[DeviceOutcome]:
    """Wait until all runs have ended, with a bound; a failed one is reported and does not stop the others.

    Args:
        start_seconds: how long a run may lie in its queue.
        total_seconds: how long all of them may take.
    """
    logger = get_run_logger()
    start = time.monotonic()
    open_runs = {UUID(run.flow_run_id): run for run in runs}
    outcomes: dict[str, DeviceOutcome] = {}
    with get_client(sync_client=True) as client:
        while open_runs:
            passed = time.monotonic() - start
            for run_id, run in list(open_runs.items()):
                state = client.read_flow_run(run_id).state
                failure: str | None = None
                if state is not None and state.is_final():
                    if not state.is_completed():
                        failure = f"its run ended as {state.name}: {state.message or 'no message'}"
                elif passed > start_seconds and (state is None or state.is_scheduled()):
                    failure = (
                        f"its run has not started within {start_seconds:.0f} s: is a worker on its queue? "
                        "(`prefect worker start --pool devices --work-queue NAME`)"
                    )
                elif passed > total_seconds:
                    failure = f"its run has not ended within {total_seconds:.0f} s"
                else:
                    continue
                del open_runs[run_id]
                outcomes[run.device] = DeviceOutcome(run.device, run.flow_run_id, failure)
                logger.info("%s: %s", run.device, failure or "done")
            if open_runs:
                time.sleep(_POLL_SECONDS)
    return [outcomes[run.device] for run in runs]


def _find_runs(keys: Mapping[str, str]) -> dict[str, str]:
    """Ids of the runs that there are for keys by device and have not failed: a few questions for however many."""
    found: dict[str, str] = {}
    asked = dict(keys)
    with get_client(sync_client=True) as client:
        for attempt in range(_ATTEMPTS):
            wanted = {_attempt(key, device, attempt): device for device, key in asked.items()}
            asked = {}
            names = list(wanted)
            for start in range(0, len(names), _RUNS_ASKED):
                some = FlowRunFilterIdempotencyKey(any_=names[start : start + _RUNS_ASKED])
                of_keys = FlowRunFilter(idempotency_key=some)
                for run in client.read_flow_runs(flow_run_filter=of_keys, limit=_RUNS_ASKED):
                    device = wanted[run.idempotency_key or ""]
                    if _has_failed(run):
                        asked[device] = keys[device]
                    else:
                        found[device] = str(run.id)
            if not asked:
                break
    return found


def _attempt(key: str, device: str, attempt: int) -> str:
    return f"{key}:{device}:{attempt}"


def _has_failed(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_final() and not run.state.is_completed()
