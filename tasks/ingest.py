"""Ingest: one device's new JPEGs to the store's landing place and sources."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from prefect import get_run_logger, task

from storage.fleet import Device
from storage.ingestion import IngestReport, ingest
from storage.intake.validation import Validator
from tasks.fleet import secrets
from tasks.retrying import RETRIES, RETRY_SECONDS, may_succeed_later
from tasks.stores import open_store


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
