"""`rinr up` before any process is started: what is wanted, what was before, keys; the processes are a drill's."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rinr.cli import up as command
from rinr.cli.main import app
from rinr.cli.up_state import UpError, UpState, claimed, read_state, write_state
from rinr.version import __version__
from services.processes import Processes
from storage.fleet import Device, Fleet, Fog
from storage.fleet_file import fleet_toml, load_fleet
from storage.shards.keyring import Keyring, Status


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    devices = tuple(
        Device(name=name, storage=f"/s/{name}", inbox=f"/i/{name}", home=str(tmp_path / "homes" / name))
        for name in ("a", "b", "c")
    )
    file = tmp_path / "fleet.toml"
    file.write_text(fleet_toml(Fleet(devices=devices, fog=Fog(keyring=str(tmp_path / "keys")))))
    return file


def wanted(home: Path, fleet: Path | None = None, store: str | None = None, devices: str | None = None) -> UpState:
    return command._wanted(home, fleet, store, devices, None, None)


def test_the_first_time(fleet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "homes" / "b").mkdir(parents=True)
    assert wanted(tmp_path / "fog") == UpState(
        str(fleet), str(tmp_path / "store"), ("b",), None, 0, __version__, deployed=False
    )
    assert wanted(tmp_path / "fog", store="s3://bucket/store").store == "s3://bucket/store"


@pytest.mark.parametrize(
    ("said", "here"), [("all", ("a", "b", "c")), ("none", ()), ("c, a", ("c", "a")), (None, ()), ("b,b", ("b",))]
)
def test_devices_of_this_machine(fleet: Path, tmp_path: Path, said: str | None, here: tuple[str, ...]) -> None:
    assert wanted(tmp_path / "fog", fleet, devices=said).devices == here


def test_a_device_that_is_not_in_the_fleet(fleet: Path, tmp_path: Path) -> None:
    with pytest.raises(UpError, match=r"no device 'd'.*a, b, c"):
        wanted(tmp_path / "fog", fleet, devices="a,d")


def test_the_next_time_what_was_before_counts(fleet: Path, tmp_path: Path) -> None:
    home = tmp_path / "fog"
    home.mkdir()
    before = UpState(str(fleet), "s3://b/s", ("a", "c"), 5, 4321, __version__, deployed=True)
    write_state(home, before)
    assert read_state(home) == before
    assert wanted(home) == before
    assert wanted(home, devices="a") == replace(before, devices=("a",), deployed=False)
    assert wanted(home, store="/other") == replace(before, store="/other", deployed=False)
    write_state(home, replace(before, version="0.0.1"))
    assert wanted(home) == replace(before, deployed=False), "another version is deployed anew"
    text = fleet.read_text()
    (tmp_path / "short.toml").write_text(text[: text.index('name = "c"')].rpartition("[[device]]")[0])
    assert len(load_fleet(str(tmp_path / "short.toml")).devices) == 2
    fleet.write_text((tmp_path / "short.toml").read_text())
    assert wanted(home).devices == ("a",), "what left the fleet is not run"


@pytest.mark.parametrize("text", ["", "[]", '{"version_of_file": 1}', '{"version_of_file": 2, "port": 1}'])
def test_a_damaged_state_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "up.json").write_text(text)
    assert read_state(tmp_path) is None


def test_one_at_a_time(tmp_path: Path) -> None:
    with claimed(tmp_path / "fog"), pytest.raises(UpError, match="another rinr up"), claimed(tmp_path / "fog"):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(UpError, match="--home"), claimed(tmp_path / "file" / "fog"):
        pass


def test_keys_are_made_once_and_trust_is_never_added_where_there_is_some(fleet: Path, tmp_path: Path) -> None:
    found = load_fleet(str(fleet))
    stranger = Keyring(tmp_path / "stranger").new()
    b = Keyring(Path(found.find("b").keyring))
    b.trust(stranger.text)
    for _ in range(2):
        command._make_keys(found, [found.find("a"), found.find("b")])
        (signs,) = Keyring(tmp_path / "keys").entries()
        own, trusted = Keyring(Path(found.find("a").keyring)).entries()
        assert (own.status, trusted.status, trusted.id) == (Status.ACTIVE, Status.TRUSTED, signs.id)
        assert {entry.id for entry in b.entries() if entry.status is Status.TRUSTED} == {stranger.id}
    assert not Path(found.find("c").home).exists(), "of devices elsewhere nothing is made"


def test_what_runs_is_told_from_what_does_not(tmp_path: Path) -> None:
    sleeper = Processes(tmp_path)
    try:
        sleeper.start("server", [sys.executable, "-c", "import time; time.sleep(100)"], {})
        later = Processes(tmp_path)
        assert later.running("server")
        assert not later.running("fog")
        sleeper.stop_all()
        assert not later.running("server")
    finally:
        sleeper.stop_all()


def test_the_commands_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("RINR_FLEET", "RINR_STORE", "RINR_HOME"):
        monkeypatch.delenv(name, raising=False)
    run = CliRunner()
    told = run.invoke(app, ["up"])
    assert told.exit_code == 1
    assert "rinr fleet init" in told.output
    told = run.invoke(app, ["up", "--status"])
    assert told.exit_code == 1
    assert "nothing was ever started" in told.output
    told = run.invoke(app, ["down", "--home", "nowhere", "--json"])
    assert (told.exit_code, json.loads(told.stdout)) == (0, {"stopped": 0})
    assert not (tmp_path / "nowhere").exists()


def test_the_status_of_what_does_not_run(fleet: Path, tmp_path: Path) -> None:
    home = tmp_path / "fog"
    home.mkdir()
    write_state(home, UpState(str(fleet), "/s", ("a",), None, 1, __version__, deployed=True))
    told = CliRunner().invoke(app, ["up", "--status", "--json", "--home", str(home)])
    assert told.exit_code == 1
    document = json.loads(told.stdout)
    assert document["up"] is False
    assert document["runs"] == {"server": False, "fog": False, "device-a": False}
