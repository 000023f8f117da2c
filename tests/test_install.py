"""install.sh says in one line what is wrong: an old Python, no Python at all, no network."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent


def install(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    for name in ("install.sh", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder / name)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return subprocess.run(
        ["bash", "install.sh"],
        cwd=folder,
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def errors(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return [line for line in done.stderr.splitlines() if line.startswith("error:")]


def test_an_old_python(tmp_path):
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit 0\nexit 1\n')
    old.chmod(0o755)
    (line,) = errors(install(tmp_path, PYTHON=str(old)))
    assert "Python 3.9.2 is too old, 3.11 or newer is needed" in line
    assert not (tmp_path / ".venv").exists()


def test_no_python(tmp_path):
    (line,) = errors(install(tmp_path, PYTHON="python-that-is-not-there"))
    assert "python-that-is-not-there not found" in line


def test_no_network(tmp_path):
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0"}
    (line,) = errors(install(tmp_path, **nowhere))
    assert "could not be fetched: is there a network" in line
    assert not (tmp_path / ".venv" / ".installed").exists()
