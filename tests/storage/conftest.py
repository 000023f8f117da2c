"""A store and devices in temporary folders."""

from collections.abc import Callable
from pathlib import Path

import pytest

from storage.fleet import Device
from storage.store import Store
from tests.servers import http_server, s3_server, sftp_server  # noqa: F401  (fixtures)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def make_device(tmp_path: Path) -> Callable[..., Device]:
    """Makes a device whose storage holds the given files: ``make_device("cam-a", {"a.jpg": bytes})``."""

    def make(name: str = "cam-a", files: dict[str, bytes] | None = None) -> Device:
        folder = tmp_path / "devices" / name / "storage"
        folder.mkdir(parents=True, exist_ok=True)
        for path, data in (files or {}).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        base = folder.parent
        return Device(name=name, storage=str(folder), inbox=str(base / "inbox"), home=str(base / "home"))

    return make
