"""The flow `maintain`: keep the weight store fast and small while others use it."""

from prefect import flow

from flows.parameters import KeepHours, StoreUrl
from tasks.ending import ended
from tasks.maintain import compact, count, sentence_of, vacuum
from tasks.publish_maintain import publish_statistics
from tasks.turns import turn


@flow(name="maintain")
def maintain(store: StoreUrl, keep_hours: KeepHours = 168.0) -> int:
    """Compact the store's tables, remove files that were replaced long ago, and show what it holds.

    Others may read and write meanwhile. Where nothing is to be done, no table changes and nothing is shown. Returns the
    files removed.
    """
    with turn("maintain", store):
        rewrites = compact(store)
        removed = vacuum(store, keep_hours)
    if rewrites or removed:
        found = count(store)
        publish_statistics(found, rewrites, removed)
    return ended(removed, sentence_of(rewrites, removed))
