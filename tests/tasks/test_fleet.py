from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.blocks.system import Secret
from pydantic import SecretStr

from storage.credentials import CredentialError, Reference
from storage.fleet_file import load_fleet
from tasks.fleet import preset_of, secrets


def test_variables_come_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CAM_KEY", "hunter2")
    assert secrets(Reference("env", "CAM_KEY")) == "hunter2"
    with pytest.raises(CredentialError, match="NO_SUCH_KEY is not set"):
        secrets(Reference("env", "NO_SUCH_KEY"))


def test_blocks_come_from_prefect(monkeypatch: pytest.MonkeyPatch):
    held: dict[str, Any] = {"cam-password": "0123", "empty": "", "table": {"a": 1}}

    def load(name: str, **options: object) -> SimpleNamespace:
        if name not in held:
            raise ValueError("Unable to find block document")
        value = held[name]
        return Secret(value=SecretStr(value)) if isinstance(value, str) else Secret(value=value)

    monkeypatch.setattr(Secret, "load", load)
    assert secrets(Reference("block", "cam-password")) == "0123"
    with pytest.raises(CredentialError, match="there is no Prefect Secret block 'gone'; make it in the Prefect UI"):
        secrets(Reference("block", "gone"))
    for name in ("empty", "table"):
        with pytest.raises(CredentialError, match=f"block '{name}' holds no text"):
            secrets(Reference("block", name))


@pytest.mark.parametrize(
    ("written", "meant"), [("", "balanced"), ('[fog]\npreset = "cheapest:33/26"\n', "cheapest:33/26")]
)
def test_the_preset_of_the_fleet_is_meant_where_a_run_names_none(tmp_path: Path, written: str, meant: str) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text(written + '[[device]]\nname = "a"\nstorage = "s"\ninbox = "i"\nhome = "h"\n')
    fleet = load_fleet(file)
    assert preset_of(fleet, "fleet") == meant
    assert preset_of(fleet, "small") == "small"
