"""Maintenance: compaction, vacuum, and counting what the store holds."""

from collections.abc import Sequence
from datetime import timedelta

from prefect import get_run_logger, task

from storage.store import Rewrite
from storage.upkeep.statistics import Statistics, statistics
from tasks.ending import NOTHING_NEW
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
def count(store: str) -> Statistics:
    """Rows, files, bytes and shares of what the store holds.

    Raises:
        StoreError: the store cannot be read, or there is none.
    """
    return statistics(open_store(store).url)


def sentence_of(rewrites: Sequence[Rewrite], removed: int) -> str:
    """What was done, in a line."""
    done = [f"{len(rewrites)} tables compacted"] if rewrites else []
    if removed:
        done.append(f"{removed:,} files removed")
    return ", ".join(done) or NOTHING_NEW
