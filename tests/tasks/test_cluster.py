import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import distributed
import pytest
from distributed import Client, LocalCluster
from prefect_dask import DaskTaskRunner
from prefect_dask.client import PrefectDaskClient

from storage.credentials import CredentialError
from storage.fleet import Device
from storage.ingestion import ingest
from storage.store import Store
from tasks import cluster as module
from tasks.cluster import ClusterError, Workers, start_cluster, task_runner, workers_of
from tasks.cluster_settings import ClusterSettings
from tasks.encode import encoding_of
from tasks.fitting import EncodedBatch, fit_batch
from tests.conftest import jpeg, picture
from tests.ssh_server import ssh_server

SECONDS = 120  # to catch hangs


@contextmanager
def started(settings: ClusterSettings, accelerator: str = "auto") -> Iterator[Client]:
    with start_cluster(settings, accelerator) as cluster, PrefectDaskClient(cluster, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=SECONDS)
        yield client


def environments(client: Client) -> list[dict[str, str]]:
    return list(client.run(lambda: dict(os.environ)).values())  # by value, so that workers import nothing


def test_a_cluster_on_this_machine_has_processes_of_one_thread_on_the_loopback_interface() -> None:
    with started(ClusterSettings(workers=2), "cpu") as client:
        found = list(client.scheduler_info()["workers"].values())
        assert [worker["nthreads"] for worker in found] == [1, 1]
        assert {worker["host"] for worker in found} == {"127.0.0.1"}
        assert client.scheduler.address.startswith("tcp://127.0.0.1:")
        assert workers_of(client) == Workers(2, on_gpus=False)
        told = environments(client)
    assert len({int(environment["MALLOC_TRIM_THRESHOLD_"]) for environment in told}) == 1
    assert int(told[0]["MALLOC_TRIM_THRESHOLD_"]) >= 1 << 28
    assert told[0]["OMP_NUM_THREADS"] == "1"


def test_no_number_of_workers_is_one_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(module, "cores", lambda: 7)
    monkeypatch.setattr(module, "LocalCluster", lambda **kwargs: asked.update(kwargs))
    start_cluster(ClusterSettings(), "cpu")
    assert (asked["n_workers"], asked["threads_per_worker"], asked["processes"]) == (7, 1, True)


def test_an_address_is_connected_to_and_asked_for_its_workers() -> None:
    with LocalCluster(
        n_workers=1, threads_per_worker=3, processes=False, protocol="tcp", dashboard_address="127.0.0.1:0"
    ) as cluster:
        runner = task_runner(ClusterSettings(address=cluster.scheduler_address))
        assert isinstance(runner, DaskTaskRunner)
        with runner:
            assert runner.client.scheduler.address == cluster.scheduler_address
            assert workers_of(runner.client).fits == 3
            cluster.scale(2)
            runner.client.wait_for_workers(2, timeout=SECONDS)
            assert workers_of(runner.client).fits == 6


def test_a_gpu_has_a_worker_of_its_own_that_sees_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "visible_gpus", lambda: ["0", "GPU-2f", "7"])
    monkeypatch.setattr(module, "find_spec", lambda name: None)  # whether or not dask_cuda is installed
    with started(ClusterSettings(workers=2)) as client:
        found = list(client.scheduler_info()["workers"].values())
        assert [(worker["nthreads"], worker["resources"]) for worker in found] == [(1, {"GPU": 1})] * 2
        told = environments(client)
        assert sorted(environment["CUDA_VISIBLE_DEVICES"] for environment in told) == ["0", "GPU-2f"]
        assert all(int(environment["MALLOC_TRIM_THRESHOLD_"]) >= 1 << 28 for environment in told)
        assert workers_of(client) == Workers(2, on_gpus=True)
        assert workers_of(client, "cpu") == Workers(2, on_gpus=False)


def test_gpus_are_left_alone_where_the_accelerator_is_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "visible_gpus", lambda: pytest.fail("asked for GPUs"))
    monkeypatch.setattr(module, "LocalCluster", lambda **kwargs: "here")
    assert start_cluster(ClusterSettings(workers=1), "cpu") == "here"


def test_gpus_are_named_as_the_environment_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(module.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert module.visible_gpus() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-5,-1")
    assert module.visible_gpus() == ["3", "GPU-5"]


_RUNNING = 0
_MOST = 0
_LOCK = threading.Lock()


def fit_one(batch: list[Any], store: str, number: int) -> tuple[EncodedBatch, int]:
    """The body of the task, with a count of how many run in this process at once."""
    global _RUNNING, _MOST
    with _LOCK:
        _RUNNING += 1
        _MOST = max(_MOST, _RUNNING)
    time.sleep(0.2)  # long enough for others to begin meanwhile
    try:
        return fit_batch(batch, "instant", store, ()), _MOST
    finally:
        with _LOCK:
            _RUNNING -= 1


@pytest.mark.parametrize("on_gpus", [True, False])
def test_a_gpu_takes_one_fit_at_a_time_whatever_threads_its_worker_has(tmp_path: Path, on_gpus: bool) -> None:
    storage = tmp_path / "storage"
    storage.mkdir()
    for seed in range(4):
        (storage / f"{seed}.jpg").write_bytes(jpeg(picture(seed)))
    store = Store(str(tmp_path / "store"))
    place = {"inbox": str(tmp_path / "inbox"), "home": str(tmp_path / "home")}
    ingest(Device(name="cam", storage=str(storage), settle=0.0, **place), store)
    missing = store.missing(encoding_of("instant"))
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=4, resources={"GPU": 1}, processes=False, dashboard_address=":0"
        ) as cluster,
        PrefectDaskClient(cluster, set_as_default=False) as client,
    ):
        workers = workers_of(client, "auto" if on_gpus else "cpu")
        assert workers.fits == (1 if on_gpus else 4)
        with workers.submitting():
            futures = [client.submit(fit_one, [one], store.url, number) for number, one in enumerate(missing)]
        results = [future.result(SECONDS) for future in futures]
    images = [image for batch, _ in results for image in batch.images]
    assert [image.image_id for image in images] == [pending.image_id for pending in missing]
    assert (max(most for _, most in results) == 1) == on_gpus
    assert not dask.get_annotations()


def test_a_class_starts_workers_and_grows_to_its_bounds() -> None:
    options = {"n_workers": 1, "processes": False, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    settings = ClusterSettings(cluster_class="distributed.LocalCluster", options=options, minimum=1, maximum=3)
    runner = task_runner(settings)
    assert isinstance(runner, DaskTaskRunner)
    with runner:
        assert workers_of(runner.client, growing_to=runner.adapt_kwargs["maximum"]).fits == 3
        futures = [runner.client.submit(time.sleep, 1.5, pure=False) for _ in range(6)]
        runner.client.wait_for_workers(2, timeout=SECONDS)
        for future in futures:
            future.cancel()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dask_not_there.Cluster", "run `pip install dask-not-there` in the fog worker's environment"),
        ("distributed.Client", "distributed.Client is no Dask cluster class"),
        ("distributed.Nowhere", "distributed.Nowhere is no Dask cluster class"),
        ("distributed.core.rpc", "is no Dask cluster class"),
    ],
)
def test_what_is_no_cluster_class_is_not_called(name: str, message: str) -> None:
    with pytest.raises(ClusterError, match=message.replace(".", r"\.")):
        start_cluster(ClusterSettings(cluster_class=name))


def test_a_cluster_to_which_no_worker_would_come_is_refused() -> None:
    options = {"n_workers": 0, "processes": False, "dashboard_address": "127.0.0.1:0"}
    with pytest.raises(ClusterError, match="has no workers: say their number among its options, or in `maximum`"):
        start_cluster(ClusterSettings(cluster_class="distributed.LocalCluster", options=options))


def test_over_ssh_workers_run_where_a_password_from_the_environment_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ssh_server(tmp_path) as server:
        options = {
            "hosts": ["127.0.0.1", "127.0.0.1"],
            "connect_options": server.options | {"password": {"env": "RINR_TEST_SSH"}},
            "worker_options": {"nthreads": 1},
            "scheduler_options": {"port": 0, "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"},
        }
        settings = ClusterSettings(cluster_class="distributed.SSHCluster", options=options)
        monkeypatch.delenv("RINR_TEST_SSH", raising=False)
        with pytest.raises(CredentialError, match="the environment variable RINR_TEST_SSH is not set"):
            start_cluster(settings)
        monkeypatch.setenv("RINR_TEST_SSH", server.password)
        with started(settings) as client:
            assert workers_of(client) == Workers(1)
            told = environments(client)
            assert client.submit(encoding_of, "instant").result(SECONDS) == encoding_of("instant")
        assert int(told[0]["MALLOC_TRIM_THRESHOLD_"]) >= 1 << 28
        assert sum("dask_spec" in command for command in server.commands()) == 2
        assert server.password not in "".join(server.commands())
        fixed = settings.model_copy(update={"maximum": 3})
        with pytest.raises(ClusterError, match="cannot grow or shrink: set `minimum` to 1 and `maximum` to 0"):
            start_cluster(fixed)


def test_slurm_is_given_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed: pip install dask-jobqueue")
    monkeypatch.setenv("RINR_TEST_ACCOUNT", "field-study")
    options = {
        "queue": "gpu",
        "account": {"env": "RINR_TEST_ACCOUNT"},
        "cores": 1,
        "processes": 1,
        "memory": "8GB",
        "walltime": "02:00:00",
        "job_extra_directives": ["--gres=gpu:1"],
        "worker_extra_args": ["--resources", "GPU=1"],
        "scheduler_options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"},
    }
    settings = ClusterSettings(cluster_class="dask_jobqueue.SLURMCluster", options=options, minimum=1, maximum=20)
    with start_cluster(settings) as cluster:
        script = cluster.job_script()
    for line in ("#SBATCH -p gpu", "#SBATCH -A field-study", "#SBATCH --gres=gpu:1", "#SBATCH -t 02:00:00"):
        assert line in script.splitlines()
    assert "--nthreads 1" in script
    assert "--resources GPU=1" in script
    with pytest.raises(ClusterError, match="has no workers"):
        start_cluster(settings.model_copy(update={"maximum": 0}))


@pytest.mark.parametrize("name", ["dask_kubernetes.operator.KubeCluster", "dask_cuda.LocalCUDACluster"])
def test_classes_of_other_packages_are_found_and_given_their_options(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Kubernetes and a GPU they cannot start: the package's own class is asked to, and what it got is seen."""
    package, _, _ = name.partition(".")
    pytest.importorskip(package, reason=f"{package} is not installed: pip install {package.replace('_', '-')}")
    place, _, last = name.rpartition(".")
    found = getattr(pytest.importorskip(place), last)
    assert issubclass(found, distributed.deploy.Cluster)
    options = {"n_workers": 2, "name": "rinr"} if "kube" in name else {"CUDA_VISIBLE_DEVICES": "0,1"}
    given: dict[str, Any] = {}
    # Its own signature judges the options; only what would talk to Kubernetes or a GPU is left out.
    import inspect

    inspect.signature(found.__init__).bind(None, **options)
    monkeypatch.setattr(found, "__init__", lambda self, **kwargs: given.update(kwargs))
    monkeypatch.setattr(found, "__del__", lambda self: None, raising=False)
    monkeypatch.setattr(found, "plan", {"a"}, raising=False)
    start_cluster(ClusterSettings(cluster_class=name, options=options))
    assert given == options
