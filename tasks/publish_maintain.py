"""What a run of maintenance leaves to look at."""

from collections.abc import Sequence

from prefect import get_run_logger, task

from storage.store import Rewrite
from storage.upkeep.statistics import Statistics
from tasks.artifacts import Summary, publish_picture, publish_summary, publish_table
from tasks.stages import seconds_so_far


@task(task_run_name="publish statistics")
def publish_statistics(found: Statistics, rewrites: Sequence[Rewrite], removed: int) -> None:
    """A summary, a table of the store's tables, one of its shares, and a picture where matplotlib is there."""
    publish_summary("maintenance", "What maintenance did", maintenance_summary(found, rewrites, removed))
    before = {rewrite.table: rewrite.files_before for rewrite in rewrites}
    publish_table(
        "store-tables",
        "The weight store after maintenance",
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


def maintenance_summary(found: Statistics, rewrites: Sequence[Rewrite], removed: int) -> Summary:
    """What was done, what it cost and what is left, in lines of Markdown."""
    did = [f"{rewrite.table}: {rewrite.files_before:,} files are now {rewrite.files_after:,}" for rewrite in rewrites]
    if removed:
        did.append(f"{removed:,} files removed that were replaced long ago")
    kept = sum(size.orphan_bytes for size in found.tables)
    left = [f"{kept:,} bytes replaced, not yet removed: kept for readers"] if kept else []
    if found.refused:
        left.append(f"{found.refused:,} refused in the quarantine: `rinr quarantine list` says why")
    size = sum(table.bytes for table in found.tables)
    return Summary(did, [f"{seconds_so_far():.1f} s, {size:,} bytes in use for {found.images:,} images"], left)
