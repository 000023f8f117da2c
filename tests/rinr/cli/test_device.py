"""`rinr device run` and `status`: in this process, and as a device has it, without a server's packages."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from device.report import parse_report
from rinr.cli.main import app
from rinr.presets import PRESETS
from storage.fleet import Fleet
from storage.fleet_file import fleet_toml
from storage.shards.keyring import Keyring
from tests.device.conftest import Bench, Scene

INSTANT = next(preset for preset in PRESETS if preset.name == "instant")
BARRED = ("prefect", "prefect_dask", "dask", "distributed", "deltalake")

BAR = f"""
import sys
class Bar:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {BARRED}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Bar())
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path, INSTANT)
    key = Keyring(Path(bench.device.keyring)).new("cam-b")
    device = bench.device.model_copy(update={"public_key": key.text})
    (tmp_path / "fleet.toml").write_text(fleet_toml(Fleet(devices=(device,))))
    bench.__dict__["device"] = device
    return bench


def scenes(*seeds: int) -> list[Scene]:
    return [Scene.make(seed) for seed in seeds]


def called(bench: Bench, *arguments: str):
    return CliRunner().invoke(app, ["device", *arguments, "--fleet", str(bench.folder / "fleet.toml")])


@contextmanager
def barred(bench: Bench, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The program in a process in which the packages of a fog node cannot be imported."""
    site = bench.folder / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(BAR)
    command = [sys.executable, "-c", "from rinr.cli.main import app; app()", "device", "run", "cam-b"]
    process = subprocess.Popen(
        [*command, "--fleet", str(bench.folder / "fleet.toml"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(Path.cwd()), *filter(None, sys.path)])},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_it_polls_with_neither_prefect_nor_dask_nor_deltalake_and_sigterm_ends_it_in_order(bench):
    with barred(bench, "--every", "1", "--epochs", "2", "--json") as device:
        said = json.loads(device.stdout.readline())
        assert (said["event"], said["generation"]) == ("received", 0), said
        bench.deliver(scenes(0, 1))
        said = json.loads(device.stdout.readline())
        assert (said["event"], said["taken"], said["new"]) == ("received", 1, ["shard-0001-00000001"])
        learned = json.loads(device.stdout.readline())
        assert (learned["event"], learned["frames"], len(learned["losses"])) == ("trained", 2, 2)
        device.send_signal(signal.SIGTERM)
        rest, errors = device.communicate(timeout=120)
        assert device.returncode == 0, errors
        assert json.loads(rest) == {"event": "stopped"}
    heard = bench.fog.heard()
    assert heard.taken == 1
    assert parse_report(heard.report).model_sha256 == learned["model_sha256"]


def test_interrupted_in_a_training_it_says_so_and_goes_on_the_next_time(bench):
    bench.deliver(scenes(0, 1))
    with barred(bench, "--once", "--epochs", "1000", "--json") as device:
        assert json.loads(device.stdout.readline())["taken"] == 1
        device.send_signal(signal.SIGTERM)
        _, errors = device.communicate(timeout=120)
        assert device.returncode == 143
    assert "the same command goes on from here" in errors
    assert not (bench.home / "report.json").exists()
    done = called(bench, "run", "cam-b", "--once", "--epochs", "1", "--json")
    assert done.exit_code == 0, done.output
    received, trained = map(json.loads, done.stdout.splitlines())
    assert (received["new"], received["taken"]) == ([], 1)
    assert trained["frames"] == 2


def test_once_with_a_refused_shard_trains_on_the_others_and_says_so(bench):
    bench.deliver(scenes(0, 1))
    spoiled = bench.deliver(scenes(2, 3))
    (bench.fog.folder / f"{spoiled.name}.parquet").write_bytes(b"PAR1")
    done = called(bench, "run", "cam-b", "--once", "--epochs", "1")
    assert done.exit_code == 3, done.output
    assert "1 new shard, " in done.stdout
    assert "wanted again: 2" in done.stdout
    assert "trained on 2 images" in done.stdout
    assert f"{spoiled.name} refused (truncated)" in done.stderr


def test_once_with_nothing_to_do(bench):
    done = called(bench, "run", "cam-b", "--once")
    assert done.exit_code == 0, done.output
    assert "nothing was delivered yet" in done.stdout
    assert "deliver to it first" in done.stdout


def test_status_of_a_new_device_and_of_one_that_has_learned(bench):
    done = called(bench, "status", "cam-b")
    assert done.exit_code == 0, done.output
    assert "received:  nothing yet" in done.stdout
    assert "learned:   nothing yet" in done.stdout

    bench.deliver(scenes(0, 1))
    bench.deliver(scenes(2))
    stranger = Keyring(bench.folder / "stranger")
    stranger.new()
    bench.deliver(scenes(3), key=stranger.signer())
    assert called(bench, "run", "cam-b", "--once", "--epochs", "1").exit_code == 3
    done = called(bench, "status", "cam-b")
    assert "3 images in 2 shards" in done.stdout
    assert "up to number 2 of generation 1" in done.stdout
    assert "trusted  fog" in done.stdout
    assert "active  cam-b" in done.stdout
    assert "shard-0001-00000003 refused (unknown key)" in done.stderr

    record = json.loads(called(bench, "status", "cam-b", "--json").stdout)
    assert (record["taken"], record["shards"], record["images"], record["wanted"]) == (2, 2, 3, [])
    assert [key["status"] for key in record["keys"]] == ["active", "trusted"]
    assert record["refused"][0]["fault"] == "unknown key"
    assert record["trained"]["taken"] == 2


def test_status_of_a_device_that_was_told_of_no_key(bench):
    (bench.home / "keys" / "keyring.json").unlink()
    assert "every shard will be refused until `rinr keys trust KEY`" in called(bench, "status", "cam-b").stdout


@pytest.mark.parametrize("command", [["run", "--once"], ["status"]], ids=lambda command: command[0])
def test_a_device_that_the_fleet_file_does_not_have_is_wrong_usage(bench, command):
    done = called(bench, *command, "cam-x")
    assert done.exit_code == 2
    assert "no device 'cam-x' in the fleet; there are: cam-b" in done.stderr


def test_what_cannot_be_used_is_one_line(bench):
    done = called(bench, "run", "cam-b", "--once", "--accelerator", "abacus")
    assert done.exit_code == 1
    assert "torch device 'abacus' cannot be used here" in done.stderr
    assert "Traceback" not in done.output
