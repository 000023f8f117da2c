"""What a run of the pipeline did: its stages' results and failures, gathered in one report."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from prefect import get_client, task
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.client.schemas.objects import State

from storage.ingestion import IngestReport
from storage.quarantine import without_dropped
from storage.tables import Summary
from tasks.compare import Comparison
from tasks.device import RESULT_KEY, DeviceResult
from tasks.device_runs import DeviceOutcome, DeviceRun
from tasks.encode import encoding_of
from tasks.stages import Stage
from tasks.stores import open_store


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
        encoded: rows added to the store.
        runs: of the devices, that were started or found.
        store: what the store holds of this encoding.
        comparison: the table of bytes and dB; ``None`` where there is none.
        devices: how each device's training went.
        failures: a sentence for all that did not work; empty where every stage did its work.
    """

    preset: str
    encoding_id: str
    stages: tuple[Stage, ...]
    ingested: tuple[IngestReport, ...]
    encoded: int
    runs: tuple[DeviceRun, ...]
    store: Summary
    comparison: Comparison | None
    devices: tuple[DeviceResult, ...]
    failures: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What was done, in a line."""
        new = sum(report.new for report in self.ingested)
        return f"{new:,} new pictures, {self.encoded:,} images encoded, {len(self.runs)} devices have their runs"

    def raise_for_failures(self) -> None:
        """Raise :class:`PipelineError` where there are failures."""
        if self.failures:
            raise PipelineError("; ".join(self.failures))


Value = TypeVar("Value")
Other = TypeVar("Other")


def failure_of(state: State[Any] | None) -> str | None:
    """What kept a run from its work; ``None`` where it completed, or was not needed.

    (A task that is handed a state gets its result.)
    """
    return None if state is None or state.is_completed() else state.message or f"it ended as {state.name}"


def value_of(state: State[Value] | None, otherwise: Other) -> Value | Other:
    """The result of a run that completed; of one that did not, or was not needed, something else."""
    return state.result() if state is not None and state.is_completed() else otherwise


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
    stages: Mapping[str, str | None], outcomes: Sequence[DeviceOutcome] | None, store: str, preset: str
) -> tuple[str, ...]:
    """A sentence for all that did not work: stages, images without a row, devices.

    Args:
        stages: what kept each stage from its work; ``None`` where nothing did.
        outcomes: of the devices' runs; ``None`` where they were not waited for.
        store: its URL.
        preset: the preset's name.
    """
    failures = [f"{name}: {failure}" for name, failure in stages.items() if failure is not None]
    opened = open_store(store)
    missing = len(without_dropped(opened, opened.missing(encoding_of(preset))))
    if missing and stages["encode"] is None:
        failures.append(f"encode: {missing} images are not in the store; the quarantine says why")
    if outcomes is not None:
        if not outcomes and stages["deliver"] is None:
            failures.append("deliver: no device has anything to train on")
        failures += [f"train: {o.device}: {o.failure}" for o in outcomes if o.failure is not None]
    return tuple(failures)
