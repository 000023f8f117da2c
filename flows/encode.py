"""The flow `encode`: fit what the store lacks on a Dask cluster, and commit it batch by batch."""

from prefect import flow

from flows.parameters import BatchSize, Cluster, FleetFile, PresetName, StoreUrl, TorchDevice
from tasks.cluster_settings import ClusterSettings
from tasks.encode import clips_of, find_missing, sweep_landing
from tasks.ending import ended
from tasks.fleet import preset_of, read_fleet
from tasks.publish_encode import encoding_sentence, publish_encoded
from tasks.turns import turn


# A lost scheduler fails the run within a second, and nothing below the run can mend it: hence the retry.
@flow(name="encode", retries=1, retry_delay_seconds=5)
def encode(
    fleet: FleetFile,
    store: StoreUrl,
    preset: PresetName = "fleet",
    batch: BatchSize = 0,
    cluster: Cluster = ClusterSettings(),  # noqa: B008  (frozen)
    accelerator: TorchDevice = "auto",
) -> int:
    """Encode the images that the store lacks in this preset, and commit them batch by batch; returns rows added.

    What an interrupted run has committed is not encoded again.
    """
    devices = read_fleet(fleet)
    added, named = 0, preset_of(devices, preset)
    with turn("encode", store):
        if find_missing(store, named, limit=1):  # a cluster costs seconds to start, so none is started for nothing
            from flows.fit import fit_on  # nor is Dask imported: half of what a scheduled run takes that finds nothing

            added = fit_on(cluster, fleet, store, named, batch, accelerator)
        if added and clips_of(named):
            from tasks.publish_clips import publish_clips

            publish_clips(devices, store, named)  # while what has landed is there to be shown
        sweep_landing(store, named)
    if added:
        publish_encoded(store, named, added)
    return ended(added, encoding_sentence(added, named))
