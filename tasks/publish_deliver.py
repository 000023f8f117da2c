"""What a run of delivery leaves to look at."""

from collections.abc import Sequence
from datetime import datetime

from prefect import task

from storage.delivery import DeliveryReport
from storage.tables import now
from tasks.artifacts import Cell, Summary, plain, publish_summary, publish_table, run_link
from tasks.deliver import UnreachedDevice
from tasks.device_runs import DeviceRun
from tasks.stages import rate, seconds_so_far


@task(task_run_name="publish what was delivered")
def publish_deliveries(
    reports: Sequence[DeliveryReport], unreached: Sequence[UnreachedDevice], runs: Sequence[DeviceRun]
) -> None:
    """A summary with links to the devices' runs, and a table with a line a shard where any was sent.

    Args:
        reports: of the contacts.
        unreached: devices with which there was none.
        runs: of the devices, started or found.
    """
    summary = delivery_summary(reports, unreached, runs, seconds_so_far(), now())
    publish_summary("deliver", "What was delivered", summary)
    rows: list[dict[str, Cell]] = [
        {"device": report.device, "shard": shard.name, "images": shard.images, "bytes": shard.bytes}
        for report in reports
        for shard in report.sent
    ]
    if rows:
        publish_table("delivered", "Shards that this run put into inboxes", rows)


def delivery_summary(
    reports: Sequence[DeliveryReport],
    unreached: Sequence[UnreachedDevice],
    runs: Sequence[DeviceRun],
    seconds: float,
    at: datetime,
) -> Summary:
    """What was done, what it cost and what is left, in lines of Markdown.

    Args:
        reports: of the contacts.
        unreached: devices with which there was none.
        runs: of the devices, started or found.
        seconds: that the run took.
        at: the time of now, for how long things wait.
    """
    links = {run.device: run_link("its run", run.flow_run_id) for run in runs}
    images, size = sum(report.images for report in reports), sum(report.bytes for report in reports)
    return Summary(
        did=[line for report in reports if (line := _done(report, links.get(report.device)))],
        cost=[rate(images, seconds), f"{size:,} bytes sent"],
        left=[
            *(line for report in reports for line in _left(report, at)),
            *(f"{one.device} not reached: {plain(one.failure)}" for one in unreached),
        ],
    )


def _done(report: DeliveryReport, link: str | None) -> str:
    done = []
    if report.sent:
        done.append(f"{len(report.sent)} shards with {report.images:,} images, {report.bytes:,} bytes, sent")
    if report.acknowledged:
        done.append(f"{len(report.acknowledged)} shards acknowledged")
    if report.asked:
        done.append(f"{len(report.asked)} shards asked for again")
    return f"{report.device}: {', '.join(done)}" + (f" ({link})" if link else "") if done else ""


def _left(report: DeliveryReport, at: datetime) -> list[str]:
    """What waits for a device, what found no room, what it refused, in lines."""
    standing, left = report.standing, []
    if standing.shards_waiting:
        since = (at - standing.waiting_since).total_seconds() / 3600 if standing.waiting_since else 0.0
        silent = ", and it says nothing" if standing.silent else ""
        left.append(f"{report.device}: {standing.images_waiting:,} images wait for it since {since:.1f} hours{silent}")
    if report.left_out:
        left.append(f"{report.device}: {report.left_out:,} images found no room now and come later")
    left += [f"{report.device} refused {plain(name)}: {plain(reason)}" for name, reason in standing.refused]
    left += [f"{report.device}: {plain(note)}" for note in report.notes]
    return left
