import os

import pytest
from distributed import Client
from prefect_dask import DaskTaskRunner

from tasks import cluster as module
from tasks.cluster import Cluster


def test_a_local_cluster_has_processes_of_one_thread_on_the_loopback_interface() -> None:
    runner = Cluster(workers=3).task_runner()
    assert isinstance(runner, DaskTaskRunner)
    assert runner.address is None
    kwargs = runner.cluster_kwargs
    assert (kwargs["n_workers"], kwargs["threads_per_worker"], kwargs["processes"]) == (3, 1, True)
    assert kwargs["host"] == "127.0.0.1"
    assert kwargs["dashboard_address"].startswith("127.0.0.1:")


def test_no_number_of_workers_is_one_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cores", lambda: 7)
    assert Cluster().size == 7


def test_an_address_is_connected_to() -> None:
    runner = Cluster(address="tcp://10.0.0.5:8786").task_runner()
    assert isinstance(runner, DaskTaskRunner)
    assert runner.address == "tcp://10.0.0.5:8786"
    assert not runner.cluster_kwargs


def worker_environment() -> dict[str, str]:
    return dict(os.environ)


def test_workers_keep_freed_memory_and_compute_with_one_thread() -> None:
    runner = Cluster(workers=1).task_runner()
    assert isinstance(runner, DaskTaskRunner)
    assert callable(runner.cluster_class)
    with runner.cluster_class(**runner.cluster_kwargs) as cluster, Client(cluster) as client:
        environment = client.submit(worker_environment).result(timeout=60)
    assert int(environment["MALLOC_TRIM_THRESHOLD_"]) >= 1 << 28
    assert environment["OMP_NUM_THREADS"] == "1"
