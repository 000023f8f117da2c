"""The Dask cluster that encoding runs on: one on this machine, or one that is up already."""

from dataclasses import dataclass
from typing import Any, cast

import dask
from distributed import LocalCluster
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner
from prefect_dask import DaskTaskRunner

from tasks.batches import cores

# Dask has its workers give freed memory back to the system at once. Fitting frees and takes large tensors at every
# step: that took 16 s in place of 6 s for two frames, half of it in the kernel. (Read by glibc when a process starts.)
_MALLOC = {"MALLOC_TRIM_THRESHOLD_": 256 << 20, "MALLOC_MMAP_THRESHOLD_": 32 << 20}


@dataclass(frozen=True)
class Cluster:
    """Which workers to use.

    Attributes:
        workers: processes on this machine, each with one thread; 0 is one a core. Not used with an address.
        address: a running Dask scheduler's, such as ``tcp://10.0.0.5:8786``; empty starts a cluster on this machine.
        torch_threads: that each worker computes with. One, since the processes share the cores among them already.
    """

    workers: int = 0
    address: str = ""
    torch_threads: int = 1

    @property
    def size(self) -> int:
        """Workers to split the work for. A running cluster's are not known before it is asked: this machine's count."""
        return self.workers or cores()

    def task_runner(self) -> TaskRunner[PrefectFuture[Any]]:
        """The Prefect task runner that submits to this cluster."""
        if self.address:
            return cast(TaskRunner[PrefectFuture[Any]], DaskTaskRunner(address=self.address))
        local = DaskTaskRunner(
            cluster_class=_local_cluster,
            cluster_kwargs={
                "n_workers": self.size,
                "threads_per_worker": 1,
                "processes": True,
                "host": "127.0.0.1",
                # Any free port, on the loopback interface: a fixed one is in use where two clusters run.
                "dashboard_address": "127.0.0.1:0",
                # Dask's share of the memory is a guess that pauses workers on small machines.
                "memory_limit": None,
                "silence_logs": "ERROR",
            },
        )
        return cast(TaskRunner[PrefectFuture[Any]], local)


def _local_cluster(**settings: Any) -> LocalCluster:
    """A cluster on this machine whose workers keep their memory. Variables of the environment go before ours."""
    spawn = "distributed.nanny.pre-spawn-environ"
    with dask.config.set({spawn: dask.config.get(spawn) | _MALLOC}):
        return LocalCluster(**settings)
