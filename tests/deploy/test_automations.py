"""deploy/automations.yaml: what Prefect takes, about events that exist."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from prefect.events.schemas.automations import AutomationCore

from flows.catalogue import FOG_POOL, TAG
from tasks.events import DEVICE_SILENT, QUARANTINE_GREW

FILE = Path(__file__).parents[2] / "deploy" / "automations.yaml"
TEXT = FILE.read_text()


@pytest.fixture(scope="module")
def automations() -> list[dict[str, Any]]:
    return list(yaml.safe_load(TEXT.replace("BLOCK-ID", str(uuid4())))["automations"])


def test_prefect_takes_each_of_them(automations: list[dict[str, Any]]) -> None:
    for automation in automations:
        made = AutomationCore.model_validate(automation)
        assert made.name.startswith("residual-inr, "), "deploy/notifications.sh knows them by it"
        assert made.description
        assert len(made.actions) == 1


def test_our_events_are_those_that_tasks_emit(automations: list[dict[str, Any]]) -> None:
    expected = {name for automation in automations for name in automation["trigger"]["expect"]}
    ours = {name for name in expected if not name.startswith("prefect.")}
    assert ours == {QUARANTINE_GREW, DEVICE_SILENT}


def test_names_are_the_catalogues() -> None:
    assert f"prefect.tag.{TAG}\n" in TEXT
    assert f"prefect.resource.name: {FOG_POOL}\n" in TEXT


def test_what_comes_again_and_again_is_told_once_a_while(automations: list[dict[str, Any]]) -> None:
    assert all(automation["trigger"]["within"] >= 120 for automation in automations)
