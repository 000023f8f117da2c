"""Which Dask cluster to encode on, as a box of the run form; imports nothing of Dask, so that flows start quickly."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from storage.fleet import Options

MOST_WORKERS = 10_000

_ADDRESS = re.compile(r"((tcp|tls|ws|wss|ucx|ucxx)://)?[A-Za-z0-9._\-\[\]:]+:[0-9]{1,5}")
_CLASS = re.compile(r"(distributed|dask|dask_[a-z0-9_]+)(\.[A-Za-z_][A-Za-z0-9_]*)+")
_OPTIONS: TypeAdapter[Any] = TypeAdapter(Options)


def _checked_address(value: str) -> str:
    if value and not _ADDRESS.fullmatch(value):
        raise ValueError("expected the address of a Dask scheduler, such as tcp://10.0.0.5:8786, or nothing")
    return value


def _checked_class(value: str) -> str:
    if value and not _CLASS.fullmatch(value):
        raise ValueError(
            "expected the import name of a Dask cluster class, such as dask_jobqueue.SLURMCluster, in a package named "
            "distributed, dask or dask_..., or nothing"
        )
    return value


def _checked_options(value: dict[str, Any]) -> dict[str, Any]:
    try:
        _OPTIONS.validate_python(_without_null(value))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(map(str, (fault.get("ctx") or {}).get("at", ())))
        if fault["type"] == "secret":
            raise ValueError(
                f'{place} is a secret in plain sight: write {{"env": "NAME"}} and set that environment variable for '
                'the fog worker, or {"block": "name"} of a Prefect Secret block'
            ) from None
        raise ValueError(f"{place or 'options'}: expected {fault['msg']}") from None
    if "asynchronous" in value:
        raise ValueError("asynchronous is decided by the flow; leave it out")
    return value


def _without_null(value: Any) -> Any:
    """Options without what is null, which a fleet file's options cannot be."""
    if isinstance(value, dict):
        return {key: _without_null(item) for key, item in value.items() if item is not None}
    return [_without_null(item) for item in value if item is not None] if isinstance(value, list) else value


class ClusterSettings(BaseModel):
    """Where images are encoded. Choose one way: leave all as it is for workers on this machine for the time of the run,
    give the address of a scheduler that is up already, or name a cluster class that starts workers elsewhere.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    workers: Annotated[
        int,
        Field(
            ge=0,
            le=1024,
            title="Workers on this machine",
            description="Processes to encode with on the machine of the fog worker, 1 to 1024. 0 starts one a GPU "
            "where there are NVIDIA GPUs that the accelerator allows, otherwise one a core. Only without address and "
            "class.",
        ),
    ] = 0
    address: Annotated[
        str,
        AfterValidator(_checked_address),
        Field(
            max_length=300,
            title="Address of a scheduler",
            description="A Dask scheduler that is up already, for example `tcp://10.0.0.5:8786`, or `tls://...` with "
            "the certificates in Dask's configuration. Its workers need this software installed. Empty without one.",
        ),
    ] = ""
    cluster_class: Annotated[
        str,
        AfterValidator(_checked_class),
        Field(
            max_length=200,
            title="Cluster class",
            description="Import name of a class that starts a cluster for the time of the run: "
            "`distributed.SSHCluster`, `dask_jobqueue.SLURMCluster`, `dask_kubernetes.operator.KubeCluster`, "
            "`dask_cuda.LocalCUDACluster`, or another of a package named `dask_...`. Empty without one.",
        ),
    ] = ""
    options: Annotated[
        dict[str, Any],
        AfterValidator(_checked_options),
        Field(
            title="Options of the class",
            description='A JSON object with the arguments that the class documents, for example `{"queue": "gpu", '
            '"cores": 1, "memory": "8GB"}`. A secret is written as `{"env": "NAME"}` for an environment variable of '
            'the fog worker or `{"block": "name"}` for a Prefect Secret block.',
        ),
    ] = Field(default_factory=dict)
    minimum: Annotated[
        int,
        Field(
            ge=1,
            le=MOST_WORKERS,
            title="Workers at least",
            description="Only with a class and with a greatest number: as few workers are kept while there is little "
            "to do, 1 to 10000.",
        ),
    ] = 1
    maximum: Annotated[
        int,
        Field(
            ge=0,
            le=MOST_WORKERS,
            title="Workers at most",
            description="Only with a class that can grow: it grows to as many workers while there is work, 1 to 10000. "
            "0 leaves the number to the options.",
        ),
    ] = 0

    @model_validator(mode="after")
    def _one_way(self) -> "ClusterSettings":
        if self.address and self.cluster_class:
            raise ValueError("both an address and a cluster class are given: choose one")
        if self.workers and (self.address or self.cluster_class):
            given = "an address: the workers there are used" if self.address else "a class: say its number in `options`"
            raise ValueError(f"`workers` is for workers on this machine, and there is {given}; set it to 0")
        if self.options and not self.cluster_class:
            raise ValueError("`options` are those of a cluster class, and none is named: give `cluster_class`")
        if self.maximum and not self.cluster_class:
            raise ValueError("`maximum` is for a cluster class, and none is named: give `cluster_class`, or 0")
        if self.minimum > max(self.maximum, 1):
            raise ValueError(f"`minimum` is {self.minimum} and `maximum` {self.maximum}: expected no more than that")
        return self

    @property
    def package(self) -> str:
        """What ``pip install`` takes for the package of the class."""
        return self.cluster_class.partition(".")[0].replace("_", "-")

    def adaptive(self) -> dict[str, int]:
        """What the cluster's ``adapt`` is called with; empty where its size is fixed."""
        return {"minimum": self.minimum, "maximum": self.maximum} if self.maximum else {}
