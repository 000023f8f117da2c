"""Wheels of this checkout, and environments that they are installed into as a newcomer would."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rinr.version import __version__

CHECKOUT = Path(__file__).resolve().parents[2]
NEXT_VERSION = f"{__version__.rpartition('.')[0]}.{int(__version__.rpartition('.')[2]) + 1}"

READY_VENV = "RINR_FIRST_DAY_VENV"
"""Names a virtual environment that has all but the wheel already, where minutes of downloading are to be saved."""

_SOURCES = ("rinr", "storage", "device", "tasks", "flows", "services", "pyproject.toml", "README.md", "LICENSE")
_VERSIONED = ("rinr/version.py", "flows/prefect.yaml")


def build(work: Path, version: str = __version__) -> Path:
    """A wheel of this checkout, or of the same with another version."""
    source = work / f"source-{version}"
    for name in _SOURCES:
        if (CHECKOUT / name).is_dir():
            shutil.copytree(CHECKOUT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(CHECKOUT / name, source / name)
    for name in _VERSIONED:
        file = source / name
        file.write_text(file.read_text().replace(f'"{__version__}"', f'"{version}"'))
    options = ["--no-build-isolation", "--no-deps", "--quiet", "--wheel-dir", str(work)]
    _run([sys.executable, "-m", "pip", "wheel", *options, str(source)], work)
    return work / f"residual_inr-{version}-py3-none-any.whl"


@dataclass(frozen=True)
class Newcomer:
    """Someone with a virtual environment and a folder, and nothing else of this project.

    Attributes:
        venv: the environment.
        folder: where all is done; far from the checkout.
    """

    venv: Path
    folder: Path

    @staticmethod
    def arriving(wheel: Path, work: Path) -> "Newcomer":
        """Make an environment, install a wheel with what a fog node and devices need, and make a folder."""
        ready = os.environ.get(READY_VENV)
        venv, folder = Path(ready) if ready else work / "venv", work / "fleet"
        folder.mkdir()
        came = Newcomer(venv, folder)
        if ready:
            came.install(wheel)
            return came
        _run([sys.executable, "-m", "venv", str(venv)], work)
        options = ["--quiet", "--constraint", str(CHECKOUT / "constraints.txt")]
        came._pip("install", *options, f"residual-inr[fog,train] @ {wheel.as_uri()}")
        return came

    def install(self, wheel: Path) -> None:
        """Install another wheel over what is there."""
        self._pip("install", "--quiet", "--no-deps", "--force-reinstall", str(wheel))

    def rinr(self, *words: str, code: int = 0, typed: Sequence[str] = ()) -> str:
        """Run the program, perhaps with lines typed into it; returns what it prints."""
        done = subprocess.run(
            [str(self.venv / "bin" / "rinr"), *words],
            cwd=self.folder,
            env=self.environment,
            input="".join(f"{line}\n" for line in typed),
            capture_output=True,
            text=True,
            check=False,
            timeout=1_800,
        )
        assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def python(self, code: str) -> str:
        """Run a piece of Python in the environment; returns what it prints."""
        command = [str(self.venv / "bin" / "python"), "-c", code]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=600
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def told(self, *words: str, code: int = 0) -> Any:
        """What a command says as JSON."""
        return json.loads(self.rinr(*words, "--json", code=code))

    @property
    def environment(self) -> dict[str, str]:
        """Of whoever has never heard of this checkout."""
        ours = ("PYTHON", "RINR_", "PREFECT_", "VIRTUAL_ENV")
        return {name: value for name, value in os.environ.items() if not name.startswith(ours)}

    def _pip(self, *words: str) -> None:
        _run([str(self.venv / "bin" / "python"), "-m", "pip", *words], self.folder)


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=3_600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
