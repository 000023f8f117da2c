"""The pages as an operator sees them: a form filled wrongly and rightly, a run and its graph, tables and pictures.

``RINR_SCREENSHOTS=folder`` keeps what was seen, of the sample alone and with all of its pictures.
"""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.drills.browser import Pages, browser

pytestmark = pytest.mark.drill

CHECKOUT = Path(__file__).resolve().parents[2]
PHOTOGRAPHS = os.environ.get("RINR_SCREENSHOTS")
HANG_SECONDS = 1_800.0
GREEN = (0x20, 0x90, 0x40)  # of what is completed, roughly


def rinr(*arguments: str) -> None:
    program = "from rinr.cli.main import app; app()"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[str]:
    """A demo on the sample that is done and left running; the address of its pages."""
    pytest.importorskip("selenium", reason="selenium is not installed: pip install '.[dev]'")
    folder = str(tmp_path / "demo")
    few = [] if PHOTOGRAPHS else ["--devices", "2", "--frames", "3"]
    try:
        rinr("demo", "--keep", "--out", folder, "--preset", "instant", "--epochs", "1", *few)
        port = json.loads((tmp_path / "demo" / "state.json").read_text())["port"]
        yield f"http://127.0.0.1:{port}"
    finally:
        rinr("stop", "--out", folder)


@pytest.fixture
def pages() -> Iterator[Pages]:
    with browser() as opened:
        yield opened


def ask(address: str, path: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{address}/api/{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def newest_run(address: str) -> Any:
    wanted = {"flows": {"name": {"any_": ["pipeline"]}}, "sort": "START_TIME_DESC", "limit": 200}
    return max(ask(address, "flow_runs/filter", wanted), key=lambda run: run["created"])


def photograph(pages: Pages, name: str) -> None:
    if PHOTOGRAPHS:
        pages.photograph(Path(PHOTOGRAPHS) / f"{name}.jpg")


def test_browser(pages: Pages, demo: str, capsys: pytest.CaptureFixture[str]) -> None:
    pages.open(f"{demo}/deployments")
    for name in ("deliver", "device", "encode", "ingest", "maintain", "pipeline"):
        pages.wait_for(name)

    deployment = ask(demo, "deployments/name/pipeline/pipeline")["id"]
    pages.open(f"{demo}/deployments/deployment/{deployment}/run")
    pages.wait_for("1 to 1000")  # the form says its bounds in words
    pages.choose("Preset", "small")  # of which the store has no row yet, so that all stages have work
    pages.fill("Epochs", "5000")
    pages.click("Submit")
    said = pages.message()
    assert "epochs" in said
    assert "5000 is greater than the maximum of 1000" in said
    before = newest_run(demo)["id"]
    pages.scroll_to("Epochs")
    photograph(pages, "form")

    pages.fill("Epochs", "2")
    pages.click("Submit")
    run = wait_for_run(demo, before)
    assert (run["parameters"]["preset"], run["parameters"]["epochs"]) == ("small", 2)

    pages.open(f"{demo}/runs/flow-run/{run['id']}")
    pages.wait_for(run["name"])
    state = wait_for_end(demo, run["id"])
    assert state["type"] == "COMPLETED", state
    pages.wait_for("Completed")  # without being loaded anew
    pages.open(f"{demo}/runs/flow-run/{run['id']}")  # the graph as one sees it who comes later
    green = wait_for_green(pages)
    photograph(pages, "run")

    pages.click("Artifacts")
    for name in ("comparison", "mosaic"):
        pages.wait_for(name)
    mosaic = artifact(demo, run["id"], "mosaic")
    pages.follow(f"/artifacts/artifact/{mosaic}")
    pages.wait_for_picture(200)
    photograph(pages, "artifacts")
    with capsys.disabled():
        print(f"\n  the form refused: {said.splitlines()[0]}")
        print(f"  the run's graph: {green} green pixels; pictures on the page: {pages.pictures()}")


def wait_for_run(address: str, before: str) -> Any:
    """The run that was started by the form, once there is one."""
    found: list[Any] = []

    def look() -> bool:
        found[:] = [newest_run(address)]
        return bool(found[0]["id"] != before)

    wait("a new run of the pipeline", look)
    return found[0]


def wait_for_end(address: str, run: str) -> Any:
    """The state in which a run ended."""
    found: list[Any] = []

    def look() -> bool:
        found[:] = [ask(address, f"flow_runs/{run}")["state"]]
        return found[0]["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")

    wait("the end of the run", look)
    return found[0]


def wait_for_green(pages: Pages) -> int:
    """How many pixels of the run's graph have the colour of what is completed."""
    counts: list[int] = []

    def look() -> bool:
        pixels = pages.drawing().getdata()
        near = sum(all(abs(a - b) < 48 for a, b in zip(pixel, GREEN, strict=True)) for pixel in pixels)
        counts[:] = [near]
        return near > 500

    wait("a graph with what is completed", look)
    return counts[0]


def wait(what: str, look: Callable[[], bool]) -> None:
    end = time.monotonic() + HANG_SECONDS
    while not look():
        assert time.monotonic() < end, f"{what} did not appear"
        time.sleep(1)


def artifact(address: str, run: str, key: str) -> str:
    """Id of the artifact that a run, or one under it, made under this key."""
    wanted = {"artifacts": {"key": {"any_": [key]}, "flow_run_id": {"any_": [run]}}}
    (found,) = ask(address, "artifacts/filter", wanted)
    return str(found["id"])
