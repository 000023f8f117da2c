"""Ingest: one device's new JPEGs to the store's landing place and sources."""

from prefect import get_run_logger, task

from storage.fleet import Device
from storage.ingestion import IngestReport, ingest
from storage.store import Store
from tasks.fleet import secrets
from tasks.retrying import RETRIES, RETRY_SECONDS, may_succeed_later


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
    report = ingest(device, Store(store), secrets=secrets, limit=limit)
    logger = get_run_logger()
    logger.info(
        "%s: %d JPEGs found, %d new, %d known, %d refused",
        device.name, report.found, report.new, report.known, report.refused,
    )  # fmt: skip
    for note in report.notes:
        logger.warning("%s: %s", device.name, note)
    return report
