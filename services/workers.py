"""The Prefect workers of one machine: one for the fog node, one for each device."""

from collections.abc import Mapping

from services.prefect_server import PrefectServer, prefect_command
from services.processes import Processes

FOG_LIMIT = 2
FOG_WORKER = "fog"
"""Name of the fog node's worker, and of its process."""


def device_worker(device: str) -> str:
    """Name of a device's worker, and of its process."""
    return f"device-{device}"


def start_fog_worker(processes: Processes, server: PrefectServer, pool: str) -> None:
    """Start the worker that runs ingest, encode, deliver and pipeline."""
    _start(processes, server, FOG_WORKER, pool, None, FOG_LIMIT)


def start_device_workers(processes: Processes, server: PrefectServer, pool: str, queues: Mapping[str, str]) -> None:
    """Start one worker a device, each on its device's queue and running one job at a time.

    Args:
        queues: work queue by device.
    """
    for device, queue in queues.items():
        _start(processes, server, device_worker(device), pool, queue, 1)


def _start(processes: Processes, server: PrefectServer, name: str, pool: str, queue: str | None, limit: int) -> None:
    command = prefect_command(
        "worker", "start", "--pool", pool, "--type", "process", "--name", name, "--limit", str(limit)
    )
    if queue is not None:
        command += ["--work-queue", queue]
    processes.start(name, command, server.environment())
