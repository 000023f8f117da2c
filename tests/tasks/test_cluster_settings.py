from typing import Any

import pytest
from pydantic import ValidationError

from tasks.cluster_settings import ClusterSettings

SLURM = "dask_jobqueue.SLURMCluster"


def test_without_anything_said_it_is_this_machine() -> None:
    settings = ClusterSettings()
    assert (settings.workers, settings.address, settings.cluster_class, settings.adaptive()) == (0, "", "", {})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"address": "tcp://a:1", "cluster_class": SLURM}, "both an address and a cluster class are given: choose one"),
        ({"address": "tcp://a:1", "workers": 2}, "there is an address: the workers there are used; set it to 0"),
        ({"cluster_class": SLURM, "workers": 2}, "there is a class: say its number in `options`"),
        ({"options": {"queue": "gpu"}}, "none is named: give `cluster_class`"),
        ({"address": "tcp://a:1", "options": {"x": 1}}, "none is named: give `cluster_class`"),
        ({"maximum": 5}, "`maximum` is for a cluster class"),
        ({"cluster_class": SLURM, "minimum": 5}, "`minimum` is 5 and `maximum` 0"),
        ({"cluster_class": SLURM, "minimum": 5, "maximum": 4}, "`minimum` is 5 and `maximum` 4"),
        ({"address": "10.0.0.5"}, "expected the address of a Dask scheduler, such as tcp://10.0.0.5:8786"),
        ({"address": "tcp://user:secret@10.0.0.5:8786"}, "expected the address of a Dask scheduler"),
        ({"address": "inproc://1/2:3"}, "expected the address of a Dask scheduler"),
        ({"cluster_class": "os.system"}, "in a package named distributed, dask or dask_"),
        ({"cluster_class": "dask_jobqueue"}, "in a package named distributed, dask or dask_"),
        ({"cluster_class": "dask_jobqueue.SLURMCluster; x"}, "in a package named distributed, dask or dask_"),
        ({"cluster_class": SLURM, "options": {"asynchronous": True}}, "asynchronous is decided by the flow"),
        ({"cluster_class": SLURM, "options": [1]}, "Input should be a valid dictionary"),
        ({"cluster_class": SLURM, "options": {"env": [{"TOKEN": "t0p"}]}}, "env.0.TOKEN is a secret in plain sight"),
        ({"cluster_class": SLURM, "options": {"x": {"env": "not a name"}}}, "with the name of an environment variable"),
        ({"workers": -1}, "greater than or equal to 0"),
        ({"schedular": "tcp://a:1"}, "Extra inputs are not permitted"),
    ],
)
def test_exactly_one_way_may_be_chosen(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as told:
        ClusterSettings(**values)
    assert message in str(told.value)
    assert "t0p" not in str(told.value)
    assert "secret@" not in str(told.value)


@pytest.mark.parametrize(
    "values",
    [
        {"workers": 3},
        {"address": "tcp://10.0.0.5:8786"},
        {"address": "tls://dask.example.org:8786"},
        {"address": "[::1]:8786"},
        {"cluster_class": SLURM, "options": {"queue": "gpu", "cores": 1, "project": None}, "minimum": 2, "maximum": 20},
        {"cluster_class": "dask_kubernetes.operator.KubeCluster", "options": {"env": {"API_TOKEN": {"env": "TOKEN"}}}},
        {"cluster_class": "distributed.SSHCluster", "options": {"connect_options": {"password": {"block": "ssh"}}}},
    ],
)
def test_each_way_is_taken_and_comes_back_from_json(values: dict[str, Any]) -> None:
    settings = ClusterSettings(**values)
    assert ClusterSettings.model_validate_json(settings.model_dump_json()) == settings
    assert settings.adaptive() == ({"minimum": 2, "maximum": 20} if "maximum" in values else {})


def test_the_package_of_a_class_is_named_as_pip_takes_it() -> None:
    assert ClusterSettings(cluster_class=SLURM).package == "dask-jobqueue"
