"""Delivery: shards into inboxes, and the devices' runs that follow from them."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect import get_client, get_run_logger, task

from storage.delivery import deliver
from storage.fleet import Device
from storage.inbox import Inbox
from storage.tables import Delivery
from tasks.encode import encoding_of
from tasks.fleet import secrets
from tasks.retrying import RETRIES, RETRY_SECONDS, may_succeed_later
from tasks.run_creation import create_run
from tasks.stores import open_store

# Of a device run that failed, was cancelled or crashed, another one is made when the same is asked for again.
_ATTEMPTS = 5
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


@task(
    task_run_name="deliver to {device.name}",
    retries=RETRIES,
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=may_succeed_later,
)
def deliver_to_device(device: Device, store: str, preset: str) -> Delivery | None:
    """Put the rows that a device lacks into its inbox as one shard; ``None`` where it lacks none."""
    delivery = deliver(open_store(store), device, encoding_id=encoding_of(preset), secrets=secrets)
    if delivery is None:
        get_run_logger().info("%s lacks nothing", device.name)
    else:
        get_run_logger().info(
            "%s: shard %s with %d images, %d bytes", device.name, delivery.shard, delivery.rows, delivery.bytes
        )
    return delivery


@task(task_run_name="look into the inbox of {device.name}", retries=RETRIES, retry_delay_seconds=RETRY_SECONDS)
def inbox_state(device: Device) -> str | None:
    """A name for all that lies in a device's inbox, which changes when a shard arrives; ``None`` where it is empty."""
    shards = Inbox(device.inbox, device.inbox_options, secrets).names()
    return hashlib.sha256("\n".join(shards).encode()).hexdigest()[:32] if shards else None


@task(
    task_run_name="start the run of {device.name}",
    retries=4,
    retry_delay_seconds=[1, 3, 9, 20],
    retry_condition_fn=may_succeed_later,
)
def start_device_run(device: Device, deployment: str, queue: str, parameters: Mapping[str, Any], key: str) -> DeviceRun:
    """Create a device's run on the device's own queue, once for a key, and return without waiting for it.

    A server under load answers with an error now and then: the retry asks with the same key and finds the run that
    the first attempt may have made.

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
            key=f"{key}:{device.name}:{attempt}",
        )
        if run.state is None or not run.state.is_final() or run.state.is_completed():
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
