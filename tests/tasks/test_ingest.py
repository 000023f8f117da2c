import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from storage.fleet import Device
from storage.ingestion import IngestReport
from storage.intake.validation import Validator
from storage.store import Store
from storage.tables import SOURCES
from tasks import ingest
from tests.storage.examples import coco, jpeg


@pytest.fixture(autouse=True)
def _logger(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(ingest, "get_run_logger", lambda: logging.getLogger("run"))
    monkeypatch.setattr(ingest, "quarantine_grew", lambda device, refused: told.append((device, refused)))


told: list[tuple[str, int]] = []
"""Events: devices and how many of their files were refused."""


def device(folder: Path, name: str, files: dict[str, bytes]) -> Device:
    storage = folder / name
    storage.mkdir()
    for path, data in files.items():
        (storage / path).write_bytes(data)
        os.utime(storage / path, (1_000, 1_000))
    return Device(name=name, storage=str(storage), inbox=str(folder / f"{name} in"), home=str(folder / f"{name} home"))


def test_names_and_labels_of_devices_are_escaped_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = ["a\nINFO all is well.jpg", "b\x1b[2J\x1b]0;title\x07.jpg", "%s %(message)s %n.jpg", "\u202etxt.jpg"]
    labels = {name: [[1, 1, 500, 500]] for name in names[2:]} | {"no\nsuch.jpg": []}
    files = {name: jpeg(number) for number, name in enumerate(names)} | {"annotations.json": coco(labels)}
    with pytest.MonkeyPatch.context() as patch:
        # A note that is not escaped by whom it comes from.
        do = ingest.ingest
        patch.setattr(ingest, "ingest", lambda *a, **k: _with_note(do(*a, **k), "raw\n\x1b[31m%d"))
        report = ingest.ingest_device.fn(device(tmp_path, "cam-a", files), str(tmp_path / "store"), None)
    assert (report.new, report.refused) == (2, 3)
    lines = [record.getMessage() for record in caplog.records if record.name == "run"]
    assert "cam-a: raw\\n\\x1b[31m%d" in lines
    assert any("%s %(message)s %n.jpg: box 'boat'" in line for line in lines)
    assert len(lines) == 4
    assert all(line.isprintable() for line in lines)


def _with_note(report: IngestReport, note: str) -> IngestReport:
    return IngestReport(**{**vars(report), "notes": (*report.notes, note)})


def test_the_log_says_what_was_done(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = {"a.jpg": jpeg(1), "b.jpg": b"broken", "c.jpg": jpeg(2)}
    ingest.ingest_device.fn(device(tmp_path, "cam-a", files), str(tmp_path / "store"), 2)
    assert told[-1] == ("cam-a", 1)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "run"]
    assert line == (
        "cam-a: 3 JPEGs found, 1 new, 0 known, 1 refused, 0 wait for their labels, 0 left for the next run, "
        "1 more in the backlog, 0 originals moved or deleted"
    )


def test_devices_that_are_read_at_once_share_one_validator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Validator] = []
    both = threading.Barrier(2)
    do = ingest.ingest

    def make(*arguments: Any) -> Validator:
        made.append(Validator(1))
        return made[-1]

    def together(*arguments: Any, **options: Any) -> IngestReport:
        both.wait(60)
        report = do(*arguments, **options)
        both.wait(60)
        return report

    monkeypatch.setattr(ingest, "Validator", make)
    monkeypatch.setattr(ingest, "ingest", together)
    devices = [device(tmp_path, name, {f"{name}.jpg": jpeg(number)}) for number, name in enumerate(("a", "b"))]
    with ThreadPoolExecutor(2) as pool:
        run = [pool.submit(ingest.ingest_device.fn, one, str(tmp_path / "store"), None) for one in devices]
        assert [future.result().new for future in run] == [1, 1]
    assert len(made) == 1
    with pytest.raises(RuntimeError, match="closed"):  # with its last user it ended
        made[0].submit(jpeg(1))
    assert Store(str(tmp_path / "store")).scan(SOURCES).num_rows == 2
