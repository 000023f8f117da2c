"""The flow `maintain`: keep the weight store fast and small while others use it."""

from prefect import flow

from flows.parameters import KeepHours, StoreUrl
from tasks.maintain import compact, count, publish_statistics, vacuum


@flow(name="maintain")
def maintain(store: StoreUrl, keep_hours: KeepHours = 168.0) -> int:
    """Compact the store's tables, remove files that were replaced long ago, and show what it holds.

    Others may read and write meanwhile. Where nothing is to be done, no table changes. Returns the files removed.
    """
    rewrites = compact(store)
    removed = vacuum(store, keep_hours)
    found = count(store)
    if found is not None:
        publish_statistics(found, rewrites, removed)
    return removed
