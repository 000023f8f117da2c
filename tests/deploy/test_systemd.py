"""The systemd units: systemd takes them, they give away little, and no secret stands in them."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.catalogue import DEVICE_POOL, FOG_POOL

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
UNITS = sorted(path.name for path in FOLDER.glob("*.service"))
PROGRAMS = "/opt/rinr/bin/"


@pytest.fixture(params=UNITS)
def unit(request: pytest.FixtureRequest) -> str:
    return (FOLDER / request.param).read_text()


def test_there_is_one_for_each_process() -> None:
    assert UNITS == ["rinr-device-run@.service", "rinr-device@.service", "rinr-fog.service", "rinr-server.service"]


@pytest.mark.parametrize("name", UNITS)
def test_systemd_takes_it_and_finds_it_well_protected(name: str, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here: apt-get install systemd")
    (tmp_path / "rinr").write_text("#!/bin/sh\n")
    (tmp_path / "rinr").chmod(0o755)
    programs = {
        "rinr": str(tmp_path / "rinr"),
        "prefect": sys.executable,
        "python": sys.executable,
    }  # which has to be there to be verified
    text = (FOLDER / name).read_text()
    for program, there in programs.items():
        text = text.replace(f"{PROGRAMS}{program}", there)
    path = tmp_path / name.replace("@.", "@camera-1.")
    path.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", str(path)], capture_output=True, text=True, timeout=60
    )
    found = re.search(r"exposure level for \S+: ([\d.]+)", judged.stdout)
    assert found, judged.stdout + judged.stderr
    assert float(found[1]) < 2.5, "of 10; below 2.5 is what systemd calls OK"


def test_it_may_little(unit: str) -> None:
    lines = unit.splitlines()
    for wanted in ("NoNewPrivileges=yes", "ProtectSystem=strict", "PrivateTmp=yes", "CapabilityBoundingSet="):
        assert wanted in lines
    assert "User=rinr" in lines
    assert any(line.startswith("StateDirectory=") for line in lines)


def test_secrets_come_from_a_file_of_roots(unit: str) -> None:
    assert re.search(r"^EnvironmentFile=-?/etc/rinr/\w+\.env$", unit, re.MULTILINE)
    assert not re.search(r"^Environment=.*(AUTH_STRING|PASSWORD|SECRET|TOKEN|KEY)", unit, re.MULTILINE)


def test_the_server_listens_on_the_loopback_interface_and_keeps_its_leases() -> None:
    text = (FOLDER / "rinr-server.service").read_text()
    assert "--host 127.0.0.1" in text
    assert "lease_storage.filesystem" in text


def test_workers_read_the_catalogues_pools() -> None:
    assert f"--pool {FOG_POOL} " in (FOLDER / "rinr-fog.service").read_text()
    assert f"--pool {DEVICE_POOL} --work-queue %i " in (FOLDER / "rinr-device@.service").read_text()
    assert "device run %i " in (FOLDER / "rinr-device-run@.service").read_text()
