"""A whole run with planted secrets: they reach the storage they are for, and stand nowhere afterwards."""

import base64
import json
import os
from pathlib import Path

import fsspec
import pytest

from storage.fleet import Device, Fleet
from storage.fleet_file import fleet_toml
from storage.shards.keyring import Keyring
from tests.conftest import jpeg, picture
from tests.flows.conftest import PASSWORD, Place, device, fill
from tests.servers import S3Server, closed_port, s3_server

__all__ = ["s3_server"]

pytestmark = pytest.mark.server

KEY, SECRET, BLOCK = "PLANTED-KEY-7Q", "planted-secret-of-the-camera", "planted-secret-in-a-block"

RUN = """
import sys
from prefect.blocks.system import Secret
from flows.pipeline import pipeline
if __name__ == "__main__":
    Secret(value=sys.argv[3]).save("planted", overwrite=True)
    state = pipeline(sys.argv[1], sys.argv[2], "instant", patience=0, return_state=True)
    assert state.is_failed(), state  # one camera cannot be reached
    print(state.message)
"""


def camera(name: str, folder: Path, port: int, bucket: str) -> Device:
    options = {
        "endpoint_url": f"http://127.0.0.1:{port}",
        "key": {"env": "PLANTED_KEY"},
        "secret": {"env": "PLANTED_SECRET"},
        "config_kwargs": {"connect_timeout": 1, "read_timeout": 5, "retries": {"max_attempts": 0}},
    }
    if name == "blocked":
        options["secret"] = {"block": "planted"}
    place = f"s3://{bucket}/{name}"
    changes = {"storage": place, "storage_options": options}
    return device(name, folder, name).model_copy(update=changes)


def places(folder: Path) -> list[Path]:
    """All files that a run of the project, its server and its devices leave."""
    return [path for path in folder.rglob("*") if path.is_file() and path.name != "script.py"]


def test_no_secret_stands_anywhere_after_a_run(place: Place, s3_server: S3Server) -> None:
    folder = place.folder / "secrets"
    fill(folder / "plain" / "storage", [3])
    bucket = s3_server.new_bucket()
    files = fsspec.filesystem("s3", **s3_server.options())
    for number, name in enumerate(("named", "blocked")):
        files.pipe_file(f"{bucket}/{name}/{name}.jpg", jpeg(picture(20 + number)))
    cameras = [camera(name, folder, s3_server.port, bucket) for name in ("named", "blocked")]
    cameras.append(camera("unreachable", folder, closed_port(), bucket))
    fleet = folder / "fleet.toml"
    fleet.write_text(fleet_toml(Fleet(devices=(device("plain", folder, "plain"), *cameras))))
    Keyring(folder / "keys").new()
    planted = {"PLANTED_KEY": KEY, "PLANTED_SECRET": SECRET}
    message = place.python(RUN, str(fleet), str(folder / "store"), BLOCK, **planted)
    assert "unreachable" in message

    told = {
        "parameters and states": place.ask("flow_runs/filter"),
        "tasks": place.ask("task_runs/filter"),
        "artifacts": place.ask("artifacts/filter"),
        "logs": place.ask("logs/filter"),
        "events": place.ask("events/filter"),
        "the message": message,
    }
    assert len(told["logs"]) > 10
    assert any(found["parameters"].get("fleet") == str(fleet) for found in told["parameters and states"])
    (private,) = (folder / "keys").glob("*.pem")
    body = private.read_text().splitlines()[1]
    for secret in (KEY, SECRET, BLOCK, PASSWORD, base64.b64encode(PASSWORD.encode()).decode(), body):
        for where, text in told.items():
            assert secret not in json.dumps(text), where
        spelled = secret.encode()
        left = [path for path in places(place.folder) if spelled in path.read_bytes() and path != private]
        assert [str(path.relative_to(place.folder)) for path in left] == []
    assert os.environ.get("PLANTED_SECRET") is None
