"""A real Prefect server for the flows' tests, started once: behind a password, with everything deployed."""

import base64
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import flows
from services.ports import free_port
from services.prefect_server import PrefectServer
from services.processes import Processes
from storage.fleet import Device, Fleet
from storage.fleet_file import fleet_toml
from storage.shards.keyring import Keyring
from tests.conftest import jpeg, picture

CHECKOUT = Path(flows.__path__[0]).parent

PASSWORD = "operator:planted-password-of-the-server"

PREPARE = """
import sys
from pathlib import Path
from flows.catalogue import DEVICE_POOL, FOG_POOL
from services import prefect_api
from services.prefect_server import PrefectServer
home, port, fleet, store = sys.argv[1:]
prefect_api.make_pools((FOG_POOL, DEVICE_POOL))
prefect_api.make_pools((FOG_POOL, DEVICE_POOL))  # what is there already is no error
places = {"RINR_FLEET": fleet, "RINR_STORE": store}
prefect_api.deploy(PrefectServer(Path(home), int(port)), places, Path(home) / "deploy.log")
"""


@dataclass(frozen=True)
class Place:
    server: PrefectServer
    environment: Mapping[str, str] = field(repr=False)
    fleet: Path
    store: Path
    folder: Path

    def python(self, code: str, *arguments: str, **variables: str) -> str:
        """Run a program that talks to the server, with these variables; returns what it prints last."""
        script = self.folder / "script.py"
        script.write_text(code)
        done = subprocess.run(
            [sys.executable, str(script), *arguments],
            env={**os.environ, **self.environment, "PYTHONPATH": str(CHECKOUT), **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return (done.stdout.strip().splitlines() or [""])[-1]

    def ask(self, path: str, **body: Any) -> Any:
        """What the API answers to a question with a body."""
        return self._answer(path, json.dumps(body).encode())

    def get(self, path: str) -> Any:
        """What the API answers to a question without one."""
        return self._answer(path, None)

    def _answer(self, path: str, body: bytes | None) -> Any:
        token = base64.b64encode(PASSWORD.encode()).decode()
        headers = {"Content-Type": "application/json", "Authorization": f"Basic {token}"}
        request = urllib.request.Request(f"{self.server.api}/{path}", body, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


def fill(storage: Path, seeds: list[int]) -> None:
    storage.mkdir(parents=True)
    names = [f"{seed}.jpg" for seed in seeds]
    for seed, name in zip(seeds, names, strict=True):
        (storage / name).write_bytes(jpeg(picture(seed)))
    boxes = [{"id": i, "image_id": i, "category_id": 1, "bbox": [18, 12, 14, 14]} for i in range(len(names))]
    document = {
        "images": [{"id": i, "file_name": name, "width": 64, "height": 48} for i, name in enumerate(names)],
        "annotations": boxes,
        "categories": [{"id": 1, "name": "square"}],
    }
    (storage / "annotations.json").write_text(json.dumps(document))


def device(name: str, folder: Path, queue: str) -> Device:
    home = folder / name
    return Device(name=name, storage=str(home / "storage"), inbox=str(home / "inbox"), work_queue=queue, home=str(home))


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    devices = []
    for name, seeds in (("a", [0, 1]), ("b", [2])):
        fill(folder / name / "storage", seeds)
        devices.append(device(name, folder, f"queue-{name}"))
    fleet = folder / "fleet.toml"
    fleet.write_text(fleet_toml(Fleet(devices=tuple(devices))))
    Keyring(folder / "keys").new()
    server = PrefectServer(folder / "prefect", free_port())
    processes = Processes(folder)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PREFECT_SERVER_API_AUTH_STRING", PASSWORD)
            server.start(processes)
            environment = server.environment() | {"PREFECT_SERVER_API_AUTH_STRING": PASSWORD}
        server.wait(processes)
        made = Place(server, environment, fleet, folder / "store", folder)
        made.python(PREPARE, str(server.home), str(server.port), str(fleet), str(made.store))
        yield made
    finally:
        processes.stop_all()
