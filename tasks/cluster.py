"""Dask clusters: started as the settings say, and asked how many fits they take at once."""

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import dask
from distributed import Client, LocalCluster, Nanny, Scheduler, SpecCluster, SSHCluster
from distributed.deploy import Cluster
from prefect import get_run_logger
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner
from prefect_dask import DaskTaskRunner

from storage.credentials import resolve
from tasks.batches import cores
from tasks.cluster_settings import ClusterSettings
from tasks.fleet import secrets

# Dask has its workers give freed memory back to the system at once. Fitting frees and takes large tensors at every
# step: that took 16 s in place of 6 s for two frames, half of it in the kernel. (Read by glibc when a process starts.)
_MALLOC = {"MALLOC_TRIM_THRESHOLD_": 256 << 20, "MALLOC_MMAP_THRESHOLD_": 32 << 20}

_GPU = {"GPU": 1}
"""What a GPU worker has and a fit on it takes: so one fit at a time runs there."""

_LOOPBACK: dict[str, Any] = {
    "host": "127.0.0.1",
    # Any free port, on the loopback interface: a fixed one is in use where two clusters run.
    "dashboard_address": "127.0.0.1:0",
}

_LOCAL: dict[str, Any] = _LOOPBACK | {
    "threads_per_worker": 1,
    "processes": True,
    # Dask's share of the memory is a guess that pauses workers on small machines.
    "memory_limit": None,
    "silence_logs": logging.ERROR,
}


class ClusterError(ValueError):
    """A cluster that cannot be had as the settings say; the message says what to change."""


@dataclass(frozen=True)
class Workers:
    """What a cluster's workers take.

    Attributes:
        fits: at once: of an adaptive cluster as many as it may grow to.
        on_gpus: whether fits go to workers that say they have a GPU, and to no others.
    """

    fits: int
    on_gpus: bool = False

    @contextmanager
    def submitting(self) -> Iterator[None]:
        """What is submitted inside takes a GPU for itself, where there are any."""
        with dask.annotate(resources=_GPU) if self.on_gpus else nullcontext():
            yield


def task_runner(settings: ClusterSettings, accelerator: str = "auto") -> TaskRunner[PrefectFuture[Any]]:
    """The Prefect task runner that submits to a cluster, which it starts where it is not up already.

    Args:
        settings: which cluster.
        accelerator: ``cpu`` leaves the GPUs of this machine alone.
    """
    runner = (
        DaskTaskRunner(address=settings.address)
        if settings.address
        else DaskTaskRunner(
            cluster_class=cast(Any, start_cluster),
            cluster_kwargs={"settings": settings, "accelerator": accelerator},
            adapt_kwargs=settings.adaptive(),
        )
    )
    return cast(TaskRunner[PrefectFuture[Any]], runner)


def start_cluster(settings: ClusterSettings, accelerator: str = "auto") -> Cluster:
    """Start a cluster on this machine, or one of the class that the settings name.

    Raises:
        ClusterError: there is no such class, or no workers would come.
        storage.credentials.CredentialError: a secret among the options is not there.
    """
    spawn = "distributed.nanny.pre-spawn-environ"
    # Variables of the environment go before ours. Over SSH the configuration travels along.
    with dask.config.set({spawn: dask.config.get(spawn) | _MALLOC}):
        if settings.cluster_class:
            return _named_cluster(settings)
        gpus = visible_gpus() if accelerator != "cpu" else []
        if gpus:
            return _gpu_cluster(gpus[: settings.workers or None])
        return LocalCluster(n_workers=settings.workers or cores(), **_LOCAL)


def ask_workers(accelerator: str = "auto") -> Workers:
    """How many fits the cluster of this flow's task runner takes at once. Waits until there is a worker."""
    runner = cast(Any, FlowRunContext.get()).task_runner
    client: Client = runner.client
    if not client.nthreads():
        get_run_logger().warning("no Dask worker is there yet: waiting for the first")
        client.wait_for_workers(1)
    return workers_of(client, accelerator, runner.adapt_kwargs.get("maximum", 0))


def workers_of(client: Client, accelerator: str = "auto", growing_to: int = 0) -> Workers:
    """How many fits a cluster takes at once: one a thread of its workers, or one a GPU where they say they have some.

    Args:
        client: of the cluster.
        accelerator: with ``cpu`` it does not matter who has a GPU.
        growing_to: workers, where the cluster is adaptive.
    """
    workers = list(client.scheduler_info()["workers"].values())
    gpus = sum(int(worker["resources"].get("GPU", 0)) for worker in workers) if accelerator != "cpu" else 0
    now = gpus or sum(worker["nthreads"] for worker in workers)
    coming = len(getattr(client.cluster, "plan", ()))
    return Workers(max(now, coming, growing_to), on_gpus=gpus > 0)


def visible_gpus() -> list[str]:
    """The NVIDIA GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    if not (shutil.which("nvidia-smi") or Path("/dev/nvidiactl").exists()):
        return []
    import torch  # a flow's process starts sooner without it

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return [name.strip() for name in named.split(",")][:count] if named else [str(index) for index in range(count)]


def _gpu_cluster(gpus: Sequence[str]) -> Cluster:
    """One worker with one thread a GPU, which sees no other."""
    if find_spec("dask_cuda"):
        local_cuda = import_module("dask_cuda").LocalCUDACluster
        return cast(Cluster, local_cuda(CUDA_VISIBLE_DEVICES=",".join(gpus), resources=_GPU, **_LOCAL))
    worker = {"host": _LOOPBACK["host"], "nthreads": 1, "memory_limit": None, "resources": _GPU, "silence_logs": True}
    return SpecCluster(
        workers={
            number: {"cls": Nanny, "options": worker | {"env": {"CUDA_VISIBLE_DEVICES": gpu}}}
            for number, gpu in enumerate(gpus)
        },
        scheduler={"cls": Scheduler, "options": _LOOPBACK},
        silence_logs=_LOCAL["silence_logs"],
    )


def _named_cluster(settings: ClusterSettings) -> Cluster:
    cluster = _class_of(settings)(**resolve(settings.options, secrets))
    fault = None
    if isinstance(cluster, SpecCluster):
        if settings.maximum and not cluster.new_spec:
            fault = "cannot grow or shrink: set `minimum` to 1 and `maximum` to 0"
        elif not settings.maximum and not cluster.plan:
            fault = "has no workers: say their number among its options, or in `maximum`"
    if fault:
        cluster.close()
        raise ClusterError(f"a cluster of the class {settings.cluster_class} with these options {fault}")
    return cluster


def _class_of(settings: ClusterSettings) -> Callable[..., Cluster]:
    module, _, name = settings.cluster_class.rpartition(".")
    try:
        found = getattr(import_module(module), name, None)
    except ImportError as error:
        raise ClusterError(
            f"the cluster class {settings.cluster_class} cannot be imported ({error}): run "
            f"`pip install {settings.package}` in the fog worker's environment"
        ) from None
    if found is SSHCluster or (isinstance(found, type) and issubclass(found, Cluster)):
        return cast(Callable[..., Cluster], found)
    raise ClusterError(
        f"{settings.cluster_class} is no Dask cluster class, expected one that is built on distributed's Cluster, such "
        "as dask_jobqueue.SLURMCluster"
    )
