"""What a run of ingestion leaves to look at."""

from collections.abc import Sequence

from prefect import task

from storage.ingestion import IngestReport
from storage.quarantine import cases
from tasks.artifacts import Summary, plain, publish_summary, publish_table
from tasks.ingest import Ingested
from tasks.stages import rate, seconds_so_far
from tasks.stores import open_store


@task(task_run_name="publish what was ingested")
def publish_ingest(ingested: Ingested, store: str) -> None:
    """A summary, and a table with a line for each device that had something."""
    refused = sum(case.standing == "open" for case in cases(open_store(store)))
    publish_summary("ingest", "What was taken from the devices", ingest_summary(ingested, refused, seconds_so_far()))
    publish_table(
        "ingested",
        "JPEGs in the devices' storage",
        [
            {
                "device": r.device,
                "JPEGs found": r.found,
                "new": r.new,
                "bytes": r.bytes,
                "known": r.known,
                "refused": r.refused,
                "wait for labels": r.waiting,
                "left for the next run": r.left,
                "over the limit": r.backlog,
                "originals retired": r.retired,
            }
            for r in ingested.reports
            if r.new or r.refused or r.waiting or r.left or r.backlog or r.retired
        ],
    )


def ingest_summary(ingested: Ingested, open_cases: int, seconds: float) -> Summary:
    """What was done, what it cost and what is left, in lines of Markdown.

    Args:
        ingested: by the run.
        open_cases: of the whole quarantine, now.
        seconds: that the run took.
    """
    reports = ingested.reports
    new, size = sum(r.new for r in reports), sum(r.bytes for r in reports)
    left = [
        *_each(reports, "waiting", "wait for their labels to be repaired"),
        *_each(reports, "left", "are being written or could not be read: the next run looks again"),
        *_each(reports, "backlog", "are over the limit of one run: the next one takes more"),
        *(f"not read: {plain(failure)}" for failure in ingested.failures),
    ]
    if open_cases:
        left.append(f"{open_cases:,} refused in the quarantine: `rinr quarantine list` says why")
    return Summary(
        did=[
            *_each(reports, "new", "new"),
            *_each(reports, "refused", "refused"),
            *_each(reports, "retired", "originals moved or deleted"),
        ],
        cost=[rate(new, seconds), f"{size:,} bytes of new pictures"],
        left=left,
    )


def _each(reports: Sequence[IngestReport], field: str, words: str) -> list[str]:
    """A line for all devices in which a field of theirs is more than nothing."""
    counts = {report.device: getattr(report, field) for report in reports if getattr(report, field)}
    if not counts:
        return []
    shown = ", ".join(f"{device} {count:,}" for device, count in list(counts.items())[:20])
    more = f" and {len(counts) - 20} more devices" if len(counts) > 20 else ""
    return [f"{sum(counts.values()):,} {words} ({shown}{more})"]
