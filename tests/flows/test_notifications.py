"""Notifications arrive: deploy/notifications.sh on a real server, our own events and failed runs, a receiver here."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from flows.catalogue import FOG_POOL, PIPELINE
from services.processes import Processes
from services.workers import start_fog_worker
from tests.flows.conftest import CHECKOUT, Place

pytestmark = [pytest.mark.drill, pytest.mark.server]

EMIT = """
from prefect import flow
from tasks.events import device_silent, quarantine_grew

@flow
def emit():
    for _ in range(3):
        quarantine_grew("cam-1", 4)
        device_silent("cam-1", 30.25, 12)
    quarantine_grew("cam-2", 1)

emit()
"""

START = """
import json, sys
from services import prefect_api
print(prefect_api.start_run(sys.argv[1], json.loads(sys.argv[2])))
"""


@pytest.fixture
def told() -> Iterator[tuple[str, list[str]]]:
    """The address of a receiver, and the texts that it got."""
    texts: list[str] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            texts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/planted-token", texts
    server.shutdown()


def until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.5)


def make(place: Place, address: str) -> None:
    environment = {**os.environ, **place.environment, "PYTHON": sys.executable, "PYTHONPATH": str(CHECKOUT)}
    command = [str(CHECKOUT / "deploy" / "notifications.sh"), address]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_notifications(place: Place, told: tuple[str, list[str]], tmp_path: Path) -> None:
    address, texts = told
    make(place, address)
    make(place, address)  # those of before are replaced
    automations = place.ask("automations/filter")
    assert len(automations) == 5
    assert "planted-token" not in json.dumps([automations, place.ask("block_documents/filter")])

    place.python(EMIT)
    until(lambda: len(texts) >= 3, 120)
    time.sleep(5)
    assert sorted(text.split("\n")[0] for text in texts) == [
        "Residual-INR: 1 files of cam-2 were refused",
        "Residual-INR: 4 files of cam-1 were refused",
        "Residual-INR: cam-1 is silent",
    ], "what comes again is told once"
    texts.clear()

    processes = Processes(tmp_path)
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in place.environment.items():
                patch.setenv(name, value)
            patch.setenv("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "30")
            patch.setenv("PYTHONPATH", str(CHECKOUT))
            start_fog_worker(processes, place.server, FOG_POOL)
        failing = place.python(START, PIPELINE.full_name, json.dumps({"fleet": "/nowhere.toml", "patience": 0}))
        until(lambda: len(texts) >= 1, 180)
        (text,) = texts
        assert text.startswith("Residual-INR: pipeline ended as Failed\n")
        assert "the fleet file /nowhere.toml cannot be read" in text
        assert f"/runs/flow-run/{failing}" in text
        print(f"{len(automations)} automations; notifications of a failed run, of a quarantine and of a silent device")
    finally:
        processes.stop_all()


def test_a_run_whose_process_is_gone_is_noticed(place: Place, told: tuple[str, list[str]], tmp_path: Path) -> None:
    make(place, told[0])
    program = tmp_path / "silent.py"
    program.write_text(
        "import time\nfrom prefect import flow\n"
        "@flow\ndef silent():\n    print('up', flush=True)\n    time.sleep(600)\n"
        "from prefect import tags\nwith tags('residual-inr'):\n    silent()\n"
    )
    variables = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
    environment = {**os.environ, **place.environment, **variables}
    run = subprocess.Popen([sys.executable, str(program)], env=environment, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    assert run.stdout.readline() == "up\n"
    wanted = {"flow_runs": {"tags": {"all_": ["residual-inr"]}, "state": {"type": {"any_": ["RUNNING"]}}}}
    until(lambda: bool(place.ask("flow_runs/filter", **wanted)), 60)
    time.sleep(3)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    killed = time.monotonic()
    (identity,) = [found["id"] for found in place.ask("flow_runs/filter", **wanted)]
    until(lambda: place.get(f"flow_runs/{identity}")["state_type"] == "CRASHED", 300)
    print(f"crashed {time.monotonic() - killed:.0f} s after SIGKILL")
