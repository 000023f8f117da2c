"""The flow `fit`, below `encode`: batches of what is missing on a Dask cluster, each committed as it comes back."""

from collections.abc import Sequence
from itertools import count
from typing import Any

from prefect import flow
from prefect.futures import PrefectFuture

from storage.tables import Pending
from tasks.batches import BATCHES_A_WORKER
from tasks.cluster import ask_workers, task_runner
from tasks.cluster_settings import ClusterSettings
from tasks.encode import commit_batch, count_missing, devices_of, encode_batch, known_parts, missing_batches
from tasks.fleet import read_fleet
from tasks.in_flight import in_flight
from tasks.progress import Progress


def fit_on(cluster: ClusterSettings, fleet: str, store: str, preset: str, batch: int, accelerator: str) -> int:
    """Fit what is missing on a cluster, which is started where it is not up already; returns rows added."""
    fit = fit_missing.with_options(task_runner=task_runner(cluster, accelerator))
    return fit(fleet, store, preset, batch, accelerator)


# What this flow is called with travels with every batch.
@flow(name="fit", validate_parameters=False)
def fit_missing(fleet: str, store: str, preset: str, batch: int, accelerator: str) -> int:
    """Encode what is missing on the workers of this flow's task runner, committing each batch as it comes back."""
    devices = read_fleet(fleet)
    workers = ask_workers(accelerator)
    progress = Progress("encode-progress", "images encoded", count_missing(store, preset))
    clips = known_parts(store, preset)
    numbers = count(1)

    def submit(images: Sequence[Pending]) -> PrefectFuture[Any]:
        known = clips.near(images) if clips else None
        with workers.submitting():
            return encode_batch.submit(
                next(numbers), images, preset, store, devices_of(images, devices), accelerator, known
            )

    added = 0
    batches = missing_batches(store, preset, workers.fits, batch)
    for encoded in in_flight(submit, batches, most=BATCHES_A_WORKER * workers.fits):
        added += commit_batch(store, encoded)
        if clips:
            clips.committed(encoded.images)
        progress.advance(encoded.size)
    return added
