"""The import arrows of docs/architecture.md, held by import-linter's contracts in pyproject.toml."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--config", ROOT / "pyproject.toml"]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=300, env={"PYTHONPATH": str(folder)}
    )


def test_the_arrows_hold():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("rinr/metrics.py", "import storage.store"),
        ("storage/landing.py", "import prefect"),
        ("device/job.py", "import flows.catalogue"),
        ("flows/encode.py", "import torch"),
        ("flows/encode.py", "import dask"),
        ("rinr/codec/frame.py", "def late():\n    import deltalake"),
        ("rinr/encoder.py", "import typer"),
        ("flows/encode.py", "import services.ports"),
    ],
)
def test_an_arrow_against_them_is_noticed(room, line, tmp_path):
    for package in ("rinr", "storage", "device", "tasks", "flows", "services"):
        for source in (ROOT / package).rglob("*.py"):
            copy = tmp_path / source.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(source.read_text())
    changed = tmp_path / room
    changed.write_text(f"{changed.read_text()}\n{line}\n")
    done = lint(tmp_path)
    assert done.returncode != 0, done.stdout
