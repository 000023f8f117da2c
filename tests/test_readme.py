"""What the README shows runs, and what it names is there."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_example_runs():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"\d+ bytes [\d.]+ dB [\d.]+ dB\n", done.stdout)


def test_the_links_lead_somewhere():
    for page in (
        "README.md",
        "CONTRIBUTING.md",
        "docs/architecture.md",
        "docs/clips.md",
        "docs/fleet.md",
        "docs/delivery.md",
        "docs/device.md",
        "docs/training.md",
        "docs/store.md",
        "docs/format.md",
        "docs/shard.md",
        "docs/results.md",
    ):
        text = (ROOT / page).read_text()
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            if not target.startswith("http"):
                assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"


def test_every_command_it_shows_exists():
    from typer.main import get_command

    from rinr.cli.main import app

    known = set(get_command(app).commands)
    shown = set(re.findall(r"^rinr (\w+)", README, re.MULTILINE))
    assert shown
    assert shown <= known
    targets = set(re.findall(r"^make (\w+)", README, re.MULTILINE))
    assert {"demo", "test"} <= targets
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
