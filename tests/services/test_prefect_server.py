from pathlib import Path

import pytest

from services.prefect_server import PrefectServer

SERVER, CLIENT = "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"


def test_it_listens_on_the_loopback_interface(tmp_path: Path) -> None:
    command = PrefectServer(tmp_path, 4711).command()
    assert command[command.index("--host") + 1] == "127.0.0.1"


def test_a_password_of_the_server_is_given_by_all_that_talk_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SERVER, "admin:long")
    monkeypatch.setenv(CLIENT, "of:another server")
    assert PrefectServer(tmp_path, 4711).environment()[CLIENT] == "admin:long"
    assert "admin:long" not in " ".join(PrefectServer(tmp_path, 4711).command())
    monkeypatch.delenv(SERVER)
    assert CLIENT not in PrefectServer(tmp_path, 4711).environment()


def test_leases_survive_the_server(tmp_path: Path) -> None:
    environment = PrefectServer(tmp_path, 4711).environment()
    assert environment["PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"].endswith(".filesystem")
