"""The flow `ingest`: take what is new on the devices into the store."""

from typing import Any, cast

from prefect import flow
from prefect.futures import PrefectFuture, wait
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.parameters import FleetFile, Limit, StoreUrl
from storage.ingestion import IngestReport
from tasks.each_device import DEVICES_AT_ONCE
from tasks.ending import ended
from tasks.fleet import read_fleet
from tasks.ingest import gather_ingested, ingest_device
from tasks.publish_ingest import publish_ingest
from tasks.turns import turn

_THREADS = cast(TaskRunner[PrefectFuture[Any]], ThreadPoolTaskRunner(max_workers=DEVICES_AT_ONCE))


@flow(name="ingest", task_runner=_THREADS)
def ingest(fleet: FleetFile, store: StoreUrl, limit: Limit = None) -> list[IngestReport]:
    """List every device's JPEGs, check and identify the new ones, and take them into the store.

    Files that are broken lie in the store's quarantine afterwards with the reason. A device that cannot be reached
    does not stop the others, and fails the run at its end; what it has is taken in a later run, oldest first, at most
    the limit in each.
    """
    devices = read_fleet(fleet).devices
    with turn("ingest", store):
        futures = [ingest_device.submit(device, store, limit) for device in devices]
        wait(futures)
    ingested = gather_ingested(devices, [future.state for future in futures])
    if ingested.changed:
        publish_ingest(ingested, store)
    ingested.raise_for_failures()
    return ended(list(ingested.reports), ingested.sentence)
