"""Ingest: one device's new JPEGs to the store's landing place and sources."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from prefect import get_run_logger, task
from prefect.client.schemas.objects import State

from storage.fleet import Device
from storage.ingestion import IngestReport, ingest
from storage.intake.validation import Validator
from tasks.ending import NOTHING_NEW
from tasks.events import quarantine_grew
from tasks.fleet import secrets
from tasks.retrying import RETRIES, RETRY_SECONDS, may_succeed_later
from tasks.stores import open_store


class IngestError(RuntimeError):
    """Some devices could not be read; the message says which and why. What the others had is taken."""


@dataclass(frozen=True)
class Ingested:
    """What one run took from all devices.

    Attributes:
        reports: of the devices that could be read.
        failures: of the others, a sentence each that names the device.
    """

    reports: tuple[IngestReport, ...]
    failures: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Whether anything was taken, refused or retired."""
        return any(report.new or report.refused or report.retired for report in self.reports)

    @property
    def sentence(self) -> str:
        """What was done, in a line."""
        if not self.changed:
            return NOTHING_NEW
        new, refused = sum(r.new for r in self.reports), sum(r.refused for r in self.reports)
        said = f"{new:,} new from {sum(bool(r.new) for r in self.reports)} of {len(self.reports)} devices"
        return f"{said}, {refused:,} refused" if refused else said

    def raise_for_failures(self) -> None:
        """Raise :class:`IngestError` where a device could not be read."""
        if self.failures:
            devices = len(self.failures) + len(self.reports)
            raise IngestError(f"{len(self.failures)} of {devices} devices not read: {'; '.join(self.failures)}")


def gather_ingested(devices: Sequence[Device], states: Sequence[State[Any]]) -> Ingested:
    """What became of the devices' tasks, in their order."""
    reports, failures = [], []
    for device, state in zip(devices, states, strict=True):
        result = state.result(raise_on_failure=False)
        if isinstance(result, IngestReport):
            reports.append(result)
        else:
            failures.append(f"{device.name}: {result or state.message or state.name}")
    return Ingested(tuple(reports), tuple(failures))


@task(
    task_run_name="ingest {device.name}",
    retries=RETRIES,
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=may_succeed_later,
)
def ingest_device(device: Device, store: str, limit: int | None) -> IngestReport:
    """List, validate, identify and land one device's new JPEGs; what is broken goes to the quarantine.

    Raises:
        DeviceError: the device's storage cannot be reached.
        StoreError: the store cannot be written.
    """
    with _VALIDATORS.shared() as validator:
        report = ingest(device, open_store(store), secrets=secrets, limit=limit, validator=validator)
    logger = get_run_logger()
    logger.info(
        "%s: %d JPEGs found, %d new, %d known, %d refused, %d wait for their labels, %d left for the next run, "
        "%d more in the backlog, %d originals moved or deleted",
        device.name, report.found, report.new, report.known, report.refused, report.waiting, report.left,
        report.backlog, report.retired,
    )  # fmt: skip
    for note in report.notes:
        logger.warning("%s: %s", device.name, printable(note))
    if report.refused:
        quarantine_grew(device.name, report.refused)
    return report


def printable(text: str) -> str:
    """Text from devices as one line of a log: what is not printable is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class _Validators:
    """One validator for all devices that are read at the same time: the cores are the same ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._validator: Validator | None = None

    @contextmanager
    def shared(self) -> Iterator[Validator]:
        """A validator, which ends with its last user."""
        with self._lock:
            self._validator = self._validator or Validator()
            self._users += 1
            validator = self._validator
        try:
            yield validator
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    validator.close()
                    self._validator = None


_VALIDATORS = _Validators()
