"""The flow `encode`: fit what the store lacks on a Dask cluster, and commit it batch by batch."""

from collections.abc import Sequence

from prefect import flow
from prefect.futures import as_completed

from flows.parameters import BatchSize, FleetFile, PresetName, Scheduler, StoreUrl, TorchDevice, Workers
from storage.fleet import Fleet
from storage.tables import Pending
from tasks.batches import batch_size, split
from tasks.cluster import Cluster
from tasks.encode import commit_batch, encode_batch, find_missing, sweep_landing
from tasks.fleet import read_fleet
from tasks.progress import Progress
from tasks.report import publish_store


# A lost scheduler fails the run within a second, and nothing below the run can mend it: hence the retry.
@flow(name="encode", retries=1, retry_delay_seconds=5)
def encode(
    fleet: FleetFile,
    store: StoreUrl,
    preset: PresetName = "balanced",
    batch: BatchSize = 0,
    workers: Workers = 0,
    scheduler: Scheduler = "",
    accelerator: TorchDevice = "auto",
) -> int:
    """Encode the images that the store lacks in this preset, and commit them batch by batch; returns rows added.

    What an interrupted run has committed is not encoded again.
    """
    devices = read_fleet(fleet)
    missing = find_missing(store, preset)
    added = 0
    if missing:  # a cluster costs seconds to start, so none is started for nothing
        cluster = Cluster(workers=workers, address=scheduler)
        batches = split(missing, batch_size(len(missing), cluster.size, batch))
        fit = fit_batches.with_options(task_runner=cluster.task_runner())
        added = fit(batches, preset, store, devices, cluster.torch_threads, accelerator)
    sweep_landing(store, preset)
    publish_store(store, preset)
    return added


@flow(name="fit", validate_parameters=False)
def fit_batches(
    batches: Sequence[Sequence[Pending]], preset: str, store: str, fleet: Fleet, torch_threads: int, accelerator: str
) -> int:
    """Encode batches on the workers of this flow's task runner, committing each as it comes back."""
    progress = Progress("encode-progress", "images encoded", sum(map(len, batches)))
    futures = [
        encode_batch.submit(number, batch, preset, store, fleet, torch_threads, accelerator)
        for number, batch in enumerate(batches, start=1)
    ]
    sizes = dict(zip(futures, map(len, batches), strict=True))
    added = 0
    failed = []
    for future in as_completed(futures):
        future.wait()
        if future.state.is_completed():
            added += commit_batch(store, future.result())
            progress.advance(sizes[future])
        else:
            failed.append(future)
    for future in failed:
        future.result()  # raises: the other batches are committed by now
    return added
