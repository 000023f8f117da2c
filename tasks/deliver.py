"""Delivery: contacts with devices, and the devices' runs that follow from them."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any, cast
from uuid import UUID

from prefect import get_client, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.client.schemas.objects import FlowRun
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run

from storage.delivery import Candidates, DeliveryReport, Standing, candidates, deliver, standings, waits
from storage.fleet import Device, Fleet, Fog
from storage.inbox import InboxError
from storage.outbox import OutboxError
from storage.shards.signing_key import signing_key
from storage.tables import now
from tasks.encode import encoding_of
from tasks.ending import NOTHING_NEW
from tasks.events import device_silent
from tasks.fleet import secrets
from tasks.retrying import RETRIES, RETRY_SECONDS, may_succeed_later
from tasks.run_creation import create_run
from tasks.stores import open_store

DEVICES_AT_ONCE = 8
"""Contacts at the same time: they wait for networks most of the time."""

# Of a device run that failed, was cancelled or crashed, another one is made when the same is asked for again.
_ATTEMPTS = 5
_RUNS_ASKED = 100  # that the server is asked for at once
_POLL_SECONDS = 1.0

_reading = Lock()


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


class DeliveryError(RuntimeError):
    """Some devices could not be reached; the message says which, and why."""


@dataclass(frozen=True)
class UnreachedDevice:
    """A device with which there was no contact.

    Attributes:
        failure: why, in a sentence.
    """

    device: str
    failure: str


@task(
    task_run_name="look who lacks or says something",
    retries=RETRIES,
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=may_succeed_later,
    cache_policy=NO_CACHE,
)
def find_waiting(fleet: Fleet, store: str, preset: str, training: Mapping[str, Any]) -> list[Device]:
    """The devices with which a contact would do anything, or that have yet to store or to train; nothing is written.

    One that cannot be looked at counts: the contact with it says what is the matter.

    Args:
        training: parameters of the device flow: who has trained otherwise has yet to train.

    Raises:
        StoreError: the store cannot be read.
    """
    opened, offered = open_store(store), _offered(store, encoding_of(preset))

    def has_reason(device: Device) -> bool:
        try:
            return waits(opened, device, offered, secrets=secrets, trained=lambda report: _is_as(report, training))
        except (InboxError, OutboxError, ValueError):
            return True

    with ThreadPoolExecutor(DEVICES_AT_ONCE) as pool:
        found = [device for device, has in zip(fleet.devices, pool.map(has_reason, fleet.devices), strict=True) if has]
    get_run_logger().info(
        "%d images in %r; %d of %d devices lack or say something",
        len(offered), preset, len(found), len(fleet.devices),
    )  # fmt: skip
    return found


def deliver_to_devices(
    devices: Sequence[Device], fog: Fog, store: str, preset: str
) -> tuple[list[DeliveryReport], list[UnreachedDevice]]:
    """A contact with each device, several at a time, each a task of its own: one that fails holds up no other."""
    reports, unreached = [], []
    futures: list[tuple[Device, PrefectFuture[Any]]] = []
    waiting = list(devices)
    while waiting or futures:
        while waiting and len(futures) < DEVICES_AT_ONCE:
            device = waiting.pop(0)
            futures.append((device, deliver_to_device.submit(device, fog, store, preset)))
        device, future = futures.pop(0)
        future.wait()
        if future.state.is_completed():
            reports.append(cast(DeliveryReport, future.result()))
        else:
            message = future.state.message or f"its task ended as {future.state.name}"
            unreached.append(UnreachedDevice(device.name, message))
    return reports, unreached


@task(
    task_run_name="deliver to {device.name}",
    retries=RETRIES,
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=may_succeed_later,
    cache_policy=NO_CACHE,
)
def deliver_to_device(device: Device, fog: Fog, store: str, preset: str) -> DeliveryReport:
    """Hear what a device has, and put what it lacks into its inbox."""
    offered = _offered(store, encoding_of(preset))
    report = deliver(open_store(store), device, offered, signing_key(fog, secrets), secrets=secrets)
    _log(report)
    return report


def raise_for_unreached(unreached: Sequence[UnreachedDevice]) -> None:
    """Raise :class:`DeliveryError` where there was no contact with some devices."""
    if unreached:
        raise DeliveryError("; ".join(f"{one.device}: {one.failure}" for one in unreached))


def spoken(reports: Sequence[DeliveryReport]) -> str:
    """What some contacts did, in a sentence."""
    sent = [report for report in reports if report.sent]
    if not sent:
        acknowledged = sum(len(report.acknowledged) for report in reports)
        return f"{acknowledged} shards acknowledged" if acknowledged else NOTHING_NEW
    shards, images, size = (
        sum(len(report.sent) for report in sent), sum(report.images for report in sent), sum(r.bytes for r in sent)
    )  # fmt: skip
    return f"{shards} shards to {len(sent)} devices, {images:,} images, {size:,} bytes"


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
    due = {one.device for one in reports if one.training_due or not _is_as(one.trained, training)}
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


def _is_as(report: bytes | None, training: Mapping[str, Any]) -> bool:
    """Whether a device's report is of a training with these parameters."""
    try:
        found = json.loads(report or b"null")
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and all(found.get(name) == training.get(name) for name in ("epochs", "seed"))


def _offered(store: str, encoding_id: str) -> Candidates:
    """What may be sent: read once a flow run, whichever of its threads asks first."""
    with _reading:
        return _read_offered(store, encoding_id, str(flow_run.id))


@lru_cache(maxsize=1)
def _read_offered(store: str, encoding_id: str, run: str) -> Candidates:
    return candidates(open_store(store), encoding_id)


def _log(report: DeliveryReport) -> None:
    logger, device = get_run_logger(), report.device
    for shard in report.sent:
        again = " again" if shard.again else ""
        logger.info("%s: %s sent%s, %d images, %d bytes", device, shard.name, again, shard.images, shard.bytes)
    for name in report.acknowledged:
        logger.info("%s: %s acknowledged", device, name)
    for name, reason in report.asked:
        logger.info("%s: %s asked for again: %s", device, name, reason)
    for one in report.refused:
        logger.warning("%s: refused %s (%s): %s", device, one.name, one.fault, one.reason)
    for note in report.notes:
        logger.warning("%s: %s", device, note)
    standing = report.standing
    if standing.silent and standing.waiting_since:
        hours = (now() - standing.waiting_since).total_seconds() / 3600
        logger.warning("%s: silent; %d images wait for it since %.1f hours", device, standing.images_waiting, hours)
        device_silent(device, hours, standing.images_waiting)
    if report.left_out:
        logger.info("%s: %d images left out for now", device, report.left_out)
