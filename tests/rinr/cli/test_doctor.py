"""`rinr doctor`: each thing as it is well, and as it is not, with something to do about it."""

import json
import shutil
import socket
import threading
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.catalogue import DEPLOYMENTS
from rinr.cli.doctor_findings import Finding, looked_at, ok
from rinr.cli.doctor_machine import look_at_disks, look_at_packages, look_at_python, look_at_torch
from rinr.cli.doctor_places import look_at_fleet, look_at_store
from rinr.cli.doctor_server import look_at_server
from rinr.cli.main import app
from rinr.version import __version__
from services.ports import free_port
from storage.fleet import Device, Fleet
from storage.fleet_file import fleet_toml
from storage.shards.keyring import Keyring
from storage.weights.versions import VERSION
from tests.conftest import jpeg, picture

EXPECTED = {deployment.full_name: deployment.pool for deployment in DEPLOYMENTS}
PREFECT = metadata.version("prefect")
GOOD = {
    "GET /api/health": True,
    "GET /api/admin/version": PREFECT,
    "POST /api/work_pools/filter": [{"name": name, "status": "READY"} for name in ("fog", "devices")],
    "POST /api/deployments/filter": [{"name": each.flow, "version": __version__} for each in DEPLOYMENTS],
}
Usage = namedtuple("Usage", "total used free")


@contextmanager
def server(answers: dict[str, Any], status: int = 200) -> Iterator[str]:
    """Something that answers as a Prefect server might; gives its API's address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            known = f"{self.command} {self.path}"
            body = json.dumps(answers.get(known)).encode()
            self.send_response(status if known in answers else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}/api"
    finally:
        listening.shutdown()
        listening.server_close()


def standings(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.subject, finding.standing) for finding in findings]


def only(findings: list[Finding], standing: str) -> Finding:
    (found,) = [finding for finding in findings if finding.standing == standing]
    assert found.do, "what is not ok says what to do"
    return found


class TestServer:
    def test_all_is_well(self) -> None:
        with server(GOOD) as api:
            findings = list(look_at_server(api, EXPECTED))
        assert {finding.standing for finding in findings} == {"ok"}
        assert len(findings) == 5  # server, version, two pools, deployments

    def test_a_free_port_is_no_problem(self) -> None:
        found = only(list(look_at_server(f"http://127.0.0.1:{free_port()}/api", EXPECTED)), "warning")
        assert "free" in found.what
        assert "rinr up" in found.do

    @pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.6\r\n", b""])
    def test_a_port_that_something_else_holds(self, greeting: bytes) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]

            def greet() -> None:
                while True:
                    try:
                        client, _ = other.accept()
                    except OSError:
                        return
                    client.recv(1_000)
                    client.sendall(greeting)
                    client.close()

            threading.Thread(target=greet, daemon=True).start()
            found = only(list(look_at_server(f"http://127.0.0.1:{port}/api", EXPECTED)), "problem")
            other.shutdown(socket.SHUT_RDWR)
        assert found.subject == f"port {port}"
        assert "no Prefect server" in found.what
        assert f"--port {port + 1}" in found.do

    def test_a_web_server_of_others(self) -> None:
        with server({}) as api:
            assert "no Prefect server" in only(list(look_at_server(api, EXPECTED)), "problem").what

    def test_a_password_that_is_missing(self) -> None:
        with server(GOOD, status=401) as api:
            assert "PREFECT_API_AUTH_STRING" in only(list(look_at_server(api, EXPECTED)), "problem").do

    def test_another_host_that_is_away(self) -> None:
        found = only(list(look_at_server("http://fog.invalid:4200/api", EXPECTED)), "problem")
        assert "cannot be reached" in found.what

    @pytest.mark.parametrize(
        ("path", "answer", "said"),
        [
            ("GET /api/admin/version", "2.19.0", "pip install prefect==2.19.0"),
            ("POST /api/work_pools/filter", GOOD["POST /api/work_pools/filter"][:1], "rinr up"),
            ("POST /api/deployments/filter", GOOD["POST /api/deployments/filter"][1:], "prefect deploy --all"),
            (
                "POST /api/work_pools/filter",
                [{"name": "fog", "status": "NOT_READY"}, {"name": "devices", "status": "READY"}],
                "prefect worker start --pool fog",
            ),
            (
                "POST /api/deployments/filter",
                [{"name": each.flow, "version": "0.0.9"} for each in DEPLOYMENTS],
                "make them anew",
            ),
        ],
    )
    def test_what_is_missing_or_old_there(self, path: str, answer: Any, said: str) -> None:
        with server(GOOD | {path: answer}) as api:
            assert said in only(list(look_at_server(api, EXPECTED)), "warning").do


class TestMachine:
    def test_python_and_torch_here_are_fine(self) -> None:
        findings = [*look_at_python(), *look_at_torch()]
        assert {"Python", "rinr", "torch", "accelerator", "cores"} <= {finding.subject for finding in findings}
        assert "problem" not in {finding.standing for finding in findings}

    def test_no_room_and_little_room(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for free, standing in ((10**8, "problem"), (10**9, "warning"), (10**11, "ok")):
            monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: Usage(10**12, 0, free))
            found = list(look_at_disks({"the store": tmp_path / "not" / "there" / "yet"}))[-1]
            assert (found.subject, found.standing) == ("disk for the store", standing)
            assert str(tmp_path) in found.what
            assert bool(found.do) == (standing != "ok")

    def test_a_place_that_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "store").write_text("")
        assert list(look_at_disks({"the store": tmp_path / "store"}))[-1].standing == "problem"

    def test_extras(self) -> None:
        needs = [
            "torch>=2.11",
            'prefect<4,>=3.8; extra == "fog"',
            'fsspec>=2025.2; extra == "fog"',
            'fsspec>=2025.2; extra == "train"',
            'safetensors>=0.4.5; extra == "train"',
            'Some_Thing>=1; extra == "train"',
        ]
        have = {"torch": "2.13", "prefect": "3.9.0", "fsspec": "2025.9"}
        fog, train = look_at_packages(have, needs)
        assert (fog.standing, train.standing) == ("ok", "ok"), "nothing of its own is there: it is just not installed"
        assert "pip install 'residual-inr[train]'" in train.what
        _, train = look_at_packages(have | {"safetensors": "0.5"}, needs)
        assert train.standing == "problem"
        assert "some-thing missing" in train.what
        _, train = look_at_packages(have | {"safetensors": "0.5", "some-thing": "0.9"}, needs)
        assert train.standing == "problem"
        assert "0.9 here" in train.what

    def test_versions_known_not_to_work_together(self) -> None:
        have = {"prefect": "3.8.8", "fastapi": "0.151.2", "sqlalchemy": "2.0.40"}
        found = only(list(look_at_packages(have, [])), "problem")
        assert found.do == "pip install 'fastapi<0.151'"
        assert only(list(look_at_packages(have | {"fastapi": "0.150", "sqlalchemy": "2.1.0"}, [])), "problem").do
        assert list(look_at_packages(have | {"prefect": "3.9.1"}, [])) == []


class TestFleetAndStore:
    @pytest.fixture
    def fleet(self, tmp_path: Path) -> Path:
        storage, inbox = tmp_path / "storage", tmp_path / "inbox"
        storage.mkdir()
        inbox.mkdir()
        (storage / "a.jpg").write_bytes(jpeg(picture()))
        (storage / "annotations.json").write_text('{"images": [], "annotations": [], "categories": []}')
        device = Device(name="a", storage=str(storage), inbox=str(inbox), home=str(tmp_path / "home"))
        file = tmp_path / "fleet.toml"
        file.write_text(fleet_toml(Fleet(devices=(device,))))
        return file

    def test_a_fleet_that_is_fine(self, fleet: Path, tmp_path: Path) -> None:
        found = only(list(look_at_fleet(fleet, 20)), "problem")
        assert found.subject == "signing key"
        assert "rinr keys new" in found.do
        Keyring(tmp_path / "keys").new()
        assert standings(list(look_at_fleet(fleet, 20))) == [("fleet", "ok"), ("signing key", "ok"), ("device a", "ok")]

    def test_a_device_that_is_not(self, fleet: Path, tmp_path: Path) -> None:
        Keyring(tmp_path / "keys").new()
        shutil.rmtree(tmp_path / "storage")
        found = only(list(look_at_fleet(fleet, 20)), "problem")
        assert found.subject == "device a"
        assert "--device a" in found.do

    def test_a_broken_file_and_none(self, fleet: Path, tmp_path: Path) -> None:
        fleet.write_text("[[device]]\nname = 'a'\nstorage = 7\n")
        assert "line" in only(list(look_at_fleet(fleet, 20)), "problem").what
        assert "rinr fleet init" in only(list(look_at_fleet(tmp_path / "none.toml", 20)), "problem").do

    def test_stores(self, tmp_path: Path) -> None:
        (none,) = look_at_store(str(tmp_path / "none"))
        assert none.standing == "ok"
        assert not (tmp_path / "none").exists(), "looking makes nothing"
        golden = Path(__file__).parents[2] / "golden" / "store-1"
        shutil.copytree(golden, tmp_path / "old")
        old = only(list(look_at_store(str(tmp_path / "old"))), "warning")
        assert "version 1 of the schema, 4 rows" in old.what
        (tmp_path / "old" / "store.json").write_text(json.dumps({"format": "rinr-store", "version": VERSION + 1}))
        assert "update rinr" in only(list(look_at_store(str(tmp_path / "old"))), "problem").do


def test_a_look_that_fails_is_a_problem_and_no_end() -> None:
    def fails() -> list[Finding]:
        raise RuntimeError("odd")

    (found,) = looked_at("torch", fails)
    assert (found.standing, "odd" in found.what) == ("problem", True)
    assert looked_at("x", lambda: [ok("x", "y")]) == [ok("x", "y")]


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("RINR_FLEET", "RINR_STORE", "RINR_HOME"):
        monkeypatch.delenv(name, raising=False)
    with server(GOOD) as api:
        monkeypatch.setenv("PREFECT_API_URL", api)
        told = CliRunner().invoke(app, ["doctor", "--json"])
        assert told.exit_code == 0, told.output
        document = json.loads(told.stdout)
        assert document["fine"] is True
        assert {"Python", "torch", "Prefect", "deployments"} <= {each["subject"] for each in document["findings"]}
        told = CliRunner().invoke(app, ["doctor", "--fleet", "none.toml"])
    assert told.exit_code == 1
    assert "rinr fleet init none.toml" in told.stdout
    assert list(tmp_path.iterdir()) == []
