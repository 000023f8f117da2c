"""What a run leaves to look at: its tables, and the pipeline's report."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import get_client, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run

from rinr.files import write_whole
from storage.delivery import DeliveryReport
from storage.ingestion import IngestReport
from storage.quarantine import without_dropped
from storage.tables import Summary
from tasks.artifacts import publish_table
from tasks.compare import Comparison
from tasks.deliver import DeviceOutcome
from tasks.device import RESULT_KEY, DeviceResult
from tasks.encode import encoding_of
from tasks.stages import Stage
from tasks.stores import open_store

VERSION = 1


class PipelineError(RuntimeError):
    """Some part of a stage did not do its work; the message lists all that failed."""


@dataclass(frozen=True)
class PipelineReport:
    """What one run of the pipeline did; written as ``report.json``.

    Attributes:
        preset: the preset's name.
        encoding_id: of that preset.
        stages: with their wall times in seconds.
        ingested: what each device had that was new.
        store: what the store holds of this encoding.
        comparison: the table of bytes and dB; ``None`` where there is none.
        devices: how each device's training went.
        failures: a sentence for all that did not work; empty where every stage did its work.
    """

    preset: str
    encoding_id: str
    stages: tuple[Stage, ...]
    ingested: tuple[IngestReport, ...]
    store: Summary
    comparison: Comparison | None
    devices: tuple[DeviceResult, ...]
    failures: tuple[str, ...]

    def raise_for_failures(self) -> None:
        """Raise :class:`PipelineError` where there are failures."""
        if self.failures:
            raise PipelineError("; ".join(self.failures))


def failure_of(state: State[Any]) -> str | None:
    """What kept a run from its work; ``None`` where it completed. (A task that is handed a state gets its result.)"""
    return None if state.is_completed() else state.message or f"it ended as {state.name}"


@task(task_run_name="publish what was ingested")
def publish_ingest(reports: Sequence[IngestReport]) -> None:
    """A table with a line a device."""
    rows: list[dict[str, Any]] = [
        {
            "device": r.device,
            "JPEGs found": r.found,
            "new": r.new,
            "known": r.known,
            "refused": r.refused,
            "wait for labels": r.waiting,
            "left for the next run": r.left,
            "over the limit": r.backlog,
            "originals retired": r.retired,
        }
        for r in reports
    ]
    publish_table("ingested", "JPEGs in the devices' storage", rows)


@task(task_run_name="publish bytes and PSNR")
def publish_store(store: str, preset: str) -> None:
    """A table of what the store holds of one encoding."""
    summary = open_store(store).summary(encoding_of(preset))
    rows: list[dict[str, Any]] = [{"what": "images", "all": summary.images, "an image": None}]
    for what, total in (
        ("bytes in all", summary.bytes_total),
        ("bytes of backgrounds", summary.bytes_background),
        ("bytes of objects", summary.bytes_objects),
        ("bytes of headers, boxes and labels", summary.bytes_overhead),
    ):
        rows.append({"what": what, "all": total, "an image": round(total / max(summary.images, 1))})
    rows.append({"what": "PSNR outside the boxes, dB", "all": None, "an image": summary.background_db})
    rows.append({"what": "PSNR inside the boxes, dB", "all": None, "an image": summary.object_db})
    publish_table("bytes-and-psnr", f"What the store holds in the preset {preset!r}", rows)


@task(task_run_name="publish what was delivered")
def publish_deliveries(reports: Sequence[DeliveryReport]) -> None:
    """A table with a line a shard, where any was sent."""
    rows: list[dict[str, Any]] = [
        {"device": report.device, "shard": shard.name, "images": shard.images, "bytes": shard.bytes}
        for report in reports
        for shard in report.sent
    ]
    if rows:
        publish_table("delivered", "Shards that this run put into inboxes", rows)


@task(task_run_name="read the devices' results")
def read_device_results(outcomes: Sequence[DeviceOutcome]) -> tuple[DeviceResult, ...]:
    """What the devices' runs published, read back from the server: their disks may be far away."""
    results = []
    with get_client(sync_client=True) as client:
        for outcome in outcomes:
            wanted = ArtifactFilter(
                flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(outcome.flow_run_id)]),
                key=ArtifactFilterKey(any_=[RESULT_KEY]),
            )
            for artifact in client.read_artifacts(artifact_filter=wanted)[:1]:
                results.append(DeviceResult.from_rows(json.loads(str(artifact.data))))
    return tuple(results)


@task(task_run_name="sum up the store")
def summarize_store(store: str, preset: str) -> Summary:
    """Sums and means over the store's images of one encoding."""
    return open_store(store).summary(encoding_of(preset))


@task(task_run_name="gather what failed")
def gather_failures(
    stages: Mapping[str, str | None], outcomes: Sequence[DeviceOutcome], store: str, preset: str
) -> tuple[str, ...]:
    """A sentence for all that did not work: stages, images without a row, devices.

    Args:
        stages: what kept each stage from its work; ``None`` where nothing did.
    """
    failures = [f"{name}: {failure}" for name, failure in stages.items() if failure is not None]
    opened = open_store(store)
    missing = len(without_dropped(opened, opened.missing(encoding_of(preset))))
    if missing and stages["encode"] is None:
        failures.append(f"encode: {missing} images are not in the store; the quarantine says why")
    if not outcomes and stages["deliver"] is None:
        failures.append("deliver: no device has anything to train on")
    failures += [f"train: {o.device}: {o.failure}" for o in outcomes if o.failure is not None]
    return tuple(failures)


@task(task_run_name="publish the report")
def publish_report(report: PipelineReport, folder: str) -> None:
    """The report as artifacts, and as ``report.json`` where a folder is named."""
    if report.devices:
        publish_table("devices", "Training on the devices", [asdict(result) for result in report.devices])
    lines = ["# Pipeline", "", "| stage | seconds |", "|---|---:|"]
    lines += [f"| {stage.name} | {stage.seconds:.1f} |" for stage in report.stages]
    lines += ["", *(f"- **failed**: {failure}" for failure in report.failures)]
    create_markdown_artifact("\n".join(lines), key="pipeline-report", description="Stages, and what failed")
    if folder:
        document = {"version": VERSION, "run": str(flow_run.root_flow_run_id)} | asdict(report)
        path = Path(folder) / "report.json"
        write_whole(path, (json.dumps(document, indent=2) + "\n").encode())
        get_run_logger().info("report written to %s", path)
