"""What a run of the pipeline leaves to look at, on its page and in a folder."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run

from rinr.files import write_whole
from tasks.artifacts import Summary, plain, publish_summary, publish_table, run_link
from tasks.report import PipelineReport
from tasks.stages import rate

VERSION = 1
"""Of ``report.json``."""


def runs_of(stages: Mapping[str, State[Any] | None]) -> dict[str, str]:
    """The flow run's id of each stage that had one."""
    ids = {name: state.state_details.flow_run_id for name, state in stages.items() if state is not None}
    return {name: str(identity) for name, identity in ids.items() if identity is not None}


@task(task_run_name="publish the report")
def publish_report(report: PipelineReport, stage_runs: Mapping[str, str], folder: str) -> None:
    """The report as artifacts, and as ``report.json`` where a folder is named.

    Args:
        report: of the run.
        stage_runs: flow run ids by stage.
        folder: empty writes no file.
    """
    publish_summary("pipeline-report", "What the pipeline did", pipeline_summary(report, stage_runs))
    if report.devices:
        publish_table("devices", "Training on the devices", [asdict(result) for result in report.devices])
    if folder:
        document = {"version": VERSION, "run": str(flow_run.root_flow_run_id)} | asdict(report)
        path = Path(folder) / "report.json"
        write_whole(path, (json.dumps(document, indent=2) + "\n").encode())
        get_run_logger().info("report written to %s", path)


def pipeline_summary(report: PipelineReport, stage_runs: Mapping[str, str]) -> Summary:
    """What was done, what it cost and what is left, in lines of Markdown with links to the runs."""
    new = sum(device.new for device in report.ingested)
    refused = sum(device.refused for device in report.ingested)
    did = {
        "ingest": f"{new:,} new pictures, {refused:,} refused",
        "encode": f"{report.encoded:,} images encoded with `{report.preset}`",
        "deliver": f"{len(report.runs)} devices have their runs",
    }
    seconds = {stage.name: stage.seconds for stage in report.stages}
    held = report.store.bytes_total + report.store.bytes_shared
    waits = sum(device.waiting for device in report.ingested)
    later = sum(device.left + device.backlog for device in report.ingested)
    left = [f"**failed**: {plain(failure)}" for failure in report.failures]
    if waits:
        left.append(f"{waits:,} pictures wait for their labels to be repaired")
    if later:
        left.append(f"{later:,} pictures are taken by a later run")
    return Summary(
        did=[
            *(f"{run_link(name, stage_runs[name])}: {words}" for name, words in did.items() if name in stage_runs),
            *(run_link(f"train on {run.device}", run.flow_run_id) for run in report.runs),
        ],
        cost=[
            *(f"{name}: {taken:.1f} s" for name, taken in seconds.items()),
            *([f"encoding: {rate(report.encoded, seconds['encode'])}"] if report.encoded else []),
            f"{held:,} bytes for the {report.store.images:,} images of this preset in the store",
        ],
        left=left,
    )
