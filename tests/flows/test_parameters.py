from typing import Any

import pytest
from prefect.exceptions import ParameterTypeError
from prefect.utilities.importtools import import_object

from flows.catalogue import DEPLOYMENTS, Deployment
from flows.encode import encode
from flows.pipeline import pipeline
from rinr.presets import PRESETS
from tasks.cluster_settings import ClusterSettings

PLACES = {"fleet": "/srv/fleet.toml", "store": "/srv/store"}


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment.flow)
def test_every_field_of_the_form_explains_itself(deployment: Deployment) -> None:
    for name, field in import_object(deployment.entrypoint).parameters.properties.items():
        assert field["title"][0].isupper(), name
        assert len(field.get("description", "")) > 30, name


def test_the_presets_to_choose_from_are_those_there_are() -> None:
    choices = pipeline.parameters.properties["preset"]["enum"]
    assert sorted(choices) == sorted(["fleet", *(preset.name for preset in PRESETS)])


def test_defaults_are_within_their_own_bounds() -> None:
    values = pipeline.validate_parameters(dict(PLACES))
    assert {name: values[name] for name in ("preset", "batch", "cluster", "report")} == {
        "preset": "fleet", "batch": 0, "cluster": ClusterSettings(), "report": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch", -1),
        ("batch", 513),
        ("cluster", {"workers": 1025}),
        ("preset", "fastest"),
        ("store", ""),
        ("fleet", ""),
    ],
)
def test_values_out_of_bounds_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ParameterTypeError):
        encode.validate_parameters({**PLACES, name: value})


def test_the_box_of_the_cluster_explains_itself() -> None:
    box = encode.parameters.definitions["ClusterSettings"]
    assert "Choose one way" in box["description"]
    for name, field in box["properties"].items():
        assert field["title"][0].isupper(), name
        assert len(field["description"]) > 30, name
    # Prefect adds a title and a description of its own to what flows' parameters do not say in the schema's extras.
    assert encode.parameters.properties["cluster"]["title"] == "Dask cluster"


def test_a_secret_that_is_typed_into_the_box_is_refused_and_not_repeated() -> None:
    options = {"connect_options": {"password": "hunter2"}}
    with pytest.raises(ParameterTypeError, match=r"connect_options\.password is a secret in plain sight") as told:
        encode.validate_parameters(
            {**PLACES, "cluster": {"cluster_class": "distributed.SSHCluster", "options": options}}
        )
    assert "hunter2" not in str(told.value)
