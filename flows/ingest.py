"""The flow `ingest`: take what is new on the devices into the store."""

from prefect import flow

from flows.parameters import FleetFile, Limit, StoreUrl
from storage.ingestion import IngestReport
from tasks.fleet import read_fleet
from tasks.ingest import ingest_device
from tasks.report import publish_ingest


@flow(name="ingest")
def ingest(fleet: FleetFile, store: StoreUrl, limit: Limit = None) -> list[IngestReport]:
    """List every device's JPEGs, check and identify the new ones, and take them into the store.

    Files that are broken lie in the store's quarantine afterwards with the reason. A device that cannot be reached
    does not stop the others, and fails the run at its end.
    """
    states = [ingest_device(device, store, limit, return_state=True) for device in read_fleet(fleet).devices]
    reports = [state.result() for state in states if state.is_completed()]
    publish_ingest(reports)
    for state in states:
        state.result()  # raises what kept a device from being read
    return reports
