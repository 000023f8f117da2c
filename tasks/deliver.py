"""Delivery: contacts with devices; their own runs, which follow from it, are in ``device_runs.py``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any, cast

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run

from storage.delivery import Candidates, DeliveryReport, Heard, candidates, deliver, hear, waits
from storage.fleet import Device, Fleet, Fog
from storage.shards.signing_key import signing_key
from storage.store import StoreError
from storage.tables import now
from tasks.device_runs import trained_as
from tasks.each_device import DEVICES_AT_ONCE, ask_each
from tasks.encode import encoding_of
from tasks.ending import NOTHING_NEW
from tasks.events import device_silent
from tasks.fleet import secrets
from tasks.retrying import RETRIES, RETRY_SECONDS, may_succeed_later
from tasks.stores import open_store

_reading = Lock()


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
        return waits(opened, device, offered, secrets=secrets, trained=lambda report: trained_as(report, training))

    answers = ask_each(fleet.devices, has_reason)
    found = [device for device, answer in zip(fleet.devices, answers, strict=True) if answer]
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


@task(task_run_name="hear what the devices have", cache_policy=NO_CACHE)
def hear_devices(fleet: Fleet, store: str) -> int:
    """Write down what the devices acknowledge by now, and send nothing; returns the shards that are new in that.

    A device that cannot be heard is left to the next delivery.
    """
    opened = open_store(store)

    def heard(device: Device) -> Heard | Exception:
        try:
            return hear(opened, device, secrets=secrets)
        except StoreError as error:  # all that the run did stands already: its report must not be lost for this
            return error

    answers = ask_each(fleet.devices, heard)
    for device, answer in zip(fleet.devices, answers, strict=True):
        if isinstance(answer, Exception):
            get_run_logger().warning("%s: %s", device.name, answer)
        else:
            _log_heard(device.name, answer)
    return sum(len(answer.acknowledged) for answer in answers if isinstance(answer, Heard))


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
    _log_heard(device, report)
    standing = report.standing
    if standing.silent and standing.waiting_since:
        hours = (now() - standing.waiting_since).total_seconds() / 3600
        logger.warning("%s: silent; %d images wait for it since %.1f hours", device, standing.images_waiting, hours)
        device_silent(device, hours, standing.images_waiting)
    if report.left_out:
        logger.info("%s: %d images left out for now", device, report.left_out)


def _log_heard(device: str, heard: Heard | DeliveryReport) -> None:
    logger = get_run_logger()
    for name in heard.acknowledged:
        logger.info("%s: %s acknowledged", device, name)
    for name, reason in heard.asked:
        logger.info("%s: %s asked for again: %s", device, name, reason)
    for one in heard.refused:
        logger.warning("%s: refused %s (%s): %s", device, one.name, one.fault, one.reason)
    for note in heard.notes:
        logger.warning("%s: %s", device, note)
