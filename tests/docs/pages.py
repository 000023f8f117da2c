"""The blocks of a tutorial's page, taken out of it and run in their order, so that what it shows is what runs."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
TUTORIALS = ROOT / "docs" / "tutorials"
SAMPLE = ROOT / "rinr" / "sample"

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: str, language: str) -> list[str]:
    """The blocks of one language of a tutorial."""
    return [text for found, text in _BLOCK.findall((TUTORIALS / page).read_text()) if found == language]


def run_program(page: str, folder: Path, timeout: float = 300) -> str:
    """Run a page's Python blocks as one program; returns what it prints."""
    (folder / "program.py").write_text("\n".join(blocks(page, "python")))
    return _run([sys.executable, "program.py"], folder, {}, timeout)


def run_shell(page: str, folder: Path, variables: Mapping[str, str] | None = None, timeout: float = 900) -> str:
    """Run a page's ``sh`` blocks in one shell that ends at the first failure; returns what they print."""
    script = "set -euo pipefail\n" + "\n".join(blocks(page, "sh"))
    return _run(["bash", "-c", script], folder, variables or {}, timeout)


def _run(command: list[str], folder: Path, variables: Mapping[str, str], timeout: float) -> str:
    binaries = folder / ".bin"
    binaries.mkdir(exist_ok=True)
    for name, line in (("rinr", "-m rinr.cli.main"), ("python", "")):
        script = binaries / name
        call = "-c 'from rinr.cli.main import app; app()'" if line else ""
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {call} "$@"\n')
        script.chmod(0o755)
    environment = {**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment | variables, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
