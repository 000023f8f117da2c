"""What ``docs/device.md`` shows is taken by the program."""

import re
from pathlib import Path

import typer

from device.home import ACKNOWLEDGEMENT, LOCK, RECEIVED
from device.models import CANDIDATE, MODEL, SET_ASIDE
from device.results import CURVE, REPORT, SHEET
from device.results import PAGE as HTML
from device.unfinished import TRAINING
from rinr.cli.main import app
from storage.fleet_file import parse_fleet
from storage.shards.faults import Fault
from storage.shards.signing import PublicKey

PAGE = (Path(__file__).parents[2] / "docs" / "device.md").read_text()


def test_its_fleet_file_is_one():
    (text,) = re.findall(r"```toml\n(\[\[device.*?)```", PAGE, re.DOTALL)
    (device,) = parse_fleet(text.encode(), "fleet.toml", Path("/")).devices
    assert PublicKey.from_text(device.public_key)
    assert device.keyring == "/var/lib/rinr/keys"


def test_its_commands_and_options_exist():
    shown = re.findall(r"`rinr ([^`]+)`|^rinr ([^#\n]+)", PAGE, re.MULTILINE)
    root = typer.main.get_command(app)
    assert len(shown) > 10
    for words in (" ".join(found).split() for found in shown):
        command, path = root, []
        while words and words[0] in getattr(command, "commands", {}):
            path.append(words[0])
            command = command.commands[words.pop(0)]
        assert len(path) == 2, f"rinr {' '.join(path)} {words}"
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, path


def test_it_names_every_fault_and_every_file_of_a_home():
    for fault in Fault:
        assert f"`{fault}`" in PAGE
    for name in (ACKNOWLEDGEMENT, LOCK, RECEIVED, CURVE, MODEL, REPORT, HTML, SHEET, "keys"):
        assert f"`{name}" in PAGE
    for name in (CANDIDATE, SET_ASIDE, f"{TRAINING}/"):
        assert f"`{name}" in PAGE
