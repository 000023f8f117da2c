"""What a demo asks of its Prefect server: make pools and deployments, start a run, follow it."""

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterType,
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
    WorkQueueFilter,
    WorkQueueFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType, WorkPoolStatus
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.exceptions import ObjectAlreadyExists
from prefect.states import Cancelled, Crashed

from flows.catalogue import DECLARED
from services.prefect_server import PrefectServer, prefect_command
from services.processes import ServiceError

_FAILURES = 5

_UNDER_WAY = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
_UNFINISHED = [
    StateType.SCHEDULED,
    StateType.PENDING,
    StateType.RUNNING,
    StateType.PAUSED,
    StateType.CANCELLING,
]


@dataclass(frozen=True)
class RunProgress:
    """How far one flow run is.

    Attributes:
        flow: name of the run's flow.
        name: of the run.
        state: the state's type, such as ``RUNNING`` or ``COMPLETED``.
        message: the state's, where it has one.
        percent: how far the run says it is, where it does; 0 to 100.
        progress: the same in words.
        seconds: that it has run.
    """

    flow_run_id: str
    flow: str
    name: str
    state: str
    message: str | None
    percent: float | None
    progress: str | None
    seconds: float

    @property
    def finished(self) -> bool:
        """Whether the run has ended, well or not."""
        return self.state in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def make_pools(names: tuple[str, ...]) -> None:
    """Make process work pools that are not there yet."""
    with _client() as client:
        for name in names:
            with suppress(ObjectAlreadyExists):
                client.create_work_pool(WorkPoolCreate(name=name, type="process"))


def deploy(server: PrefectServer, environment: Mapping[str, str], log: Path) -> None:
    """Make all deployments of ``flows/prefect.yaml``, as ``prefect deploy --all`` does.

    Args:
        environment: the variables that the file's parameters are filled from.
        log: where the command's output goes.

    Raises:
        ServiceError: the command failed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        answer = subprocess.run(
            prefect_command("--no-prompt", "deploy", "--all", "--prefect-file", str(DECLARED)),
            cwd=log.parent,  # it looks around where it runs
            env={**os.environ, **server.environment(), **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if answer.returncode != 0:
        raise ServiceError(f"the deployments could not be made (exit code {answer.returncode}); see {log}")


def pause_schedules(deployment: str) -> None:
    """Make a deployment run only when asked."""
    with _client() as client:
        found = client.read_deployment_by_name(deployment)
        for schedule in found.schedules:
            client.update_deployment_schedule(found.id, schedule.id, active=False)


def set_interval(deployment: str, minutes: int) -> None:
    """Let a deployment's schedules tick every so many minutes from now on."""
    with _client() as client:
        found = client.read_deployment_by_name(deployment)
        for schedule in found.schedules:
            every = IntervalSchedule(interval=timedelta(minutes=minutes))
            client.update_deployment_schedule(found.id, schedule.id, schedule=every)


def pool_is_ready(name: str) -> bool:
    """Whether a worker asks a work pool for work."""
    with _client() as client:
        return client.read_work_pool(name).status == WorkPoolStatus.READY


def end_lost(queues: Mapping[str, Sequence[str] | None]) -> int:
    """End, in the server's books, what workers that are gone were running; returns how many runs.

    It would be taken for running otherwise, and hold up those that come after it. They find what it has not done.

    Args:
        queues: work queues by pool, all of a pool where they are ``None``.
    """
    count = 0
    with _client() as client:
        for pool, names in queues.items():
            runs = client.read_flow_runs(
                flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_UNDER_WAY))),
                work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
                work_queue_filter=None if names is None else WorkQueueFilter(name=WorkQueueFilterName(any_=[*names])),
            )
            for run in runs:
                client.set_flow_run_state(run.id, Crashed(message="its worker was stopped"), force=True)
            count += len(runs)
    return count


def cancel_unfinished() -> int:
    """End, in the server's books, all runs whose processes are gone; returns how many.

    What a killed server and killed workers left behind would otherwise be started again, or wait forever.
    """
    with _client() as client:
        wanted = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_UNFINISHED)))
        count = 0
        while runs := client.read_flow_runs(flow_run_filter=wanted):  # a page at a time
            for run in runs:
                client.set_flow_run_state(run.id, Cancelled(message="its processes were stopped"), force=True)
            count += len(runs)
    return count


def start_run(deployment: str, parameters: Mapping[str, Any]) -> str:
    """Start a deployment's flow; returns the flow run's id."""
    with _client() as client:
        found = client.read_deployment_by_name(deployment)
        run = client.create_flow_run_from_deployment(found.id, parameters=dict(parameters))
    return str(run.id)


def follow(flow_run_id: str, seconds_between: float = 1.0) -> Iterator[list[RunProgress]]:
    """How far a run and the runs under it are, the run itself first, again and again until it has ended.

    Raises:
        ServiceError: the server has not answered several times in a row.
    """
    root = UUID(flow_run_id)
    flows: dict[UUID, str] = {}
    failures = 0
    with _client() as client:
        while True:
            try:
                states = _states(client, root, flows)
            except httpx.HTTPError as error:
                # A server under load fails to answer now and then, though the client has asked several times.
                failures += 1
                if failures > _FAILURES:
                    raise ServiceError(f"the Prefect server no longer answers: {error!r}") from None
                time.sleep(5 * seconds_between)
                continue
            failures = 0
            yield states
            if states[0].finished:
                return
            time.sleep(seconds_between)


@contextmanager
def _client() -> Iterator[SyncPrefectClient]:
    """A client of the server that the environment names, whose errors are :class:`ServiceError`."""
    try:
        with get_client(sync_client=True) as client:
            yield client
    except httpx.HTTPError as error:
        raise ServiceError(f"the Prefect server refused or did not answer: {error}") from None


def _states(client: SyncPrefectClient, root: UUID, flows: dict[UUID, str]) -> list[RunProgress]:
    runs = [client.read_flow_run(root), *_runs_under(client, [root])]
    for run in runs:
        if run.flow_id not in flows:
            flows[run.flow_id] = client.read_flow(run.flow_id).name
    progress = _progress_of(client, [run.id for run in runs])
    return [_run_progress(run, flows[run.flow_id], progress.get(run.id)) for run in runs]


def _runs_under(client: SyncPrefectClient, parents: Sequence[UUID]) -> list[FlowRun]:
    found: list[FlowRun] = []
    level = list(parents)
    while level:
        wanted = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=level))
        runs = client.read_flow_runs(flow_run_filter=wanted)
        found += runs
        level = [run.id for run in runs]
    return sorted(found, key=lambda run: (run.created is None, run.created))


def _progress_of(client: SyncPrefectClient, runs: list[UUID]) -> dict[UUID, tuple[float, str | None]]:
    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=runs), type=ArtifactFilterType(any_=["progress"]))
    progress: dict[UUID, tuple[float, str | None]] = {}
    for artifact in sorted(client.read_artifacts(artifact_filter=wanted), key=lambda found: str(found.created)):
        if artifact.flow_run_id is not None and isinstance(artifact.data, int | float):
            progress[artifact.flow_run_id] = float(artifact.data), artifact.description
    return progress


def _run_progress(run: FlowRun, flow: str, progress: tuple[float, str | None] | None) -> RunProgress:
    percent, words = progress or (None, None)
    state = run.state.type.value if run.state else "SCHEDULED"
    return RunProgress(
        flow_run_id=str(run.id),
        flow=flow,
        name=run.name,
        state=state,
        message=run.state.message if run.state else None,
        percent=percent,
        progress=words,
        seconds=run.estimated_run_time.total_seconds(),
    )
