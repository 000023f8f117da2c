"""The flow `encode`: fit what the store lacks on a Dask cluster, and commit it batch by batch."""

from collections.abc import Sequence
from itertools import count
from typing import Any

from prefect import flow
from prefect.futures import PrefectFuture

from flows.parameters import BatchSize, Cluster, FleetFile, PresetName, StoreUrl, TorchDevice
from storage.tables import Pending
from tasks.batches import BATCHES_A_WORKER
from tasks.cluster import ask_workers, task_runner
from tasks.cluster_settings import ClusterSettings
from tasks.encode import (
    commit_batch,
    count_missing,
    devices_of,
    encode_batch,
    find_missing,
    missing_batches,
    sweep_landing,
)
from tasks.ending import ended
from tasks.fleet import read_fleet
from tasks.in_flight import in_flight
from tasks.progress import Progress
from tasks.publish_encode import encoding_sentence, publish_encoded
from tasks.turns import turn


# A lost scheduler fails the run within a second, and nothing below the run can mend it: hence the retry.
@flow(name="encode", retries=1, retry_delay_seconds=5)
def encode(
    fleet: FleetFile,
    store: StoreUrl,
    preset: PresetName = "balanced",
    batch: BatchSize = 0,
    cluster: Cluster = ClusterSettings(),  # noqa: B008  (frozen)
    accelerator: TorchDevice = "auto",
) -> int:
    """Encode the images that the store lacks in this preset, and commit them batch by batch; returns rows added.

    What an interrupted run has committed is not encoded again.
    """
    added = 0
    with turn("encode", store):
        if find_missing(store, preset, limit=1):  # a cluster costs seconds to start, so none is started for nothing
            fit = fit_missing.with_options(task_runner=task_runner(cluster, accelerator))
            added = fit(fleet, store, preset, batch, accelerator)
        sweep_landing(store, preset)
    if added:
        publish_encoded(store, preset, added)
    return ended(added, encoding_sentence(added, preset))


# What this flow is called with travels with every batch.
@flow(name="fit", validate_parameters=False)
def fit_missing(fleet: str, store: str, preset: str, batch: int, accelerator: str) -> int:
    """Encode what is missing on the workers of this flow's task runner, committing each batch as it comes back."""
    devices = read_fleet(fleet)
    workers = ask_workers(accelerator)
    progress = Progress("encode-progress", "images encoded", count_missing(store, preset))
    numbers = count(1)

    def submit(images: Sequence[Pending]) -> PrefectFuture[Any]:
        with workers.submitting():
            return encode_batch.submit(next(numbers), images, preset, store, devices_of(images, devices), accelerator)

    added = 0
    batches = missing_batches(store, preset, workers.fits, batch)
    for encoded in in_flight(submit, batches, most=BATCHES_A_WORKER * workers.fits):
        added += commit_batch(store, encoded)
        progress.advance(encoded.size)
    return added
