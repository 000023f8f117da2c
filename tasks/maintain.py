"""Maintenance: compaction, vacuum and what a run shows of the store."""

from collections.abc import Sequence
from datetime import timedelta

from prefect import get_run_logger, task

from storage.store import Rewrite
from storage.upkeep.statistics import Statistics, exists, statistics
from tasks.artifacts import publish_picture, publish_table
from tasks.retrying import RETRIES, RETRY_SECONDS, may_succeed_later
from tasks.stores import open_store


@task(
    task_run_name="compact",
    retries=RETRIES,
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=may_succeed_later,
)
def compact(store: str) -> list[Rewrite]:
    """Rewrite the tables of many small files sorted, sum up their logs and drop what of them is old.

    Raises:
        StoreError: the store cannot be read or written.
    """
    rewrites = open_store(store).compact()
    logger = get_run_logger()
    for rewrite in rewrites:
        logger.info("%s: %d files are now %d", rewrite.table, rewrite.files_before, rewrite.files_after)
    if not rewrites:
        logger.info("nothing is to be compacted")
    return rewrites


@task(
    task_run_name="vacuum",
    retries=RETRIES,
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=may_succeed_later,
)
def vacuum(store: str, keep_hours: float) -> int:
    """Remove files that no snapshot of the last hours names; returns how many.

    Raises:
        StoreError: the store cannot be read or written.
    """
    removed = open_store(store).vacuum(timedelta(hours=keep_hours))
    get_run_logger().info("%d files removed", removed)
    return removed


@task(
    task_run_name="count",
    retries=RETRIES,
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=may_succeed_later,
)
def count(store: str) -> Statistics | None:
    """Rows, files, bytes and shares of what the store holds; ``None`` where there is no store yet.

    Raises:
        StoreError: the store cannot be read.
    """
    opened = open_store(store)
    if not exists(opened.url):
        get_run_logger().info("there is no store yet at %s", opened.url)
        return None
    return statistics(opened.url)


@task(task_run_name="publish statistics")
def publish_statistics(found: Statistics, rewrites: Sequence[Rewrite], removed: int) -> None:
    """A table with a line a table of the store, one with a line a device, and a picture where matplotlib is there."""
    before = {rewrite.table: rewrite.files_before for rewrite in rewrites}
    publish_table(
        "store-tables",
        f"The weight store after maintenance: {removed:,} files removed, {found.refused:,} refused in quarantine",
        [
            {
                "table": size.name,
                "rows": size.rows,
                "files before": before.get(size.name, size.files),
                "files": size.files,
                "bytes": size.bytes,
                "bytes of log": size.log_bytes,
                "bytes replaced, not yet removed": size.orphan_bytes,
            }
            for size in found.tables
        ],
    )
    shares = [("device", found.devices), ("family", found.families), ("preset", found.presets)]
    publish_table(
        "store-shares",
        f"Shares of {found.images:,} images; a picture of several devices counts with each",
        [
            {"of": what, "name": share.name, "rows": share.rows, "payload bytes": share.bytes}
            for what, group in shares
            for share in group
        ],
    )
    try:
        from storage.upkeep.statistics_picture import draw

        picture = draw(found)
    except ImportError:
        get_run_logger().warning("no picture of the statistics: pip install matplotlib")
        return
    publish_picture("store-picture", "Growth of the store, and the share of each device and family", picture)
